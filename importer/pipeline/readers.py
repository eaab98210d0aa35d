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

from importer.errors import JobFailed, SourceExhausted
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

Cell = tuple[bytes | None, bytes | None]  # key and JSON; None: the row is too large to be carried
Range = tuple[str | None, str | None]  # after the first key, up to and with the second


class Reader(Protocol):
    """Cuts a query's result into ranges and reads one of them."""

    how: str

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        """The last key of each chunk, and the number of rows where it is known."""

    def restage(self, connection: psycopg.Connection, run_id: int) -> None:
        """Stage anew, for the chunks there are, what was dropped while the job rested. Raises JobFailed when it cannot."""

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        """The rows after `lo` up to and with `hi`, in key order."""


class RangeReader:
    """Reads ranges of the key from the source; a range that is too much for the source's memory, in halves (J24).

    A row that is too much by itself comes without its data. `on_halved` is told how many keys are read at once from
    now on, each time it is fewer.
    """

    how = "ranges"

    def __init__(
        self,
        session: SourceSession,
        compiled: CompiledQuery,
        *,
        read_ahead: int = FETCHED_ROWS,
        on_halved: Callable[[int], None] = lambda keys: None,
    ) -> None:
        self.session = session
        self.compiled = compiled
        self.read_ahead = read_ahead
        self.on_halved = on_halved
        self.most_keys: int | None = None  # at once, since memory lacked for more
        self.lacked = False  # memory for the row before this one

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        found = self.session.fetch_all(*self.compiled.boundaries(chunk_rows))
        return [str(key) for (key, *_) in found], None

    def restage(self, connection: psycopg.Connection, run_id: int) -> None:
        """Nothing of it is staged."""

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        return staging.read_rows(self._cells(lo, hi))

    def _cells(self, lo: str | None, hi: str | None) -> Iterator[Cell]:
        waiting = [(lo, hi)]
        while waiting:
            lo, hi = waiting.pop()
            if self.most_keys is not None:
                middle, keys = self._middle(lo, hi)
                if keys > self.most_keys:
                    waiting += [(middle, hi), (lo, middle)]
                    continue
            held: list[Cell] = []  # of one key: a range begins anew behind a key whose rows were all read
            try:
                for cell in self._stream(lo, hi):
                    if held and cell[0] != held[0][0]:
                        yield from held
                        lo, held, self.lacked = (held[0][0] or b"").decode(), [], False
                    held.append(cell)
            except SourceExhausted as error:
                if smaller := self._smaller(lo, hi, error):
                    waiting += smaller
                else:
                    yield self._too_large(lo, hi, error)
            else:
                yield from held
                self.lacked = self.lacked and not held

    def _stream(self, lo: str | None, hi: str | None) -> Iterator[Cell]:
        query, params = self.compiled.rows(lo, hi, max_row_bytes=MAX_ROW_BYTES)
        return self.session.stream(query, params, size=self.fetched, raw=True)

    def _smaller(self, lo: str | None, hi: str | None, error: SourceExhausted) -> list[Range]:
        """The halves of a range that failed; none when it has one key only."""
        assert self.compiled.key is not None
        if lo is None and self.compiled.key.nullable:
            raise error  # rows without a key come last in this range, where no half begins
        middle, keys = self._middle(lo, hi)
        if keys < 2:
            return []
        if not error.of_one_value:
            self.most_keys = keys // 2
            self.on_halved(self.most_keys)
        return [(middle, hi), (lo, middle)]

    def _too_large(self, lo: str | None, hi: str | None, error: SourceExhausted) -> Cell:
        """The one row of a range, without its data. Where memory lacks for two in a row, the source is to blame."""
        key, keys = self._middle(lo, hi)
        if not keys or (self.lacked and not error.of_one_value):
            raise error
        self.lacked = not error.of_one_value
        return str(key).encode(), None

    def _middle(self, lo: str | None, hi: str | None) -> tuple[str | None, int]:
        key, keys = self.session.fetch_all(*self.compiled.middle(lo, hi))[0]
        return key, int(keys)

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

    def restage(self, connection: psycopg.Connection, run_id: int) -> None:
        if not staging.is_ordered(connection, run_id):
            self.fill(connection)

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        with self.connect() as connection:
            fetched = staging.at_once(staging.staged_width(connection, self.run_id, lo, hi), self.read_ahead)
            yield from staging.told_apart(staging.staged_rows(connection, self.run_id, lo, hi, read_ahead=fetched))


class LinesReader:
    """Lets a table's file be read by its lines, without its rows passing through Python; see `tables.stage`.

    `is_lasting` says that another reading gives the same lines under the same numbers.
    """

    how = "file"

    def __init__(self, ready: Callable[[psycopg.Connection], None], *, is_lasting: bool) -> None:
        self.ready = ready
        self.is_lasting = is_lasting

    def prepare(self, connection: psycopg.Connection, run_id: int, chunk_rows: int) -> tuple[list[str], int | None]:
        self.ready(connection)
        return stage.bounds(connection, run_id, chunk_rows), stage.count_rows(connection, run_id)

    def restage(self, connection: psycopg.Connection, run_id: int) -> None:
        if stage.is_staged(connection, run_id):
            return
        if not self.is_lasting and _has_begun(connection, run_id):
            raise JobFailed(
                say(
                    "What this job had read of the source is not kept any more, and its rows have no key to go on from."
                ),
                code="drift_detected",
                hint=say("Start a new import; rows that are already here are recognised by the key for duplicates."),
            )
        self.ready(connection)

    def rows(self, lo: str | None, hi: str | None) -> Iterator[Row]:
        return iter(())


def _has_begun(connection: psycopg.Connection, run_id: int) -> bool:
    row = connection.execute("SELECT read > 0 FROM importer_queryrun WHERE id = %s", (run_id,)).fetchone()
    return bool(row and row[0])


def fetched_at_once(session: SourceSession, compiled: CompiledQuery, most: int = FETCHED_ROWS) -> int:
    """Rows to ask for at a time: at most these, fewer by the widest of the first twenty, for a row may have megabytes."""
    try:
        widest = session.fetch_all(*compiled.widest(20))[0][0] or 1
    except SourceExhausted:
        return 1
    return staging.at_once(int(widest), most)


def reader_for(
    session: SourceSession,
    compiled: CompiledQuery,
    *,
    connect: Callable[[], psycopg.Connection],
    run_id: int,
    read_ahead: int = FETCHED_ROWS,
    on_halved: Callable[[int], None],
) -> Reader:
    """The reader that fits the query; `on_halved` as in `RangeReader`."""
    if compiled.key is not None:
        return RangeReader(session, compiled, read_ahead=read_ahead, on_halved=on_halved)

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

    return LinesReader(ready, is_lasting=False)


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
