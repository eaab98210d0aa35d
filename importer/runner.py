"""The runner: takes a job through its runs and turns every way it can end into a state.

The one place that catches everything: what nobody foresaw ends the job as crashed, with the traceback in the log.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import psycopg
from django.db import OperationalError as DjangoOperationalError
from django.db import connection as django_connection
from django.db import transaction
from django.utils import timezone

from importer import (
    failed_queries,
    file_staging,
    file_work,
    gateway,
    job_limits,
    planning,
    reversing,
    table_queries,
    turns,
    writer,
)
from importer.errors import ImporterError, JobFailed, SourceError, SourceLost, SourceTimeout
from importer.models import PLAN_ID, STRICT, ImportJob, JobKind, QueryRun, RunStatus
from importer.pipeline import chunks, late_links, rehearsal, slices
from importer.pipeline.load import Counts
from importer.pipeline.planned import Beside
from importer.pipeline.readers import Reader, reader_for, rows_into
from importer.pipeline.run import Stopped, Worker
from importer.pipeline.yielding import GaveWay
from importer.runs import make_runs, note_halved
from importer.sources.audit import require_unprivileged
from importer.sources.failures import ConnectionFailed
from importer.sources.session import SourceSession
from permissions import audit
from servicevault import database, logs
from servicevault.jobs import lifecycle, shutdown
from servicevault.jobs.models import JobStatus
from servicevault.jobs.progress import NullSink, Progress, ProgressSink
from servicevault.live.telling import Teller
from servicevault.wording import say, say_count

logger = logging.getLogger("servicevault.imports")

HEARTBEAT_SECONDS = 1.5  # with its own time less than two: progress is told as often (L7)
TURN_SECONDS = 1.0  # before looking again whether it is a waiting job's turn
SOURCE_RETRIES = 5  # X15: 1, 2, 4, 8, 16 seconds


def work(job_id: Any, *, sink: ProgressSink | None = None, patient: bool = True) -> str:
    """Take part in a job until it ends; returns its status then.

    Several workers may be given the same job: they share its chunks. One that comes when the job is
    finished does nothing. While too many other imports run the job stays pending: a `patient` caller
    waits for its turn, another gets "pending" back and is called again by the sweeper (X14).
    """
    with logs.about(job_id=str(job_id)):
        return _work(job_id, sink=sink, patient=patient)


def _work(job_id: Any, *, sink: ProgressSink | None, patient: bool) -> str:
    while not _admitted(job_id):
        if not patient:
            return JobStatus.PENDING
        time.sleep(TURN_SECONDS)
    # A file that was uploaded is pending and nobody's turn until a person starts it.
    if ImportJob.objects.values_list("status", flat=True).get(pk=job_id) != JobStatus.RUNNING:
        return ImportJob.objects.get(pk=job_id).status
    job = ImportJob.objects.select_related(
        "profile", "file", "created_by", "rehearses__file", "origin__file", "undoes"
    ).get(pk=job_id)
    try:
        _Session(job, sink or NullSink()).run()
    except Stopped:
        if not lifecycle.cancel(ImportJob, job_id) and shutdown.is_asked():
            lifecycle.hand_back(ImportJob, job_id)
    except KeyboardInterrupt:
        raise  # the caller decides; the job can be resumed
    except ImporterError as error:
        logger.warning("job %s failed: %s (%s)", job.number, error.message, error.code)
        code = error.code if isinstance(error, JobFailed | SourceLost) else _C16.get(error.code, "query_failed")
        with transaction.atomic():
            if lifecycle.fail(ImportJob, job_id, code=code, message=str(error)):
                _record(job, "import_failed", error_code=code)
    except Exception:
        logger.exception("job %s crashed", job.number)
        with transaction.atomic():
            if lifecycle.crash(ImportJob, job_id):
                _record(job, "import_failed", error_code="internal_error")
    finally:
        django_connection.close()
    return ImportJob.objects.get(pk=job_id).status


def _record(job: ImportJob, operation: str, **details: Any) -> None:
    """The end of a job is on record under whoever started it; both or neither are written (G27)."""
    result: audit.Result = "failed" if operation == "import_failed" else "ok"
    audit.record(
        operation,
        user=job.created_by,
        table_name=job.source_file.table_name if job.source_kind == "file" else "",
        job_id=job.pk,
        profile_id=job.profile_id,
        obj=job,
        result=result,
        details=details,
    )


def _admitted(job_id: Any) -> bool:
    """Claim the job unless the limits say that it is not its turn; True also when there is nothing to do for it."""
    job = ImportJob.objects.get(pk=job_id)
    with transaction.atomic(), django_connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", (chunks.LOCK_CLASS + 2,))
        job.refresh_from_db()
        if job.awaits_start:
            return True
        if job.status == JobStatus.PENDING and (reason := turns.reason_to_wait(job)):
            lifecycle.wait(ImportJob, job.pk, reason)
            return False
        lifecycle.claim(ImportJob, job.pk)
    return True


_COMPLETED = {JobKind.ROLLBACK: "rollback_completed", JobKind.UNDO: "rollback_undone"}
_C16 = {"timeout": "timeout", "connection_failed": "source_lost", "host_not_allowed": "source_lost"}


def connect_target() -> psycopg.Connection:
    """A connection of the pipeline's own to the application's database, tuned for set statements."""
    return database.connect(
        "service-vault/import",
        options="-c jit=off -c max_parallel_workers_per_gather=0 -c work_mem=64MB -c temp_buffers=64MB "
        "-c synchronous_commit=off -c enable_seqscan=off -c lock_timeout=30s",
    )


class _Session:
    """One worker's part in one job."""

    def __init__(self, job: ImportJob, sink: ProgressSink) -> None:
        self.job = job
        self.sink = sink
        self.teller = Teller(ImportJob, job.pk)
        self.stop = threading.Event()
        self.source: SourceSession | None = None
        self.fence = 0
        self.operation = ""
        self.progressed = False
        self.overdue = False
        self.connected = False  # the source answered once
        self.shrunk = 1  # doubled each time this process had too little memory for a batch
        self.limit_seconds = job_limits.seconds(job)

    def run(self) -> None:
        """Read and load every query. Raises Stopped when the job was cancelled or ended elsewhere."""
        with self._heartbeats():
            for attempt in range(SOURCE_RETRIES + 1):
                try:
                    self._attempt()
                    return
                except Stopped as error:
                    self._stop_or(error)
                except GaveWay as error:
                    self._again(attempt, say("Somebody needs the rows"), error)
                except (SourceLost, SourceTimeout) as error:
                    self._again(attempt, say("Source lost"), error)
                except (psycopg.OperationalError, DjangoOperationalError) as error:
                    django_connection.close()
                    if failure := slices.exhausted(error) or slices.exhausted(error.__cause__):
                        raise failure from error
                    if attempt == SOURCE_RETRIES:
                        raise JobFailed(
                            say("The target database went away."),
                            code="target_unavailable",
                            hint=say("Resume when it is back."),
                        ) from error
                    self._again(attempt, say("Target lost"), error)
                except ConnectionFailed as error:
                    if not self.connected:  # a source that never answered is a wrong address, not a lost one
                        self._stop_or(error)
                    self._again(attempt, say("Source lost"), error)
                except ImporterError as error:
                    self._stop_or(error)
                except MemoryError as error:
                    self.shrunk *= 2
                    self._again(attempt, say("Too little memory, batches are halved"), error)

    def _again(self, attempt: int, what: str, error: Exception) -> None:
        """Wait before the next attempt. Raises the error when it was the last, Stopped when the job is to end."""
        if self.stop.is_set() or attempt == SOURCE_RETRIES:
            self._stop_or(error)
        self._say(
            say(
                "{what}, trying again ({attempt} of {source_retries})",
                what=what,
                attempt=attempt + 1,
                source_retries=SOURCE_RETRIES,
            )
        )
        if self.stop.wait(2**attempt):
            self._stop_or(error)

    def _stop_or(self, error: Exception) -> NoReturn:
        """A source read that was cut because the job is to end is no failure of the source."""
        if self.overdue:
            raise job_limits.overdue(self.limit_seconds) from error
        if self.stop.is_set():
            raise Stopped from error
        raise error

    def _attempt(self) -> None:
        if self.job.lost_its_person:
            raise JobFailed(
                say("Whoever started this import was deleted, so nobody's rights are left to write with."),
                code="permission_denied",
                hint=say("Start it anew under your own name."),
            )
        if self.job.is_reversing:
            self._attempt_reversal()
            return
        if self.job.source_kind == "file":
            self._attempt_file()
            return
        self._say(say("Connecting to the source"))
        with self._source() as source:
            table_queries.check_right(planning.specs_of_job(self.job), self.job.created_by)
            plans = planning.plan_job(self.job, source)
            runs = make_runs(self.job, plans, source)
            if self.job.kind == JobKind.REHEARSAL:
                rehearsal.rehearse(
                    plans,
                    runs,
                    connect=connect_target,
                    job_id=str(self.job.pk),
                    batch_rows=self._batch_rows,
                    source=source,
                    on_slice=self._after_slice,
                    on_halved=self._halved,
                    alone=lambda plan, work: self._alone(plan, plans, runs[plan.key], source, work),
                    finish=lambda: self._finish_rehearsal(plans),
                    stop=self.stop,
                )
                return
            worker = self._worker()
            try:
                for plan in plans:
                    run = runs[plan.key]
                    self._alone(plan, plans, run, source, partial(self._import, plan, run, worker, source))
                failed_queries.raise_if_any(self.job, plans)
                self._finish([plan.load.entity_id for plan in plans], worker)
            finally:
                worker.close()

    def _import(self, plan: planning.RunPlan, run: QueryRun, worker: Worker, source: SourceSession) -> None:
        """Load one query."""
        reader: Reader
        if plan.table is not None:
            most = table_queries.most_rows(plan.table, self.job.created_by)
            reader = rows_into(
                plan.table,
                source,
                plan.compiled,
                run.pk,
                connect=connect_target,
                most=most,
                read_ahead=job_limits.read_ahead(self.job),
            )
        else:
            reader = reader_for(
                source,
                plan.compiled,
                connect=connect_target,
                run_id=run.pk,
                read_ahead=job_limits.read_ahead(self.job),
                on_halved=partial(self._halved, run.pk),
            )
        try:
            loaded = plan.table or plan.load
            worker.run(run.pk, loaded, reader, plan.compiled.sql_hash, role=writer.writer_of(loaded))
            if plan.table is not None:
                file_staging.advance_sequences(worker.connection, plan.table)
        except ImporterError:
            worker.connection.rollback()
            raise

    def _alone(
        self,
        plan: planning.RunPlan,
        plans: list[planning.RunPlan],
        run: QueryRun,
        source: SourceSession,
        work: Callable[[], None],
    ) -> None:
        """Work on one query. A failure that is its own ends it and what builds on it; the others go on (J24)."""
        if parent := failed_queries.waited_for(plan, plans, self.job):
            failed_queries.fail(
                run, say("Query “{plan}” waits for “{parent}”, which failed.", plan=plan.name, parent=parent.name)
            )
            return
        is_rehearsal = self.job.kind == JobKind.REHEARSAL
        self._say((say("Rehearsing {query}") if is_rehearsal else say("Importing {query}")).format(query=plan.name))
        try:
            work()
        except ImporterError as error:
            if self.stop.is_set() or not failed_queries.is_of_query(error):
                raise
            failed_queries.fail(run, failed_queries.explained(error, plan, source))

    def _finish_rehearsal(self, plans: list[planning.RunPlan]) -> None:
        failed_queries.raise_if_any(self.job, plans)
        self._finish([])

    def _attempt_file(self) -> None:
        """Load or rehearse a file."""
        if self.job.rehearses is not None:
            file_work.rehearse(
                self.job,
                connect=connect_target,
                batch_rows=self._batch_rows,
                tell=self._say,
                on_slice=self._after_slice,
                finish=lambda: self._finish([]),
                stop=self.stop,
            )
            return
        worker = self._worker()
        try:
            linked = file_work.load(
                self.job, worker, connect=connect_target, read_ahead=job_limits.read_ahead(self.job), tell=self._say
            )
            self._finish(linked, worker)
        finally:
            worker.close()

    def _attempt_reversal(self) -> None:
        """Take back what an import wrote, or bring it back."""
        self._say(say("Listing the records"))
        reversing.check_rights(self.job)
        worker = self._worker()
        try:
            reversing.reverse(self.job, worker, self._say)
            self._finish([])
        finally:
            worker.close()

    def _finish(self, entity_ids: list[int], worker: Worker | None = None) -> None:
        """End the job, once: the sums must add up, references that found nothing are tried again (J18, E28)."""
        if worker is not None and entity_ids:
            self._say(say("Linking late references"))
            late_links.link(worker.connection, str(self.job.pk), entity_ids=entity_ids, role=writer.of_desk)
        counters = self.job.counters()
        outcomes = sum(counters[name] for name in ("created", "updated", "unchanged", "skipped", "failed", "review"))
        if counters["read"] != outcomes:
            raise JobFailed(
                say_count(
                    "{count} row was read but {outcomes} have an outcome.",
                    "{count} rows were read but {outcomes} have an outcome.",
                    counters["read"],
                    outcomes=outcomes,
                ),
                code="counter_mismatch",
            )
        with transaction.atomic():
            if lifecycle.complete(ImportJob, self.job.pk):
                _record(
                    self.job, _COMPLETED.get(JobKind(self.job.kind), "import_completed"), kind=self.job.kind, **counters
                )

    # -- parts ---------------------------------------------------------------------------------------------------

    def _worker(self) -> Worker:
        """This process's part in what is written."""
        plan = self.job.options.get(PLAN_ID)
        beside = Beside(str(plan), strict=bool(self.job.options.get(STRICT))) if plan else None
        worker = Worker(connect_target, str(self.job.pk), self._batch_rows, self._after_slice, self.stop, beside=beside)
        self.fence = worker.fence
        return worker

    @contextlib.contextmanager
    def _source(self) -> Iterator[SourceSession]:
        """A session in the job's shared snapshot; the first worker exports it, a lost one is replaced."""
        purpose = f"job {self.job.number}"
        shared = ImportJob.objects.values_list("snapshot_id", flat=True).get(pk=self.job.pk)
        session: SourceSession | None = None
        if shared:
            try:
                session = gateway.open_source(self.job.source_profile, purpose=purpose, snapshot_id=shared)
            except SourceError as error:
                if error.code != "snapshot_gone":
                    raise
        if session is None:
            session = gateway.open_source(self.job.source_profile, purpose=purpose)
            ImportJob.objects.filter(pk=self.job.pk, snapshot_id=shared).update(snapshot_id=session.export_snapshot())
        self.source, self.connected = session, True
        try:
            require_unprivileged(session)
            yield session
        finally:
            self.source = None
            session.close()

    @property
    def _batch_rows(self) -> int:
        return max(1, job_limits.batch_rows(self.job) // self.shrunk)

    def _after_slice(self, run_id: int, counts: Counts) -> None:
        if not self.progressed:
            self.progressed = True
            lifecycle.progressed(ImportJob, self.job.pk)
        counters = self.job.counters()
        runs = list(QueryRun.objects.filter(job=self.job).values_list("total", "status"))
        known = all(total is not None or status == RunStatus.DONE for total, status in runs)
        total = max(sum(total or 0 for total, _ in runs), counters["read"]) if known else None
        self.sink.update(Progress(self.operation, counters["read"], total))
        self.teller.progressed()
        if shutdown.is_asked():
            self.stop.set()
        job_limits.check_failures(self.job, counters)
        if self._is_overdue():
            raise job_limits.overdue(self.limit_seconds)

    def _halved(self, run_id: int, keys: int) -> None:
        note_halved(run_id, keys)
        self._say(say("The source has too little memory, batches are halved"))

    def _is_overdue(self) -> bool:
        started = self.job.started_at
        return started is not None and (timezone.now() - started).total_seconds() > self.limit_seconds

    def _say(self, operation: str) -> None:
        self.operation = operation
        lifecycle.tell(ImportJob, self.job.pk, operation)

    @contextlib.contextmanager
    def _heartbeats(self) -> Iterator[None]:
        """Renew job and chunk leases beside the work; a cancelled job's source read is cut free (J5)."""
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, ended: threading.Event) -> None:
        try:
            if ended.wait(HEARTBEAT_SECONDS):
                return  # most jobs are short: they need no connection for this
            with connect_target() as connection:
                while True:
                    self.overdue = self._is_overdue()
                    if self.overdue or not lifecycle.heartbeat(ImportJob, self.job.pk):
                        self.stop.set()
                        if self.source is not None:
                            self.source.cancel()
                        return
                    if self.fence:
                        chunks.keep(connection, self.fence)
                    self.teller.progressed()
                    if ended.wait(HEARTBEAT_SECONDS):
                        return
        except psycopg.Error:
            # Without a heartbeat the leases run out and others take over; the slice's own transaction decides.
            logger.warning("job %s: heartbeat lost", self.job.number)
        finally:
            django_connection.close()
