"""A pack as plain values: what `definition.parse_definition` makes of its JSON or YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from importer.query.spec import FilterGroup, QuerySpec


@dataclass(frozen=True)
class Requirement:
    """A table, or a column of one, that something needs; with a family only a column of that kind counts."""

    table: str
    column: str = ""
    family: str = ""  # text, number, boolean, date, timestamp, interval, json, uuid

    def __str__(self) -> str:
        return f"{self.table}.{self.column}" if self.column else self.table


@dataclass(frozen=True)
class ViewDefinition:
    """A named SELECT that stands beside the source's tables."""

    name: str
    sql: str
    key: str = ""  # output column that identifies a row
    key_source: str = ""  # "table.column" that holds the key's values
    comment: str = ""
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True)
class QueryForm:
    """One way to read a query's rows: the query itself, or one of its variants."""

    variant: str
    requires: tuple[Requirement, ...]
    spec: QuerySpec
    plain: frozenset[int] = frozenset()  # fields given as bare names: the rules of names map them (T15)
    optional_fields: frozenset[int] = frozenset()
    optional_joins: frozenset[int] = frozenset()


@dataclass(frozen=True)
class QueryDefinition:
    key: str
    name: str
    forms: tuple[QueryForm, ...]  # tried in order (T23)
    optional: bool = False  # absent without a loss worth a warning
    missing_reason: str = ""  # what to say when the tables are not there


@dataclass(frozen=True)
class Rule:
    """Something by which a platform is recognised (T18)."""

    table: str
    column: str = ""
    value: str | None = None  # a row with this value must exist
    weight: float = 1
    absent: bool = False

    def __str__(self) -> str:
        place = f"{self.table}.{self.column}" if self.column else self.table
        return f"{'no ' if self.absent else ''}{place}{'' if self.value is None else f' = {self.value}'}"


@dataclass(frozen=True)
class Probe:
    """A question to the source with one answer; where it cannot be asked, `question` is for a person (T22)."""

    name: str
    sql: str
    type: str = "text"
    question: str = ""
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True)
class Parameter:
    """Something the pack must be told, offered with the values its probe finds."""

    name: str
    question: str = ""
    type: str = "text"
    required: bool = False
    probe: str = ""
    default: str = ""  # where neither a person nor the probe knows


@dataclass(frozen=True)
class Definition:
    """A pack, read and checked."""

    name: str
    platform: str
    description: str = ""
    version: str = "1.0.0"
    source_timezone: str = ""
    account_strategy: str = ""
    queries: tuple[QueryDefinition, ...] = ()
    priority_order: tuple[str, ...] = ()
    suggested_filters: Mapping[str, Mapping[str, FilterGroup]] = field(default_factory=dict)
    views: tuple[ViewDefinition, ...] = ()
    fingerprint: tuple[Rule, ...] = ()
    probes: tuple[Probe, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    def view(self, name: str) -> ViewDefinition | None:
        return next((view for view in self.views if view.name == name), None)
