"""Prepare: the row's JSON text becomes typed values, and what is wrong with it becomes problems.

PostgreSQL says without an exception whether a text is a value of a type (`pg_input_is_valid`), so one
bad row costs the others nothing. Three nested SELECTs, each fenced by OFFSET 0 so that no expression
is evaluated twice: cells (text, transformed) → values (typed) → p (derived values in place).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from psycopg import sql

from importer.pipeline import columns as of_tables
from importer.pipeline.binding import Bind, fragment, name, slot
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.transforms import Transform, numbers
from servicevault.catalog import Field

_PRECISION = re.compile(r"\(\d+\)")  # of "timestamp(0) without time zone"

STAGE = sql.SQL("pg_temp.stage")
_SHOWABLE = sql.SQL("'0001-01-03' AND '9999-12-29'")  # what a page can show in any zone
_NAMED_FIELD = re.compile(r"\bp\.(\w+)")

_STORED_AS = {
    "text": "text",
    "email": "text",
    "integer": "integer",
    "minutes": "integer",
    "numeric": "numeric",
    "boolean": "boolean",
    "timestamptz": "timestamptz",
    "json": "jsonb",
    "tags": "text[]",
    "uuid": "uuid",
}


def stored_type(field: Field) -> str:
    """PostgreSQL type a field's value has after `prepare`; references stay text until they are resolved."""
    if field.type == "column":
        return of_tables.stored_type(field)
    return "text" if field.reference else _STORED_AS[field.type]


def prepared(plan: LoadPlan, bind: Bind, source: sql.Composable = STAGE) -> sql.Composable:
    """SELECT giving n, key, ordinal, problem and, per field of the target, its typed value and its cell's text.

    The rows come from `stage`, or from `source`, which has its columns. Fields without a mapping are NULL. The cell of field f is the column `cell:f`.
    """
    return sql.SQL("SELECT p.n, p.key, p.ordinal, p.problem{columns} FROM ({values}) p OFFSET 0").format(
        columns=_after(_derived_columns(plan)), values=_values(plan, bind, source)
    )


def _after(columns: Iterable[sql.Composable]) -> sql.Composable:
    """The columns behind others: there may be none, where nothing is mapped yet."""
    return sql.SQL("").join(sql.SQL(", {}").format(column) for column in columns)


def cell(field_name: str) -> sql.Composable:
    return name("p", f"cell:{field_name}")


def value(field_name: str) -> sql.Composable:
    return name("p", slot(field_name))


def fault(field_name: str) -> sql.Composable:
    """ "code value" where a transformation of the field could not take its input."""
    return name("p", f"fault:{field_name}")


def canonical(text: str) -> str:
    """A source value as a value map compares it: trimmed, case-folded, numbers without trailing zeros (E32)."""
    stripped = text.strip()
    try:
        number = Decimal(stripped)
    except InvalidOperation:
        return stripped.lower()
    if not number.is_finite():
        return stripped.lower()
    return format(number.normalize(), "f")


def _cells(plan: LoadPlan, bind: Bind, source: sql.Composable) -> sql.Composable:
    documents = {mapped.column for mapped in plan.mapped if _is_document(mapped)}
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(name(column), sql.SQL("json" if column in documents else "text"))
        for column in {mapped.column: mapped for mapped in plan.mapped}
    )
    chains = {mapped.field.name: _chain(mapped, number, bind) for number, mapped in enumerate(plan.mapped)}
    found = [
        sql.SQL("{} AS {}").format(_emptied(mapped, chains[mapped.field.name].text), name(slot(mapped.field.name)))
        for mapped in plan.mapped
    ]
    found += [
        sql.SQL("{} AS {}").format(chain.fault, name(f"fault:{field}"))
        for field, chain in chains.items()
        if chain.fault is not None
    ]
    found += [
        sql.SQL("CASE WHEN pg_input_is_valid({0}, 'timestamp') THEN {0}::timestamp END AS {1}").format(
            _emptied(mapped, chains[mapped.field.name].text), name(f"local:{mapped.field.name}")
        )
        for mapped in plan.mapped
        if is_local(mapped)
    ]
    opened = sql.SQL("CROSS JOIN LATERAL json_to_record(s.row) AS j({})").format(columns)
    return sql.SQL(
        "SELECT s.n, s.key, s.ordinal, s.problem{cells} FROM {source} s {opened}{early}{steps} OFFSET 0"
    ).format(
        source=source,
        cells=_after(found),
        opened=opened if plan.mapped else sql.SQL(""),
        early=_made(plan),
        steps=sql.SQL("").join(step for chain in chains.values() for step in chain.steps),
    )


