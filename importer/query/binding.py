"""Ties a query to the tables of a source: every name resolved to exact bytes, or a problem that says why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from importer.sources.schema import PackView, SourceSchema, Table
from servicevault.wording import say

from . import nodes
from .functions import CAST_TYPES
from .nodes import Column, Node
from .problems import Problem, nearest
from .raw import RawQuery, read_raw
from .scope import Scope, ScopeTable, check
from .spec import Condition, DistinctOn, Field, FilterGroup, Join, JoinCondition, OrderItem, QuerySpec, TableRef, Take


@dataclass(frozen=True)
class Relation:
    """One table of a query: the base is first, its SQL alias t0."""

    ref: TableRef
    source: Table | PackView | RawQuery
    scope: ScopeTable

    @property
    def alias(self) -> str:
        return self.scope.sql_alias


@dataclass(frozen=True)
class BoundQuery:
    """A query whose columns are all written as alias.exact_name, and the problems met on the way."""

    spec: QuerySpec
    relations: tuple[Relation, ...]  # only those that exist
    problems: tuple[Problem, ...]
    opaque: bool = False  # the columns of a raw query are not known before it is described

    @property
    def base(self) -> Relation:
        return self.relations[0]

    @cached_property
    def scope(self) -> Scope:
        return Scope(tuple(relation.scope for relation in self.relations), bool(self.spec.group_by))

    def relation(self, join: Join) -> Relation:
        return next(relation for relation in self.relations if relation.ref == join.table)


def bind(spec: QuerySpec, schema: SourceSchema, extra_fields: Iterable[Field] = ()) -> BoundQuery:
    """`spec` with `extra_fields` behind its own, tied to `schema`."""
    return _Binder(schema).bind(replace(spec, fields=(*spec.fields, *extra_fields)))


def type_without_modifier(name: str) -> str:
    """ "character varying(255)" gives "character varying"."""
    head, bracket, tail = name.partition("(")
    return (head.strip() + tail.partition(")")[2]) if bracket else name


class _Binder:
    def __init__(self, schema: SourceSchema) -> None:
        self.schema = schema
        self.problems: list[Problem] = []
        self.scope = Scope()

    def bind(self, spec: QuerySpec) -> BoundQuery:
        base = self.raw_relation(spec) if spec.kind == "sql" else self.relation(spec.base, 0, "base_table")
        opaque = isinstance(base.source, RawQuery) and not base.source.columns if base else False
        relations = [base] if base else []
        for index, join in enumerate(spec.joins, start=1):
            if found := self.relation(join.table, index, f"joins[{index - 1}].table"):
                relations.append(found)
        if self.problems:
            # Names cannot be judged while a table is missing: one clear problem instead of many that follow from it.
            return BoundQuery(spec, tuple(relations), tuple(self.problems), opaque)
        self.unique_aliases(relations)
        self.scope = Scope(tuple(relation.scope for relation in relations))
        joins = tuple(self.join(join, index, relations) for index, join in enumerate(spec.joins))
        grouped = replace(self.scope, aggregates=bool(spec.group_by))
        bound = replace(
            spec,
            joins=joins,
            fields=tuple(self.field(field, f"fields[{index}]", grouped) for index, field in enumerate(spec.fields)),
            filters=self.group(spec.filters, "filters", self.scope),
            group_by=self.nodes(spec.group_by, "group_by", self.scope),
            having=self.group(spec.having, "having", grouped),
            distinct_on=self.distinct(spec.distinct_on),
        )
        return BoundQuery(bound, tuple(relations), tuple(self.problems), opaque)

    # -- tables

    def relation(self, ref: TableRef, index: int, path: str) -> Relation | None:
        source: Table | PackView | None = None if ref.schema else self.schema.view(ref.name)
        source = source or self.schema.table(ref.name, ref.schema)
        if source is None:
            shown = f"{ref.schema}.{ref.name}" if ref.schema else ref.name
            names = [table.full_name for table in self.schema.tables] if ref.schema else self.schema.names()
            closest = nearest(shown, names)
            hint = say("Closest: `{closest}`.", closest=closest) if closest else ""
            self.problems.append(
                Problem(path, say("Table `{shown}` does not exist.", shown=shown), hint, "unknown_table")
            )
            return None
        columns = {column.name: type_without_modifier(column.type) for column in source.columns}
        table_schema = source.schema if isinstance(source, Table) else ""
        return Relation(ref, source, ScopeTable(ref.alias or ref.name, ref.name, table_schema, columns, f"t{index}"))

    def raw_relation(self, spec: QuerySpec) -> Relation | None:
        raw = read_raw(spec.sql, dict(spec.params))
        self.problems.extend(raw.problems)
        if raw.problems:
            return None
        alias = spec.base.alias or "query"
        return Relation(spec.base, raw, ScopeTable(alias, alias, "", dict.fromkeys(raw.columns, ""), "t0"))

    def unique_aliases(self, relations: list[Relation]) -> None:
        seen: set[str] = set()
        for index, relation in enumerate(relations):
            if relation.scope.alias in seen:
                path = f"joins[{index - 1}].alias"
                self.problems.append(
                    Problem(path, say("The alias `{scope}` is used twice.", scope=relation.scope.alias))
                )
            seen.add(relation.scope.alias)

    # -- names

    def node(self, node: Node, path: str, scope: Scope) -> Node:
        problems = check(node, scope)
        self.problems.extend(problem.under(path) for problem in problems)
        if any(problem.is_error and problem.code != "type_mismatch" for problem in problems):
            return node
        return qualify(node, scope)

    def nodes(self, found: tuple[Node, ...], path: str, scope: Scope) -> tuple[Node, ...]:
        return tuple(self.node(node, f"{path}[{index}]", scope) for index, node in enumerate(found))

    def order(self, items: tuple[OrderItem, ...], path: str, scope: Scope) -> tuple[OrderItem, ...]:
        return tuple(
            replace(item, expression=self.node(item.expression, f"{path}[{index}]", scope))
            for index, item in enumerate(items)
        )

    def field(self, field: Field, path: str, scope: Scope) -> Field:
        source = None if field.source is None else self.node(field.source, f"{path}.source", scope)
        return replace(field, source=source, sources=self.nodes(field.sources, f"{path}.sources", scope))

    def distinct(self, found: DistinctOn | None) -> DistinctOn | None:
        if found is None:
            return None
        columns = self.nodes(found.columns, "distinct_on.columns", self.scope)
        return DistinctOn(columns, self.order(found.order_by, "distinct_on.order_by", self.scope))

    def group(self, group: FilterGroup, path: str, scope: Scope) -> FilterGroup:
        items: list[FilterGroup | Condition] = []
        for index, item in enumerate(group.items):
            inner = f"{path}[{index}]"
            if isinstance(item, FilterGroup):
                items.append(self.group(item, f"{inner}.items", scope))
            else:
                items.append(replace(item, field=self.node(item.field, f"{inner}.field", scope)))
        return replace(group, items=tuple(items))

    # -- joins

    def join(self, join: Join, index: int, relations: list[Relation]) -> Join:
        path = f"joins[{index}]"
        earlier = Scope(tuple(relation.scope for relation in relations[: index + 1]))
        own = Scope((relations[index + 1].scope,))
        visible = Scope((*earlier.tables, *own.tables))
        conditions = tuple(
            JoinCondition(
                self.side(condition.left, earlier, visible, f"{path}.on"),
                condition.operator,
                self.side(condition.right, own, visible, f"{path}.on"),
            )
            for condition in join.conditions
        )
        where = None if join.where is None else self.node(join.where, f"{path}.where", visible)
        order_by = self.order(join.take.order_by, f"{path}.take.order_by", visible)
        self.take_columns(join.take, own, path)
        return replace(join, conditions=conditions, where=where, take=replace(join.take, order_by=order_by))

    def side(self, node: Node, preferred: Scope, visible: Scope, path: str) -> Node:
        """A side of a join: a bare name means the preferred tables first, so `id = customer_id` is clear."""
        found = all(len(preferred.find(column)) == 1 for column in nodes.columns_of(node))
        return self.node(node, path, preferred if found else visible)

    def take_columns(self, take: Take, own: Scope, path: str) -> None:
        for index, item in enumerate(take.columns):
            column = Column(item.column, own.tables[0].alias)
            if not own.find(column):
                self.problems.append(own.problem(column, []).under(f"{path}.take.columns[{index}]"))


def qualify(node: Node, scope: Scope) -> Node:
    """`node` with every column written as alias.exact_name; the names must all be known in `scope`."""

    def exact(column: Column) -> Node:
        table, name = scope.resolve(column)
        return Column(name, table.alias)

    return nodes.map_columns(node, exact)


def moment_type(node: Node, scope: Scope) -> str:
    """Whether `node` is a timestamptz, timestamp or date; "" when that cannot be told."""
    match node:
        case Column():
            names = {"timestamp with time zone": "timestamptz", "timestamp without time zone": "timestamp"}
            found = scope.type_of(node)
            return names.get(found, "date" if found == "date" else "")
        case nodes.Cast(_, type_name, _) | nodes.TypedText(type_name, _):
            return type_name if CAST_TYPES[type_name].family in ("date", "timestamp") else ""
        case nodes.Call("NOW" | "TO_TIMESTAMP", _, _):
            return "timestamptz"
        case nodes.Call("DATE_TRUNC", (_, value), _):
            inner = moment_type(value, scope)
            return "timestamptz" if inner == "date" else inner
        case nodes.Call("COALESCE" | "GREATEST" | "LEAST" | "NULLIF" | "MIN" | "MAX", arguments, _):
            return next((found for item in arguments if (found := moment_type(item, scope))), "")
        case nodes.Binary("at time zone", left, _):
            return "timestamp" if moment_type(left, scope) == "timestamptz" else "timestamptz"
    return ""
