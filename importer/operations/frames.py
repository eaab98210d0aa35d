"""What is told of a job while it lives: the one place for the polling answer, the socket and the stream (L4, L5)."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from importer.models import ImportJob
from importer.operations.job_reports import job_errors
from importer.operations.progress import JobView, view_of

COUNTED = ("created", "updated", "unchanged", "skipped", "failed", "review")
ERRORS_TOLD = 5
_SAFE = ("query", "code", "field")  # of a failed row: where and why, never what it held (L14)


def progress_of(job: ImportJob) -> dict[str, Any]:
    """Where the job is; no counter falls while it runs (J4). One query unless `runs` is prefetched."""
    return _progress(view_of(job))


def status_of(job: ImportJob, *, event_type: str, status: str, previous_status: str | None) -> dict[str, Any]:
    """What its change of state means; the first errors without what the rows held."""
    view = view_of(job)
    return {
        **_progress(view),
        "event_type": event_type,
        "kind": "preview" if job.is_preview else job.kind,
        "status": status,
        "previous_status": previous_status,
        "profile_id": str(job.profile_id) if job.profile_id else None,
        "profile_name": job.source_name,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "errors": [_masked(error) for error in job_errors(job, limit=ERRORS_TOLD)[:ERRORS_TOLD]],
        "error_code": job.error_code,
    }


def counters_of(view: JobView) -> dict[str, Any]:
    """Progress and counters under the guide's names."""
    counts = dict.fromkeys(COUNTED, 0) | {str(counter.outcome): counter.count for counter in view.outcomes}
    return {
        "progress_percentage": view.percent,
        "records_total": view.total,
        "records_processed": sum(counts.values()),
        "records_imported": counts["created"],
        **{f"records_{name}": counts[name] for name in COUNTED},
        "records_replanned": view.replanned,
        "average_confidence": view.average_confidence,
        "rows_per_second": view.rows_per_second,
        **({"buckets": {counter.name: counter.count for counter in view.outcomes}} if view.job.is_reversing else {}),
    }


def _progress(view: JobView) -> dict[str, Any]:
    now = timezone.now()
    return {
        "job_id": str(view.job.pk),
        "status": view.job.status,
        "progress": view.percent,
        "current_operation": view.job.current_operation,
        **counters_of(view),
        "estimated_completion": now + view.remaining if view.remaining is not None else None,
        "timestamp": now,
        "sequence": view.job.sequence,
    }


def _masked(error: dict[str, Any]) -> dict[str, Any]:
    """The job's own failure as it is; of a row's only where and why."""
    return {name: error[name] for name in _SAFE} if "source_identifier" in error else error
