"""Filter operators and join types: every choice that is not a value, as data (F1-F6, Q5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .functions import Family

JoinType = Literal["inner", "left", "right", "full"]
JOIN_TYPES: tuple[JoinType, ...] = ("inner", "left", "right", "full")
Arity = Literal["none", "one", "list", "pair", "unit"]
# How the SQL is made; `compiler` has one function for each.
Shape = Literal["compare", "like", "escaped", "pattern", "in", "null", "between", "date_trunc", "expression"]

MAX_VALUES = 10_000  # F3
DATE_TRUNC_UNITS = ("hour", "day", "week", "month", "quarter", "year")  # F6


@dataclass(frozen=True)
class FilterOperator:
    name: str  # canonical, as stored
    arity: Arity
    shape: Shape
    symbol: str = ""  # operator of pg_catalog
    negated: bool = False
    aliases: tuple[str, ...] = ()
    families: frozenset[Family] = frozenset()  # families of columns it is offered for; empty means all
    before: str = ""  # put before an escaped value: "%" for contains and ends_with
    after: str = ""


_TEXT: frozenset[Family] = frozenset({"text"})
_ORDERED: frozenset[Family] = frozenset({"number", "text", "date", "timestamp", "interval", "uuid"})
_DATES: frozenset[Family] = frozenset({"date", "timestamp"})

_ALL = (
    FilterOperator("=", "one", "compare", "=", aliases=("equals", "eq", "==", "is")),
    FilterOperator("!=", "one", "compare", "<>", aliases=("<>", "not_equals", "ne", "not equals", "is not")),
    FilterOperator(">", "one", "compare", ">", aliases=("greater_than", "gt", "after"), families=_ORDERED),
    FilterOperator(">=", "one", "compare", ">=", families=_ORDERED,
                   aliases=("greater_than_or_equal", "greater_than_or_equals", "greater_or_equal", "gte", "ge")),
    FilterOperator("<", "one", "compare", "<", aliases=("less_than", "lt", "before"), families=_ORDERED),
    FilterOperator("<=", "one", "compare", "<=", families=_ORDERED,
                   aliases=("less_than_or_equal", "less_than_or_equals", "less_or_equal", "lte", "le")),
    FilterOperator("LIKE", "one", "like", "~~", families=_TEXT),
    FilterOperator("NOT LIKE", "one", "like", "!~~", families=_TEXT),
    FilterOperator("ILIKE", "one", "like", "~~*", families=_TEXT),
    FilterOperator("NOT ILIKE", "one", "like", "!~~*", families=_TEXT),
    FilterOperator("contains", "one", "escaped", "~~", families=_TEXT, before="%", after="%"),
    FilterOperator("not_contains", "one", "escaped", "!~~", families=_TEXT, before="%", after="%",
                   aliases=("does_not_contain", "not contains")),
    FilterOperator("starts_with", "one", "escaped", "~~", families=_TEXT, after="%", aliases=("begins_with",)),
    FilterOperator("ends_with", "one", "escaped", "~~", families=_TEXT, before="%"),
    FilterOperator("~", "one", "pattern", "~", aliases=("regexp", "regex", "matches"), families=_TEXT),
    FilterOperator("~*", "one", "pattern", "~*", aliases=("iregexp", "iregex"), families=_TEXT),
    FilterOperator("!~", "one", "pattern", "!~", aliases=("not regexp", "not_regexp"), families=_TEXT),
    FilterOperator("!~*", "one", "pattern", "!~*", families=_TEXT),
    FilterOperator("IN", "list", "in", "=", aliases=("in_list", "one_of")),
    FilterOperator("NOT IN", "list", "in", "=", negated=True, aliases=("not_in_list", "none_of")),
    FilterOperator("IS NULL", "none", "null", aliases=("null", "is_empty")),
    FilterOperator("IS NOT NULL", "none", "null", negated=True, aliases=("not_null", "is_not_empty")),
    FilterOperator("BETWEEN", "pair", "between", families=_ORDERED),
    FilterOperator("NOT BETWEEN", "pair", "between", negated=True, families=_ORDERED),
    FilterOperator("DATE_TRUNC", "unit", "date_trunc", "=", families=_DATES),
    FilterOperator("expression", "none", "expression"),
)  # fmt: skip

FILTER_OPERATORS: dict[str, FilterOperator] = {operator.name: operator for operator in _ALL}


def _folded(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


_BY_ALIAS = {_folded(alias): operator for operator in _ALL for alias in (operator.name, *operator.aliases)}
_JOIN_ALIASES: dict[str, JoinType] = {
    "inner": "inner", "join": "inner", "inner join": "inner",
    "left": "left", "left join": "left", "left outer": "left", "left outer join": "left",
    "right": "right", "right join": "right", "right outer": "right", "right outer join": "right",
    "full": "full", "full join": "full", "full outer": "full", "full outer join": "full", "outer": "full",
}  # fmt: skip


def filter_operator(name: str) -> FilterOperator | None:
    """The operator that `name` or one of its aliases means, in any case; None when there is none."""
    return _BY_ALIAS.get(_folded(name))


def join_type(name: str) -> JoinType | None:
    """The join type that `name` means, in any case; None when there is none."""
    return _JOIN_ALIASES.get(_folded(name))


def escape_like(value: str) -> str:
    """`value` as a LIKE pattern that matches exactly it."""
    return value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
