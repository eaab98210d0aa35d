"""Compiles a query to SQL: the only place where people's choices become a statement for a source.

Identifiers come from the introspected schema, aliases are ours, values are bound, functions and operators are
those of pg_catalog. The text of a raw query and of a pack's view is taken as it is, after `raw` has read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from psycopg import sql

from importer.errors import QueryError
from importer.sources.schema import PackView, SourceSchema, Table
from servicevault.wording import say

from . import nodes
from .binding import BoundQuery, Relation, bind, moment_type
from .compiled import KEY_TYPES, CompiledQuery, KeyColumn, Parts
from .composing import Parameters, array_text, binary, compose, identifier, operator
from .conditions import FilterComposer, day_text
from .joins import JoinComposer, order_list
from .nodes import Node
from .problems import QueryProblems
from .raw import RawQuery, view_fault
from .spec import Field, QuerySpec, Restriction

NOT_MATERIALIZED_SINCE = 120_000  # server_version_num; older servers do not know the word


def compile_query(
    spec: QuerySpec,
    schema: SourceSchema,
    *,
    extra_fields: Iterable[Field] = (),
    now: datetime | None = None,
    timezone: str = "UTC",
) -> CompiledQuery:
    """The statement of `spec` on a source with `schema`; equal input gives equal SQL.

    `extra_fields` follow the query's own. `now` (aware; default: the clock) and `timezone` give relative dates
    their meaning.

    Raises QueryProblems when a name, an aggregate or a table does not fit, as `validate` reports beforehand.
    """
    bound = bind(spec, schema, extra_fields)
    errors = [problem for problem in bound.problems if problem.is_error and problem.code != "type_mismatch"]
    if errors:
        raise QueryProblems(errors)
    return _Compiler(bound, schema, now or datetime.now(UTC), timezone).compile()


def restrict(
    spec: QuerySpec,
    *,
    date_from: date | datetime | None = None,
    date_to: date | datetime | None = None,
    limit: int | None = None,
    ids: Sequence[str] = (),
) -> QuerySpec:
    """`spec` narrowed for one run (F11): rows whose watermark, else created_at, lies in the dates (both
    included), at most `limit` rows, only these external ids.

    Raises QueryError when dates are given and the query has neither column, or ids and no identifier.
    """
    if (date_from or date_to) and _dated(spec) is None:
        raise QueryError(
            say(
                "Query `{spec}` has neither a watermark nor a created_at field to restrict by date.",
                spec=spec.name or spec.key,
            ),
            hint=say("Map created_at, or leave the dates out."),
            where="import_filters",
        )
    if ids and _identified(spec) is None:
        raise QueryError(
            say(
                "Query `{spec}` has no field `{source_identifier}`.",
                spec=spec.name or spec.key,
                source_identifier=spec.source_identifier,
            ),
            hint=say("Map a field to it."),
            where="ids",
        )
    if limit is not None and limit < 1:
        raise QueryError(say("The limit is a whole number from 1."), where="import_filters.limit")
    return replace(spec, restriction=Restriction(date_from, date_to, limit, tuple(ids)))


def _dated(spec: QuerySpec) -> Node | None:
    """The expression a restriction by date compares."""
    if spec.watermark and spec.watermark.updated_at:
        field = spec.field_for(spec.watermark.updated_at)
        schema, table, name = ["", "", *spec.watermark.updated_at.split(".")][-3:]
        return field.source if field else nodes.Column(name, table, schema)
    field = spec.field_for("created_at")
    return field.source if field else None


def _identified(spec: QuerySpec) -> Node | None:
    field = spec.field_for(spec.source_identifier)
    return field.source if field else None


def field_node(field: Field) -> Node:
    """The expression of a field; several sources become one text without its null and blank parts (M4)."""
    if field.source is not None:
        return field.source
    parts: list[Node] = []
    for source in field.sources:
        text = nodes.Cast(source, "text")
        filled = nodes.Binary("<>", nodes.Call("BTRIM", (text,)), nodes.Text(""))
        parts.append(nodes.Case(None, ((filled, text),)))
    joined = nodes.Call("CONCAT_WS", (nodes.Text(field.separator), *parts))
    return nodes.Call("NULLIF", (joined, nodes.Text("")))


class _Compiler:
    def __init__(self, bound: BoundQuery, schema: SourceSchema, now: datetime, zone: str) -> None:
        self.bound = bound
        self.spec = bound.spec
        self.schema = schema
        self.scope = replace(bound.scope, aggregates=True)
        self.params = Parameters()
        self.filters = FilterComposer(self.scope, self.params, now, zone)
        self.members = self.filters.members
        self.zone = zone

    def compile(self) -> CompiledQuery:
        columns = tuple(field.target for field in self.spec.fields)
        if not columns and isinstance(self.bound.base.source, RawQuery):
            columns = self.bound.base.source.columns
        if len(set(columns)) != len(columns):
            raise QueryError(
                say("Two fields have the same target."),
                hint=say("Remove one of them."),
                where="fields",
                code="duplicate_target",
            )
        parts = Parts(self.views(), self.head(columns), self.conditions(), self.tail())
        raw = self.bound.base.source if isinstance(self.bound.base.source, RawQuery) else None
        return CompiledQuery(
            parts, self.params.values, columns, self.spec.source_identifier, self.key(), tuple(self.members), raw
        )

    def compose(self, node: Node) -> sql.Composed:
        return compose(node, self.scope, self.params)

    # -- the pieces, in the order of the statement

    def views(self) -> sql.Composable:
        """The WITH clause for the pack's views the query uses, and those that these use."""
        wanted = {relation.source.name for relation in self.bound.relations if isinstance(relation.source, PackView)}
        found: list[PackView] = []
        for view in reversed(self.schema.views):
            if view.name in wanted:
                found.insert(0, view)
                wanted.update(other.name for other in self.schema.views if other.name in view.sql)
        if not found:
            return sql.SQL("")
        return sql.SQL("WITH {} ").format(sql.SQL(", ").join([self.view(view) for view in found]))

    def view(self, view: PackView) -> sql.Composable:
        if fault := view_fault(view.sql):
            raise QueryError(
                say("The view `{view}` of the pack cannot be used. {fault}", view=view.name, fault=fault),
                where="base_table",
            )
        inline = self.schema.server_version >= NOT_MATERIALIZED_SINCE
        # The line break ends a comment that the text may close with.
        return sql.SQL("{} AS {}({}\n)").format(
            identifier(view.name),
            sql.SQL("NOT MATERIALIZED ") if inline else sql.SQL(""),
            sql.SQL(view.sql.strip().rstrip(";").replace("%", "%%")),
        )

    def head(self, columns: tuple[str, ...]) -> sql.Composed:
        composer = JoinComposer(self.bound, self.scope, self.params, self.relation)
        distinct, listed = self.distinct(), self.select_list(columns)
        joins = [composer.join(join) for join in self.spec.joins]
        self.members += [(f"joins[{index}]", join) for index, join in enumerate(joins)]
        return sql.SQL("SELECT {}{} FROM {}{}").format(
            distinct,
            listed,
            self.relation(self.bound.base),
            sql.SQL("").join(joins),
        )

    def distinct(self) -> sql.Composable:
        found = self.spec.distinct_on
        if found is None:
            return sql.SQL("")
        listed = sql.SQL(", ").join([self.compose(node) for node in found.columns])
        return sql.SQL("DISTINCT ON ({}) ").format(listed)

    def select_list(self, columns: tuple[str, ...]) -> sql.Composable:
        if not self.spec.fields:
            if not columns:
                return sql.SQL("*")
            base = self.bound.base.alias
            named = [identifier(base, name) + sql.SQL(" AS ") + identifier(name) for name in columns]
            return sql.SQL(", ").join(named)
        listed = []
        for index, field in enumerate(self.spec.fields):
            value = self.compose(field_node(field))
            self.members.append((f"fields[{index}].source", value))
            listed.append(sql.SQL("{} AS {}").format(value, identifier(field.target)))
        return sql.SQL(", ").join(listed)

    def relation(self, relation: Relation) -> sql.Composable:
        alias = identifier(relation.alias)
        match relation.source:
            case Table():
                return sql.SQL("{} AS {}").format(identifier(relation.source.schema, relation.source.name), alias)
            case PackView():
                return sql.SQL("{} AS {}").format(identifier(relation.source.name), alias)
            case RawQuery():
                return sql.SQL("({}\n) AS {}").format(self.raw(relation.source), alias)

    def raw(self, raw: RawQuery) -> sql.Composable:
        values = dict(self.spec.params)
        pieces: list[sql.Composable] = []
        for kind, text in raw.pieces:
            if kind == "parameter":
                pieces.append(self.params.bind(values[text], ("raw", text)))
            else:
                pieces.append(sql.SQL(text.replace("%", "%%")))
        self.members.append(("sql", sql.Composed(pieces)))
        return sql.Composed(pieces)

    def conditions(self) -> tuple[sql.Composable, ...]:
        found = self.filters.group(self.spec.filters, "filters")
        return tuple([found] if found is not None else []) + self.restriction()

    def restriction(self) -> tuple[sql.Composable, ...]:
        limits = self.spec.restriction
        if limits is None:
            return ()
        found: list[sql.Composable] = []
        dated = _dated(self.spec)
        if dated is not None and (limits.date_from or limits.date_to):
            # The watermark is written by name, not yet tied to the tables.
            dated = self.exact(dated)
            type_name = moment_type(dated, self.scope)
            for symbol, moment in ((">=", limits.date_from), ("<=", limits.date_to)):
                if moment is None:
                    continue
                if symbol == "<=" and not isinstance(moment, datetime):
                    symbol, moment = "<", moment + timedelta(days=1)  # noqa: PLW2901 the whole last day counts
                value = self.params.bind(day_text(moment, type_name, self.zone), ("restriction", dated))
                found.append(binary(self.compose(dated), symbol, value))
        identified = _identified(self.spec)
        if identified is not None and limits.ids:
            values = self.params.bind(array_text(list(limits.ids)), ("ids", identified))
            found.append(sql.SQL("({}{}ANY ({}))").format(self.compose(identified), operator("="), values))
        return tuple(found)

    def exact(self, node: Node) -> Node:
        return nodes.map_columns(node, lambda column: nodes.Column(*reversed(self._names(column))))

    def _names(self, column: nodes.Column) -> tuple[str, str]:
        table, name = self.scope.resolve(column)
        return table.alias, name

    def tail(self) -> sql.Composed:
        pieces: list[sql.Composable] = []
        if self.spec.group_by:
            listed = sql.SQL(", ").join([self.compose(node) for node in self.spec.group_by])
            pieces.append(sql.SQL(" GROUP BY {}").format(listed))
        having = self.filters.group(self.spec.having, "having")
        if having is not None:
            pieces.append(sql.SQL(" HAVING {}").format(having))
        if self.spec.distinct_on:
            first = [self.compose(node) for node in self.spec.distinct_on.columns]
            ordered = [*first, *order_list(self.spec.distinct_on.order_by, self.scope, self.params)]
            pieces.append(sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(ordered)))
        if self.spec.restriction and self.spec.restriction.limit:
            pieces.append(sql.SQL(" LIMIT {}").format(sql.SQL(str(int(self.spec.restriction.limit)))))
        return sql.Composed(pieces)

    # -- the key

    def key(self) -> KeyColumn | None:
        """The base table's unique column when it is the identifier and nothing folds or invents rows."""
        spec, source = self.spec, self.bound.base.source
        outer = any(join.type in ("right", "full") for join in spec.joins)
        limited = spec.restriction is not None and spec.restriction.limit is not None
        if spec.group_by or spec.distinct_on or outer or limited or isinstance(source, RawQuery):
            return None
        identified = _identified(spec)
        if isinstance(identified, nodes.Cast) and identified.type == "text":
            identified = identified.operand
        base = self.bound.base
        if not isinstance(identified, nodes.Column) or identified.table != base.scope.alias:
            return None
        type_name = base.scope.columns[identified.name]
        if type_name not in KEY_TYPES:
            return None
        if isinstance(source, Table):
            if identified.name not in source.single_keys():
                return None
            relation = identifier(source.schema, source.name)
            return KeyColumn(base.alias, identified.name, type_name, relation, identified.name)
        if identified.name != source.key:
            return None
        relation, column = self.key_source(source)
        return KeyColumn(base.alias, identified.name, type_name, relation, column, nullable=True)

    def key_source(self, view: PackView) -> tuple[sql.Identifier, str]:
        """Where the bounds of a view's key are read: the table it names, else the view itself."""
        *owner, column = view.key_source.split(".")
        table = self.schema.table(owner[-1], ".".join(owner[:-1])) if owner else None
        if table is None or table.column(column) is None:
            return identifier(view.name), view.key
        return identifier(table.schema, table.name), column
