"""Rehearsal: the very same statements, in one target transaction that ends in ROLLBACK (X18).

References, unique rules and constraints are judged on the real state. Outcomes leave through a second
connection, slice by slice, as records of the rehearsal's own job. Most updates are tried inside a savepoint that
is rolled back at once, so that nobody waits for their row locks; whoever waits for what is left ends the
transaction (`yielding`), and the rehearsal begins anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import psycopg
from psycopg import sql

from importer.pipeline import chunks, late_links, staging
from importer.pipeline.defaults import DEFAULT, record_default, recorded_default
from importer.pipeline.load import Counts, count
from importer.pipeline.plan import LoadPlan
from importer.pipeline.readers import MAX_ROW_BYTES, RangeReader, fetched_at_once
from importer.pipeline.rehearsal_loading import RECORD_VALUES, RehearsalLoader
from importer.pipeline.run import Stopped
from importer.pipeline.staging import Row
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.yielding import Yielding
from importer.query.compiled import CompiledQuery
from importer.sources.session import SourceSession

REHEARSAL_LOCK = chunks.LOCK_CLASS + 3


Take = Callable[[int, Iterable[Counts]], None]


class Plan(Protocol):
    """What a rehearsal needs of a run's plan."""

    @property
    def key(self) -> str: ...
    @property
    def compiled(self) -> CompiledQuery: ...
    @property
    def load(self) -> LoadPlan: ...
    @property
    def table(self) -> TablePlan | None: ...


class Run(Protocol):
    pk: Any


def shadow(run_id: int) -> int:
    """The run's number on records inside the transaction, so that those carried out never wait for them."""
    return -run_id


def rehearse(
    plans: Sequence[Plan],
    runs: Mapping[str, Run],
    *,
    connect: Callable[[], psycopg.Connection],
    job_id: str,
    batch_rows: int,
    source: SourceSession,
    on_slice: Callable[[int, Counts], None],
    on_halved: Callable[[int, int], None],  # run id, keys that are read at once from now on
    alone: Callable[[Any, Callable[[], None]], None],
    finish: Callable[[], None],
    stop: threading.Event,
) -> None:
    """Run every query without lasting effect on the target.

    `alone` is given each plan with what rehearses it, and decides what a failure of the source means to the others.
    One worker rehearses and calls `finish`; a second one waits and finds the job finished. One that takes over begins
    anew.
    Raises Stopped when the job is cancelled, GaveWay when somebody waited for what the rehearsal held.
    """
    loads = [plan.load for plan in plans]

    def act(inside: psycopg.Connection, take: Take) -> None:
        def slices(plan: Plan, run_id: int) -> Iterator[Counts]:
            loader = RehearsalLoader(inside, plan.load, run_id=shadow(run_id), job_id=job_id, beside=loads)
            rows = _ordered(inside, source, plan.compiled, run_id, partial(on_halved, run_id))
            for number, piece in enumerate(staging.slices(rows, max_rows=batch_rows)):
                yield loader.write(piece.rows, batch=number)

        for plan in plans:
            run_id = runs[plan.key].pk
            alone(plan, partial(take, run_id, slices(plan, run_id)))

    taken_back(act, connect=connect, job_id=job_id, loads=loads, on_slice=on_slice, finish=finish, stop=stop)


def taken_back(
    act: Callable[[psycopg.Connection, Take], None],
    *,
    connect: Callable[[], psycopg.Connection],
    job_id: str,
    loads: Sequence[LoadPlan],  # of the target types it writes to
    on_slice: Callable[[int, Counts], None],
    finish: Callable[[], None],
    stop: threading.Event,
) -> None:
    """Let `act` write in a transaction that is rolled back; what became of its rows is kept under the job's runs.

    It is given the connection to write through, and what takes the slices of a run, written as `shadow` of it.
    Raises what `rehearse` raises.
    """
    with connect() as inside, connect() as outside:
        if not _alone(outside, job_id, stop):
            return
        _forget(outside, job_id)

        def take(run_id: int, slices: Iterable[Counts]) -> None:
            _begin(outside, run_id)
            for number, counts in enumerate(slices):
                _carry_out(inside, outside, run_id, number)
                count(outside, run_id, counts)
                outside.commit()
                on_slice(run_id, counts)
                if stop.is_set():
                    raise Stopped
            _end(outside, run_id)

        with Yielding(connect, inside.info.backend_pid):
            try:
                inside.execute("SET CONSTRAINTS ALL IMMEDIATE")
                act(inside, take)
                default = recorded_default(inside, job_id)
                late_links.link_all(inside, job_id, entity_ids=[load.entity_id for load in loads])
                links = _Links.found(inside, job_id)
            finally:
                inside.rollback()
        links.carry_out(outside)
        if default is not None:
            account, image = default
            record_default(outside, loads[0], job_id=job_id, account=account, image=image)
        outside.commit()
        finish()


