"""Filters worth offering for a query (F8): recent, active, billable, not spam, and the status values found.

Each is found by the names and types of the columns that exist; nothing is applied without a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from importer.sources.roles import column_role
from importer.sources.schema import Column, PackView, SourceSchema, Table
from servicevault.wording import say, say_count

from . import expressions, nodes
from .compiler import compile_query
from .filters import parse_filters
from .preview import EXACT_SECONDS, Count, Session, count
from .problems import QueryProblems
from .reading import Members
from .spec import Field, FilterGroup, QuerySpec, TableRef

MONTHS = (1, 6, 12, 24)
MOST_STATUS_VALUES = 20  # a column with more is no status
STATUS = re.compile(r"(^|_)(status|state|stage)(_?(id|code))?$", re.IGNORECASE)
ACTIVE = re.compile(r"^(is_?)?(active|enabled)$", re.IGNORECASE)
INACTIVE = re.compile(
    r"^(is_?)?(deleted|archived|removed|trashed|inactive|disabled|deactivated|blocked|banned|suspended)(_(at|on|date|time|ts))?$",
    re.IGNORECASE,
)
BILLABLE = re.compile(r"^(is_?)?(billable|chargeable|invoiceable)$", re.IGNORECASE)
NOT_BILLABLE = re.compile(r"^(is_?)?(non?_?(billable|charge)|unbillable)$", re.IGNORECASE)
SPAM = re.compile(r"^(is_?|marked_as_)?(spam|junk)(_(at|on))?$", re.IGNORECASE)
WORKED_ON = re.compile(r"^(date|day|spent_on|work(ed)?_?(date|day|on)|entry_date|log_?date)$", re.IGNORECASE)
SPAM_VALUES = frozenset({"spam", "junk"})


@dataclass(frozen=True)
class Suggestion:
    """A filter a person may add: `condition` is one item of a query's `filters`."""

    label: str
    condition: str | Mapping[str, Any]
    reason: str  # what in the source made us offer it


def suggest_filters(
    schema: SourceSchema, subject: QuerySpec | Table | PackView, target_type: str, *, session: Session | None = None
) -> list[Suggestion]:
    """Filters on the columns of a table, or of a query's base table; empty for raw SQL.

    With a session the status values the source holds are offered too; one short query for each status column.
    """
    table = _base(schema, subject)
    if table is None:
        return []
    alias = (subject.base.alias or subject.base.name) if isinstance(subject, QuerySpec) else ""
    columns = [_Seen(column, alias) for column in table.columns]
    found = [*_recent(columns, target_type), *_active(columns)]
    if target_type == "time_entries":
        found += _billable(columns)
    found += _not_spam(columns)
    if session is not None:
        spec = subject if isinstance(subject, QuerySpec) else _whole(table, target_type)
        found += _statuses(session, schema, spec, columns)
    return found


def count_suggestions(
    session: Session,
    spec: QuerySpec,
    schema: SourceSchema,
    suggestions: Sequence[Suggestion],
    *,
    seconds: float = EXACT_SECONDS,
) -> list[Count]:
    """The rows the query would have with each suggestion beside its own filters, in their order.

    Each is counted within `seconds`, else estimated. Raises QueryError for a condition that does not fit.
    """
    return [count(session, compile_query(filtered(spec, found), schema), seconds) for found in suggestions]


def filtered(spec: QuerySpec, suggestion: Suggestion) -> QuerySpec:
    """`spec` with the suggestion added to its filters. Raises QueryProblems when it cannot be read."""
    members = Members({"filters": [suggestion.condition]}, "", [])
    added = parse_filters(members, "filters")
    if members.problems:
        raise QueryProblems(members.problems)
    return replace(spec, filters=FilterGroup("and", (spec.filters, *added.items)) if spec.filters.items else added)


# -- columns


@dataclass(frozen=True)
class _Seen:
    """A column as the suggestions look at it."""

    column: Column
    alias: str

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def node(self) -> nodes.Column:
        return nodes.Column(self.name, self.alias)

    @property
    def text(self) -> str:
        return expressions.render(self.node)

    @property
    def role(self) -> str | None:
        return self.column.role or column_role(self.name, self.column.type)

    @property
    def kind(self) -> str:
        """ "time", "boolean", "number", "text" or "" """
        plain = self.column.base_type
        if plain == "date" or plain.startswith("timestamp"):
            return "time"
        if plain == "boolean":
            return "boolean"
        if plain in {"smallint", "integer", "bigint", "numeric"}:
            return "number"
        return "text" if plain in {"text", "character varying", "character", "citext"} else ""

    def is_set(self) -> str | None:
        """An expression that holds where the flag is on; None for a type that is no flag."""
        return {"boolean": f"{self.text} = TRUE", "number": f"{self.text} <> 0"}.get(self.kind)

    def is_not_set(self) -> str | None:
        """An expression that holds where the flag is off, unknown counting as off."""
        return {
            "boolean": f"{self.text} IS DISTINCT FROM TRUE",
            "number": f"COALESCE({self.text}, 0) = 0",
            "time": f"{self.text} IS NULL",
        }.get(self.kind)


