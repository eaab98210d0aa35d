"""Composes joins; a join that takes one of many rows becomes a LATERAL subquery (Q23)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import sql

from importer.errors import QueryError
from servicevault.wording import say

from . import nodes
from .binding import BoundQuery, Relation
from .composing import Parameters, compose, fragment, identifier
from .nodes import Node
from .scope import Scope
from .spec import Condition, FilterGroup, Join, OrderItem, QuerySpec

_WORDS = {"inner": "JOIN", "left": "LEFT JOIN", "right": "RIGHT JOIN", "full": "FULL JOIN"}


@dataclass(frozen=True)
class JoinComposer:
    bound: BoundQuery
    scope: Scope
    params: Parameters
    relation: Callable[[Relation], sql.Composable]  # a table with its alias, as in FROM

    def join(self, join: Join) -> sql.Composed:
        relation = self.bound.relation(join)
        word = fragment(_WORDS[join.type])
        if join.take.mode == "all":
            return sql.SQL(" {} {} ON {}").format(word, self.relation(relation), self.condition(join))
        if join.type in ("right", "full"):
            raise QueryError(
                say("A {type} join takes all rows.", type=join.type),
                hint=say("Use an inner or left join."),
                where="joins",
            )
        one = self.one_row(join, relation) if join.take.mode in ("first", "last") else self.aggregated(join, relation)
        return sql.SQL(" {} LATERAL ({}) AS {} ON TRUE").format(word, one, identifier(relation.alias))

    def condition(self, join: Join) -> sql.Composable:
        parts: list[Node] = [nodes.Binary(item.operator, item.left, item.right) for item in join.conditions]
        if join.where is not None:
            parts.append(join.where)
        return sql.SQL(" AND ").join([compose(part, self.scope, self.params) for part in parts])

    def one_row(self, join: Join, relation: Relation) -> sql.Composed:
        if not join.take.order_by:
            raise QueryError(
                say(
                    "Say which row of `{scope}` is the {mode} one: order_by is missing.",
                    scope=relation.scope.alias,
                    mode=join.take.mode,
                ),
                where="joins",
            )
        used = used_columns(self.bound.spec, relation.scope.alias)
        listed: list[sql.Composable] = [identifier(relation.alias, name) for name in used]
        order = order_list(join.take.order_by, self.scope, self.params, backwards=join.take.mode == "last")
        return sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT 1").format(
            sql.SQL(", ").join(listed or [sql.SQL("TRUE")]),
            self.relation(relation),
            self.condition(join),
            sql.SQL(", ").join(order),
        )

    def aggregated(self, join: Join, relation: Relation) -> sql.Composed:
        functions = {item.column: item for item in join.take.columns}
        listed: list[sql.Composable] = []
        for name in used_columns(self.bound.spec, relation.scope.alias, without=join):
            item = functions.get(name)
            if item is None:
                raise QueryError(
                    say(
                        "`{scope}.{name}` is used, but the join does not say how its values become one.",
                        scope=relation.scope.alias,
                        name=name,
                    ),
                    hint=say("Add an aggregate for it."),
                    where="joins",
                )
            value = identifier(relation.alias, name)
            arguments: sql.Composable = value
            if item.function == "STRING_AGG":
                separator = self.params.bind(item.separator, "text")
                arguments = sql.SQL("{}::pg_catalog.text, {}::pg_catalog.text").format(value, separator)
            order = order_list(join.take.order_by, self.scope, self.params)
            ordered = sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(order)) if order else sql.SQL("")
            function = fragment(item.function.lower())
            listed.append(sql.SQL("pg_catalog.{}({}{}) AS {}").format(function, arguments, ordered, identifier(name)))
        # An inner join drops rows without a partner; an aggregate without rows would keep them.
        partners = " HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0" if join.type == "inner" else ""
        return sql.SQL("SELECT {} FROM {} WHERE {}{}").format(
            sql.SQL(", ").join(listed or [sql.SQL("pg_catalog.count(*)")]),
            self.relation(relation),
            self.condition(join),
            fragment(partners),
        )


def order_list(
    items: tuple[OrderItem, ...], scope: Scope, params: Parameters, *, backwards: bool = False
) -> list[sql.Composable]:
    """The items of an ORDER BY; `backwards` turns every one round, NULLs included."""
    found: list[sql.Composable] = []
    for item in items:
        descending = (item.direction == "desc") != backwards
        nulls = item.nulls or ("first" if item.direction == "desc" else "last")
        nulls_first = (nulls == "first") != backwards
        words = f" {'DESC' if descending else 'ASC'} NULLS {'FIRST' if nulls_first else 'LAST'}"
        found.append(sql.SQL("{}{}").format(compose(item.expression, scope, params), fragment(words)))
    return found


def used_columns(spec: QuerySpec, alias: str, *, without: Join | None = None) -> list[str]:
    """The columns of `alias` that a bound query mentions, outside the join `without`."""
    found: dict[str, None] = {}
    for node in query_nodes(spec, without=without):
        for column in nodes.columns_of(node):
            if column.table == alias:
                found[column.name] = None
    return list(found)


def query_nodes(spec: QuerySpec, *, without: Join | None = None) -> Iterator[Node]:
    """Every expression of a query, outside the join `without`."""
    for field in spec.fields:
        yield from (field.source,) if field.source is not None else field.sources
    yield from _group_nodes(spec.filters)
    yield from _group_nodes(spec.having)
    yield from spec.group_by
    if spec.distinct_on:
        yield from spec.distinct_on.columns
        yield from (item.expression for item in spec.distinct_on.order_by)
    if spec.watermark and spec.restriction and spec.watermark.updated_at:
        schema, table, name = ["", "", *spec.watermark.updated_at.split(".")][-3:]
        yield nodes.Column(name, table, schema)
    for join in spec.joins:
        if join is without:
            continue
        for condition in join.conditions:
            yield from (condition.left, condition.right)
        if join.where is not None:
            yield join.where
        yield from (item.expression for item in join.take.order_by)


def _group_nodes(group: FilterGroup) -> Iterator[Node]:
    for item in group.items:
        if isinstance(item, Condition):
            yield item.field
        else:
            yield from _group_nodes(item)
