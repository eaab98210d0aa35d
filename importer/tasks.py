"""Celery's part: a message only says "look at this job"; the database knows the rest."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import transaction

from importer import runner
from importer.models import ImportJob
from importer.operations import consent, files, news, staged
from importer.operations.files import consent as of_files
from permissions.approvals import Hooks
from servicevault import pulse
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus


@shared_task(name="importer.tasks.run_job")
def run_job(job_id: str) -> str:
    """Work on the job until it ends. A second message for the same job joins in or does nothing."""
    if consent.hold_if_changed(job_id):
        return JobStatus.AWAITING_APPROVAL
    return runner.work(job_id, patient=False)


@shared_task(name="importer.tasks.wake_jobs")
def wake_jobs() -> int:
    """Hand jobs to workers that nobody works on: messages the broker lost, workers that died. Every 15 seconds."""
    pulse.scheduler_lives()
    jobs = lifecycle.orphaned(ImportJob).filter(awaits_start=False).values_list("pk", flat=True)
    for job_id in jobs:
        run_job.delay(str(job_id))
    return len(jobs)


@shared_task(name="importer.tasks.expire_files")
def expire_files() -> int:
    """Remove files whose job ended a day ago. Every hour."""
    return files.expire()


@shared_task(name="importer.tasks.drop_staged")
def drop_staged() -> int:
    """Drop staged rows that no job goes on with. Every hour."""
    return staged.drop_needless()


def enqueue(job: ImportJob) -> None:
    """Ask a worker to start the job; call it after the transaction that made the job has committed."""
    if job.status == JobStatus.PENDING and not job.awaits_start:
        run_job.delay(str(job.pk))


def announce(job: ImportJob) -> None:
    """Send the worker's message after the commit. Robust: if the broker is away, the scheduler hands the job over."""
    transaction.on_commit(lambda: enqueue(job), robust=True)


def release(job_id: UUID) -> bool:
    """Queue a job that was approved. False when it no longer waits."""
    released = lifecycle.release(ImportJob, job_id)
    if released:
        job = ImportJob.objects.get(pk=job_id)
        consent.record_started(job)
        announce(job)
    return released


def _page(job_id: UUID) -> str:
    return news.page_of(ImportJob.objects.get(pk=job_id))


FILE_APPROVAL = Hooks(
    "import", digest=of_files.digest, release=release, refuse=consent.refuse, sees=of_files.sees, page=_page
)
APPROVAL = Hooks("import", digest=consent.digest, release=release, refuse=consent.refuse, sees=consent.sees, page=_page)