def _made(plan: LoadPlan) -> sql.Composable:
    """The values that Python made before the rows were copied in."""
    fields = [mapped.field.name for mapped in plan.mapped if early_steps(mapped)]
    if not fields:
        return sql.SQL("")
    return sql.SQL(" CROSS JOIN LATERAL json_to_record(s.made) AS m({})").format(
        sql.SQL(", ").join(sql.SQL("{} text").format(name(field)) for field in fields)
    )


def _is_document(mapped: Mapped) -> bool:
    """Whether the value is JSON at the source already: opened as text, a JSON string would lose its quotes."""
    if mapped.field.type == "column":
        return mapped.source_type == "json"
    return mapped.field.type == "json" and not mapped.source_type.startswith(("text", "character"))


def is_local(mapped: Mapped) -> bool:
    """Whether the source writes the value as an instant without zone."""
    plain = _PRECISION.sub("", mapped.source_type)
    return (
        mapped.field.type == "timestamptz"
        and not mapped.transforms
        and plain in {"timestamp without time zone", "date"}
    )


@dataclass(frozen=True)
class _Chain:
    """A cell's way through its transformations."""

    text: sql.Composable
    steps: tuple[sql.Composable, ...] = ()  # LATERAL subqueries: a value used twice is computed once
    fault: sql.Composable | None = None  # "code value" of the step that could not take its input


def early_steps(mapped: Mapped) -> tuple[Transform, ...]:
    """The transformations that Python does before the row is copied in."""
    return tuple(itertools.takewhile(lambda step: step.kind.early is not None, mapped.transforms))


def checked_steps(mapped: Mapped) -> tuple[Transform, ...]:
    """The transformations that do not take every text."""
    return tuple(step for step in mapped.transforms if step.kind.good is not None)


def _chain(mapped: Mapped, number: int, bind: Bind) -> _Chain:
    early = early_steps(mapped)
    text: sql.Composable = name("m", mapped.field.name) if early else name("j", mapped.column)
    if _is_document(mapped) and not early:
        is_column = mapped.field.type == "column"
        text = of_tables.opened(mapped.field, text) if is_column else sql.SQL("{}::text").format(text)
    transforms = mapped.transforms[len(early) :]
    if len(transforms) == 1 and transforms[0].kind.good is None:
        return _Chain(transforms[0].kind.build(text, transforms[0].params, bind))
    steps, faults = [], []
    for place, step in enumerate(transforms):
        alias = f"s{number}_{place}"
        steps.append(sql.SQL(" CROSS JOIN LATERAL ({} OFFSET 0) AS {}").format(step_sql(step, text, bind), name(alias)))
        text = name(alias, "v")
        if step.kind.good is not None:
            faults.append(name(alias, "f"))
    return _Chain(text, tuple(steps), sql.SQL("coalesce({})").format(sql.SQL(", ").join(faults)) if faults else None)


def step_sql(step: Transform, text: sql.Composable, bind: Bind) -> sql.Composable:
    """SELECT of `v`, and of `f` where the input may be refused: blank is nothing, the rest is good or a fault."""
    kind = step.kind
    if kind.good is None:
        return sql.SQL("SELECT {} AS v").format(kind.build(text, step.params, bind))
    filled = sql.SQL("i.c")
    return sql.SQL(
        "SELECT CASE WHEN g.good THEN {value} END AS v, CASE WHEN NOT g.good THEN {code} || ' ' || left(i.c, 200) END AS f "
        "FROM (SELECT nullif(btrim({text}), '') AS c OFFSET 0) i "
        "CROSS JOIN LATERAL (SELECT CASE WHEN i.c IS NOT NULL THEN coalesce({good}, false) END AS good OFFSET 0) g"
    ).format(
        value=kind.build(filled, step.params, bind),
        code=bind(kind.code, "text"),
        text=text,
        good=kind.good(filled, step.params, bind),
    )


