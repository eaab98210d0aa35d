"""Which tables and columns a query can see, and what a name in an expression means there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from importer.errors import QueryError
from servicevault.wording import say

from . import nodes
from .functions import AGGREGATES, CAST_TYPES, FUNCTIONS, Family
from .nodes import Node
from .problems import Problem, nearest
from .rendering import quote_name, render

# Types by family, as format_type() prints them without modifier.
FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("text", "character varying", "character", '"char"', "name", "citext"), "text"),
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric", "real", "double precision", "money"), "number"),
    "boolean": "boolean",
    "date": "date",
    **dict.fromkeys(("timestamp without time zone", "timestamp with time zone"), "timestamp"),
    **dict.fromkeys(("interval", "time without time zone", "time with time zone"), "interval"),
    **dict.fromkeys(("json", "jsonb"), "json"),
    "uuid": "uuid",
}  # fmt: skip
# Families whose values PostgreSQL compares with each other.
_COMPARABLE = frozenset({frozenset({"date", "timestamp"})})


@dataclass(frozen=True)
class ScopeTable:
    alias: str  # the person's name for it
    name: str  # the table's own name
    schema: str  # "" for views of a pack
    columns: Mapping[str, str]  # column name to type without modifier
    sql_alias: str = "t0"  # ours; the only one that reaches the SQL


@dataclass(frozen=True)
class Scope:
    tables: tuple[ScopeTable, ...] = ()
    aggregates: bool = field(default=False)  # whether aggregates may be used (Q22)

    def find(self, column: nodes.Column) -> list[ScopeTable]:
        """The tables that `column` can belong to: exact names first, lower case when nothing is written so."""
        for table_name, name in ((column.table, column.name), (column.table.lower(), column.name.lower())):
            tables = self.qualified(table_name, column.schema) if column.table else list(self.tables)
            hits = [table for table in tables if name in table.columns]
            if hits:
                return hits
        return []

    def qualified(self, name: str, schema: str = "") -> list[ScopeTable]:
        """The tables a prefix can mean: the alias, else the table's own name."""
        if not schema and (by_alias := [table for table in self.tables if table.alias == name]):
            return by_alias
        return [table for table in self.tables if table.name == name and schema in ("", table.schema)]

    def resolve(self, column: nodes.Column) -> tuple[ScopeTable, str]:
        """The table and the exact column name that `column` means.

        Raises QueryError when there is none or more than one.
        """
        hits = self.find(column)
        if len(hits) != 1:
            problem = self.problem(column, hits)
            raise QueryError(problem.message, hint=problem.hint, code=problem.code)
        name = column.name if column.name in hits[0].columns else column.name.lower()
        return hits[0], name

    def problem(self, column: nodes.Column, hits: list[ScopeTable]) -> Problem:
        """Why `column` has no single meaning."""
        written = render(column)
        if len(hits) > 1:
            names = " or ".join(f"`{quote_name(table.alias)}.{quote_name(column.name)}`" for table in hits)
            return Problem(
                "",
                say("Column `{written}` is ambiguous.", written=written),
                say("Write {names}.", names=names),
                "ambiguous_name",
            )
        known = {f"{table.alias}.{name}": None for table in self.tables for name in table.columns}
        closest = nearest(f"{column.table}.{column.name}", known) if column.table else self._nearest_bare(column.name)
        hint = say("Closest: `{closest}`.", closest=closest) if closest else ""
        return Problem("", say("Column `{written}` does not exist.", written=written), hint, "unknown_column")

    def _nearest_bare(self, name: str) -> str:
        by_name: dict[str, str] = {}
        for table in self.tables:
            for column in table.columns:
                by_name.setdefault(column, f"{table.alias}.{column}")
        return by_name.get(nearest(name, by_name), "")

    def type_of(self, column: nodes.Column) -> str:
        """The type of `column`, "" when it has no single meaning."""
        hits = self.find(column)
        if len(hits) != 1:
            return ""
        return hits[0].columns.get(column.name) or hits[0].columns.get(column.name.lower(), "")


def check(node: Node, scope: Scope) -> list[Problem]:
    """What keeps `node` from being used in `scope`: unknown or ambiguous names, misplaced aggregates, types."""
    return [*_column_problems(node, scope), *_aggregate_problems(node, scope), *_type_problems(node, scope)]


def is_aggregate(node: Node) -> bool:
    """Whether an aggregate is called anywhere in `node`."""
    return any(isinstance(found, nodes.Call) and found.function in AGGREGATES for found in nodes.walk(node))


def _column_problems(node: Node, scope: Scope) -> Iterator[Problem]:
    for column in nodes.columns_of(node):
        hits = scope.find(column)
        if len(hits) != 1:
            yield scope.problem(column, hits)


def _aggregate_problems(node: Node, scope: Scope) -> Iterator[Problem]:
    for found in nodes.walk(node):
        if not isinstance(found, nodes.Call) or found.function not in AGGREGATES:
            continue
        if not scope.aggregates:
            yield Problem(
                "",
                say("{function} is only allowed in a query with group_by.", function=found.function),
                code="aggregate_misplaced",
            )
        elif any(is_aggregate(argument) for argument in found.arguments):
            yield Problem(
                "",
                say("{function} cannot contain another aggregate.", function=found.function),
                code="aggregate_misplaced",
            )


def family(node: Node, scope: Scope) -> Family:
    """The kind of value `node` gives; "" when it cannot be told without asking the source."""
    match node:
        case nodes.Column():
            return FAMILIES.get(scope.type_of(node), "")
        case nodes.Number():
            return "number"
        case nodes.Boolean() | nodes.IsNull() | nodes.In() | nodes.Between() | nodes.Logical():
            return "boolean"
        case nodes.TypedText(type_name, _) | nodes.Cast(_, type_name, _):
            return CAST_TYPES[type_name].family
        case nodes.Extract():
            return "number"
        case nodes.Call(function, _, _):
            return FUNCTIONS[function].returns
        case nodes.Unary("not", _):
            return "boolean"
        case nodes.Binary(operator, _, _):
            return _binary_family(operator)
    return ""


def _binary_family(operator: str) -> Family:
    if operator in ("->>", "#>>"):
        return "text"
    if operator in ("+", "-", "*", "/", "%", "||", "->", "#>", "at time zone"):
        return ""
    return "boolean"


def _type_problems(node: Node, scope: Scope) -> Iterator[Problem]:
    for found in nodes.walk(node):
        if isinstance(found, nodes.Binary) and found.operator in ("=", "<>", "<", "<=", ">", ">="):
            left, right = family(found.left, scope), family(found.right, scope)
            if left and right and left != right and frozenset({left, right}) not in _COMPARABLE:
                yield Problem(
                    "",
                    say("`{found}` compares {left} with {right}.", found=render(found), left=left, right=right),
                    say("Cast one side, for example `{cast}`.", cast=render(nodes.Cast(found.left, "text"))),
                    "type_mismatch",
                )
