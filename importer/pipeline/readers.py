"""Readers: where rows come from, always in the order of their keys.

A query whose rows are found by a unique key of its base table is read by ranges of that key, straight from
the source. Anything else (a grouped query, raw SQL, a file) is staged whole first; then the ranges are
ranges of the staged result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Protocol

import psycopg

from importer.errors import JobFailed
from importer.pipeline import staging
from importer.pipeline.staging import Row
from importer.pipeline.tables import stage
from importer.pipeline.tables.judge import stage_and_judge
from importer.pipeline.tables.plan import TablePlan
from importer.query.compiled import CompiledQuery
from importer.sources.session import SourceSession
from servicevault.wording import say, say_count

MAX_ROW_BYTES = 32 * 1024 * 1024  # a larger row fails by itself instead of filling the worker's memory
FETCHED_ROWS = 50  # where nobody says otherwise
Cells = tuple[bytes | None, bytes | None]  # a row's key and its JSON


class Reader(Protocol):
    """Cuts a query's result into ranges and reads one of them."""

    how: str

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        """The last key of each chunk, and the number of rows where it is known."""

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        """The rows after `lo` up to and with `hi`, in key order."""


class RangeReader:
    """Reads ranges of the key from the source."""

    how = "ranges"

    def __init__(self, session: SourceSession, compiled: CompiledQuery, *, read_ahead: int = FETCHED_ROWS) -> None:
        self.session = session
        self.compiled = compiled
        self.read_ahead = read_ahead

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        found = self.session.fetch_all(*self.compiled.boundaries(chunk_rows))
        return [str(key) for (key, *_) in found], None

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        query, params = self.compiled.rows(lo, hi, max_row_bytes=MAX_ROW_BYTES)
        return staging.read_rows(self.session.stream(query, params, size=self.fetched, raw=True))

    @cached_property
    def fetched(self) -> int:
        return fetched_at_once(self.session, self.compiled, self.read_ahead)


class StagedReader:
    """Reads a whole result once into a table of the run, in the order of its keys, then ranges of that table."""

    how = "staged"

    def __init__(
        self,
        fill: Callable[[psycopg.Connection], int],
        connect: Callable[[], psycopg.Connection],
        run_id: int,
        *,
        read_ahead: int = FETCHED_ROWS,
    ) -> None:
        self.fill = fill
        self.connect = connect
        self.run_id = run_id
        self.read_ahead = read_ahead

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        count = self.fill(connection)
        return staging.staged_bounds(connection, run_id, chunk_rows), count

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        with self.connect() as connection:
            fetched = staging.at_once(staging.staged_width(connection, self.run_id, lo, hi), self.read_ahead)
            yield from staging.told_apart(staging.staged_rows(connection, self.run_id, lo, hi, read_ahead=fetched))


class LinesReader:
    """Lets a table's file be read by its lines, without its rows passing through Python; see `tables.stage`."""

    how = "file"

    def __init__(self, ready: Callable[[psycopg.Connection], None]) -> None:
        self.ready = ready

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        self.ready(connection)
        return stage.bounds(connection, run_id, chunk_rows), stage.count_rows(connection, run_id)

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        return iter(())


def fetched_at_once(session: SourceSession, compiled: CompiledQuery, most: int = FETCHED_ROWS) -> int:
    """Rows to ask for at a time: at most these, fewer by the widest of the first twenty, for a row may have megabytes."""
    widest = session.fetch_all(*compiled.widest(20))[0][0] or 1
    return staging.at_once(int(widest), most)


def reader_for(
    session: SourceSession,
    compiled: CompiledQuery,
    *,
    connect: Callable[[], psycopg.Connection],
    run_id: int,
    read_ahead: int = FETCHED_ROWS,
) -> Reader:
    """The reader that fits the query."""
    if compiled.key is not None:
        return RangeReader(session, compiled, read_ahead=read_ahead)

    def fill(connection: psycopg.Connection) -> int:
        query, params = compiled.rows(None, None, max_row_bytes=MAX_ROW_BYTES)
        stream = session.stream(query, params, size=fetched_at_once(session, compiled, read_ahead), raw=True)
        return staging.stage_whole(connection, run_id, stream)

    return StagedReader(fill, connect, run_id, read_ahead=read_ahead)


def rows_into(
    plan: TablePlan,
    session: SourceSession,
    compiled: CompiledQuery,
    run_id: int,
    *,
    connect: Callable[[], psycopg.Connection],
    most: int | None,
    read_ahead: int = FETCHED_ROWS,
) -> Reader:
    """The reader of a query whose rows go into a table: staged and judged as those of a file are.

    To prepare it raises JobFailed for more than `most` rows.
    """

    def ready(_: psycopg.Connection) -> None:
        query, params = compiled.rows(None, None, max_row_bytes=MAX_ROW_BYTES)
        stream = session.stream(query, params, size=fetched_at_once(session, compiled, read_ahead), raw=True)
        with connect() as connection:  # whoever calls holds the run's row in a transaction, and these commit
            stage_and_judge(connection, plan, run_id, stage.lines_of(_bounded(stream, plan, most)), connect=connect)

    return LinesReader(ready)


def _bounded(stream: Iterable[Cells], plan: TablePlan, most: int | None) -> Iterator[Cells]:
    for number, cells in enumerate(stream, start=1):
        if most is not None and number > most:
            raise JobFailed(
                say_count(
                    "The query has more rows than the {count} that may be imported into {table} at once.",
                    "The query has more rows than the {count:,} that may be imported into {table} at once.",
                    most,
                    table=plan.table.name,
                ),
                code="source_limit",
                hint=say("Filter it, or ask for a higher limit."),
            )
        yield cells
