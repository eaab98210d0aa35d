"""The temporary table `work`: a row per staged row with its fate and the values to store."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from importer.pipeline.binding import fragment, literal, name
from importer.pipeline.findings import Finding
from importer.pipeline.plan import LoadPlan
from servicevault.catalog import UniqueKey
from servicevault.wording import say

Conflicts = Sequence[tuple[UniqueKey, sql.Composable]]


_UNLIMITED = re.compile(r"(?<=character varying)\(\d+\)")  # lengths are judged by `prepare`, with a reason

WORK_COLUMNS = {
    "n": "integer",
    "key": 'text COLLATE "C"',
    "ordinal": "integer",
    "record_id": "uuid",
    "target_id": "uuid",
    "known": "boolean",  # an external reference exists already
    "action": "text",
    "code": "text",
    "problems": "jsonb",
    "warnings": "jsonb",
    "matching": "jsonb",
    "confidence": "numeric(5,2)",
    "changed": "text[]",
    "before": "json",
    "source_number": "text",
    "unresolved": "jsonb",  # {column: external id} to link later
}


def stored_columns(plan: LoadPlan) -> list[str]:
    """Columns of the target this mapping computes a value for."""
    columns = [mapped.field.storage for mapped in plan.mapped if mapped.field.storage]
    columns += [column for column in plan.target.fallbacks if column not in columns]
    for field in plan.target.fields:
        fed = field.name in plan.target.derived_needs and derivable(plan, field.name)
        if fed and field.storage and field.storage not in columns:
            columns.append(field.storage)
    if plan.target.json_column and any(mapped.field.json_key for mapped in plan.mapped):
        columns.append(plan.target.json_column)
    columns += [
        key.column for key in plan.target.unique_keys if key.on_conflict == "renumber" and key.column not in columns
    ]
    return list(dict.fromkeys(columns))


def work_table(plan: LoadPlan, types: Mapping[str, str]) -> sql.Composed:
    """CREATE statement of `work`; `types` are the target's column types as PostgreSQL prints them."""
    columns = [sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind)) for column, kind in WORK_COLUMNS.items()]
    columns += [
        sql.SQL("{} {}").format(stored(column), sql.SQL(_UNLIMITED.sub("", types[column])))
        for column in stored_columns(plan)
    ]
    return sql.SQL("CREATE TEMPORARY TABLE work ({})").format(sql.SQL(", ").join(columns))


def stored(column: str) -> sql.Identifier:
    """The column of `work` that holds the value for the target's column."""
    return sql.Identifier(f"to:{column}")


def values(plan: LoadPlan, conflicts: Conflicts) -> Iterator[tuple[str, sql.Composable]]:
    """Per stored column the SQL of its value over p, x and k."""
    by_column = {mapped.field.storage: mapped for mapped in plan.mapped if mapped.field.storage}
    fields = {field.storage: field for field in plan.target.fields if field.storage}
    for column in stored_columns(plan):
        mapped = by_column.get(column)
        if is_number(plan, column):
            yield column, _number(plan, column, conflicts)
        elif column in plan.target.fallbacks:
            yield column, fragment(plan.target.fallbacks[column])
        elif column == plan.target.json_column and mapped is None:
            pairs = sql.SQL(", ").join(
                sql.SQL("{}, {}").format(literal(m.field.json_key), name("p", m.field.name))
                for m in plan.mapped
                if m.field.json_key
            )
            yield column, sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(pairs)
        elif mapped and mapped.field.reference:
            yield column, sql.Identifier("x", mapped.field.name)
        else:
            value: sql.Composable = name("p", mapped.field.name if mapped else fields[column].name)
            default = plan.target.defaults.get(column, "")
            if "x." in default:
                value = sql.SQL("coalesce({}, {})").format(value, fragment(default))
            yield column, value


def _number(plan: LoadPlan, column: str, conflicts: Conflicts) -> sql.Composable:
    """The source's number; a fresh one when it is empty or another row has it; NULL keeps an existing row's (E13)."""
    key = next(key for key in plan.target.unique_keys if key.column == column)
    given = key.fresh if plan.draws_numbers else "gen_random_uuid()::text"
    fresh = sql.SQL("CASE WHEN i.target_id IS NULL OR NOT i.alive THEN {} END").format(fragment(given))
    if column not in plan.fields:
        return fresh
    index = next(index for index, (other, _) in enumerate(conflicts) if other.column == column)
    return sql.SQL(
        "CASE WHEN p.ordinal > 0 THEN NULL WHEN {taken} THEN {fresh} WHEN btrim({number}) <> '' THEN {number} ELSE {fresh} END"
    ).format(taken=_taken(index), fresh=fresh, number=fragment(key.value))


def _taken(index: int) -> sql.Composable:
    return sql.SQL("(({0} IS NOT NULL AND {0} IS DISTINCT FROM i.target_id) OR {1} > 1)").format(
        name("k", f"conflict{index}"), name("p", f"turn{index}")
    )


def renumbered(key: UniqueKey, index: int) -> Finding:
    return Finding(
        sql.SQL("btrim({}) <> '' AND {}").format(fragment(key.value), _taken(index)),
        "number_taken",
        say(
            "{column} is used by another row; a new one was given and the original is kept with the reference.",
            column=key.column,
        ),
        key.column,
        fragment(key.value),
    )


def derivable(plan: LoadPlan, field_name: str) -> bool:
    groups = plan.target.derived_needs.get(field_name, ())
    return any(all(part in plan.fields for part in group) for group in groups)


def is_number(plan: LoadPlan, column: str) -> bool:
    return any(key.column == column and key.on_conflict == "renumber" for key in plan.target.unique_keys)
