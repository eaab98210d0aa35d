"""Rehearsal: the very same statements, in one target transaction that ends in ROLLBACK (X18).

References, unique rules and constraints are judged on the real state. Outcomes leave through a second
connection, slice by slice, as records of the rehearsal's own job. Most updates are tried inside a savepoint that
is rolled back at once, so that nobody waits for their row locks; whoever waits for what is left ends the
transaction (`yielding`), and the rehearsal begins anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import psycopg
from psycopg import sql

from importer.pipeline import chunks, late_links, staging
from importer.pipeline.defaults import default_run, known_default
from importer.pipeline.load import Counts, Loader, Statement, count
from importer.pipeline.observed import observed_columns
from importer.pipeline.plan import LoadPlan
from importer.pipeline.readers import MAX_ROW_BYTES, RangeReader, fetched_at_once
from importer.pipeline.run import Stopped
from importer.pipeline.staging import Row
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.yielding import Yielding
from importer.query.compiled import CompiledQuery
from importer.sources.session import SourceSession

REHEARSAL_LOCK = chunks.LOCK_CLASS + 3
RECORD_VALUES = (
    "batch_no", "source_identifier", "source_row", "ordinal", "action", "code", "target_id", "source_hash", "source_data",
    "before_image", "after_image", "changed_fields", "problems", "warnings", "confidence", "matching",
)  # fmt: skip


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


class RehearsalLoader(Loader):
    """Writes into a transaction somebody else will roll back.

    An update is undone at once unless a later row may be judged by it: one that changes an observed column stays,
    and one whose target is met again is done again before. So later rows find what the run would have left.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        plan: LoadPlan,
        *,
        run_id: int,
        job_id: str,
        beside: Sequence[LoadPlan] = (),  # what else the job loads
    ) -> None:
        super().__init__(connection, plan, run_id=run_id, job_id=job_id)
        self._observed = observed_columns(connection, plan, beside)
        # Targets whose updates stay; of all queries, for two of them may feed one table.
        connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS kept (target_id uuid PRIMARY KEY)")

    def _try_or_keep(self, statement: Statement, context: dict[str, Any]) -> None:
        tried = self.connection.execute(
            "UPDATE pg_temp.work w SET action = 'tried' WHERE w.action = 'updated' AND NOT w.changed && %s "
            "AND NOT EXISTS (SELECT FROM pg_temp.kept k WHERE k.target_id = w.target_id)",
            (self._observed,),
            prepare=True,
        ).rowcount
        staying = self.connection.execute(
            "WITH noted AS (INSERT INTO pg_temp.kept SELECT w.target_id FROM pg_temp.work w WHERE w.action = 'updated' "
            "ON CONFLICT DO NOTHING) SELECT FROM pg_temp.work w WHERE w.action = 'updated' LIMIT 1",
            prepare=True,
        ).rowcount
        if staying:
            statement.run(self.connection, **context)
        if tried:
            self._swap("updated", "kept")
            self._swap("tried", "updated")
            self._try(statement, context)
            self._swap("kept", "updated")

    def _swap(self, action: str, other: str) -> None:
        self.connection.execute("UPDATE pg_temp.work SET action = %s WHERE action = %s", (other, action), prepare=True)

    def _try(self, statement: Statement, context: dict[str, Any]) -> None:
        """Update, keep only the records: they leave before the savepoint is rolled back and come back after."""
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in ("id", "run_id", *RECORD_VALUES))
        read = sql.SQL(
            "COPY (SELECT {columns} FROM importer_importrecord WHERE run_id = {run} AND batch_no = {batch} "
            "AND id IN (SELECT w.record_id FROM pg_temp.work w WHERE w.action = 'updated')) TO STDOUT"
        ).format(columns=columns, run=self.run_id, batch=context["batch"])
        with self.connection.transaction(force_rollback=True):
            statement.run(self.connection, **context)
            with self.connection.cursor().copy(read) as copy:
                tried = [bytes(block) for block in copy]
        write = sql.SQL("COPY importer_importrecord ({columns}) FROM STDIN").format(columns=columns)
        with self.connection.cursor().copy(write) as copy:
            for block in tried:
                copy.write(block)

    @cached_property
    def _lock(self) -> Statement:
        """Instead of locking: update again, to stay, the targets about to be compared whose update was undone."""
        columns = self.connection.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = (quote_ident(%s))::regclass AND attnum > 0 "
            "AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a' AND attname <> 'id'",
            (self.plan.target.table,),
        ).fetchall()
        names = [sql.Identifier(column) for (column,) in columns]
        return Statement(
            sql.SQL(
                "WITH met AS (SELECT DISTINCT ON (w.target_id) w.target_id, r.after_image FROM pg_temp.work w "
                "JOIN external_refs e ON e.target_id = w.target_id JOIN importer_importrecord r ON r.id = e.record_id "
                "WHERE w.action = 'existing' AND r.run_id <= 0 AND r.action = 'updated' "
                "AND NOT EXISTS (SELECT FROM pg_temp.kept k WHERE k.target_id = w.target_id) "
                "ORDER BY w.target_id, r.id DESC), "
                "noted AS (INSERT INTO pg_temp.kept SELECT met.target_id FROM met) "
                "UPDATE {table} t SET ({columns}) = (SELECT {values} FROM json_populate_record(t, met.after_image) x) "
                "FROM met WHERE t.id = met.target_id"
            ).format(
                table=sql.Identifier(self.plan.target.table),
                columns=sql.SQL(", ").join(names),
                values=sql.SQL(", ").join(sql.SQL("x.{}").format(name) for name in names),
            ),
            {},
        )


