"""From an uploaded file and a table to a plan: which columns, how they are read, by which key rows are recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import connection
from django.utils import timezone
from psycopg import sql

from importer.errors import QueryError
from importer.file_options import FieldMapping, FileOptions, digest, field_mappings, file_options
from importer.mapping.auto import AutoMap, Proposal, auto_map, columns_of_rows
from importer.mapping.auto import words as words_of
from importer.models import FileImport, TableRule
from importer.modes import Mode
from importer.options import InvalidOption
from importer.pipeline.checks import check
from importer.pipeline.columns import MOMENTS, WHOLE, Cells, needs_type
from importer.pipeline.plan import Check, LoadPlan, Mapped
from importer.pipeline.tables.plan import TableCheck, TablePlan
from importer.pipeline.transforms import Transform, chain
from servicevault import tables
from servicevault.catalog import Field, Target
from servicevault.tables import Column, Table

STAMPS = ("created_at", "updated_at", "created_by", "created_by_id")  # F-066
UNCOMPARED = {"json", "xml", "point", "polygon", "box", "path", "line", "circle"}  # have no order to group by
TYPED_FORMATS = {"json", "jsonl", "yaml", "xlsx", "xls"}


def target_of(table: Table, *, columns: Sequence[str] = ()) -> Target:
    """The table as a target: every column that an import may fill; `columns` narrows them."""
    return Target(
        name=f"table:{table.name}",
        label=table.comment or table.name,
        table=table.name,
        fields=tuple(
            _field(table, column)
            for column in table.columns
            if column.writable and (not columns or column.name in columns)
        ),
    )


def _field(table: Table, column: Column) -> Field:
    must = not column.nullable and column.default is None and not column.identity and not _is_made(table, column)
    return Field(
        name=column.name,
        type="column",
        label=column.comment or column.name,
        max_length=column.max_length,
        must_map=must,
        not_empty=not column.nullable and column.default is None and not column.identity,
        sql_type=column.sql_type,
        base=column.base,
        labels=column.labels,
    )


def _is_made(table: Table, column: Column) -> bool:
    """Whether the value comes from us where the file has none: stamps, and keys that are UUIDs."""
    return column.name in STAMPS or (table.primary_key == (column.name,) and column.base == "uuid")


def proposals(
    table: Table, headers: Sequence[str], rows: Sequence[Sequence[Any]], *, columns: Sequence[str] = ()
) -> AutoMap:
    """What the file's columns most likely are; numbers the database gives are never proposed (F-053)."""
    target = target_of(table, columns=columns)
    open_fields = tuple(field for field in target.fields if not table.by_name[field.name].autoincrement)
    return auto_map(replace(target, fields=open_fields), columns_of_rows(headers, rows))


def suggested(found: AutoMap) -> list[dict[str, Any]]:
    """The proposals as the API tells them (F-043)."""
    return [
        {
            "source_column": proposal.source,
            "target_column": proposal.target,
            "transform": proposal.transformation[0][0] if proposal.transformation else None,
            "confidence": proposal.confidence,
            "reason": proposal.reason,
            "level": proposal.level,
            "preselected": proposal.preselected,
        }
        for proposal in found.mappings
    ]


def certain(found: AutoMap) -> tuple[FieldMapping, ...]:
    """What an import without a mapping takes: the proposals of high confidence (F-054)."""
    return tuple(_confirmed(proposal) for proposal in found.mappings if proposal.level == "High")


def _confirmed(proposal: Proposal) -> FieldMapping:
    return FieldMapping(proposal.source, proposal.target, proposal.transformation)


def check_mappings(
    table: Table, mappings: Sequence[FieldMapping], headers: Sequence[str], columns: Sequence[str] = ()
) -> None:
    """Raise InvalidOption for a mapping that names what is not there, or what nobody may write (F-054)."""
    target = target_of(table, columns=columns)
    for place, mapping in enumerate(mappings):
        where = f"field_mappings[{place}]"
        if mapping.source not in headers:
            raise InvalidOption(
                f"The file has no column “{mapping.source[:80]}”.",
                hint=f"Its columns: {', '.join(headers[:40])}.",
                where=f"{where}.source_column",
            )
        if target.field(mapping.target) is None:
            raise InvalidOption(
                _why_not(table, mapping.target),
                hint=f"Columns: {', '.join(target.known)}.",
                where=f"{where}.target_column",
            )
        try:
            chain(mapping.transforms)
        except QueryError as error:
            raise InvalidOption(error.message, hint=error.hint, where=f"{where}.transform") from None


