"""Files do not stay: a day after the job's end nothing of them is left on disk (F-086)."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from importer.models import FileImport, FileUpload, ImportJob
from importer.operations import staged
from servicevault import stored_files
from servicevault.jobs import lifecycle
from servicevault.jobs.models import FINISHED, JobStatus

KEPT = timedelta(hours=24)
UNSTARTED = timedelta(days=7)


def expire() -> int:
    """Remove stored files of jobs that ended a day ago, uploads nobody finished, what a process that died left, and
    jobs nobody started; how many files."""
    now = timezone.now()
    stale = ImportJob.objects.filter(
        profile=None, awaits_start=True, status=JobStatus.PENDING, created_at__lt=now - UNSTARTED
    )
    for pk in list(stale.values_list("pk", flat=True)):
        lifecycle.request_cancel(ImportJob, pk)
    ended = FileImport.objects.filter(job__status__in=FINISHED, job__completed_at__lt=now - KEPT).exclude(path="")
    count = 0
    for file in ended.select_related("job"):
        remove(file)
        count += 1
    for upload in FileUpload.objects.filter(expires_at__lt=now):
        for part in upload.parts:
            stored_files.delete(part["path"])
        upload.delete()
        count += 1
    known = set(FileImport.objects.exclude(path="").values_list("path", flat=True))
    known |= {part["path"] for upload in FileUpload.objects.all() for part in upload.parts}
    return count + stored_files.remove_stray(settings.IMPORT_TEMP_DIR, known)


def remove(file: FileImport) -> None:
    """Remove the file and what was staged of it; what happened to its rows stays told."""
    stored_files.delete(file.path)
    FileImport.objects.filter(pk=file.pk).update(path="", key=b"", staged_as="", expires_at=timezone.now())
    staged.drop_of(file.job_id)