def _emptied(mapped: Mapped, text: sql.Composable) -> sql.Composable:
    """A blank is a value only where text is stored."""
    if mapped.field.type == "column" and not mapped.value_map:
        return of_tables.emptied(mapped.field, text)
    if mapped.field.type != "text" or mapped.field.choices or mapped.value_map or mapped.field.reference:
        return sql.SQL("nullif(btrim({}), '')").format(text)
    return text


def _values(plan: LoadPlan, bind: Bind, source: sql.Composable) -> sql.Composable:
    mapped_fields = plan.fields
    columns: list[sql.Composable] = []
    for field in _all_fields(plan):
        mapped = mapped_fields.get(field.name)
        if mapped is None:
            columns.append(sql.SQL("NULL::{} AS {}").format(sql.SQL(stored_type(field)), name(slot(field.name))))
            continue
        text = name("c", slot(field.name))
        columns.append(sql.SQL("{} AS {}").format(_typed(plan, mapped, text, bind), name(slot(field.name))))
        columns.append(sql.SQL("{} AS {}").format(text, name(f"cell:{field.name}")))
        columns += [name("c", extra) for extra in _extras(mapped)]
    return sql.SQL("SELECT c.n, c.key, c.ordinal, c.problem{columns} FROM ({cells}) c OFFSET 0").format(
        columns=_after(columns), cells=_cells(plan, bind, source)
    )


def _extras(mapped: Mapped) -> list[str]:
    """Columns that travel with the field's value."""
    found = [f"local:{mapped.field.name}"] if is_local(mapped) else []
    return [*found, f"fault:{mapped.field.name}"] if checked_steps(mapped) else found


def _all_fields(plan: LoadPlan) -> list[Field]:
    """Fields that have a value or that the target's own SQL names; the rest would only widen every row."""
    named = set(_NAMED_FIELD.findall(" ".join(_target_sql(plan))))
    fields = {
        field.name: field
        for field in plan.target.fields
        if field.name in named or field.name in plan.fields or field.name in plan.target.derived
    }
    fields.update((mapped.field.name, mapped.field) for mapped in plan.mapped)
    return list(fields.values())


def _target_sql(plan: LoadPlan) -> Iterator[str]:
    target = plan.target
    for group in (target.derived, target.fallbacks, target.defaults, target.warnings):
        yield from group.values()
    yield from (rule.broken for _, rule in plan.rules)
    yield from (key.value for key in target.unique_keys)


def _typed(plan: LoadPlan, mapped: Mapped, text: sql.Composable, bind: Bind) -> sql.Composable:
    field = mapped.field
    if field.reference:
        return text
    if field.choices or mapped.value_map:
        return _chosen(mapped, text, bind)
    if plan.of_file and (column := of_tables.column_of(field)):
        found = of_tables.typed(column, text, plan.cells, bind(plan.timezone, "text"), bind)
        if field.type != "timestamptz":
            return found
        return sql.SQL("(SELECT CASE WHEN m.t BETWEEN {} THEN m.t END FROM (SELECT {} AS t) m)").format(
            _SHOWABLE, found
        )
    if field.name == "ticket_number" and plan.number_prefix:
        return sql.SQL("{} || {}").format(bind(plan.number_prefix, "text"), text)
    match field.type:
        case "column":
            return of_tables.typed(field, text, plan.cells, bind(plan.timezone, "text"), bind)
        case "text" if field.lower:
            return sql.SQL("lower(normalize(btrim({}), NFC))").format(text)
        case "text":
            return text
        case "email":
            return sql.SQL("lower(normalize({}, NFC))").format(text)
        case "boolean":
            return numbers.boolean(text)
        case "minutes":
            return numbers.minutes(text)
        case "timestamptz":
            return _instant(mapped, text, bind(plan.timezone, "text"))
        case "tags":
            return sql.SQL(
                "CASE WHEN left({0}, 1) <> '[' THEN ARRAY(SELECT btrim(part) FROM string_to_table({0}, ',') part "
                "WHERE btrim(part) <> '') WHEN pg_input_is_valid({0}, 'jsonb') THEN "
                "ARRAY(SELECT part FROM jsonb_array_elements_text({0}::jsonb) part WHERE btrim(part) <> '') END"
            ).format(text)
        case "integer":
            return sql.SQL(
                "CASE WHEN pg_input_is_valid({0}, 'numeric') AND pg_input_is_valid(trim_scale({0}::numeric)::text, 'integer') "
                "THEN {0}::numeric::integer END"
            ).format(text)
        case _:
            type_name = f"numeric({field.precision})" if field.precision else _STORED_AS[field.type]
            number = sql.SQL("{} ~ '[0-9]' AND").format(text) if field.type == "numeric" else sql.SQL("")  # not NaN
            return sql.SQL("CASE WHEN {3} pg_input_is_valid({0}, {1}) THEN {0}::{2} END").format(
                text, bind(type_name, "text"), sql.SQL(type_name), number
            )