def _alone(connection: psycopg.Connection, job_id: str, stop: threading.Event) -> bool:
    """Wait to be the only one who rehearses the job; False when another has finished it meanwhile."""
    while True:
        # Two statements: a status read before the lock was given may be older than the other's last word.
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, number::integer) FROM importer_importjob WHERE id = %s",
            (REHEARSAL_LOCK, job_id),
        ).fetchone()
        connection.commit()
        status = connection.execute("SELECT status FROM importer_importjob WHERE id = %s", (job_id,)).fetchone()
        connection.commit()
        if row is None or status != ("running",):
            return False
        if row[0]:
            return True
        if stop.wait(0.5):
            raise Stopped


def _forget(connection: psycopg.Connection, job_id: str) -> None:
    """Take back what a rehearsal that died had counted and recorded."""
    connection.execute(
        "DELETE FROM importer_importrecord WHERE run_id IN (SELECT id FROM importer_queryrun WHERE job_id = %s)",
        (job_id,),
    )
    connection.execute("DELETE FROM importer_queryrun WHERE job_id = %s AND key = %s", (job_id, DEFAULT))
    connection.execute(
        "UPDATE importer_queryrun SET read = 0, created = 0, updated = 0, unchanged = 0, skipped = 0, failed = 0, "
        "review = 0, warnings = 0, late_linked = 0, matched = 0, confidence = 0, status = 'pending', error_message = '', completed_at = NULL "
        "WHERE job_id = %s",
        (job_id,),
    )
    connection.commit()


def _begin(connection: psycopg.Connection, run_id: int) -> None:
    connection.execute(
        "UPDATE importer_queryrun SET status = 'running', started_at = clock_timestamp() WHERE id = %s", (run_id,)
    )
    connection.commit()


def _end(connection: psycopg.Connection, run_id: int) -> None:
    connection.execute(
        "UPDATE importer_queryrun SET status = 'done', completed_at = clock_timestamp(), total = read WHERE id = %s",
        (run_id,),
    )
    connection.commit()


@dataclass(frozen=True)
class _Links:
    """References the run would link after its rows: how many each query counts, and their records as COPY has them."""

    counts: Sequence[tuple[int, int]]  # links, run id
    records: Sequence[bytes]

    @classmethod
    def found(cls, inside: psycopg.Connection, job_id: str) -> _Links:
        """What was linked in the transaction, before it is rolled back."""
        counts = inside.execute(
            "SELECT late_linked, id FROM importer_queryrun WHERE job_id = %s AND late_linked > 0", (job_id,)
        ).fetchall()
        read = sql.SQL(
            "COPY (SELECT gen_random_uuid(), r.run_id, {} FROM importer_importrecord r WHERE r.code = 'late_link' "
            "AND r.run_id IN (SELECT q.id FROM importer_queryrun q WHERE q.job_id = {})) TO STDOUT"
        ).format(_columns(), job_id)
        with inside.cursor().copy(read) as copy:
            return cls(counts, [bytes(block) for block in copy])

    def carry_out(self, outside: psycopg.Connection) -> None:
        if not self.counts:
            return
        with outside.cursor() as cursor:
            cursor.executemany("UPDATE importer_queryrun SET late_linked = %s WHERE id = %s", self.counts)
            write = sql.SQL("COPY importer_importrecord (id, run_id, {}) FROM STDIN").format(_columns())
            with cursor.copy(write) as copy:
                for block in self.records:
                    copy.write(block)


def _columns() -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in RECORD_VALUES)


def _ordered(
    inside: psycopg.Connection,
    source: SourceSession,
    compiled: CompiledQuery,
    run_id: int,
    on_halved: Callable[[int], None],
) -> Iterator[Row]:
    """The query's rows in key order: from the source, or staged in the transaction that will be rolled back."""
    if compiled.key is not None:
        return RangeReader(source, compiled, on_halved=on_halved).rows(None, None)
    query, params = compiled.rows(None, None, max_row_bytes=MAX_ROW_BYTES)
    stream = source.stream(query, params, size=fetched_at_once(source, compiled), raw=True)
    with inside.transaction():  # a source that fails meanwhile takes back no more than this
        staging.stage_whole(inside, run_id, stream)
    return staging.told_apart(staging.staged_cursor(inside, run_id))


def _carry_out(inside: psycopg.Connection, outside: psycopg.Connection, run_id: int, batch: int) -> None:
    """Copy the slice's records out of the transaction that will be rolled back."""
    columns = _columns()
    read = sql.SQL(
        "COPY (SELECT gen_random_uuid(), {run}, {columns} FROM importer_importrecord "
        "WHERE run_id = {shadow} AND batch_no = {batch}) TO STDOUT"
    ).format(run=run_id, columns=columns, shadow=shadow(run_id), batch=batch)
    write = sql.SQL("COPY importer_importrecord (id, run_id, {columns}) FROM STDIN").format(columns=columns)
    with inside.cursor().copy(read) as copy_out, outside.cursor().copy(write) as copy_in:
        for block in copy_out:
            copy_in.write(block)
    outside.commit()
