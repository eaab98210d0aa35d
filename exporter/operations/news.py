"""What whoever started an export is told when it ends (A9)."""

from __future__ import annotations

from django.urls import reverse

from exporter.models import ExportJob
from servicevault.jobs.models import JobStatus
from servicevault.notifications.models import Kind
from servicevault.notifications.telling import News


def ended(job: ExportJob) -> News | None:
    """What is ready and how long it is kept, or why it is not; nothing of one the person cancelled."""
    page = reverse("exports")
    if job.status == JobStatus.COMPLETED:
        kept = f"; kept until {job.expires_at:%Y-%m-%d %H:%M} UTC" if job.expires_at else ""
        body = f"{job.filename} with {job.processed_rows:,} rows is ready{kept}."
        return News(Kind.JOB_COMPLETED, f"Export of {job.table_name}: ready", page, body)
    if job.status == JobStatus.FAILED:
        body = f"{job.error_message} ({job.error_code})"
        return News(Kind.JOB_FAILED, f"Export of {job.table_name}: failed", page, body)
    return None
