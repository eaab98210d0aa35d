"""Where exports are listened to, by whoever made them, and what their events say (L2, L6)."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from exporter.models import ExportJob
from permissions import policy
from servicevault.live import channels
from servicevault.live.channels import Data, Family, Hint


def register() -> None:
    channels.register(
        Family("export.job.", _sees, _now),
        export__progress__updated=_progress,
        export__job__status__changed=_status,
    )


def _jobs(user: Any, pk: Any) -> QuerySet[ExportJob]:
    return policy.restrict(ExportJob.objects.all(), user).filter(pk=pk)


def _sees(user: Any, pk: str) -> bool:
    return _jobs(user, pk).exists()


def _now(user: Any, pk: str) -> list[tuple[str, Data]]:
    return [(ExportJob.progress_event, _told(job)) for job in _jobs(user, pk)]


def _progress(user: Any, hint: Hint) -> Data | None:
    job = _jobs(user, hint["id"]).first()
    return None if job is None else _told(job)


def _status(user: Any, hint: Hint) -> Data | None:
    job = _jobs(user, hint["id"]).first()
    if job is None:
        return None
    return {
        **_told(job),
        "event_type": hint["event_type"],
        "status": hint["status"],
        "previous_status": hint["previous_status"],
        "filename": job.filename,
        "file_size": job.file_size,
        "download_url": job.download_url,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "error_code": job.error_code,
        "error_message": job.error_message,
    }


def _told(job: ExportJob) -> Data:
    return {
        "job_id": str(job.pk),
        "status": job.status,
        "progress": job.progress_percent,
        "progress_percentage": job.progress_percent,
        "current_operation": job.current_operation,
        "estimated_rows": job.estimated_rows,
        "processed_rows": job.processed_rows,
        "timestamp": timezone.now(),
        "sequence": job.sequence,
    }
