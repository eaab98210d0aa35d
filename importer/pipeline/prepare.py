"""Prepare: the row's JSON text becomes typed values, and what is wrong with it becomes problems.

PostgreSQL says without an exception whether a text is a value of a type (`pg_input_is_valid`), so one
bad row costs the others nothing. Three nested SELECTs, each fenced by OFFSET 0 so that no expression
is evaluated twice: cells (text, transformed) → values (typed) → p (derived values in place).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as attribute
from decimal import Decimal, InvalidOperation
from zoneinfo import available_timezones

from psycopg import sql

from importer.pipeline.binding import Bind, fragment, name
from importer.pipeline.plan import LoadPlan, Mapped
from servicevault.catalog import Field

EMAIL = r"^[^\s@<>(),;:\\" "\\[\\]]+@[^\\s@.<>(),;:\\" "\\[\\]]+(\\.[^\\s@.<>(),;:\\" r"\[\]]+)+$"
_PRECISION = re.compile(r"\(\d+\)")  # of "timestamp(0) without time zone"
_NAMED_FIELD = re.compile(r"\bp\.(\w+)")
SHOWN_CHARACTERS = 200  # of a value in an error message

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
_NOT_A = {
    "integer": ("not_a_number", "is not a whole number"),
    "minutes": ("bad_duration", "is not a duration such as 90, 1:30 or 1h 30m"),
    "numeric": ("not_a_number", "is not a number that fits"),
    "boolean": ("not_a_boolean", "is neither yes nor no"),
    "timestamptz": ("bad_date", "is not a date and time"),
    "json": ("bad_json", "is not JSON"),
    "tags": ("bad_list", "is not a list"),
    "uuid": ("bad_uuid", "is not a UUID"),
    "email": ("bad_email", "is not an e-mail address"),
}


@dataclass(frozen=True)
class Finding:
    """Something about a row that stops it, holds it, or is worth a warning."""

    when: sql.Composable  # condition over p and x
    code: str
    message: str  # a sentence without the value
    field: str = ""
    value: sql.Composable = attribute(default_factory=lambda: sql.SQL("NULL::text"))

    def as_json(self, bind: Bind) -> sql.Composable:
        return sql.SQL(
            "CASE WHEN {when} THEN jsonb_build_object('code', {code}, 'field', {field}, 'message', {message}, "
            "'value', left({value}, {shown})) END"
        ).format(
            when=self.when,
            code=bind(self.code, "text"),
            field=bind(self.field or None, "text"),
            message=bind(self.message, "text"),
            value=self.value,
            shown=bind(SHOWN_CHARACTERS, "integer"),
        )


def findings_array(findings: list[Finding], bind: Bind) -> sql.Composable:
    """A jsonb array of the findings that apply, NULL when none does."""
    if not findings:
        return sql.SQL("NULL::jsonb")
    return sql.SQL("CASE WHEN {any} THEN to_jsonb(array_remove(ARRAY[{each}], NULL)) END").format(
        any=sql.SQL(" OR ").join(sql.SQL("({})").format(finding.when) for finding in findings),
        each=sql.SQL(", ").join(finding.as_json(bind) for finding in findings),
    )


def stored_type(field: Field) -> str:
    """PostgreSQL type a field's value has after `prepare`; references stay text until they are resolved."""
    return "text" if field.reference else _STORED_AS[field.type]


