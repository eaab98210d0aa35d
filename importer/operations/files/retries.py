"""Jobs that import failed rows of a file again, and which of those rows came in: none comes in twice (F-089, R5)."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from importer.models import ImportJob, ImportRecord
from importer.modes import Outcome
from importer.operations.failures import Conflict
from importer.operations.files.telling import failed_records
from importer.operations.files.validating import ROW_KEY
from importer.reversing import rolled_back
from servicevault.jobs.models import ACTIVE
from servicevault.wording import say

WRITTEN = (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED)


def correctable(job: ImportJob) -> QuerySet[ImportRecord]:
    """Failed rows that no later job brought in yet, in the file's order."""
    return failed_records(job).exclude(pk__in=came_in(job))


def came_in(job: ImportJob) -> set[str]:
    """Ids of the job's failed records whose rows a retry, or a retry of that one, brought in and nobody took back.

    A retry of the same file has the same lines; a corrected file carries the records' ids along in a column.
    """
    failed = failed_records(job).values_list("pk", "run__key", "source_row")
    lines = {(part, line): str(pk) for pk, part, line in failed}
    found: set[str] = set()
    for retry in job.retries.filter(file__isnull=False).select_related("file"):
        same_file = retry.file.sha256 == job.file.sha256
        done = ImportRecord.objects.filter(Q(action__in=WRITTEN) | Q(pk__in=came_in(retry)), run__job=retry)
        named = done.exclude(pk__in=rolled_back(done)).values_list("run__key", "source_row", "source_data")
        for part, line, data in named.iterator(chunk_size=1000):
            key = lines.get((part, line)) if same_file else (data or {}).get(ROW_KEY)
            if key:
                found.add(key)
    return found


def require_latest(job: ImportJob) -> None:
    """Raise Conflict when another retry of the same rows was started since this one was made.

    In the transaction that starts it: the first file's job is locked, so that of two retries one looks after the other.
    """
    family = _family(ImportJob.objects.select_for_update().get(pk=_first(job).pk)) - {job.pk}
    since = Q(status__in=ACTIVE) | Q(completed_at__gt=job.created_at)
    other = ImportJob.objects.filter(since, pk__in=family, awaits_start=False).first()
    if other is not None:
        raise Conflict(
            say("Job {other} imports these rows too, and was started since this one was made.", other=other.number),
            hint=say("When it has ended, retry or send the corrected rows again: what is in by then is left out."),
        )


def _first(job: ImportJob) -> ImportJob:
    while job.retry_of is not None:
        job = job.retry_of
    return job


def _family(first: ImportJob) -> set[UUID]:
    found, generation = {first.pk}, {first.pk}
    while generation:
        generation = set(ImportJob.objects.filter(retry_of__in=generation).values_list("pk", flat=True))
        found |= generation
    return found
