"""What can be written to, as data: the importer knows targets from here and never the domain's models.

A project with other models registers its own targets and has the whole system. SQL in this file's
values is written by developers, never composed from what people type. It may name:

- `p.<field>`: the field's typed value (NULL when not mapped or empty),
- `x.<field>`: the target id a reference field resolved to,
- `system_user()`-like constants through `Target.constants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Literal

from servicevault.wording import say

FieldType = Literal[
    "text", "email", "integer", "minutes", "numeric", "boolean", "timestamptz", "json", "tags", "uuid", "column"
]
Unresolved = Literal["null", "fail", "default", "placeholder", "blocked"]


@dataclass(frozen=True)
class Reference:
    """How a field that holds an external id finds the row it means (E25-E27)."""

    types: tuple[str, ...]  # target types whose entities are searched, in order
    unresolved: Unresolved = "null"
    choose_by: str = ""  # field whose value narrows `types`
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # value of `choose_by` → types
    also_placeholder: bool = False  # the profile's placeholder agent stands in when one is set
    spare: tuple[str, str] | None = None  # (field, natural key): by what a file that brings no id names the row


@dataclass(frozen=True)
class Field:
    """One field a mapping can fill."""

    name: str
    type: FieldType = "text"
    label: str = ""
    help: str = ""
    column: str | None = None  # defaults to the name; "" when the value only feeds others
    json_key: str = ""  # stored under this key of the target's JSON column instead
    max_length: int | None = None  # characters
    precision: str = ""  # of numeric: "10,2"
    choices: tuple[str, ...] = ()
    zone: bool = False  # an IANA time zone name
    must_map: bool = False
    not_empty: bool = False
    lower: bool = False  # stored lower case
    reference: Reference | None = None
    blank: str = ""  # SQL of the value that replaces an empty one, with a warning
    aliases: tuple[str, ...] = ()
    sql_type: str = ""  # of a "column": any column of any table, judged by PostgreSQL itself
    base: str = ""  # its type's own name: "varchar", "_text" for an array
    labels: tuple[str, ...] = ()  # of an enum

    @property
    def storage(self) -> str:
        """Column the value is stored in; empty when it has none of its own."""
        if self.json_key:
            return ""
        return self.name if self.column is None else self.column


@dataclass(frozen=True)
class UniqueKey:
    """A unique rule of the target that an import can run into."""

    column: str
    expression: str  # over the alias `t`, as the index has it
    value: str  # the same over `p`
    condition: str = ""  # over `t`, for partial rules
    on_conflict: Literal["review", "renumber"] = "review"
    fresh: str = ""  # for renumber: SQL of a new value


@dataclass(frozen=True)
class Lookup:
    """A short table of this side whose values a mapping may look up; nothing else can be read that way."""

    name: str
    table: str
    keys: tuple[str, ...]  # columns to find a row by
    values: tuple[str, ...]  # columns to take


@dataclass(frozen=True)
class Rule:
    """A rule about whole rows that people may switch on for a mapping (M13)."""

    label: str
    field: str  # that the problem is shown at
    broken: str  # SQL condition over p, x and i (`i.target_id`: the row it was imported as), window functions allowed
    message: str


@dataclass(frozen=True)
class Target:
    """A table that rows can be imported into."""

    name: str  # "tickets", or "table:<name>"
    label: str
    table: str
    fields: tuple[Field, ...]
    order: int = 100  # E28: parents first
    json_column: str = ""  # takes `custom_fields.<key>`
    constants: Mapping[str, str] = field(default_factory=dict)  # column → SQL, written on create only
    scope: str = ""  # SQL over `t`: which rows of the table belong to this target
    derived: Mapping[str, str] = field(default_factory=dict)  # field → SQL over p; replaces the field's value
    derived_needs: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)  # name counts as mapped when
    fallbacks: Mapping[str, str] = field(default_factory=dict)  # column → SQL over p and x, after references
    default_account: str = ""  # column that takes the profile's default account when nothing else is known
    match_fields: tuple[str, ...] = ()  # default primary fields (K2)
    match_strategy: Literal["exact", "case_insensitive"] = "exact"  # default
    unique_keys: tuple[UniqueKey, ...] = ()
    soft_delete: str = ""  # column that marks a deleted row
    stand_in: str = ""  # SQL of the id of the row that may take another's place when nobody chose one
    natural_keys: Mapping[str, str] = field(default_factory=dict)  # resolver name → SQL over t with %s for the value
    warnings: Mapping[str, str] = field(default_factory=dict)  # code → SQL condition over p and x
    defaults: Mapping[str, str] = field(default_factory=dict)  # column → SQL when the value is NULL on create
    rules: Mapping[str, Rule] = field(default_factory=dict)  # by the code a broken one gives
    settled: str = ""  # SQL over `t`: rows that others build on outside of any foreign key; no rollback touches them

    @cached_property
    def field_map(self) -> Mapping[str, Field]:
        names = {item.name: item for item in self.fields}
        for item in self.fields:
            names.update(dict.fromkeys(item.aliases, item))
        return names

    def field(self, name: str) -> Field | None:
        """The field of this name or alias; `<json_column>.<key>` names any key of the JSON column."""
        prefix = f"{self.json_column}."
        if self.json_column and name.startswith(prefix) and len(name) > len(prefix):
            return Field(name, json_key=name.removeprefix(prefix))
        return self.field_map.get(name)

    @property
    def must_map(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.fields if item.must_map)

    @property
    def known(self) -> tuple[str, ...]:
        return tuple(self.field_map)


@dataclass(frozen=True)
class Guard:
    """Rows of a table of which no import writes more than a few columns, whatever target or table they came by."""

    table: str
    protects: str  # SQL over `t`: whether the row is one of them
    open: frozenset[str]  # columns that may be written all the same; one that is added later is not
    code: str  # of the warning about a value that was not written
    message: str  # goes on behind the field's name


class UnknownTarget(LookupError):
    """No target of that name is registered."""


_targets: dict[str, Target] = {}
_makers: dict[str, Callable[[str], Target]] = {}
_lookups: dict[str, Lookup] = {}
_guards: dict[str, Guard] = {}


def register(target: Target) -> None:
    _targets[target.name] = target


def register_maker(prefix: str, make: Callable[[str], Target]) -> None:
    """Targets named `<prefix>:<rest>` are made of their rest when they are asked for; `make` raises UnknownTarget."""
    _makers[prefix] = make


def register_lookup(lookup: Lookup) -> None:
    _lookups[lookup.name] = lookup


def register_guard(guard: Guard) -> None:
    _guards[guard.table] = guard


def guard_of(table: str) -> Guard | None:
    """What protects rows of the table from imports, if anything does."""
    return _guards.get(table)


def lookups() -> list[Lookup]:
    return list(_lookups.values())


def lookup(name: str) -> Lookup:
    """The registered lookup. Raises UnknownTarget, naming those that exist."""
    try:
        return _lookups[name]
    except KeyError:
        raise UnknownTarget(
            say("“{name}” cannot be looked up in. Known: {lookups}.", name=name, lookups=", ".join(_lookups))
        ) from None


def get(name: str) -> Target:
    """The registered target, or one that is made now. Raises UnknownTarget, naming those that exist."""
    prefix, _, rest = name.partition(":")
    if rest and prefix in _makers:
        return _makers[prefix](rest)
    try:
        return _targets[name]
    except KeyError:
        raise UnknownTarget(
            say("“{name}” is not a target type. Known: {names}.", name=name, names=", ".join(names()))
        ) from None


def spoken(types: Iterable[str]) -> str:
    """The target types as a sentence names them: "agents or customer users"."""
    labels = (str(get(kind).label).lower() for kind in types)
    return reduce(lambda one, other: str(say("{one} or {other}", one=one, other=other)), labels)


def names() -> list[str]:
    """Names of all targets, parents first."""
    return [target.name for target in sorted(_targets.values(), key=lambda item: (item.order, item.name))]


def all_targets() -> Iterable[Target]:
    return (_targets[name] for name in names())
