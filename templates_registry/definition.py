"""What a pack is (T6): the strict reading of its JSON or YAML into frozen values.

Texts people would type (fields, filters, joins) are parsed by the query language, views are one SELECT each;
everything unknown, mistyped or oversized is a problem with its path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import available_timezones

from importer.errors import PackError
from importer.modes import AccountStrategy
from importer.query.filters import parse_filters
from importer.query.parsing import parse_spec
from importer.query.problems import Problem, QueryProblems
from importer.query.raw import view_fault
from importer.query.reading import Members
from importer.query.scope import FAMILIES
from importer.query.spec import FilterGroup
from servicevault import catalog
from servicevault.wording import say
from templates_registry.pack import (
    Definition,
    Parameter,
    Probe,
    QueryDefinition,
    QueryForm,
    Requirement,
    Rule,
    ViewDefinition,
)

MAX_BYTES = 256 * 1024
MAX_LEVELS = 20
MAX_QUERIES = 20
MAX_VARIANTS = 8
MAX_VIEWS = 40
MAX_RULES = 100
MAX_PROBES = 20
MAX_SQL = 32 * 1024  # characters of one view or probe

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VIEW_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}(-[0-9A-Za-z.-]{1,20})?")
_REQUIREMENT = re.compile(r"(?P<table>[A-Za-z_][\w$]{0,62})(\.(?P<column>[\w$]{1,63})(:(?P<family>[a-z]+))?)?")

_TOP = (
    "name", "platform", "database_type", "description", "version", "source_timezone", "account_strategy",
    "configuration", "fingerprint", "probes", "parameters",
)  # fmt: skip
_SPEC_MEMBERS = (
    "name", "base_table", "fields", "joins", "filters", "target_type", "entity", "source_identifier", "watermark",
    "group_by", "having", "distinct_on", "kind", "sql", "params", "value_maps", "parameters",
)  # fmt: skip


class PackProblems(PackError):
    """A definition with one or more faults; `problems` holds them all, the first gives the message."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        first = problems[0]
        super().__init__(
            f"{first.path}: {first.message}" if first.path else first.message, hint=first.hint, where=first.path
        )


def parse_definition(data: object) -> Definition:
    """The pack that `data` describes. Raises PackProblems (a PackError) with every fault and its path."""
    problems: list[Problem] = []
    if fault := _size_fault(data):
        raise PackProblems([Problem("", fault)])
    members = Members(data, "", problems)
    members.only(*_TOP)
    configuration = Members(members.data.get("configuration", {}), "configuration", problems)
    configuration.only("queries", "priority_order", "suggested_filters", "views")
    order = tuple(_texts(configuration, "priority_order", MAX_QUERIES * 2))
    definition = Definition(
        name=_needed(members, "name"),
        platform=_slug(members, "platform"),
        description=members.text("description", limit=10_000),
        version=_matching(members, "version", _VERSION, "1.0.0", say("A version has three numbers, such as 1.0.0.")),
        source_timezone=_timezone(members),
        account_strategy=members.choice("account_strategy", ("", *AccountStrategy.values), ""),
        # A JSON column forgets the order of members.
        queries=tuple(sorted(_queries(configuration), key=lambda query: _place(query.key, order))),
        priority_order=order,
        suggested_filters=_suggested_filters(configuration),
        views=tuple(_views(configuration)),
        fingerprint=tuple(_rules(members)),
        probes=tuple(_probes(members)),
        parameters=tuple(_parameters(members)),
    )
    if members.data.get("database_type") != "postgresql":
        members.fault("database_type", say("The database_type must be postgresql."))
    if problems:
        raise PackProblems(problems)
    return definition


# -- size --------------------------------------------------------------------------------------------------------