def prepared(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """SELECT giving n, key, ordinal, problem and, per field of the target, its typed value and its cell's text.

    Fields without a mapping are NULL. The cell of field f is the column `cell:f`.
    """
    return sql.SQL("SELECT p.n, p.key, p.ordinal, p.problem, {columns} FROM ({values}) p OFFSET 0").format(
        columns=sql.SQL(", ").join(_derived_columns(plan)), values=_values(plan, bind)
    )


def row_findings(plan: LoadPlan, bind: Bind) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Problems that fail a row, problems that hold it for a person, and warnings; over `p` only."""
    failures = [
        Finding(
            sql.SQL("p.problem = 'nul_byte'"),
            "nul_byte",
            "The row contains a NUL character, which PostgreSQL cannot store.",
        ),
        Finding(sql.SQL("p.problem = 'row_too_large'"), "row_too_large", "The row is larger than this server accepts."),
        Finding(
            sql.SQL("p.problem = 'external_id_empty'"), "required_empty", "The row has no external id.", "external_id"
        ),
    ]
    held: list[Finding] = []
    warnings: list[Finding] = []
    for mapped in plan.mapped:
        failures += _type_findings(mapped, bind)
        held += _unmapped_values(mapped, bind)
        warnings += _value_warnings(plan, mapped, bind)
    failures += _field_rules(plan, bind)
    return failures, held, warnings


def cell(field_name: str) -> sql.Composable:
    return name("p", f"cell:{field_name}")


def value(field_name: str) -> sql.Composable:
    return name("p", field_name)


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


# -- cells -------------------------------------------------------------------------------------------------------


def _cells(plan: LoadPlan, bind: Bind) -> sql.Composable:
    columns = sql.SQL(", ").join(
        sql.SQL("{} text").format(sql.Identifier(column)) for column in dict.fromkeys(m.column for m in plan.mapped)
    )
    found = [
        sql.SQL("{} AS {}").format(_cell(mapped, bind), sql.Identifier(mapped.field.name)) for mapped in plan.mapped
    ]
    found += [
        sql.SQL("CASE WHEN pg_input_is_valid({0}, 'timestamp') THEN {0}::timestamp END AS {1}").format(
            _cell(mapped, bind), sql.Identifier(f"local:{mapped.field.name}")
        )
        for mapped in plan.mapped
        if _is_local(mapped)
    ]
    cells = sql.SQL(", ").join(found)
    return sql.SQL(
        "SELECT s.n, s.key, s.ordinal, s.problem, {cells} FROM pg_temp.stage s "
        "CROSS JOIN LATERAL json_to_record(s.row) AS j({columns}) OFFSET 0"
    ).format(cells=cells, columns=columns)


def _is_local(mapped: Mapped) -> bool:
    """Whether the source writes the value as an instant without zone."""
    plain = _PRECISION.sub("", mapped.source_type)
    return mapped.field.type == "timestamptz" and plain in {"timestamp without time zone", "date"}


def _cell(mapped: Mapped, bind: Bind) -> sql.Composable:
    text: sql.Composable = name("j", mapped.column)
    for step in mapped.transforms:
        built = step.kind.build(text, step.params, bind)
        if step.kind.numeric:
            built = sql.SQL("CASE WHEN pg_input_is_valid({cell}, 'numeric') THEN {built} ELSE {cell} END").format(
                cell=text, built=built
            )
        text = built
    if mapped.field.type != "text" or mapped.field.choices or mapped.value_map or mapped.field.reference:
        text = sql.SQL("nullif(btrim({}), '')").format(text)
    return text


# -- values ------------------------------------------------------------------------------------------------------


def _values(plan: LoadPlan, bind: Bind) -> sql.Composable:
    mapped_fields = plan.fields
    columns: list[sql.Composable] = []
    for field in _all_fields(plan):
        mapped = mapped_fields.get(field.name)
        if mapped is None:
            columns.append(sql.SQL("NULL::{} AS {}").format(sql.SQL(stored_type(field)), sql.Identifier(field.name)))
            continue
        text = name("c", field.name)
        columns.append(sql.SQL("{} AS {}").format(_typed(plan, mapped, text, bind), sql.Identifier(field.name)))
        columns.append(sql.SQL("{} AS {}").format(text, sql.Identifier(f"cell:{field.name}")))
        if _is_local(mapped):
            columns.append(name("c", f"local:{field.name}"))
    return sql.SQL("SELECT c.n, c.key, c.ordinal, c.problem, {columns} FROM ({cells}) c OFFSET 0").format(
        columns=sql.SQL(", ").join(columns), cells=_cells(plan, bind)
    )


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
    yield from (key.value for key in target.unique_keys)


def _typed(plan: LoadPlan, mapped: Mapped, text: sql.Composable, bind: Bind) -> sql.Composable:
    field = mapped.field
    if field.reference:
        return text
    if field.choices or mapped.value_map:
        return _chosen(mapped, text, bind)
    if field.name == "ticket_number" and plan.number_prefix:
        return sql.SQL("{} || {}").format(bind(plan.number_prefix, "text"), text)
    match field.type:
        case "text" if field.lower:
            return sql.SQL("lower(normalize(btrim({}), NFC))").format(text)
        case "text":
            return text
        case "email":
            return sql.SQL("lower(normalize({}, NFC))").format(text)
        case "boolean":
            return sql.SQL(
                "CASE WHEN lower({0}) IN ('true','t','yes','y','on','1') THEN true "
                "WHEN lower({0}) IN ('false','f','no','n','off','0') THEN false END"
            ).format(text)
        case "minutes":
            return _minutes(text)
        case "timestamptz":
            return _instant(mapped, text, bind(plan.timezone, "text"))
        case "tags":
            return sql.SQL(
                "CASE WHEN left({0}, 1) <> '[' THEN string_to_array(regexp_replace({0}, '\\s*,\\s*', ',', 'g'), ',') "
                "WHEN pg_input_is_valid({0}, 'jsonb') THEN ARRAY(SELECT jsonb_array_elements_text({0}::jsonb)) END"
            ).format(text)
        case "integer":
            return sql.SQL(
                "CASE WHEN pg_input_is_valid({0}, 'numeric') AND pg_input_is_valid(trim_scale({0}::numeric)::text, 'integer') "
                "THEN {0}::numeric::integer END"
            ).format(text)
        case _:
            type_name = f"numeric({field.precision})" if field.precision else _STORED_AS[field.type]
            return sql.SQL("CASE WHEN pg_input_is_valid({0}, {1}) THEN {0}::{2} END").format(
                text, bind(type_name, "text"), sql.SQL(type_name)
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
    return sql.SQL("CASE {} {} ELSE {} END").format(_canonical(text), sql.SQL(" ").join(branches), own)


def _canonical(text: sql.Composable) -> sql.Composable:
    return sql.SQL(
        "CASE WHEN pg_input_is_valid({0}, 'numeric') THEN trim_scale({0}::numeric)::text ELSE lower({0}) END"
    ).format(text)


def _minutes(text: sql.Composable) -> sql.Composable:
    """Whole minutes of a number, of "1:30", or of "1h 30m", "90m", "1.5h" (E20)."""
    return sql.SQL(
        "CASE WHEN pg_input_is_valid({0}, 'numeric') AND abs({0}::numeric) < 1e9 THEN round({0}::numeric)::integer "
        "WHEN {0} ~ '^\\d{{1,6}}:[0-5]\\d$' THEN split_part({0}, ':', 1)::integer * 60 + split_part({0}, ':', 2)::integer "
        "WHEN {0} ~* '^(\\d{{1,6}}(\\.\\d+)?\\s*h)?\\s*(\\d{{1,6}}(\\.\\d+)?\\s*m)?$' THEN round("
        "coalesce(substring({0} from '(?i)([\\d.]+)\\s*h')::numeric, 0) * 60 + "
        "coalesce(substring({0} from '(?i)([\\d.]+)\\s*m')::numeric, 0))::integer END"
    ).format(text)


def _instant(mapped: Mapped, text: sql.Composable, zone: sql.Composable) -> sql.Composable:
    """The instant; a text without offset is read in the profile's zone (E40)."""
    if _is_local(mapped):
        return sql.SQL("{} AT TIME ZONE {}").format(name("c", f"local:{mapped.field.name}"), zone)
    local = sql.SQL("CASE WHEN pg_input_is_valid({0}, 'timestamp') THEN {0}::timestamp AT TIME ZONE {1} END").format(
        text, zone
    )
    aware = sql.SQL("CASE WHEN pg_input_is_valid({0}, 'timestamptz') THEN {0}::timestamptz END").format(text)
    if _PRECISION.sub("", mapped.source_type) == "timestamp with time zone":
        return aware
    return sql.SQL(
        "CASE WHEN {text} ~ '(Z|[+-]\\d\\d(:?\\d\\d)?)$' AND {text} ~ ':' THEN {aware} ELSE {local} END"
    ).format(text=text, aware=aware, local=local)


# -- derived values ----------------------------------------------------------------------------------------------


def _derived_columns(plan: LoadPlan) -> Iterator[sql.Composable]:
    mapped = plan.fields
    for field in _all_fields(plan):
        current: sql.Composable = name("p", field.name)
        if field.name in plan.target.derived and _feeds(plan, field):
            current = sql.SQL("({})").format(fragment(plan.target.derived[field.name]))
        if field.blank and field.name in mapped:
            current = sql.SQL("CASE WHEN btrim({0}) <> '' THEN {0} ELSE {1} END").format(
                name("p", field.name), fragment(field.blank)
            )
        yield sql.SQL("{} AS {}").format(current, sql.Identifier(field.name))
        if field.name in mapped:
            yield name("p", f"cell:{field.name}")
            if _is_local(mapped[field.name]):
                yield name("p", f"local:{field.name}")


def _feeds(plan: LoadPlan, field: Field) -> bool:
    """Whether anything the derived value is made of is mapped."""
    mapped = plan.fields
    needs = plan.target.derived_needs.get(field.name, ())
    return field.name in mapped or any(all(part in mapped for part in group) for group in needs)


# -- findings ----------------------------------------------------------------------------------------------------


def _type_findings(mapped: Mapped, bind: Bind) -> list[Finding]:
    field, text = mapped.field, cell(mapped.field.name)
    found: list[Finding] = []
    if field.reference or field.choices or mapped.value_map:
        return found
    if field.type == "email":
        found.append(
            Finding(
                sql.SQL("{} !~ {}").format(text, bind(EMAIL, "text")),
                "bad_email",
                f"{field.name} is not an e-mail address.",
                field.name,
                text,
            )
        )
    elif field.type != "text":
        code, what = _NOT_A[field.type]
        found.append(
            Finding(
                sql.SQL("{} IS NOT NULL AND {} IS NULL").format(text, value(field.name)),
                code,
                f"{field.name} {what}.",
                field.name,
                text,
            )
        )
    if field.zone:
        found.append(
            Finding(
                sql.SQL("btrim({0}) <> '' AND NOT {0} = ANY({1})").format(
                    value(field.name), bind(sorted(available_timezones()), "text[]")
                ),
                "bad_timezone",
                f"{field.name} is not a time zone such as Europe/Berlin.",
                field.name,
                text,
            )
        )
    return found


def _field_rules(plan: LoadPlan, bind: Bind) -> Iterator[Finding]:
    mapped = plan.fields
    for field in plan.target.fields:
        if field.name not in mapped and not _feeds(plan, field):
            continue
        current = value(field.name)
        text = cell(field.name) if field.name in mapped else sql.SQL("NULL::text")
        if field.not_empty:
            yield Finding(
                sql.SQL("{} IS NULL").format(current)
                if stored_type(field) != "text"
                else sql.SQL("({0} IS NULL OR btrim({0}) = '')").format(current),
                "name_empty" if field.name == "name" else "required_empty",
                f"{field.name} must not be empty.",
                field.name,
                text,
            )
        if field.max_length and field.type in {"text", "email"}:
            yield Finding(
                sql.SQL("char_length({}) > {}").format(current, bind(field.max_length, "integer")),
                "too_long",
                f"{field.name} is longer than {field.max_length} characters.",
                field.name,
                current,
            )


def _unmapped_values(mapped: Mapped, bind: Bind) -> list[Finding]:
    field, text = mapped.field, cell(mapped.field.name)
    if not field.choices:
        return []
    known = sql.SQL("{} IS NOT NULL").format(value(field.name))
    nulls = [source for source, target in mapped.value_map.items() if target is None]
    if nulls:
        known = sql.SQL("({} OR {} = ANY({}))").format(known, _canonical(text), bind(nulls, "text[]"))
    return [
        Finding(
            sql.SQL("{} IS NOT NULL AND NOT {}").format(text, known),
            "unmapped_value",
            f"{field.name} has a value that the value map does not know.",
            field.name,
            text,
        )
    ]


def _value_warnings(plan: LoadPlan, mapped: Mapped, bind: Bind) -> list[Finding]:
    field, text = mapped.field, cell(mapped.field.name)
    found: list[Finding] = []
    if field.blank:
        found.append(
            Finding(
                sql.SQL("({0} IS NULL OR btrim({0}) = '')").format(text),
                "empty_replaced",
                f"{field.name} was empty; a stand-in is stored.",
                field.name,
            )
        )
    if _is_local(mapped) and mapped.source_type != "date" and plan.timezone != "UTC":
        zone = bind(plan.timezone, "text")
        local = name("p", f"local:{field.name}")
        # Clocks are never changed by day; most rows are spared the two conversions.
        night = sql.SQL("NOT {}::time BETWEEN '05:00' AND '20:00'").format(local)
        found += [
            Finding(
                sql.SQL("{} AND ({} AT TIME ZONE {}) <> {}").format(night, value(field.name), zone, local),
                "time_does_not_exist",
                f"{field.name} falls into the hour that clocks skip; it was moved forward.",
                field.name,
                text,
            ),
            Finding(
                sql.SQL("{} AND (({} - interval '1 hour') AT TIME ZONE {}) = {}").format(
                    night, value(field.name), zone, local
                ),
                "time_is_ambiguous",
                f"{field.name} falls into the hour that clocks repeat; standard time was assumed.",
                field.name,
                text,
            ),
        ]
    return found
