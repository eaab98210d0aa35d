"""Findings: what is wrong or odd about a row, as SQL conditions with a code and a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as attribute
from zoneinfo import available_timezones

from psycopg import sql

from importer.pipeline import columns
from importer.pipeline.binding import Bind, name
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.prepare import canonical_text, cell, checked_steps, fault, feeds, is_local, stored_type, value
from servicevault.catalog import Field
from servicevault.wording import say

SHOWN_CHARACTERS = 200  # of a value in an error message

EMAIL = r"^[^\s@<>(),;:\\" "\\[\\]]+@[^\\s@.<>(),;:\\" "\\[\\]]+(\\.[^\\s@.<>(),;:\\" r"\[\]]+)+$"

_NOT_A = {
    "integer": ("not_a_number", say("is not a whole number")),
    "minutes": ("bad_duration", say("is not a duration such as 90, 1:30 or 1h 30m")),
    "numeric": ("not_a_number", say("is not a number that fits")),
    "boolean": ("not_a_boolean", say("is neither yes nor no")),
    "timestamptz": ("bad_date", say("is not a date and time")),
    "json": ("bad_json", say("is not JSON")),
    "tags": ("bad_list", say("is not a list")),
    "uuid": ("bad_uuid", say("is not a UUID")),
    "email": ("bad_email", say("is not an e-mail address")),
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


def with_reading(found: sql.Composable) -> sql.Composable:
    """A row that its file's reader could not read whole fails with what that said; nothing else is asked of it."""
    return sql.SQL("CASE WHEN left(p.problem, 1) = '[' THEN p.problem::jsonb ELSE {} END").format(found)


def row_findings(plan: LoadPlan, bind: Bind) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Problems that fail a row, problems that hold it for a person, and warnings; over `p` only."""
    failures = [
        Finding(
            sql.SQL("p.problem = 'nul_byte'"),
            "nul_byte",
            say("The row contains a NUL character, which PostgreSQL cannot store."),
        ),
        Finding(
            sql.SQL("p.problem = 'row_too_large'"), "row_too_large", say("The row is larger than this server accepts.")
        ),
        Finding(
            sql.SQL("p.problem = 'external_id_empty'"),
            "required_empty",
            say("The row has no external id."),
            "external_id",
        ),
    ]
    held: list[Finding] = []
    warnings: list[Finding] = []
    for mapped in plan.mapped:
        failures += _step_findings(mapped, bind, warns=False)
        warnings += _step_findings(mapped, bind, warns=True)
        column = mapped.field if mapped.field.type == "column" else None
        if plan.of_file and column is None and not mapped.value_map:
            column = columns.column_of(mapped.field)
        failures += _column_findings(plan, column) if column else _type_findings(mapped, bind)
        held += _unmapped_values(mapped, bind)
        warnings += _value_warnings(plan, mapped, bind)
    failures += _field_rules(plan, bind)
    return failures, held, warnings


def _step_findings(mapped: Mapped, bind: Bind, *, warns: bool) -> list[Finding]:
    """What a transformation of the field could not take."""
    steps = {step.kind.code: step.kind for step in checked_steps(mapped) if step.kind.warns is warns}
    said = fault(mapped.field.name)
    return [
        Finding(
            sql.SQL("split_part({}, ' ', 1) = {}").format(said, bind(code, "text")),
            code,
            f"{mapped.field.name} {kind.message}.",
            mapped.field.name,
            sql.SQL("substr({}, {})").format(said, bind(len(code) + 2, "integer")),
        )
        for code, kind in steps.items()
    ]


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
                say("{field} is not an e-mail address.", field=field.name),
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
                say("{field} is not a time zone such as Europe/Berlin.", field=field.name),
                field.name,
                text,
            )
        )
    return found


def _column_findings(plan: LoadPlan, field: Field) -> list[Finding]:
    """What is wrong with the cell of a column of any table."""
    if field.base in columns.TEXTS:
        return []
    text = cell(field.name)
    found, wrong = [], sql.SQL("{} IS NOT NULL AND {} IS NULL").format(text, value(field.name))
    before: list[sql.Composable] = []
    for condition, code, said in columns.wrong(field, plan.cells):
        others = sql.SQL("").join(sql.SQL(" AND NOT ({})").format(other) for other in before)
        when = sql.SQL("{} AND ({}){}").format(wrong, condition, others)
        found.append(Finding(when, code, f"{field.name} {said}.", field.name, text))
        before.append(condition)
    return found


def _field_rules(plan: LoadPlan, bind: Bind) -> Iterator[Finding]:
    mapped = plan.fields
    for field in plan.target.fields:
        if field.name not in mapped and not feeds(plan, field):
            continue
        current = value(field.name)
        text = cell(field.name) if field.name in mapped else sql.SQL("NULL::text")
        if field.not_empty:
            yield Finding(
                sql.SQL("{} IS NULL").format(current)
                if stored_type(field) != "text"
                else sql.SQL("({0} IS NULL OR btrim({0}) = '')").format(current),
                "name_empty" if field.name == "name" and field.type != "column" else "required_empty",
                say("{field} must not be empty.", field=field.name),
                field.name,
                text,
            )
        if field.max_length and stored_type(field) == "text":
            yield Finding(
                sql.SQL("char_length({}) > {}").format(current, bind(field.max_length, "integer")),
                "too_long",
                say("{field} is longer than {max_length} characters.", field=field.name, max_length=field.max_length),
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
        known = sql.SQL("({} OR {} = ANY({}))").format(known, canonical_text(text), bind(nulls, "text[]"))
    return [
        Finding(
            sql.SQL("{} IS NOT NULL AND NOT {}").format(text, known),
            "unmapped_value",
            say("{field} has a value that the value map does not know.", field=field.name),
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
                say("{field} was empty; a stand-in is stored.", field=field.name),
                field.name,
            )
        )
    if is_local(mapped) and mapped.source_type != "date" and plan.timezone != "UTC":
        zone = bind(plan.timezone, "text")
        local = name("p", f"local:{field.name}")
        # Clocks are never changed by day; most rows are spared the two conversions.
        night = sql.SQL("NOT {}::time BETWEEN '05:00' AND '20:00'").format(local)
        found += [
            Finding(
                sql.SQL("{} AND ({} AT TIME ZONE {}) <> {}").format(night, value(field.name), zone, local),
                "time_does_not_exist",
                say("{field} falls into the hour that clocks skip; it was moved forward.", field=field.name),
                field.name,
                text,
            ),
            Finding(
                sql.SQL("{} AND (({} - interval '1 hour') AT TIME ZONE {}) = {}").format(
                    night, value(field.name), zone, local
                ),
                "time_is_ambiguous",
                say("{field} falls into the hour that clocks repeat; standard time was assumed.", field=field.name),
                field.name,
                text,
            ),
        ]
    return found