def _size_fault(data: object) -> str:
    """What makes `data` too large to look at; told before anything else reads it."""
    size = 0
    pending: list[tuple[object, int]] = [(data, 1)]
    while pending:
        value, level = pending.pop()
        if level > MAX_LEVELS:
            return say("The definition is nested deeper than {max_levels} levels.", max_levels=MAX_LEVELS)
        if isinstance(value, Mapping):
            pending.extend((item, level + 1) for item in value.values())
            size += sum(len(str(key)) + 4 for key in value)
        elif isinstance(value, list | tuple):
            pending.extend((item, level + 1) for item in value)
            size += 2 * len(value)
        else:
            size += len(value.encode("utf-8", "replace")) if isinstance(value, str) else 4
        if size > MAX_BYTES:
            return say("The definition is larger than {max_bytes} KiB.", max_bytes=MAX_BYTES // 1024)
    return ""


# -- plain members -----------------------------------------------------------------------------------------------


def _needed(members: Members, name: str) -> str:
    value = members.text(name)
    if not value.strip():
        members.fault(name, say("The {name} is missing.", name=name))
    return value


def _slug(members: Members, name: str) -> str:
    value = _needed(members, name)
    if value and not _KEY.fullmatch(value):
        members.fault(name, say("The {name} has 1 to 64 small letters, digits, _ and -.", name=name))
    return value


def _matching(members: Members, name: str, pattern: re.Pattern[str], default: str, sentence: str) -> str:
    value = members.text(name) or default
    if value and not pattern.fullmatch(value):
        members.fault(name, sentence)
    return value


def _place(key: str, order: tuple[str, ...]) -> int:
    return order.index(key) if key in order else len(order)


def _timezone(members: Members) -> str:
    value = members.text("source_timezone")
    if value and value not in available_timezones():
        members.fault(
            "source_timezone",
            say("`{value}` is not a time zone.", value=value[:60]),
            hint=say("Use a name such as Europe/Berlin."),
        )
    return value


def _texts(members: Members, name: str, limit: int) -> Iterator[str]:
    for index, item in enumerate(members.items(name, limit)):
        if isinstance(item, str):
            yield item
        else:
            members.fault(f"{name}[{index}]", say("A text is expected here."))


def _objects(members: Members, name: str, limit: int) -> Iterator[Members]:
    for index, item in enumerate(members.items(name, limit)):
        yield Members(item, f"{members.at(name)}[{index}]", members.problems)


def _requirements(members: Members, name: str = "requires") -> tuple[Requirement, ...]:
    found = []
    for index, text in enumerate(_texts(members, name, 200)):
        match = _REQUIREMENT.fullmatch(text)
        family = match["family"] if match else None
        if match is None or (family and family not in FAMILIES.values()):
            members.fault(
                f"{name}[{index}]",
                say("`{text}` is not a requirement.", text=text[:80]),
                hint=say("Write table, table.column or table.column:family."),
            )
        else:
            found.append(Requirement(match["table"], match["column"] or "", family or ""))
    return tuple(found)


# -- queries -----------------------------------------------------------------------------------------------------


def _queries(configuration: Members) -> Iterator[QueryDefinition]:
    given = configuration.pairs("queries")
    if len(given) > MAX_QUERIES:
        configuration.fault(
            "queries",
            say(
                "At most {max_queries} queries are allowed; there are {given}.",
                max_queries=MAX_QUERIES,
                given=len(given),
            ),
        )
        return
    for key, data in given:
        members = Members(data, f"configuration.queries.{key[:80]}", configuration.problems)
        if not _KEY.fullmatch(key):
            members.fault("", say("A key has 1 to 64 small letters, digits, _ and -."))
            continue
        members.only(*_SPEC_MEMBERS, "requires", "variants", "optional", "missing_reason")
        forms = tuple(form for form in _forms(key, members) if form is not None)
        yield QueryDefinition(
            key=key,
            name=members.text("name") or key,
            forms=forms,
            optional=members.flag("optional", default=False),
            missing_reason=members.text("missing_reason"),
        )


def _forms(key: str, members: Members) -> Iterator[QueryForm | None]:
    requires = _requirements(members)
    common = {name: members.data[name] for name in _SPEC_MEMBERS if name in members.data}
    if not members.has("variants"):
        yield _form(key, "", requires, common, members)
        return
    seen: set[str] = set()
    for variant in _objects(members, "variants", MAX_VARIANTS):
        variant.only(*_SPEC_MEMBERS, "requires")
        name = _slug(variant, "name")
        if name in seen:
            variant.fault("name", say("The variant `{name}` is there twice.", name=name))
        seen.add(name)
        own = {member: variant.data[member] for member in _SPEC_MEMBERS if member in variant.data and member != "name"}
        yield _form(key, name, (*requires, *_requirements(variant)), {**common, **own}, variant)


def _form(
    key: str, variant: str, requires: tuple[Requirement, ...], data: Mapping[str, Any], members: Members
) -> QueryForm | None:
    fields, optional_fields = _without_optional(data.get("fields"))
    joins, optional_joins = _without_optional(data.get("joins"))
    body = {**data, "key": key}
    body |= {name: value for name, value in (("fields", fields), ("joins", joins)) if value is not None}
    if "value_maps" in body:
        body["value_maps"] = _with_text_keys(body["value_maps"])
    try:
        spec = parse_spec(body, target_types=catalog.names())
    except QueryProblems as error:
        members.problems.extend(problem.under(members.path) for problem in error.problems)
        return None
    plain = frozenset(index for index, item in enumerate(fields or ()) if isinstance(item, str))
    return QueryForm(variant, requires, spec, plain, optional_fields, optional_joins)


def _without_optional(given: object) -> tuple[list[Any] | None, frozenset[int]]:
    """The list without its `optional` marks, and where they stood; None when it is no list."""
    if not isinstance(given, list | tuple):
        return (None, frozenset()) if given is None else ([given], frozenset())
    marked = frozenset(
        index for index, item in enumerate(given) if isinstance(item, Mapping) and item.get("optional") is True
    )
    return [
        {name: value for name, value in item.items() if name != "optional" or not isinstance(value, bool)}
        if isinstance(item, Mapping)
        else item
        for item in given
    ], marked


def _with_text_keys(given: object) -> object:
    """Value maps with their codes as texts: YAML reads `1:` as a number."""
    if not isinstance(given, Mapping):
        return given
    return {
        str(name): {str(code): value for code, value in entries.items()} if isinstance(entries, Mapping) else entries
        for name, entries in given.items()
    }


def _suggested_filters(configuration: Members) -> dict[str, dict[str, FilterGroup]]:
    found: dict[str, dict[str, FilterGroup]] = {}
    for key, named in configuration.pairs("suggested_filters"):
        inner = Members(named, f"configuration.suggested_filters.{key[:80]}", configuration.problems)
        for name in inner.data:
            problems: list[Problem] = []
            filters = parse_filters(Members({str(name): inner.data[name]}, "", problems), str(name))
            found.setdefault(key, {})[str(name)] = filters
            configuration.problems.extend(problem.under(inner.path) for problem in problems)
    return found


def _views(configuration: Members) -> Iterator[ViewDefinition]:
    seen: set[str] = set()
    for members in _objects(configuration, "views", MAX_VIEWS):
        members.only("name", "sql", "key", "key_source", "comment", "requires")
        name = _matching(members, "name", _VIEW_NAME, "", say("A view is named by small letters, digits and _."))
        if not name or name in seen:
            members.fault(
                "name", say("The view `{name}` is there twice.", name=name) if name else say("The view has no name.")
            )
        seen.add(name)
        yield ViewDefinition(
            name=name,
            sql=_select(members),
            key=members.text("key"),
            key_source=members.text("key_source"),
            comment=members.text("comment", limit=1000),
            requires=_requirements(members),
        )


def _select(members: Members) -> str:
    text = members.text("sql", limit=MAX_SQL)
    if not text.strip():
        members.fault("sql", say("The SQL is missing."))
    elif fault := view_fault(text):
        members.fault("sql", fault)
    return text


# -- detection and probes ----------------------------------------------------------------------------------------


def _rules(members: Members) -> Iterator[Rule]:
    for rule in _objects(members, "fingerprint", MAX_RULES):
        rule.only("table", "column", "row", "weight", "absent")
        weight = rule.data.get("weight", 1)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1000:
            rule.fault("weight", say("A weight is a number from 0 to 1,000."))
            continue
        if sum(rule.has(name) for name in ("table", "column", "row")) != 1:
            rule.fault("", say("A rule names a table, a column (table.column) or a row."))
            continue
        absent = rule.flag("absent", default=False)
        if rule.has("row"):
            row = Members(rule.data["row"], rule.at("row"), rule.problems)
            row.only("table", "column", "value")
            yield Rule(_needed(row, "table"), _needed(row, "column"), row.text("value"), weight, absent)
            continue
        text = rule.text("table", "column")
        match = _REQUIREMENT.fullmatch(text)
        if match is None or match["family"] or bool(match["column"]) != rule.has("column"):
            rule.fault("table" if rule.has("table") else "column", say("`{text}` is not a name.", text=text[:80]))
            continue
        yield Rule(match["table"], match["column"] or "", None, weight, absent)


_ANSWERS = ("text", "number", "boolean", "list")


def _probes(members: Members) -> Iterator[Probe]:
    for probe in _objects(members, "probes", MAX_PROBES):
        probe.only("name", "sql", "type", "question", "requires")
        yield Probe(
            name=_slug(probe, "name"),
            sql=_select(probe),
            type=probe.choice("type", _ANSWERS, "text"),
            question=probe.text("question", limit=1000),
            requires=_requirements(probe),
        )


def _parameters(members: Members) -> Iterator[Parameter]:
    for parameter in _objects(members, "parameters", MAX_PROBES):
        parameter.only("name", "question", "type", "required", "probe", "default")
        yield Parameter(
            name=_slug(parameter, "name"),
            question=parameter.text("question", limit=1000),
            type=parameter.choice("type", _ANSWERS, "text"),
            required=parameter.flag("required", default=False),
            probe=parameter.text("probe"),
            default=parameter.text("default"),
        )
