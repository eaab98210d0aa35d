"""What whoever started an export is told when it ends (A9)."""

from __future__ import annotations

from django.urls import reverse

from exporter.models import ExportJob
from servicevault.jobs.models import JobStatus
from servicevault.notifications.models import Kind
from servicevault.notifications.telling import News
from servicevault.wording import say, say_count


def ended(job: ExportJob) -> News | None:
    """What is ready and how long it is kept, or why it is not; nothing of one the person cancelled."""
    page = reverse("exports")
    if job.status == JobStatus.COMPLETED:
        body = say_count(
            "{file} with {count} row is ready.",
            "{file} with {count:,} rows is ready.",
            job.processed_rows,
            file=job.filename,
        )
        if job.expires_at:
            body += " " + say("It is kept until {instant:%Y-%m-%d %H:%M} UTC.", instant=job.expires_at)
        return News(Kind.JOB_COMPLETED, say("Export of {table}: ready", table=job.table_name), page, body)
    if job.status == JobStatus.FAILED:
        body = f"{job.error_message} ({job.error_code})"
        return News(Kind.JOB_FAILED, say("Export of {table}: failed", table=job.table_name), page, body)
    return None
