"""Celery's part: a message only says "look at this export"; the database knows the rest."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import transaction
from django.urls import reverse

from exporter import operations, run
from exporter.models import ExportJob
from exporter.operations import consent
from permissions.approvals import Hooks
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus


@shared_task(name="exporter.tasks.run_export")
def run_export(job_id: str) -> str:
    """Write the export's file. A second message for the same export does nothing."""
    if consent.hold_if_changed(job_id):
        return JobStatus.AWAITING_APPROVAL
    return run.work(job_id)


@shared_task(name="exporter.tasks.wake_exports")
def wake_exports() -> int:
    """Hand exports to workers that nobody works on. Every 15 seconds."""
    jobs = list(lifecycle.orphaned(ExportJob).values_list("pk", flat=True))
    for job_id in jobs:
        run_export.delay(str(job_id))
    return len(jobs)


@shared_task(name="exporter.tasks.clean_exports")
def clean_exports() -> int:
    """Remove expired files. Every five minutes."""
    return operations.remove_expired().expired


@shared_task(name="exporter.tasks.run_schedules")
def run_schedules() -> int:
    """Begin the exports that are due, and tell people of those that ended. Every 30 seconds."""
    begun = operations.run_due()
    for job in begun:
        enqueue(job)
    operations.tell_ended()
    return len(begun)


def enqueue(job: ExportJob) -> None:
    """Ask a worker to write the export; call it after the transaction that made it has committed."""
    if job.status == JobStatus.PENDING:
        run_export.delay(str(job.pk))


def announce(job: ExportJob) -> None:
    """Send the worker's message after the commit. Robust: if the broker is away, the scheduler hands the job over."""
    transaction.on_commit(lambda: enqueue(job), robust=True)


def release(job_id: UUID) -> bool:
    """Queue an export that was approved. False when it no longer waits."""
    released = lifecycle.release(ExportJob, job_id)
    if released:
        announce(ExportJob.objects.get(pk=job_id))
    return released


APPROVAL = Hooks(
    "export",
    digest=consent.digest,
    release=release,
    refuse=consent.refuse,
    sees=consent.sees,
    page=lambda _: reverse("exports"),
)
