"""Checks: what people ask of a field's values beyond its type (M13), and rules of the target they switch on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from importer.errors import QueryError
from importer.pipeline import references
from importer.pipeline.binding import Bind, fragment, name
from importer.pipeline.findings import EMAIL, Finding
from importer.pipeline.patterns import regex_fault
from importer.pipeline.plan import Check, LoadPlan, Mapped
from importer.pipeline.prepare import cell, stored_type, value
from servicevault import catalog
from servicevault.catalog import Target
from servicevault.wording import say

URL = r"^https?://[^\s/?#<>\"]+([/?#]\S*)?$"
ORDERED = {"integer", "numeric", "timestamptz"}  # of the types `prepare` gives

Broken = Callable[[LoadPlan, Mapped, Mapping[str, Any], Bind], sql.Composable]


@dataclass(frozen=True)
class CheckKind:
    """A validation people choose by name; `broken` is the condition under which a row fails."""

    name: str
    label: str
    code: str
    message: str  # follows the field's name; may name the parameter as {value}
    broken: Broken
    parameter: str = ""  # its one parameter: text, number, whole, list, pattern, field, lookup, moment


def check(
    check_name: str, params: Mapping[str, Any], target: Target, *, field: str, warns: bool = False, message: str = ""
) -> Check:
    """The validation of that name for a field. Raises QueryError for an unknown one, or a parameter that does not fit."""
    if check_name in target.rules:
        return Check(check_name, warns=warns, message=message)
    kind = KINDS.get(check_name)
    if kind is None:
        known = ", ".join(sorted([*KINDS, *target.rules]))
        raise QueryError(
            say("“{check_name}” is not a validation.", check_name=check_name), hint=say("Known: {known}.", known=known)
        )
    given = dict(params)
    unknown = sorted(set(given) - ({"value", "key"} if kind.parameter == "lookup" else {"value"}))
    if unknown:
        raise QueryError(
            say(
                "The validation “{check_name}” has no parameter “{unknown}”.", check_name=check_name, unknown=unknown[0]
            ),
            hint=say("It is called value."),
        )
    if fault := _fault(kind, given, target, field):
        raise QueryError(
            say("The validation “{check_name}” of “{field}” {fault}.", check_name=check_name, field=field, fault=fault)
        )
    return Check(check_name, given, warns, message)


def _fault(kind: CheckKind, given: Mapping[str, Any], target: Target, field: str) -> str:
    wanted = given.get("value")
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    match kind.parameter:
        case "" if given:
            return say("takes no parameter")
        case "whole" if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
            return say("needs a whole number")
        case "moment" if not number and not (isinstance(wanted, str) and wanted.strip()):
            return say("needs a number or a date")
        case "list" if not isinstance(wanted, list | tuple) or not wanted:
            return say("needs a list of values")
        case "pattern":
            fault = regex_fault(wanted) if isinstance(wanted, str) else say("is no text")
            return say("needs a pattern; this one: {fault}", fault=fault) if fault else ""
        case "field" if not isinstance(wanted, str) or target.field(wanted) is None:
            return say("needs the name of another field of the same target")
        case "lookup":
            found = target.field(field)
            if found is not None and found.reference is not None:
                return ""
            if wanted not in {lookup.name for lookup in catalog.lookups()}:
                return say("needs one of {lookups}", lookups=", ".join(lookup.name for lookup in catalog.lookups()))
            if given.get("key", "") not in ("", *catalog.lookup(str(wanted)).keys):
                return say("can look by {keys}", keys=", ".join(catalog.lookup(str(wanted)).keys))
    return ""


def check_findings(plan: LoadPlan, bind: Bind) -> tuple[list[Finding], list[Finding]]:
    """The chosen validations as findings that fail a row, and as warnings; over p, x, i and m."""
    failures: list[Finding] = []
    warnings: list[Finding] = []
    for mapped in plan.mapped:
        for chosen in mapped.checks:
            (warnings if chosen.warns else failures).append(_finding(plan, mapped, chosen, bind))
    return failures, warnings


def _finding(plan: LoadPlan, mapped: Mapped, chosen: Check, bind: Bind) -> Finding:
    rule = plan.target.rules.get(chosen.name)
    if rule is not None:
        shown = cell(rule.field) if rule.field in plan.fields else sql.SQL("NULL::text")
        broken = sql.SQL("coalesce({}, false)").format(fragment(rule.broken))
        return Finding(broken, chosen.name, chosen.message or rule.message, rule.field, shown)
    kind = KINDS[chosen.name]
    broken = sql.SQL("coalesce({}, false)").format(kind.broken(plan, mapped, chosen.params, bind))
    said = f"{mapped.field.name} {kind.message.format(value=chosen.params.get('value'))}."
    return Finding(broken, kind.code, chosen.message or said, mapped.field.name, cell(mapped.field.name))


# -- conditions ---------------------------------------------------------------------------------------------------


def _text(mapped: Mapped) -> sql.Composable:
    """The value as text; a reference's is the id as it was read."""
    field = mapped.field
    return value(field.name) if stored_type(field) == "text" else cell(field.name)


