"""Turns: why a pending job does not start yet (X14), and that a rollback and an import never run beside each other."""

from __future__ import annotations

from django.db.models import Q

from importer.models import REVERSING, ImportJob
from permissions import preferences
from servicevault.jobs.models import JobStatus
from servicevault.wording import say


def reason_to_wait(job: ImportJob) -> str:
    """What the pending job waits for; empty when it is its turn. Call it under the lock of all who ask."""
    others = ImportJob.objects.exclude(pk=job.pk)
    earlier_ones = Q(status=JobStatus.PENDING, awaits_start=False, created_at__lt=job.created_at)
    rivals = others if job.is_reversing else others.filter(kind__in=REVERSING)
    rival = rivals.filter(Q(status=JobStatus.RUNNING) | earlier_ones).order_by("created_at").first()
    if rival is not None:
        return say("Waiting for job {number}: rollbacks and imports take turns", number=rival.number)
    running = others.filter(status=JobStatus.RUNNING).count()
    earlier = others.filter(earlier_ones).count()
    most = preferences.value("IMPORT_MAX_CONCURRENT_JOBS")
    limit = min(most, int(job.options.get("concurrent_jobs") or 1_000))
    if running >= limit or running + earlier >= most:
        return say("Waiting for {running} jobs", running=running + earlier)
    return ""
