"""What is read from one table: columns, conditions and order, as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import sql

from exporter.filters import ALIAS
from importer.query.composing import identifier
from servicevault.tables import Column, Table

Statement = tuple[sql.Composed, Mapping[str, object]]


@dataclass(frozen=True)
class Selection:
    """Rows of one table; `values` are bound to the placeholders of `conditions`."""

    table: Table
    columns: tuple[str, ...]
    conditions: tuple[sql.Composable, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)
    sort: tuple[tuple[str, bool], ...] = ()  # (column, descending); the primary key follows (F-167)
    row_limit: int | None = None
    filters_by_closed: bool = False  # a row filter may name columns that nobody is shown

    @property
    def reads_closed(self) -> bool:
        """Whether the rows are told apart or put in order by a column that nobody is shown (G15)."""
        closed = {column.name for column in self.table.columns if column.sensitive}
        return self.filters_by_closed or not closed.isdisjoint(self.table.primary_key)

    def rows(self, *, limit: int | None = None, offset: int = 0) -> Statement:
        """All rows, or a page of them."""
        return self.shaped([read(self.table.by_name[name]) for name in self.columns], limit=limit, offset=offset)

    def shaped(self, expressions: Sequence[sql.Composable], *, limit: int | None = None, offset: int = 0) -> Statement:
        """The rows with other expressions in the place of the columns."""
        most = self.row_limit if limit is None else min(limit, max(0, (self.row_limit or limit + offset) - offset))
        parts = [
            sql.SQL("SELECT {}").format(sql.SQL(", ").join(expressions)),
            self._source(),
            sql.SQL("ORDER BY {}").format(sql.SQL(", ").join(self._order())),
        ]
        if most is not None:
            parts.append(sql.SQL("LIMIT {}").format(sql.Literal(most)))
        if offset:
            parts.append(sql.SQL("OFFSET {}").format(sql.Literal(offset)))
        return sql.SQL(" ").join(parts), self.values

    def counting(self) -> Statement:
        """How many rows there are, whatever the row limit."""
        return sql.SQL("SELECT count(*) {}").format(self._source()), self.values

    def explaining(self) -> Statement:
        """The planner's guess of the same number."""
        return sql.SQL("EXPLAIN (FORMAT json) SELECT 1 {}").format(self._source()), self.values

    def with_row_limit(self, row_limit: int | None) -> Selection:
        return replace(self, row_limit=row_limit)

    def _source(self) -> sql.Composed:
        source = sql.SQL("FROM {} AS {}").format(
            identifier(self.table.schema, self.table.relation), sql.Identifier(ALIAS)
        )
        if not self.conditions:
            return source
        return sql.SQL("{} WHERE {}").format(source, sql.SQL(" AND ").join(self.conditions))

    def _order(self) -> list[sql.Composable]:
        found: list[sql.Composable] = []
        for name, descending in self.sort:
            found.append(sql.SQL("{} DESC" if descending else "{}").format(column_of(name)))
        chosen = {name for name, _ in self.sort}
        found += [column_of(name) for name in self.table.primary_key if name not in chosen]
        if not self.table.primary_key:
            # Where rows lie is the only order left: the same as long as no row changes.
            found += [sql.SQL("{}.tableoid, {}.ctid").format(sql.Identifier(ALIAS), sql.Identifier(ALIAS))]
        return found


def column_of(name: str) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.Identifier(ALIAS), identifier(name))


def read(column: Column) -> sql.Composable:
    """The column as it is read: char(n) without the blanks PostgreSQL fills it up with."""
    if column.base == "bpchar":
        return sql.SQL("{}::text AS {}").format(column_of(column.name), identifier(column.name))
    return column_of(column.name)
