"""Rehearsal: the very same statements, in one target transaction that ends in ROLLBACK (X18).

References, unique rules and constraints are judged on the real state. Outcomes leave through a second
connection, slice by slice, as records of the rehearsal's own job. Updates are tried inside a savepoint that
is rolled back at once, so nobody waits for their row locks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import psycopg
from psycopg import sql

from importer.pipeline import staging
from importer.pipeline.load import Counts, Loader, Statement, count
from importer.pipeline.plan import LoadPlan
from importer.pipeline.readers import FETCHED_AT_ONCE, MAX_ROW_BYTES, Pairs
from importer.pipeline.run import Stopped
from importer.query.compiled import CompiledQuery
from importer.sources.session import SourceSession

RECORD_VALUES = (
    "batch_no", "source_identifier", "ordinal", "action", "code", "target_id", "source_hash", "source_data",
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


class Run(Protocol):
    pk: Any


def shadow(run_id: int) -> int:
    """The run's number on records inside the transaction, so that those carried out never wait for them."""
    return -run_id


class RehearsalLoader(Loader):
    """Writes into a transaction somebody else will roll back; updates are tried and undone at once."""

    _pending = None  # nothing is linked later

    def _try_or_keep(self, statement: Statement, context: dict[str, Any]) -> None:
        with self.connection.transaction(force_rollback=True):
            statement.run(self.connection, **context)
        self._rest_of_updates(context)

    def _rest_of_updates(self, context: dict[str, Any]) -> None:
        """Record what would be updated; the record of the try went with its savepoint."""
        self.connection.execute(
            "INSERT INTO importer_importrecord (id, run_id, batch_no, source_identifier, ordinal, action, code, target_id, "
            "source_hash, source_data, before_image, changed_fields, warnings, confidence, matching) "
            "SELECT w.record_id, %(run)s, %(batch)s, w.key, w.ordinal, w.action, w.code, w.target_id, s.hash, s.row, "
            "w.before, w.changed, w.warnings, w.confidence, w.matching "
            "FROM pg_temp.work w JOIN pg_temp.stage s ON s.n = w.n WHERE w.action = 'updated'",
            context,
        )


def rehearse(
    plans: Sequence[Plan],
    runs: Mapping[str, Run],
    *,
    connect: Callable[[], psycopg.Connection],
    job_id: str,
    batch_rows: int,
    source: SourceSession,
    on_slice: Callable[[int, Counts], None],
    stop: threading.Event,
) -> None:
    """Run every query without lasting effect on the target. Raises Stopped when the job is cancelled."""
    with connect() as inside, connect() as outside:
        try:
            inside.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for plan in plans:
                run_id = runs[plan.key].pk
                outside.execute(
                    "UPDATE importer_queryrun SET status = 'running', started_at = clock_timestamp() WHERE id = %s",
                    (run_id,),
                )
                outside.commit()
                loader = RehearsalLoader(inside, plan.load, run_id=shadow(run_id), job_id=job_id)
                rows = staging.read_rows(_ordered(inside, source, plan.compiled, run_id))
                for number, piece in enumerate(staging.slices(rows, max_rows=batch_rows)):
                    counts = loader.write(piece.rows, batch=number)
                    _carry_out(inside, outside, run_id, number)
                    count(outside, run_id, counts)
                    outside.commit()
                    on_slice(run_id, counts)
                    if stop.is_set():
                        raise Stopped
                outside.execute(
                    "UPDATE importer_queryrun SET status = 'done', completed_at = clock_timestamp(), total = read WHERE id = %s",
                    (run_id,),
                )
                outside.commit()
        finally:
            inside.rollback()


def _ordered(inside: psycopg.Connection, source: SourceSession, compiled: CompiledQuery, run_id: int) -> Pairs:
    """The query's rows in key order: from the source, or staged in the transaction that will be rolled back."""
    query, params = compiled.rows(None, None, max_row_bytes=MAX_ROW_BYTES)
    stream = source.stream(query, params, size=FETCHED_AT_ONCE, raw=True)
    if compiled.key is not None:
        yield from stream
        return
    staging.stage_whole(inside, run_id, stream)
    yield from staging.staged_cursor(inside, run_id)


def _carry_out(inside: psycopg.Connection, outside: psycopg.Connection, run_id: int, batch: int) -> None:
    """Copy the slice's records out of the transaction that will be rolled back."""
    columns = sql.SQL(", ").join(sql.Identifier(column) for column in RECORD_VALUES)
    read = sql.SQL(
        "COPY (SELECT gen_random_uuid(), {run}, {columns} FROM importer_importrecord "
        "WHERE run_id = {shadow} AND batch_no = {batch}) TO STDOUT"
    ).format(run=run_id, columns=columns, shadow=shadow(run_id), batch=batch)
    write = sql.SQL("COPY importer_importrecord (id, run_id, {columns}) FROM STDIN").format(columns=columns)
    with inside.cursor().copy(read) as copy_out, outside.cursor().copy(write) as copy_in:
        for block in copy_out:
            copy_in.write(block)
    outside.commit()
