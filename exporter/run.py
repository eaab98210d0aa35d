"""One export from its claim to its file, and every way it can end (F-108, F-115, F-116).

The one place of the exporter that catches everything: what nobody foresaw ends the job, with the traceback in the log.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, Any, cast

import psycopg
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db import connection as django_connection
from django.db.models.functions import Now

from exporter.errors import ExportError, ReadFailed, TooManyRows
from exporter.models import ExportJob
from exporter.planning import Plan, planned
from exporter.writing import Written, write_file
from permissions import audit, policy
from servicevault import database, database_roles, stored_files
from servicevault.jobs import lifecycle, shutdown
from servicevault.jobs.models import JobStatus
from servicevault.jobs.progress import NullSink, Progress, ProgressSink
from servicevault.live import telling
from servicevault.tabular.errors import OptionRefused, RowNotWritable
from servicevault.wording import say, say_count

logger = logging.getLogger("servicevault.exports")

BEAT_SECONDS = 1.0  # progress is told at least every two (F-116)
MEBIBYTE = 1024 * 1024


@contextlib.contextmanager
def snapshot(role: str | None = None) -> Iterator[psycopg.Connection]:
    """One repeatable-read transaction that only reads: rows that change meanwhile do not mix (F-168)."""
    options = "-c jit=off -c default_transaction_read_only=on -c lock_timeout=30s"
    with database.connect("service-vault/export", options=options, role=role) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection
        connection.rollback()


class Stopped(Exception):
    """The job was cancelled, handed to another worker, or this worker is told to end."""


def work(job_id: Any, *, sink: ProgressSink | None = None) -> str:
    """Write the export's file; returns the job's status then. Does nothing while another worker does it."""
    try:
        if lifecycle.claim_alone(ExportJob, job_id):
            _work(ExportJob.objects.select_related("created_by").get(pk=job_id), sink or NullSink())
        return ExportJob.objects.get(pk=job_id).status
    finally:
        django_connection.close_if_unusable_or_obsolete()


def _work(job: ExportJob, sink: ProgressSink) -> None:
    try:
        _Run(job, sink).run()
    except Stopped:
        if not lifecycle.cancel(ExportJob, job.pk) and shutdown.is_asked():
            lifecycle.hand_back(ExportJob, job.pk)
    except ExportError as error:
        _fail(job, error.code, str(error))
    except policy.Denied as error:
        _fail(job, "permission_denied", str(error))
    except (RowNotWritable, OptionRefused) as error:
        _fail(job, "query_failed", str(error))
    except audit.AuditUnavailable:
        _fail(
            job,
            "internal_error",
            say("The audit log cannot be written, so nothing was exported. Try again."),
            told=False,
        )
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
        _fail(
            job,
            "timeout",
            say_count(
                "The export took longer than {count} second. Add filters.",
                "The export took longer than {count} seconds. Add filters.",
                settings.IMPORT_JOB_TIMEOUT,
            ),
        )
    except (psycopg.OperationalError, DatabaseError):
        logger.exception("export %s lost the database", job.number)
        _fail(job, "target_unavailable", say("The database went away. Run the export again."))
    except psycopg.Error as error:
        logger.exception("export %s could not be read", job.number)
        _fail(
            job,
            "query_failed",
            say("The database refused the reading ({sqlstate}). Change filters or columns.", sqlstate=error.sqlstate),
        )
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        words = say("There is no space left for the file.") if full else say("The file could not be written.")
        logger.exception("export %s: no file", job.number)
        _fail(
            job,
            "storage_full" if full else "internal_error",
            say("{words} Tell the people who run this service.", words=words),
        )
    except KeyboardInterrupt:
        lifecycle.request_cancel(ExportJob, job.pk)
        lifecycle.cancel(ExportJob, job.pk)
        raise
    except Exception:
        logger.exception("export %s crashed", job.number)
        lifecycle.crash(ExportJob, job.pk)


def _fail(job: ExportJob, code: str, message: str, *, told: bool = True) -> None:
    logger.warning("export %s failed: %s (%s)", job.number, message, code)
    with transaction.atomic():
        ended = lifecycle.fail(ExportJob, job.pk, code=code, message=message)
        if ended and told:
            _record("export_failed", job, result="failed", error_code=code)


def _record(operation: str, job: ExportJob, *, result: audit.Result = "ok", **details: Any) -> None:
    audit.record(
        operation, user=job.created_by, table_name=job.table_name, job_id=job.pk, result=result, details=details
    )


class _Run:
    """One attempt."""

    def __init__(self, job: ExportJob, sink: ProgressSink) -> None:
        self.job = job
        self.sink = sink
        self.stop = threading.Event()
        self.overdue = False
        self.rows = 0
        self.connection: psycopg.Connection | None = None
        self.deadline = time.monotonic() + settings.IMPORT_JOB_TIMEOUT

    def run(self) -> None:
        """Write the file and complete the job. Raises Stopped when it is to end without."""
        job = self.job
        stored_files.delete(job.file_path)  # what a lost worker left
        plan = planned(job.wanted, job.created_by)  # the rights of this moment count
        writer = stored_files.Writer(settings.EXPORT_TEMP_DIR)
        try:
            if not self._mine().update(file_path=str(writer.path), processed_rows=0):
                raise Stopped
            with self._heartbeats():
                written = self._write(plan, cast("IO[bytes]", writer))
            stored = writer.close()
            self._complete(plan, written, stored)
        except BaseException:
            writer.discard()
            self._mine().update(file_path="")
            raise

    def _mine(self) -> Any:
        """The job as long as this attempt is the one that counts."""
        return ExportJob.objects.filter(pk=self.job.pk, status=JobStatus.RUNNING, attempts=self.job.attempts)

    def _write(self, plan: Plan, target: IO[bytes]) -> Written:
        threshold = settings.EXPORT_COMPRESS_THRESHOLD * MEBIBYTE if settings.EXPORT_COMPRESS_LARGE_FILES else None
        try:
            # The role may not even order or filter by a closed column; the columns that are written are open anyway.
            role = None if plan.selection.reads_closed else database_roles.reader_of(plan.selection.table)
            with self._snapshot(role) as connection:
                total = connection.execute(*plan.selection.counting()).fetchone()
                rows = int(total[0]) if total else 0
                self._check(rows, plan)
                self.job.estimated_rows = min(rows, plan.extras.row_limit or rows)
                self._mine().update(estimated_rows=self.job.estimated_rows)
                name = self.job.filename or plan.filename(datetime.now(UTC))
                return write_file(plan, connection, target, name=name, threshold=threshold, on_rows=self._passed)
        except psycopg.Error:
            if self.overdue:
                raise ReadFailed(
                    say_count(
                        "The export took longer than {count} second.",
                        "The export took longer than {count} seconds.",
                        settings.IMPORT_JOB_TIMEOUT,
                    ),
                    code="timeout",
                    hint=say("Add filters."),
                ) from None
            if self.stop.is_set():
                raise Stopped from None
            raise

    def _check(self, rows: int, plan: Plan) -> None:
        taken = min(rows, plan.extras.row_limit or rows)
        if taken > plan.limit:
            raise TooManyRows(rows, plan.limit)

    def _passed(self, rows: int) -> None:
        self.rows += rows
        self.sink.update(Progress(say("Exporting"), self.rows, self.job.estimated_rows))
        if shutdown.is_asked():
            self.stop.set()
        if self.stop.is_set():
            raise ReadFailed(say("The export took too long."), code="timeout") if self.overdue else Stopped

    def _complete(self, plan: Plan, written: Written, stored: stored_files.Stored) -> None:
        """Make the file the job's own; a second worker that took over meanwhile keeps it, this one's is removed."""
        hours = plan.allowance.file_retention_hours or settings.EXPORT_FILE_RETENTION_HOURS
        with transaction.atomic():
            mine = self._mine().update(
                filename=written.filename,
                media_type=written.media_type,
                file_key=stored.key,
                file_size=stored.size,
                sha256=stored.sha256,
                processed_rows=written.rows,
                estimated_rows=written.rows,
                expires_at=Now() + timedelta(hours=hours),
                updated_at=Now(),
            )
            if not mine or not lifecycle.complete(ExportJob, self.job.pk):
                raise Stopped
            _record(
                "export_completed",
                self.job,
                filename=written.filename,
                file_size=stored.size,
                estimated_rows=written.rows,
                export_format=plan.format.name,
            )

    # -- beside the work

    @contextlib.contextmanager
    def _snapshot(self, role: str | None) -> Iterator[psycopg.Connection]:
        with snapshot(role) as connection:
            self.connection = connection
            try:
                yield connection
            finally:
                self.connection = None

    @contextlib.contextmanager
    def _heartbeats(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), name="export-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, ended: threading.Event) -> None:
        """Renew the lease and tell the progress; a cancelled export's reading is cut free."""
        try:
            while not ended.wait(BEAT_SECONDS):
                self.overdue = time.monotonic() > self.deadline
                if self.overdue or not lifecycle.heartbeat(ExportJob, self.job.pk):
                    self.stop.set()
                    if connection := self.connection:
                        connection.cancel_safe(timeout=5)
                    return
                self._mine().update(processed_rows=self.rows, updated_at=Now())
                telling.progressed(ExportJob, self.job.pk)
        except (DatabaseError, psycopg.Error):
            logger.warning("export %s: heartbeat lost", self.job.number)
        finally:
            django_connection.close()