def _why_not(table: Table, name: str) -> str:
    column = table.by_name.get(name)
    if column is None:
        return f"{table.name} has no column “{name[:80]}”."
    if column.generated:
        return f"“{name}” is computed by the database and cannot be filled."
    if column.sensitive:
        return f"“{name}” is never written by an import."
    return f"You may not write “{name}”."


# -- plans --------------------------------------------------------------------------------------------------------


def digests(file: FileImport) -> tuple[str, str]:
    """What the staged rows hold for, and what a validation holds for (F-029)."""
    options = file_options(file.import_options)
    staged = digest(file.sha256, vars(options.read), file.only_rows)
    return staged, digest(staged, file.table_name, file.target_type, file.import_options, file.field_mappings)


def plan_file(file: FileImport, *, by: Any, columns: Sequence[str] = ()) -> TablePlan:
    """The plan of a stored file. Raises InvalidOption for what cannot be right, UnknownTable when the table is gone."""
    return plan_table(
        tables.find(file.table_name),
        headers=file.headers,
        mappings=field_mappings(file.field_mappings or []),
        options=file_options(file.import_options),
        file_format=file.file_format,
        by=by,
        columns=columns,
    )


def plan_table(
    table: Table,
    *,
    headers: Sequence[str],
    mappings: Sequence[FieldMapping],
    options: FileOptions,
    file_format: str,
    by: Any = None,
    columns: Sequence[str] = (),
) -> TablePlan:
    """How rows with these headers go into the table. Raises InvalidOption for what cannot be right."""
    check_mappings(table, mappings, headers, columns)
    target = target_of(table, columns=columns)
    cells = Cells(
        date_format=options.read.date_format,
        decimal=options.read.decimal_separator,
        thousands=options.read.thousands_separator,
        typed=file_format in TYPED_FORMATS,
    )
    rules = [
        *(rule.as_option() for rule in TableRule.objects.filter(table_name=table.name, is_active=True)),
        *options.rules,
    ]
    mapped = tuple(_mapped(target, mapping, cells, rules) for mapping in mappings)
    filled = {item.field.name for item in mapped}
    key = _key(table, options, filled)
    wanted_once = [(rule["column"],) for rule in rules if rule["rule"] == "unique" and rule["column"] in filled]
    for (column,) in wanted_once:
        _require_equality(table, column, "import_options.validation_rules")
    uniques = [found for found in (*table.unique_keys, *wanted_once) if set(found) <= filled and set(found) != set(key)]
    load = LoadPlan(
        target=target,
        mapped=mapped,
        entity_id=0,
        version_id=0,
        searched={},
        mode=Mode.UPSERT if options.on_duplicate == "update" else Mode.CREATE,
        timezone=options.read.timezone,
        record_unchanged=options.record_unchanged,
        cells=cells,
    )
    return TablePlan(
        load=load,
        table=table,
        key=key,
        strategy=options.on_duplicate,  # type: ignore[arg-type]
        unique=tuple(dict.fromkeys(uniques)),
        foreign=tuple(
            found
            for found in table.foreign_keys
            if set(found.columns) <= filled
            and found.referred_table != table.name  # its own rows may come with the file
        ),
        checks=_checks(table, filled),
        fills=_fills(table, filled, by),
        touches="updated_at" if "updated_at" in table.by_name and "updated_at" not in filled else "",
        year=timezone.now().year,
    )


def unmapped_required(plan: TablePlan) -> list[str]:
    """Columns that must have a value and get none (F-076)."""
    return [name for name in plan.load.target.must_map if name not in plan.mapped]


def _mapped(target: Target, mapping: FieldMapping, cells: Cells, rules: Sequence[Any]) -> Mapped:
    field = target.field(mapping.target)
    assert field is not None
    steps = [step for step in mapping.transforms if not _is_the_types_own(field, step)]
    if mapping.default is not None:
        steps.append(("default", {"value": mapping.default}))
    return Mapped(
        field=field,
        column=mapping.source,
        source_type="json" if needs_type(field, cells) and not steps else "text",
        transforms=_chained(steps),
        keep_empty=mapping.skip_empty,
        checks=(*_of_the_name(field), *(_rule(target, rule) for rule in rules if _is_of(rule, field))),
    )


