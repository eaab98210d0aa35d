"""Run: one query of a job, chunk by chunk, by as many workers as take part.

No worker leads: whoever comes first cuts the query into chunks, everyone takes the next free one, and the
query is done when no chunk is open. The database decides every tie.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from importer.errors import JobFailed
from importer.pipeline import chunks, staging
from importer.pipeline.load import Loader
from importer.pipeline.plan import LoadPlan
from importer.pipeline.planned import Beside
from importer.pipeline.readers import Reader
from importer.pipeline.reversal.load import ReversalLoader
from importer.pipeline.reversal.plan import ReversalPlan
from importer.pipeline.slices import Counts
from importer.pipeline.tables.load import TableLoader
from importer.pipeline.tables.plan import TablePlan
from servicevault.wording import say

Plan = LoadPlan | TablePlan | ReversalPlan
AnyLoader = Loader | TableLoader | ReversalLoader
WAIT_SECONDS = 0.2  # before looking again for a chunk that others hold


class Stopped(Exception):
    """The job does not run any more: cancelled, failed elsewhere, or this worker is to end."""


@dataclass
class Worker:
    """One process's part in a job: its connection, its fence, and when to stop."""

    connect: Callable[[], psycopg.Connection]
    job_id: str
    batch_rows: int
    on_slice: Callable[[int, Counts], None]  # after each commit: run id, what happened
    stop: threading.Event = field(default_factory=threading.Event)
    beside: Beside | None = None  # the plan that rows are held against

    def __post_init__(self) -> None:
        self.connection = self.connect()
        self.fence = chunks.take_fence(self.connection)

    def close(self) -> None:
        self.connection.close()

    def run(self, run_id: int, plan: Plan, reader: Reader, sql_hash: str, *, role: str | None) -> None:
        """Take part in one query until none of its chunks is open; its rows are written with the rights of the role.

        Raises Stopped when the job ends meanwhile.
        """
        self._cut(run_id, reader, sql_hash)
        loader: AnyLoader | None = None
        while True:
            if self.stop.is_set():
                raise Stopped
            chunk = chunks.claim(self.connection, run_id, self.fence)
            if chunk is not None:
                if loader is None:
                    loader = self._loader(plan, run_id)
                    loader.write_as(role)
                    self.connection.commit()
                self._chunk(loader, reader, chunk)
            elif not chunks.open_chunks(self.connection, run_id):
                break
            else:
                self.stop.wait(WAIT_SECONDS)
        self._done(run_id)

    def _loader(self, plan: Plan, run_id: int) -> AnyLoader:
        if isinstance(plan, ReversalPlan):
            return ReversalLoader(self.connection, plan, run_id=run_id, job_id=self.job_id)
        kind = TableLoader if isinstance(plan, TablePlan) else Loader
        loader = kind(self.connection, plan, run_id=run_id, job_id=self.job_id)  # type: ignore[arg-type]
        if self.beside is not None:
            loader.hold_against(self.beside)
        return loader

    def _chunk(self, loader: AnyLoader, reader: Reader, chunk: chunks.Claim) -> None:
        try:
            for piece in loader.pieces(reader, chunk, self.batch_rows):
                counts = loader.commit(chunk, piece)
                chunk = chunk.at(piece.last_key)
                self.on_slice(chunk.run_id, counts)
                if self.stop.is_set():
                    raise Stopped
            chunks.finish(self.connection, chunk)
        except chunks.Fenced:
            self.connection.rollback()
            if not self._job_runs():
                raise Stopped from None

    def _cut(self, run_id: int, reader: Reader, sql_hash: str) -> None:
        """Cut the query into chunks, once: the run's row is locked meanwhile and the others wait.

        Of a job that is resumed, what was staged may be gone since; then it is staged anew.
        """
        while True:
            with self.connection.transaction():
                row = self.connection.execute(
                    "SELECT status, plan->>'sql_hash', EXISTS (SELECT FROM importer_chunk c WHERE c.run_id = r.id AND "
                    "NOT c.done) FROM importer_queryrun r WHERE id = %s FOR UPDATE SKIP LOCKED",
                    (run_id,),
                ).fetchone()
                if row is not None:
                    status, planned, is_open = row
                    if status == "pending":
                        self._plan(run_id, reader, sql_hash)
                    elif planned != sql_hash and status == "running":
                        raise JobFailed(
                            say("The query or the source's structure changed since this job began."),
                            code="drift_detected",
                            hint=say("Start a new import; rows that are already here are recognised."),
                        )
                    elif status == "running" and is_open:
                        reader.restage(self.connection, run_id)
                    return
            if self.stop.wait(WAIT_SECONDS):
                raise Stopped

    def _plan(self, run_id: int, reader: Reader, sql_hash: str) -> None:
        bounds, total = reader.prepare(self.connection, run_id, self.batch_rows)
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO importer_chunk (run_id, no, lo, hi, done, fence) VALUES (%s, %s, %s, %s, false, 0)",
                [
                    (run_id, no, lo, hi)
                    for no, (lo, hi) in enumerate(zip([None, *bounds[:-1]], [*bounds[:-1], None], strict=True))
                ]
                if bounds
                else [],
            )
        self.connection.execute(
            "UPDATE importer_queryrun SET status = 'running', started_at = clock_timestamp(), total = coalesce(%s, total), "
            "plan = plan || jsonb_build_object('how', %s::text, 'sql_hash', %s::text) WHERE id = %s",
            (total, reader.how, sql_hash, run_id),
        )

    def _done(self, run_id: int) -> None:
        with self.connection.transaction():
            won = self.connection.execute(
                "UPDATE importer_queryrun SET status = 'done', completed_at = clock_timestamp(), total = read "
                "WHERE id = %s AND status = 'running' AND NOT EXISTS "
                "(SELECT FROM importer_chunk c WHERE c.run_id = %s AND NOT c.done)",
                (run_id, run_id),
            ).rowcount
            if won:
                staging.drop_run_table(self.connection, run_id)

    def _job_runs(self) -> bool:
        row = self.connection.execute(
            "SELECT status = 'running' AND NOT cancel_requested FROM importer_importjob WHERE id = %s", (self.job_id,)
        ).fetchone()
        self.connection.commit()
        return bool(row and row[0])
