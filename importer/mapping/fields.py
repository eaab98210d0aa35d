"""From the fields of a query to what the pipeline loads: transformations, value maps, references, write rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import DataError, connection, transaction

from importer.errors import QueryError
from importer.pipeline.checks import check
from importer.pipeline.plan import Check, Mapped
from importer.pipeline.prepare import canonical
from importer.pipeline.transforms import Transform, chain
from importer.query.problems import Problem
from importer.query.spec import Field, QuerySpec, Reference
from servicevault import catalog
from servicevault.wording import say

DEFAULT_ENTITY = "__default__"  # holds the source's default account (E34)
UNRESOLVED = ("null", "fail", "default", "placeholder")


def mapped_fields(
    spec: QuerySpec, columns: Sequence[str], types: Mapping[str, str], entities: Collection[str]
) -> tuple[Mapped, ...]:
    """The columns that a query gives as the pipeline loads them; `types` are those of the source's columns.

    `entities` are the names a reference may search. Raises QueryError naming what does not fit.
    """
    target = catalog.get(spec.target_type)
    found = []
    for column in columns:
        field = target.field(column)
        if field is None:
            raise QueryError(
                say("“{column}” is not a field of {target}.", column=column, target=target.label),
                hint=say("Fields: {known}.", known=", ".join(target.known)),
            )
        source = spec.field_for(column) or Field(column)
        source_type = types.get(column, "text")
        if field.json_key and "." in field.name and _is_structured(source_type):
            field = replace(field, type="json")
        reference = source.reference or Reference()
        _check_reference(column, field, reference, entities)
        found.append(
            Mapped(
                field=field,
                column=column,
                source_type=source_type,
                transforms=transforms_of(source),
                write_rule=source.write_rule,
                keep_empty=source.empty_values == "keep",
                value_map=_value_map(_entries(spec, source, field.name)),
                resolve_by=reference.by,
                entity=reference.entity,
                unresolved=reference.unresolved or None,  # type: ignore[arg-type]
                checks=checks_of(source, target),
            )
        )
    return tuple(found)


def field_problems(spec: QuerySpec) -> list[Problem]:
    """What keeps the fields of a query from being loaded, each at its place; for saving (M7, M13)."""
    target = catalog.get(spec.target_type)
    found = []
    for index, field in enumerate(spec.fields):
        for member, judge in (
            ("transformation", lambda item=field: transforms_of(item)),
            ("validations", lambda item=field: checks_of(item, target)),
        ):
            try:
                judge()
            except QueryError as error:
                found.append(Problem(f"fields[{index}].{member}", error.message, error.hint))
    return found


def transforms_of(field: Field) -> tuple[Transform, ...]:
    """The transformations of a field. Raises QueryError for one that is unknown, misplaced, or cannot be carried out.

    `map` stands for the field's value map, which is applied last.
    """
    names = [name for name, _ in field.transformation]
    if "map" in names[:-1]:
        raise QueryError(
            say("“map” must be the last transformation of “{target}”.", target=field.target),
            hint=say("Move it to the end."),
        )
    found = chain([(name, dict(params)) for name, params in field.transformation if name != "map"])
    for step in found:
        for parameter in step.kind.parameters:
            if parameter.type == "pattern":
                _check_pattern(step.params[parameter.name], field.target)
    return found


def checks_of(field: Field, target: catalog.Target) -> tuple[Check, ...]:
    """The validations of a field. Raises QueryError for one that is unknown or whose parameter does not fit."""
    found = tuple(
        check(
            item.name, dict(item.params), target,
            field=field.target, warns=item.severity == "warning", message=item.message,
        )
        for item in field.validations
    )  # fmt: skip
    for chosen in found:
        if chosen.name == "pattern":
            _check_pattern(chosen.params["value"], field.target)
        if chosen.name in {"min", "max"} and getattr(target.field(field.target), "type", "") == "timestamptz":
            _check_moment(chosen.params["value"], field.target)
    return found


def _check_pattern(pattern: str, field: str) -> None:
    """Only the database knows whether it can read a pattern; asked once, not for every row."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT '' ~ %s", [pattern])
    except DataError as error:
        raise QueryError(
            say("“{pattern}” of “{field}” is not a regular expression.", pattern=pattern[:80], field=field),
            hint=_first_line(error),
        ) from error


def _check_moment(value: Any, field: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_input_is_valid(%s, 'timestamp')", [str(value)])
        if not cursor.fetchone()[0]:
            raise QueryError(
                say("“{value}” is not a date to compare “{field}” with.", value=str(value)[:80], field=field),
                hint=say("Write 2024-12-31."),
            )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _entries(spec: QuerySpec, field: Field, name: str) -> Mapping[str, Any]:
    """The query's value map of the field with what a `map` in its list of transformations adds."""
    entries = dict(spec.value_maps.get(field.target) or spec.value_maps.get(name) or {})
    for step, params in field.transformation:
        given = dict(params).get("values") or {} if step == "map" else {}
        if not isinstance(given, Mapping):
            raise QueryError(
                say("“values” of the map of “{target}” is an object of source and target value.", target=field.target)
            )
        entries = {**given, **entries}
    return entries


def _check_reference(column: str, field: catalog.Field, reference: Reference, entities: Collection[str]) -> None:
    """Raise QueryError when the mapping says how to find a row that the field does not point at, or wrongly."""
    if reference == Reference():
        return
    if field.reference is None:
        said = reference.by or reference.entity or reference.unresolved
        raise QueryError(
            say("“{column}” is no reference to another row; “{said}” says nothing about it.", column=column, said=said)
        )
    keys = [set(catalog.get(kind).natural_keys) for kind in field.reference.types]
    if reference.by and reference.by != "id" and not all(reference.by in known for known in keys):
        names = ", ".join(sorted(set.intersection(*keys))) or say("none")
        raise QueryError(
            say("“{column}” cannot be found by “{by}”.", column=column, by=reference.by),
            hint=say("Use id, or one of: {names}.", names=names),
        )
    if reference.entity and reference.entity not in entities:
        raise QueryError(
            say(
                "“{column}” is looked for in the entity “{entity}”, which no query feeds.",
                column=column,
                entity=reference.entity,
            ),
            hint=say(
                "Entities: {entities}.", entities=", ".join(sorted(set(entities) - {DEFAULT_ENTITY})) or say("none")
            ),
        )
    if reference.unresolved and reference.unresolved not in UNRESOLVED:
        raise QueryError(
            say("“{unresolved}” is no answer to an unresolved reference.", unresolved=reference.unresolved),
            hint=say("Use {unresolved}.", unresolved=", ".join(UNRESOLVED)),
        )


def _is_structured(source_type: str) -> bool:
    """Whether a value keeps its JSON form under a custom field: numbers, booleans, lists, objects."""
    plain = source_type.split("(", maxsplit=1)[0]
    return source_type.endswith("[]") or plain in _STRUCTURED


_STRUCTURED = {
    "json", "jsonb", "boolean", "smallint", "integer", "bigint", "numeric", "real", "double precision",
}  # fmt: skip


def _value_map(entries: Mapping[str, Any]) -> dict[str, str | None]:
    """Entries a row can be written with; one that says "hold" is as unknown as one that is missing (E32, E33)."""
    return {
        canonical(str(source)): None if wanted is None else str(wanted)
        for source, wanted in entries.items()
        if not isinstance(wanted, Mapping)
    }
