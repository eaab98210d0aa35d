"""Starting, resuming, cancelling and telling of jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import IntegrityError, transaction

from importer import planning
from importer.models import ImportJob, ImportProfile, ImportRecord, JobKind
from importer.modes import mode_of
from importer.operations.failures import Conflict, InvalidFields, ProfileBusy
from importer.operations.profiles import check_active
from importer.options import InvalidOption, checked
from servicevault.jobs import lifecycle
from servicevault.jobs.models import ACTIVE, JobStatus


def start_import(
    profile: ImportProfile,
    *,
    by: Any = None,
    mode: str = "",
    options: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    trigger: str = "manual",
) -> ImportJob:
    """A pending job for the profile; a worker takes it from there.

    Raises InvalidOption for an option that cannot be right, Conflict for an inactive profile, ProfileBusy while
    another job of the profile is unfinished: of two simultaneous calls exactly one wins.
    """
    given = checked(options or {})
    check_active(profile)
    try:
        wanted = str(given.pop("mode", None) or "")
        chosen = mode_of(mode or wanted or profile.import_mode)
    except ValueError:
        raise InvalidOption(f"“{mode}” is not a mode.", hint="Use create, update or upsert.") from None
    _check_queries(profile, given.get("selected_queries") or ())
    try:
        with transaction.atomic():
            return ImportJob.objects.create(
                profile=profile,
                kind=JobKind.REHEARSAL if dry_run else JobKind.IMPORT,
                mode=chosen,
                options=given,
                trigger=trigger,
                created_by=by,
            )
    except IntegrityError:
        running = ImportJob.objects.filter(profile=profile, status__in=ACTIVE).values_list("number", flat=True)
        raise ProfileBusy(profile, list(running)) from None


def _check_queries(profile: ImportProfile, selected: Collection[str]) -> None:
    """Raise InvalidFields listing what keeps queries from being loaded, whatever the data (M9)."""
    found = {
        f"queries.{spec.key}": problems
        for spec in planning.specs_of(profile)
        if (not selected or spec.key in selected) and (problems := planning.target_problems(spec))
    }
    if found:
        raise InvalidFields(found)


def resume(job: ImportJob) -> ImportJob:
    """Let a failed or cancelled job continue behind its checkpoint (J13). A running one is left as it is.

    Raises Conflict for a completed job, ProfileBusy when another job of the profile took its place.
    """
    if job.kind == JobKind.REHEARSAL:
        raise Conflict("A rehearsal leaves nothing to resume.", hint="Rehearse again.")
    try:
        with transaction.atomic():
            requeued = lifecycle.requeue(ImportJob, job.pk)
    except IntegrityError:
        running = ImportJob.objects.filter(profile=job.profile, status__in=ACTIVE).values_list("number", flat=True)
        raise ProfileBusy(job.profile, list(running)) from None
    job.refresh_from_db()
    if not requeued and job.status not in (JobStatus.PENDING, JobStatus.RUNNING):
        raise Conflict(f"Job {job.number} is {job.status}.", hint="Only failed and cancelled jobs can be resumed.")
    return job


def cancel(job: ImportJob) -> ImportJob:
    """Stop the job after the slice it is in; what is written stays (J5). Raises Conflict when it is finished."""
    if not lifecycle.request_cancel(ImportJob, job.pk):
        job.refresh_from_db()
        raise Conflict(f"Job {job.number} is already {job.status}.")
    job.refresh_from_db()
    return job


def job_report(job: ImportJob) -> dict[str, Any]:
    """The result as the command's `--json` prints it."""
    runs = list(job.runs.all())
    counters = job.counters()
    seconds = (job.duration.total_seconds() if job.duration else None) or 0.0
    return {
        "job_id": str(job.pk),
        "status": job.status,
        "seconds": round(seconds, 3),
        "rows_per_second": round(counters["read"] / seconds) if seconds else 0,
        "queries": [
            {
                "key": run.key,
                "target_type": run.target_type,
                "read": run.read,
                "created": run.created,
                "updated": run.updated,
                "unchanged": run.unchanged,
                "skipped": run.skipped,
                "failed": run.failed,
                "review": run.review,
            }
            for run in runs
        ],
        "errors": job_errors(job),
    }


def job_errors(job: ImportJob, *, limit: int = 50) -> list[dict[str, Any]]:
    """The job's own failure first, then the first failed rows: query, row, field, value, code and sentence."""
    found: list[dict[str, Any]] = []
    if job.error_message:
        found.append({"code": job.error_code, "message": job.error_message})
    records = ImportRecord.objects.filter(run__job=job, action="failed").select_related("run").order_by("id")[:limit]
    for record in records:
        first = (record.problems or [{}])[0]
        found.append(
            {
                "query": record.run.key,
                "source_identifier": record.source_identifier,
                "code": record.code,
                "field": first.get("field"),
                "value": first.get("value"),
                "message": first.get("message", ""),
            }
        )
    return found