class TrialLoader(RehearsalLoader):
    """Writes into a transaction that is rolled back, without a job beside it."""

    _pending = None  # nothing is linked later
    _default: Any = None

    def _default_account(self) -> Any:
        self._default = self._default or known_default(self.connection, self.plan)
        if self._default is None and self.plan.makes_default_account:
            row = self.connection.execute(
                "INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), %s) RETURNING id",
                (self.plan.default_account_name,),
            ).fetchone()
            self._default = row[0] if row else None
        return self._default


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
    with connect() as inside, connect() as outside:
        if not _alone(outside, job_id, stop):
            return
        _forget(outside, job_id)
        loads = [plan.load for plan in plans]
        with Yielding(connect, inside.info.backend_pid):
            try:
                inside.execute("SET CONSTRAINTS ALL IMMEDIATE")

                def rehearse_one(plan: Plan) -> None:
                    run_id = runs[plan.key].pk
                    _begin(outside, run_id)
                    loader = RehearsalLoader(inside, plan.load, run_id=shadow(run_id), job_id=job_id, beside=loads)
                    rows = _ordered(inside, source, plan.compiled, run_id, partial(on_halved, run_id))
                    for number, piece in enumerate(staging.slices(rows, max_rows=batch_rows)):
                        counts = loader.write(piece.rows, batch=number)
                        _carry_out(inside, outside, run_id, number)
                        count(outside, run_id, counts)
                        outside.commit()
                        on_slice(run_id, counts)
                        if stop.is_set():
                            raise Stopped
                    _end(outside, run_id)

                for plan in plans:
                    alone(plan, partial(rehearse_one, plan))
                makes_default_account = _makes_default_account(inside, job_id)
                late_links.link_all(inside, job_id, entity_ids=[load.entity_id for load in loads])
                links = _Links.found(inside, job_id)
            finally:
                inside.rollback()
        links.carry_out(outside)
        if makes_default_account:
            default_run(outside, loads[0], job_id=job_id)
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


def _makes_default_account(inside: psycopg.Connection, job_id: str) -> bool:
    found = inside.execute("SELECT FROM importer_queryrun WHERE job_id = %s AND key = '__default__'", (job_id,))
    return bool(found.rowcount)


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