def _chosen(mapped: Mapped, text: sql.Composable, bind: Bind) -> sql.Composable:
    branches = [
        sql.SQL("WHEN {} THEN {}").format(bind(source, "text"), bind(target, "text"))
        for source, target in mapped.value_map.items()
    ]
    own = (
        sql.SQL("CASE WHEN lower({0}) = ANY({1}) THEN lower({0}) END").format(
            text, bind(list(mapped.field.choices), "text[]")
        )
        if mapped.field.choices
        else text
    )
    if not branches:
        return own
    return sql.SQL("CASE {} {} ELSE {} END").format(canonical_text(text), sql.SQL(" ").join(branches), own)


def canonical_text(text: sql.Composable) -> sql.Composable:
    return sql.SQL(
        "CASE WHEN pg_input_is_valid({0}, 'numeric') THEN trim_scale({0}::numeric)::text ELSE lower({0}) END"
    ).format(text)


def _instant(mapped: Mapped, text: sql.Composable, zone: sql.Composable) -> sql.Composable:
    """The instant; a text without offset is read in the profile's zone (E40)."""
    if is_local(mapped):
        return sql.SQL("CASE WHEN {0} BETWEEN {1} THEN {0} AT TIME ZONE {2} END").format(
            name("c", f"local:{mapped.field.name}"), _SHOWABLE, zone
        )
    local = sql.SQL(
        "CASE WHEN pg_input_is_valid({0}, 'timestamp') THEN "
        "CASE WHEN {0}::timestamp BETWEEN {1} THEN {0}::timestamp AT TIME ZONE {2} END END"
    ).format(text, _SHOWABLE, zone)
    aware = sql.SQL(
        "CASE WHEN pg_input_is_valid({0}, 'timestamptz') THEN CASE WHEN {0}::timestamptz BETWEEN {1} THEN {0}::timestamptz END END"
    ).format(text, _SHOWABLE)
    if _PRECISION.sub("", mapped.source_type) == "timestamp with time zone" and not mapped.transforms:
        return aware
    return sql.SQL(
        "CASE WHEN {text} ~ '(Z|[+-]\\d\\d(:?\\d\\d)?)$' AND {text} ~ ':' THEN {aware} ELSE {local} END"
    ).format(text=text, aware=aware, local=local)


def _derived_columns(plan: LoadPlan) -> Iterator[sql.Composable]:
    mapped = plan.fields
    for field in _all_fields(plan):
        current: sql.Composable = value(field.name)
        if field.name in plan.target.derived and feeds(plan, field):
            current = sql.SQL("({})").format(fragment(plan.target.derived[field.name]))
        if field.blank and field.name in mapped:
            current = sql.SQL("CASE WHEN btrim({0}) <> '' THEN {0} ELSE {1} END").format(
                value(field.name), fragment(field.blank)
            )
        yield sql.SQL("{} AS {}").format(current, name(slot(field.name)))
        if field.name in mapped:
            yield name("p", f"cell:{field.name}")
            yield from (name("p", extra) for extra in _extras(mapped[field.name]))


def feeds(plan: LoadPlan, field: Field) -> bool:
    """Whether anything the derived value is made of is mapped."""
    mapped = plan.fields
    needs = plan.target.derived_needs.get(field.name, ())
    return field.name in mapped or any(all(part in mapped for part in group) for group in needs)
