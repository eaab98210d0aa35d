"""Rehearsal: the very same statements, in one target transaction that ends in ROLLBACK (X18).

References, unique rules and constraints are judged on the real state. Outcomes leave through a second
connection, slice by slice, as records of the rehearsal's own job. Updates are tried inside a savepoint that
is rolled back at once, so nobody waits for their row locks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg import sql

from importer.pipeline import chunks, late_links, staging, work
from importer.pipeline.defaults import default_run
from importer.pipeline.load import Counts, Loader, Statement, count
from importer.pipeline.plan import LoadPlan
from importer.pipeline.readers import MAX_ROW_BYTES, fetched_at_once
from importer.pipeline.run import Stopped
from importer.pipeline.staging import Row
from importer.pipeline.tables.plan import TablePlan
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
    """Writes into a transaction somebody else will roll back; updates are tried and undone at once.

    Nobody waits for a row that would be updated. The price: a unique key that an update would take or free is
    judged as it stands before the rehearsal.
    """

    _pending = None  # nothing is linked later
    _lock = None  # nothing is written, so nothing is locked

    def _try_or_keep(self, statement: Statement, context: dict[str, Any]) -> None:
        """Try the update, keep only its records: they leave before the savepoint is rolled back and come back after."""
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in ("id", "run_id", *RECORD_VALUES))
        read = sql.SQL(
            "COPY (SELECT {columns} FROM importer_importrecord WHERE run_id = {run} AND batch_no = {batch} "
            "AND action = 'updated' AND id IN (SELECT w.record_id FROM pg_temp.work w)) TO STDOUT"
        ).format(columns=columns, run=self.run_id, batch=context["batch"])
        with self.connection.transaction(force_rollback=True):
            statement.run(self.connection, **context)
            with self.connection.cursor().copy(read) as copy:
                tried = [bytes(block) for block in copy]
        write = sql.SQL("COPY importer_importrecord ({columns}) FROM STDIN").format(columns=columns)
        with self.connection.cursor().copy(write) as copy:
            for block in tried:
                copy.write(block)


class TrialLoader(RehearsalLoader):
    """Writes into a transaction that is rolled back, without a job beside it."""

    _default: Any = None

    def _give_default_account(self) -> None:
        column = self.plan.target.default_account
        if not column or self.connection.execute(self._lacking).fetchone() is None:
            return
        if self._default is None:
            self._default = self._default_account()
        self.connection.execute(
            sql.SQL("UPDATE pg_temp.work SET {0} = %s WHERE {0} IS NULL AND action = 'created'").format(
                work.stored(column)
            ),
            (self._default,),
        )

    def _default_account(self) -> Any:
        row = self.connection.execute(
            "SELECT e.target_id FROM external_refs e JOIN accounts a ON a.id = e.target_id "
            "WHERE e.entity_id = %s AND e.external_id = '__default__'",
            (self.plan.entity_ids["__default__"],),
        ).fetchone()
        if row is None:
            row = self.connection.execute(
                "INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), %s) RETURNING id",
                (self.plan.default_account_name,),
            ).fetchone()
        return row[0] if row else None


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
    """Run every query without lasting effect on the target. Raises Stopped when the job is cancelled.

    One worker rehearses; a second one waits and finds the job finished. One that takes over begins anew.
    """
    with connect() as inside, connect() as outside:
        if not _alone(outside, job_id, stop):
            return
        _forget(outside, job_id)
        linked = defaults = 0
        links: list[bytes] = []
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
                rows = _ordered(inside, source, plan.compiled, run_id)
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
            defaults = _count(
                inside, "SELECT count(*) FROM importer_queryrun WHERE job_id = %s AND key = '__default__'", job_id
            )
            linked = late_links.link_all(inside, job_id, entity_ids=[plan.load.entity_id for plan in plans])
            links = _link_records(inside, job_id)
        finally:
            inside.rollback()
        _announce(outside, job_id, plans, linked=linked, links=links, makes_default_account=bool(defaults))


def _alone(connection: psycopg.Connection, job_id: str, stop: threading.Event) -> bool:
    """Wait to be the only one who rehearses the job; False when another has finished it meanwhile."""
    while True:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, number::integer), status FROM importer_importjob WHERE id = %s",
            (REHEARSAL_LOCK, job_id),
        ).fetchone()
        connection.commit()
        if row is None or row[1] != "running":
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
        "review = 0, warnings = 0, late_linked = 0 WHERE job_id = %s",
        (job_id,),
    )
    connection.commit()


def _announce(
    connection: psycopg.Connection,
    job_id: str,
    plans: Sequence[Plan],
    *,
    linked: int,
    links: list[bytes],
    makes_default_account: bool,
) -> None:
    """Count what the run would do besides its rows: link late references, make the default account."""
    if linked:
        write = sql.SQL("COPY importer_importrecord (id, run_id, {}) FROM STDIN").format(_columns())
        with connection.cursor().copy(write) as copy:
            for block in links:
                copy.write(block)
        connection.execute(
            "UPDATE importer_queryrun SET late_linked = %s WHERE id = (SELECT min(id) FROM importer_queryrun WHERE job_id = %s)",
            (linked, job_id),
        )
    if makes_default_account:
        default_run(connection, plans[0].load, job_id=job_id)
    connection.commit()


def _link_records(inside: psycopg.Connection, job_id: str) -> list[bytes]:
    """The records of late links, before they are rolled back."""
    read = sql.SQL(
        "COPY (SELECT gen_random_uuid(), r.run_id, {} FROM importer_importrecord r WHERE r.code = 'late_link' "
        "AND r.run_id IN (SELECT q.id FROM importer_queryrun q WHERE q.job_id = {})) TO STDOUT"
    ).format(_columns(), job_id)
    with inside.cursor().copy(read) as copy:
        return [bytes(block) for block in copy]


def _columns() -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in RECORD_VALUES)


def _count(connection: psycopg.Connection, query: LiteralString, job_id: str) -> int:
    row = connection.execute(query, (job_id,)).fetchone()
    return int(row[0]) if row else 0


def _ordered(inside: psycopg.Connection, source: SourceSession, compiled: CompiledQuery, run_id: int) -> Iterator[Row]:
    """The query's rows in key order: from the source, or staged in the transaction that will be rolled back."""
    query, params = compiled.rows(None, None, max_row_bytes=MAX_ROW_BYTES)
    stream = source.stream(query, params, size=fetched_at_once(source, compiled), raw=True)
    if compiled.key is not None:
        return staging.read_rows(stream)
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