def _chained(steps: Sequence[tuple[str, Any]]) -> tuple[Transform, ...]:
    try:
        return chain(steps)
    except QueryError as error:
        raise InvalidOption(error.message, hint=error.hint, where="field_mappings") from None


def _is_the_types_own(field: Field, step: tuple[str, Any]) -> bool:
    """Whether the column's type does by itself, by the file's options, what the transformation asks for."""
    name, params = step
    own = {"number": {*WHOLE, "numeric", "float4", "float8"}, "date": MOMENTS, "boolean": {"bool"}}
    return not params and field.base in own.get(name, ())


def _of_the_name(field: Field) -> tuple[Check, ...]:
    """A column that is called so holds e-mail addresses (F-073)."""
    parts = set(words_of(field.name))
    is_mail = (
        field.base in {"text", "varchar", "citext"}
        and parts & {"email", "mail"}
        and not parts & {"id", "body", "subject", "text"}
    )
    return (Check("email"),) if is_mail else ()


def _is_of(rule: Any, field: Field) -> bool:
    return rule["column"] == field.name and rule["rule"] != "unique"


def _rule(target: Target, rule: Any) -> Check:
    name = "required" if rule["rule"] == "not_empty" else rule["rule"]
    params = {"value": rule["value"]} if rule.get("value") is not None else {}
    try:
        return check(
            name,
            params,
            target,
            field=rule["column"],
            warns=rule.get("severity") == "warning",
            message=rule.get("message") or "",
        )
    except QueryError as error:
        raise InvalidOption(error.message, hint=error.hint, where="import_options.validation_rules") from None


def _key(table: Table, options: FileOptions, filled: set[str]) -> tuple[str, ...]:
    """The columns by which rows are recognised (F-057)."""
    where = "import_options.duplicate_key"
    if options.duplicate_key:
        for column in options.duplicate_key:
            if column not in filled:
                raise InvalidOption(f"“{column}” recognises no row: it is not mapped.", where=where)
            _require_equality(table, column, where)
        if set(options.duplicate_key) not in [set(known) for known in table.unique_keys]:
            _refuse_collisions(table, options.duplicate_key)
        return options.duplicate_key
    return next((known for known in table.unique_keys if set(known) <= filled), ())


def _require_equality(table: Table, column: str, where: str) -> None:
    if table.by_name[column].base in UNCOMPARED:
        raise InvalidOption(f"“{column}” is {table.by_name[column].type}: no two values of that compare.", where=where)


def _refuse_collisions(table: Table, key: Sequence[str]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, key))
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(column)) for column in key)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1) k").format(
                table.identifier, filled, columns
            )
        )
        collisions = cursor.fetchone()[0]
    if collisions:
        raise InvalidOption(
            f"{', '.join(key)} is not unique in {table.name}: {collisions:,} values occur more than once.",
            hint="Choose a key that tells the rows apart.",
            where="import_options.duplicate_key",
        )


def _checks(table: Table, filled: set[str]) -> tuple[TableCheck, ...]:
    found = []
    for (name, text), columns in zip(table.checks, table.check_columns, strict=True):
        condition = text.removeprefix("CHECK ").removesuffix(" NOT VALID").removesuffix(" NO INHERIT")
        if set(columns) & filled and condition.startswith("("):
            found.append(TableCheck(name, condition, columns))
    return tuple(found)


def _fills(table: Table, filled: set[str], by: Any) -> dict[str, tuple[Any, str]]:
    """Stamps that the file does not bring (F-066)."""
    found: dict[str, tuple[Any, str]] = {}
    now = timezone.now()
    for name in ("created_at", "updated_at"):
        column = table.by_name.get(name)
        if column is not None and name not in filled and column.writable and column.base in MOMENTS:
            found[name] = (now, column.sql_type)
    for name in ("created_by", "created_by_id"):
        column = table.by_name.get(name)
        if by is None or column is None or name in filled or not column.writable:
            continue
        if column.base == "uuid":
            found[name] = (by.pk, "uuid")
        elif column.is_text:
            found[name] = (str(by.email or by.username)[: column.max_length or 255], "text")
    return found