def _is_empty(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    if stored_type(mapped.field) != "text":
        return sql.SQL("{} IS NULL").format(value(mapped.field.name))
    return sql.SQL("({0} IS NULL OR btrim({0}) = '')").format(value(mapped.field.name))


def _unlike(pattern: str) -> Broken:
    def broken(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
        return sql.SQL("btrim({0}) <> '' AND btrim({0}) !~* {1}").format(_text(mapped), bind(pattern, "text"))

    return broken


def _differs(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    """The value is not matched; only the first part of a very long text is searched."""
    return sql.SQL("{0} <> '' AND left({0}, 5000) !~ {1}").format(_text(mapped), bind(params["value"], "text"))


def _beyond(operator: str) -> Broken:
    def broken(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
        kind, limit = stored_type(mapped.field), params["value"]
        if kind in {"date", "timestamp with time zone", "timestamp without time zone"}:
            edge = bind(str(limit), "timestamp")
            return sql.SQL("{}::timestamp {} {}").format(value(mapped.field.name), sql.SQL(operator), edge)
        if kind == "timestamptz":
            edge = sql.SQL("({}::timestamp AT TIME ZONE {})").format(
                bind(str(limit), "text"), bind(plan.timezone, "text")
            )
            return sql.SQL("{} {} {}").format(value(mapped.field.name), sql.SQL(operator), edge)
        number: sql.Composable = value(mapped.field.name)
        if kind not in ORDERED:
            number = sql.SQL("CASE WHEN pg_input_is_valid({0}, 'numeric') THEN {0}::numeric END").format(_text(mapped))
        return sql.SQL("({}) {} {}").format(number, sql.SQL(operator), bind(limit, "numeric"))

    return broken


def _no_date(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    text = _text(mapped)
    return sql.SQL(
        "btrim({0}) <> '' AND NOT ({0} ~ '^\\d{{4}}-\\d{{1,2}}-\\d{{1,2}}' AND pg_input_is_valid({0}, 'timestamp'))"
    ).format(text)


def _length(operator: str) -> Broken:
    def broken(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
        return sql.SQL("{0} <> '' AND char_length({0}) {1} {2}").format(
            _text(mapped), sql.SQL(operator), bind(params["value"], "integer")
        )

    return broken


def _not_listed(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    listed = [str(item).lower() if isinstance(item, bool) else str(item) for item in params["value"]]
    return sql.SQL("{0} <> '' AND NOT {0} = ANY({1})").format(_text(mapped), bind(listed, "text[]"))


def _not_unique(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    """Another row of the target has the value, or an earlier one of the same slice."""
    field, text = mapped.field, _text(mapped)
    if field.json_key:
        stored = sql.SQL("t.{} ->> {}").format(name(plan.target.json_column), bind(field.json_key, "text"))
    elif field.storage and not field.reference:
        stored = sql.SQL("{}::text").format(name("t", field.storage))
    else:
        raise QueryError(say("“{field}” is not stored as it is; “unique” says nothing about it.", field=field.name))
    scope = sql.SQL("AND {}").format(fragment(plan.target.scope)) if plan.target.scope else sql.SQL("")
    return sql.SQL(
        "btrim({text}) <> '' AND (EXISTS (SELECT FROM {table} t WHERE {stored} = {current} {scope} "
        "AND t.id IS DISTINCT FROM coalesce(i.target_id, m.best_id)) "
        "OR row_number() OVER (PARTITION BY {text} ORDER BY p.n) > 1)"
    ).format(
        text=text,
        current=text if stored_type(field) == "text" else sql.SQL("{}::text").format(value(field.name)),
        table=sql.Identifier(plan.target.table),
        stored=stored,
        scope=scope,
    )


def _is_missing(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    """A reference that finds nothing, or a text that is no key of a lookup."""
    if mapped.field.reference is not None:
        return references.unresolved(mapped.field)
    lookup = catalog.lookup(params["value"])
    return sql.SQL(
        "btrim({text}) <> '' AND NOT EXISTS (SELECT FROM {table} l WHERE lower(l.{key}::text) = lower(btrim({text})))"
    ).format(
        text=_text(mapped), table=sql.Identifier(lookup.table), key=sql.Identifier(params.get("key") or lookup.keys[0])
    )


def _not_after(plan: LoadPlan, mapped: Mapped, params: Mapping[str, Any], bind: Bind) -> sql.Composable:
    other = plan.target.field(params["value"])
    if other is None or other.name not in plan.fields:
        raise QueryError(
            say(
                "“{field}” cannot come after “{value}”, which is not mapped.",
                field=mapped.field.name,
                value=params["value"],
            ),
            hint=say("Map it, or remove the validation."),
        )
    if stored_type(other) != stored_type(mapped.field) or stored_type(other) not in ORDERED:
        raise QueryError(
            say(
                "“{field}” and “{other}” cannot be compared as times or numbers.",
                field=mapped.field.name,
                other=other.name,
            ),
            hint=say("Compare fields of one type."),
        )
    return sql.SQL("{} <= {}").format(value(mapped.field.name), value(other.name))


_ALL = (
    CheckKind("required", say("Must be filled"), "required_empty", say("must not be empty"), _is_empty),
    CheckKind("email", say("Is an e-mail address"), "bad_email", say("is not an e-mail address"), _unlike(EMAIL)),
    CheckKind("url", say("Is a web address"), "bad_url", say("is not a web address"), _unlike(URL)),
    CheckKind("date", say("Is a date"), "bad_date", say("is not a date such as 2024-12-31"), _no_date),
    CheckKind("unique", say("Is there once only"), "not_unique", say("is there already"), _not_unique),
    CheckKind("min", say("At least"), "too_small", say("is less than {value}"), _beyond("<"), "moment"),
    CheckKind("max", say("At most"), "too_large", say("is more than {value}"), _beyond(">"), "moment"),
    CheckKind(
        "min_length",
        say("At least so long"),
        "too_short",
        say("has fewer than {value} characters"),
        _length("<"),
        "whole",
    ),
    CheckKind(
        "max_length", say("At most so long"), "too_long", say("has more than {value} characters"), _length(">"), "whole"
    ),
    CheckKind(
        "pattern", say("Fits a pattern"), "pattern_mismatch", say("does not fit the pattern"), _differs, "pattern"
    ),
    CheckKind("one_of", say("Is one of"), "not_one_of", say("is not one of the listed values"), _not_listed, "list"),
    CheckKind(
        "exists", say("Exists here"), "not_found", say("names something that is not here"), _is_missing, "lookup"
    ),
    CheckKind("after", say("Is after"), "not_after", say("is not after {value}"), _not_after, "field"),
)

KINDS: dict[str, CheckKind] = {kind.name: kind for kind in _ALL}
