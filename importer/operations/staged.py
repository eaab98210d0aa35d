"""Staged rows do not outlive their use: what a run staged goes with it, or once its job cannot go on any more.

A run that ends well drops its own. A failed or cancelled job keeps its rows while it may be resumed, for thirty days;
resumed later, it stages them again (`Reader.restage`). Those of a file stay as long as the file does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import psycopg
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from importer.models import ImportJob, JobKind, QueryRun
from importer.pipeline import staging
from permissions.models import Approval, Decision
from servicevault.jobs.models import FINISHED, JobStatus

logger = logging.getLogger("servicevault.imports")

KEPT = timedelta(days=30)


def needless(jobs: QuerySet[ImportJob]) -> QuerySet[ImportJob]:
    """Those of the jobs whose staged rows nobody comes back for; see `jobs.resume` for what cannot be resumed."""
    others = ImportJob.objects.order_by()
    reversing = others.filter(origin=OuterRef("pk"), kind=JobKind.ROLLBACK).exclude(options__contains={"dry_run": True})
    latest = Approval.objects.filter(job_id=OuterRef("pk")).values("status")[:1]
    return jobs.alias(approval=Subquery(latest)).filter(
        Q(status=JobStatus.COMPLETED)
        | Q(kind=JobKind.REHEARSAL)
        | Q(awaits_start=True)
        | Q(file__path="")
        | Q(completed_at__lt=timezone.now() - KEPT)
        | (Q(approval__isnull=False) & ~Q(approval=Decision.APPROVED))
        | Exists(reversing),
        ~Exists(ImportJob.unfinished().filter(rehearses=OuterRef("pk"))),  # a rehearsal reads its file's
        status__in=FINISHED,
    )


def drop_needless() -> int:
    """Drop what is staged of such jobs, and of runs that are gone; returns how many of these there were.

    Jobs that are resumed, or whose rows are still read, at this moment are left for the next time.
    """
    run_ids = staging.runs_staged(_psycopg())
    jobs = dict(QueryRun.objects.filter(pk__in=run_ids).values_list("pk", "job_id"))
    lost = sum(_drop([run_id]) for run_id in run_ids - jobs.keys())
    found = needless(ImportJob.objects.filter(pk__in=set(jobs.values()))).values_list("pk", flat=True)
    return lost + sum(drop_of(job_id) for job_id in list(found))


def drop_of(job_id: Any) -> bool:
    """Drop what is staged of one job, if nobody comes back for it. Whoever resumes it meanwhile waits."""
    with transaction.atomic():
        locked = ImportJob.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=job_id)
        if not needless(locked):
            return False
        return _drop(QueryRun.objects.filter(job=job_id).values_list("pk", flat=True))


def _drop(run_ids: Iterable[int]) -> bool:
    """Drop the runs' tables, unless a worker that has not heard of its job's end still reads one of them."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            for run_id in run_ids:
                staging.drop_run_table(_psycopg(), run_id)
    except psycopg.errors.LockNotAvailable:
        logger.info("staged rows are still read; they are dropped later")
        return False
    return True


def _psycopg() -> psycopg.Connection:
    connection.ensure_connection()
    return connection.connection
