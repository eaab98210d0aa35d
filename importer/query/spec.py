"""What a query is: frozen values between the JSON of the outside and the SQL of the compiler.

`parsing.parse_spec` and `dumping.dump_spec` are the two directions of its JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from .nodes import Node
from .operators import JoinType

VERSION = 1
MAX_BYTES = 64 * 1024  # of the JSON; SECURITY T4
MAX_LEVELS = 18  # of the JSON without stored trees: five nested filter groups make 14
MAX_JOINS = 12
MAX_FIELDS = 200
MAX_CONDITIONS = 100  # F7
MAX_FILTER_DEPTH = 5
MANY_JOINS = 3  # more is a warning, Q31
OUTPUT_BYTES = 63  # NAMEDATALEN - 1, PostgreSQL manual 4.1.1: a longer output name would be cut

Scalar = str | int | float | bool | None
Params = tuple[tuple[str, object], ...]
Direction = Literal["asc", "desc"]
TakeMode = Literal["all", "first", "last", "aggregate"]

# M6, with the names the guides use besides ("custom" and "math" say that the source is an expression).
TRANSFORMATIONS = frozenset({
    "trim", "upper", "lower", "title", "number", "integer", "round", "floor", "ceil", "seconds_to_minutes",
    "hours_to_minutes", "duration", "date", "datetime", "format_date", "boolean", "map", "default", "null_if",
    "static", "replace", "regex_extract", "split", "truncate", "pad_left", "uuid_from_id", "lookup", "html_to_text",
    "text_to_html", "case_when",
})  # fmt: skip
NO_TRANSFORMATION = frozenset({"direct", "custom", "math", "none", ""})
TRANSFORMATION_ALIASES = {"uppercase": "upper", "lowercase": "lower"}  # F-055


@dataclass(frozen=True)
class TableRef:
    name: str  # exact
    schema: str = ""  # "" = looked up in the schemas of the source, or a view of the pack
    alias: str = ""  # the person's name for it; unique in the query


@dataclass(frozen=True)
class OrderItem:
    expression: Node
    direction: Direction = "asc"
    nulls: Literal["", "first", "last"] = ""


@dataclass(frozen=True)
class TakeColumn:
    column: str
    function: str  # an aggregate of the language
    separator: str = ", "  # STRING_AGG only


@dataclass(frozen=True)
class Take:
    mode: TakeMode = "all"
    order_by: tuple[OrderItem, ...] = ()
    columns: tuple[TakeColumn, ...] = ()  # aggregate only


@dataclass(frozen=True)
class JoinCondition:
    left: Node  # base or an earlier table
    operator: str  # "=", "<>", "<", "<=", ">", ">="
    right: Node  # the joined table


@dataclass(frozen=True)
class Join:
    type: JoinType
    table: TableRef
    conditions: tuple[JoinCondition, ...]
    where: Node | None = None  # ANDed into ON
    take: Take = Take()


@dataclass(frozen=True)
class Reference:
    """How a reference field finds its target (E25, E26)."""

    by: str = ""
    entity: str = ""
    unresolved: str = ""


@dataclass(frozen=True)
class Validation:
    """What a field's values must fulfil (M13)."""

    name: str
    params: Params = ()
    severity: Literal["error", "warning"] = "error"
    message: str = ""  # shown instead of ours


@dataclass(frozen=True)
class Field:
    target: str  # output name
    source: Node | None = None  # None only when `sources` are given
    sources: tuple[Node, ...] = ()  # texts to join: null and blank parts are left out (M4)
    separator: str = " "
    transformation: tuple[tuple[str, Params], ...] = ()  # applied in order after reading
    write_rule: Literal["overwrite", "if_empty", "never", "append"] = "overwrite"
    empty_values: Literal["write", "keep"] | None = None
    reference: Reference | None = None
    validations: tuple[Validation, ...] = ()


@dataclass(frozen=True)
class RelativeDate:
    text: str  # "-6 months", "now", "today"


Value = Scalar | RelativeDate


@dataclass(frozen=True)
class Condition:
    field: Node
    operator: str  # a key of operators.FILTER_OPERATORS
    values: tuple[Value, ...] = ()  # none, one, two (BETWEEN) or many (IN)
    unit: str = ""  # DATE_TRUNC only


@dataclass(frozen=True)
class FilterGroup:
    op: Literal["and", "or", "not"] = "and"
    items: tuple[FilterGroup | Condition, ...] = ()


@dataclass(frozen=True)
class DistinctOn:
    columns: tuple[Node, ...]
    order_by: tuple[OrderItem, ...] = ()


@dataclass(frozen=True)
class Watermark:
    updated_at: str = ""
    id: str = ""


@dataclass(frozen=True)
class Restriction:
    """What a run narrows a query to (F11); belongs to the run, so it is never stored with the query."""

    date_from: date | datetime | None = None
    date_to: date | datetime | None = None
    limit: int | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuerySpec:
    key: str
    base: TableRef
    fields: tuple[Field, ...]
    target_type: str
    version: int = VERSION
    name: str = ""
    entity: str = ""
    joins: tuple[Join, ...] = ()
    filters: FilterGroup = FilterGroup()
    group_by: tuple[Node, ...] = ()
    having: FilterGroup = FilterGroup()
    distinct_on: DistinctOn | None = None
    source_identifier: str = "external_id"  # output name
    watermark: Watermark | None = None
    enabled: bool = True
    kind: Literal["builder", "sql"] = "builder"
    sql: str = ""
    params: Params = ()  # of kind "sql", by name
    value_maps: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    parameters: Params = ()  # answers to a pack's questions; not part of the SQL
    restriction: Restriction | None = None

    def field_for(self, target: str) -> Field | None:
        """The field that feeds `target`."""
        return next((found for found in self.fields if found.target == target), None)
