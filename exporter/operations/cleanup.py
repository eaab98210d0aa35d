"""Files whose time is over, and files nobody knows any more (F-119)."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from exporter.models import ExportJob, ExportLink
from permissions import audit
from servicevault import stored_files
from servicevault.jobs.models import ACTIVE, JobStatus


@dataclass(frozen=True)
class Cleaned:
    expired: int
    stray: int


def remove_expired() -> Cleaned:
    """Remove the files of expired, failed and cancelled exports; the exports themselves stay in the list."""
    with_file = ExportJob.objects.exclude(file_path="").exclude(status__in=ACTIVE)
    over = with_file.filter(expires_at__lte=timezone.now()) | with_file.exclude(status=JobStatus.COMPLETED)
    jobs = list(over)
    for job in jobs:
        with transaction.atomic():
            ExportJob.objects.filter(pk=job.pk).update(file_path="", file_key=None)
            if job.status == JobStatus.COMPLETED:
                audit.record(
                    "data_purged",
                    table_name=job.table_name,
                    job_id=job.pk,
                    details={"filename": job.filename, "why": "expired"},
                )
        stored_files.delete(job.file_path)
    ExportLink.objects.filter(expires_at__lte=timezone.now()).delete()
    known = set(ExportJob.objects.exclude(file_path="").values_list("file_path", flat=True))
    return Cleaned(len(jobs), stored_files.remove_stray(settings.EXPORT_TEMP_DIR, known))
