"""What the data says about a supposed relation: one sampling statement each, within a budget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from importer.errors import ImporterError
from importer.sources.schema import Table
from importer.sources.session import SourceSession, identifier

SCAN_ROWS = 50_000  # read at most, before distinct values are taken from them
SAMPLE_VALUES = 2_000
SLOWEST_PROBE_SECONDS = 1.0
MOST_TYPE_VALUES = 20

CONTAINMENT = sql.SQL(
    "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT 1 FROM {parent} AS parent WHERE {match}))"
    " FROM (SELECT DISTINCT {values} FROM (SELECT {columns} FROM {child}{condition} LIMIT {scan}) AS scanned"
    " WHERE {filled} LIMIT {sample}) AS child"
)
UNIQUENESS = sql.SQL(
    "SELECT count(*) > 0 AND count(*) = count(DISTINCT key) FROM (SELECT {} AS key FROM {} LIMIT {}) AS scanned"
)
VALUES = sql.SQL(
    "SELECT DISTINCT left({column}::text, 100) FROM (SELECT {column} FROM {table} LIMIT {scan}) AS scanned"
    " WHERE {column} IS NOT NULL ORDER BY 1 LIMIT {most}"
)


@dataclass(frozen=True)
class Sample:
    """Distinct values of a child column, and how many of them the parent has."""

    values: int
    found: int

    @property
    def containment(self) -> float:
        return self.found / self.values if self.values else 0.0


class Evidence:
    """Asks the source, until the time or the number of statements is used up; then answers None."""

    def __init__(self, session: SourceSession, *, budget_seconds: float, max_probes: int) -> None:
        self._session = session
        self._ends_at = time.monotonic() + budget_seconds
        self._left = max_probes

    def containment(
        self,
        child: Table,
        columns: Sequence[str],
        parent: Table,
        keys: Sequence[str],
        *,
        as_text: bool = False,
        only: tuple[str, str] | None = None,
    ) -> Sample | None:
        """Test up to 2,000 distinct values for existence; `only` is a column of the child and the value it must have."""
        cast = sql.SQL("::text" if as_text else "")
        aliases = [sql.Identifier(f"v{number}") for number in range(len(columns))]
        match = sql.SQL(" AND ").join(
            sql.SQL("parent.{}{} = child.{}{}").format(identifier(key), cast, alias, cast)
            for key, alias in zip(keys, aliases, strict=True)
        )
        selected = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(identifier(column), alias)
            for column, alias in zip(columns, aliases, strict=True)
        )
        condition = _sampling(child)
        if only is not None:
            condition += sql.SQL(" WHERE left({}::text, 100) = %s").format(identifier(only[0]))
        query = CONTAINMENT.format(
            parent=identifier(parent.schema, parent.name),
            match=match,
            values=sql.SQL(", ").join(aliases),
            columns=selected,
            child=identifier(child.schema, child.name),
            condition=condition,
            scan=sql.Literal(SCAN_ROWS),
            filled=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(alias) for alias in aliases),
            sample=sql.Literal(SAMPLE_VALUES),
        )
        rows = self._ask(query, (only[1],) if only else ())
        return Sample(*rows[0]) if rows else None

    def is_unique(self, table: Table, column: str) -> bool:
        """Whether the first rows have no value twice; for views and foreign tables, which declare no keys."""
        query = UNIQUENESS.format(identifier(column), identifier(table.schema, table.name), sql.Literal(SCAN_ROWS))
        rows = self._ask(query, ())
        return bool(rows and rows[0][0])

    def type_values(self, table: Table, column: str) -> tuple[str, ...]:
        """The values a polymorphic pair's type column takes, as text, at most twenty."""
        query = VALUES.format(
            column=identifier(column),
            table=identifier(table.schema, table.name),
            scan=sql.Literal(SCAN_ROWS),
            most=sql.Literal(MOST_TYPE_VALUES),
        )
        return tuple(str(value) for (value,) in self._ask(query, ()) or ())

    def _ask(self, query: sql.Composed, params: tuple[str, ...]) -> list[tuple[int, ...]] | None:
        """The rows, or None: the budget is used up, the probe took too long, or these columns cannot be compared."""
        if self._left <= 0 or time.monotonic() >= self._ends_at:
            return None
        self._left -= 1
        try:
            return self._session.fetch_all(query, params, timeout_seconds=SLOWEST_PROBE_SECONDS)
        except ImporterError:
            if not self._session.is_open:
                raise
            return None


def _sampling(table: Table) -> sql.Composable:
    """Blocks from all over a large table, so that its oldest rows do not speak for it; the same ones each time."""
    if table.kind not in ("table", "partitioned", "matview") or (table.row_estimate or 0) <= 2 * SCAN_ROWS:
        return sql.SQL("")
    percent = 100 * SCAN_ROWS / (table.row_estimate or 1)
    return sql.SQL(" TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(sql.Literal(percent))
