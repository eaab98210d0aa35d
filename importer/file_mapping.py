"""From the mappings of a file to what the pipeline loads: transformations, checks, references, value maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from importer.errors import QueryError
from importer.file_options import FieldMapping
from importer.mapping.auto import words as words_of
from importer.options import InvalidOption
from importer.pipeline.checks import check
from importer.pipeline.columns import MOMENTS, WHOLE, Cells, column_of, needs_type
from importer.pipeline.plan import Check, Mapped
from importer.pipeline.prepare import canonical
from importer.pipeline.transforms import Transform, chain
from servicevault.catalog import Field, Target


def mapped_field(target: Target, mapping: FieldMapping, cells: Cells, rules: Sequence[Any]) -> Mapped:
    """The target's field as this column of the file fills it. Raises InvalidOption for what cannot be carried out."""
    field = target.field(mapping.target)
    assert field is not None
    by = mapping.reference.get("by", "")
    steps = [step for step in mapping.transforms if not _is_the_types_own(field, step)]
    if mapping.default is not None:
        steps.append(("default", {"value": mapping.default}))
    return Mapped(
        field=field,
        column=mapping.source,
        source_type="json" if _is_opened(field, cells) and not steps else "text",
        transforms=_chained(steps),
        keep_empty=mapping.skip_empty,
        value_map={canonical(source): wanted for source, wanted in mapping.value_map.items()},
        resolve_by="" if by == "external_id" else by,
        entity=mapping.reference.get("entity", ""),
        unresolved=mapping.reference.get("unresolved") or None,  # type: ignore[arg-type]
        checks=field_checks(target, field, rules),
    )


def field_checks(target: Target, field: Field, rules: Sequence[Any]) -> tuple[Check, ...]:
    """What the field's name or type, and the rules, ask of every value. Raises InvalidOption for a rule that cannot be."""
    return (*_of_the_column(field), *(_rule(target, field, rule) for rule in rules if _is_of(rule, field)))


def _is_opened(field: Field, cells: Cells) -> bool:
    """Whether the value is opened as JSON, because its own type decides."""
    return needs_type(field, cells) or (field.type == "json" and cells.documents)


def _chained(steps: Sequence[tuple[str, Any]]) -> tuple[Transform, ...]:
    try:
        return chain(steps)
    except QueryError as error:
        raise InvalidOption(error.message, hint=error.hint, where="field_mappings") from None


def _is_the_types_own(field: Field, step: tuple[str, Any]) -> bool:
    """Whether the column's type does by itself, by the file's options, what the transformation asks for."""
    name, params = step
    own = {"number": {*WHOLE, "numeric", "float4", "float8"}, "date": MOMENTS, "boolean": {"bool"}}
    column = column_of(field) or field
    return not params and column.base in own.get(name, ())


def _of_the_column(field: Field) -> tuple[Check, ...]:
    """A column that is called so, or whose type is a domain that is called so, holds e-mail addresses (F-073)."""
    is_text = field.base in {"text", "varchar", "citext"}
    return (Check("email"),) if _is_of_mail(field.name if is_text else field.base) else ()


def _is_of_mail(name: str) -> bool:
    parts = set(words_of(name))
    return (
        not name.startswith("_") and bool(parts & {"email", "mail"}) and not parts & {"id", "body", "subject", "text"}
    )


def _is_of(rule: Any, field: Field) -> bool:
    return rule["column"] in {field.name, field.storage} and rule["rule"] != "unique"


def _rule(target: Target, field: Field, rule: Any) -> Check:
    name = "required" if rule["rule"] == "not_empty" else rule["rule"]
    params = {"value": rule["value"]} if rule.get("value") is not None else {}
    try:
        return check(
            name,
            params,
            target,
            field=field.name,
            warns=rule.get("severity") == "warning",
            message=rule.get("message") or "",
        )
    except QueryError as error:
        raise InvalidOption(error.message, hint=error.hint, where="import_options.validation_rules") from None