def _base(schema: SourceSchema, subject: QuerySpec | Table | PackView) -> Table | PackView | None:
    if not isinstance(subject, QuerySpec):
        return subject
    if subject.kind == "sql":
        return None
    view = None if subject.base.schema else schema.view(subject.base.name)
    return view or schema.table(subject.base.name, subject.base.schema)


def _whole(table: Table | PackView, target_type: str) -> QuerySpec:
    place = TableRef(table.name, table.schema if isinstance(table, Table) else "")
    return QuerySpec(key="suggestions", base=place, fields=(), target_type=target_type)


# -- the suggestions


def _recent(columns: Sequence[_Seen], target_type: str) -> Iterator[Suggestion]:
    """Rows of the last months, by when the work was done, else by when the row was made, else changed."""
    tests: list[Callable[[_Seen], bool]] = [
        lambda seen: seen.role == "created",
        lambda seen: seen.role == "updated",
    ]
    if target_type == "time_entries":
        tests[:0] = [lambda seen: seen.role == "time_start", lambda seen: bool(WORKED_ON.match(seen.name))]
    times = [seen for seen in columns if seen.kind == "time"]
    chosen = next((seen for test in tests for seen in times if test(seen)), None)
    if chosen is None:
        return
    for months in MONTHS:
        yield Suggestion(
            say("Last month") if months == 1 else say_count("Last {count} month", "Last {count} months", months),
            {"field": chosen.text, "operator": ">=", "value": {"relative": f"-{months} months"}},
            say("`{chosen}` is a date.", chosen=chosen.name),
        )


def _active(columns: Sequence[_Seen]) -> Iterator[Suggestion]:
    """Rows that are neither deleted nor switched off, all such columns taken together."""
    tests = []
    for seen in columns:
        if ACTIVE.match(seen.name):
            tests.append((seen.name, seen.is_set()))
        elif INACTIVE.match(seen.name) or seen.role == "deleted":
            tests.append((seen.name, seen.is_not_set()))
    found = [(name, test) for name, test in tests if test]
    if found:
        names = " and ".join(f"`{name}`" for name, _ in found)
        yield Suggestion(
            say("Active only"), _together([test for _, test in found]), say("{names} tell what is in use.", names=names)
        )


def _billable(columns: Sequence[_Seen]) -> Iterator[Suggestion]:
    for seen in columns:
        test = seen.is_set() if BILLABLE.match(seen.name) else None
        if NOT_BILLABLE.match(seen.name):
            test = seen.is_not_set()
        if test and seen.kind != "time":
            yield Suggestion(say("Billable only"), test, say("`{seen}` tells what is charged.", seen=seen.name))
            return


def _not_spam(columns: Sequence[_Seen]) -> Iterator[Suggestion]:
    for seen in columns:
        if SPAM.match(seen.name) and (test := seen.is_not_set()):
            yield Suggestion(say("Without spam"), test, say("`{seen}` marks spam.", seen=seen.name))
            return


def _statuses(
    session: Session, schema: SourceSchema, spec: QuerySpec, columns: Sequence[_Seen]
) -> Iterator[Suggestion]:
    """One suggestion for each value a status column holds, and one that leaves spam out where it is a status."""
    for seen in columns:
        if not STATUS.search(seen.name) or seen.kind not in {"text", "number", "boolean"}:
            continue
        values = _values(session, schema, spec, seen)
        for value in values:
            yield Suggestion(
                say("Only {seen} “{value}”", seen=seen.name, value=value),
                {"field": seen.text, "operator": "=", "value": value},
                say_count(
                    "`{seen}` holds {count} value.",
                    "`{seen}` holds {count} different values.",
                    len(values),
                    seen=seen.name,
                ),
            )
        for value in values:
            if isinstance(value, str) and value.strip().lower() in SPAM_VALUES:
                test = f"{seen.text} IS DISTINCT FROM '{value.replace(chr(39), chr(39) * 2)}'"
                yield Suggestion(
                    say("Without {seen} “{value}”", seen=seen.name, value=value),
                    test,
                    say("`{seen}` has the value “{value}”.", seen=seen.name, value=value),
                )


def _values(session: Session, schema: SourceSchema, spec: QuerySpec, seen: _Seen) -> list[str | int | bool]:
    """The different values of a column within the query, in order; none when there are too many for a status."""
    listing = replace(
        spec,
        fields=(Field("value", seen.node),),
        group_by=(seen.node,),
        having=FilterGroup(),
        distinct_on=None,
        watermark=None,
    )
    query, params = compile_query(listing, schema).sample(MOST_STATUS_VALUES + 2)
    values = [value for (value,) in session.fetch_all(query, params) if value is not None]
    if len(values) > MOST_STATUS_VALUES:
        return []
    return sorted((value if isinstance(value, str | int) else str(value) for value in values), key=str)


def _together(tests: list[str]) -> str | dict[str, Any]:
    return tests[0] if len(tests) == 1 else {"op": "and", "items": tests}
