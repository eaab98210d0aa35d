"""Jobs as lists: which a person finds, what they sum up to, and taking one out of the lists (J2, J6, J9)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Avg, Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now

from importer.models import ImportJob, QueryRun
from importer.operations.jobs import cancel
from permissions import audit, policy
from servicevault.jobs.models import FINISHED, JobStatus

LONGEST_NUMBER = 15  # digits; a longer text is no job's number
RECENT = 10


@dataclass(frozen=True)
class JobFilter:
    """What a list of jobs is narrowed to; each left empty takes nothing away. Days are those of UTC, both included."""

    statuses: Collection[str] = ()
    kind: str = ""
    profile_id: UUID | str | None = None
    target_type: str = ""
    created_by: UUID | None = None
    date_from: date | str | None = None
    date_to: date | str | None = None
    search: str = ""

    @property
    def condition(self) -> Q:
        exact: dict[str, Any] = {
            "status__in": self.statuses,
            "kind": self.kind,
            "profile_id": self.profile_id,
            "created_by_id": self.created_by,
            "created_at__date__gte": self.date_from,
            "created_at__date__lte": self.date_to,
        }
        found = Q(**{column: value for column, value in exact.items() if value})
        if self.target_type:
            found &= Q(Exists(QueryRun.objects.filter(job=OuterRef("pk"), target_type=self.target_type)))
        return found & _named(self.search) if self.search else found


def _named(text: str) -> Q:
    """A job by its number, by what it read, by who started it, by what stopped it."""
    places = ("profile__name", "file__original_filename", "created_by__name", "error_message")
    found = Q()
    for place in places:
        found |= Q(**{f"{place}__icontains": text})
    return found | Q(number=int(text)) if text.isdecimal() and len(text) <= LONGEST_NUMBER else found


def visible_jobs(user: Any) -> QuerySet[ImportJob]:
    """The jobs the person may see and nobody took out of the lists, newest first."""
    jobs = ImportJob.objects.filter(hidden_at=None).order_by("-created_at", "-number")
    return policy.restrict(jobs, user)


def found_jobs(user: Any, wanted: JobFilter) -> QuerySet[ImportJob]:
    """Those of them that were asked for, with what a list shows of each."""
    found = visible_jobs(user).filter(wanted.condition)
    return found.select_related("profile", "file", "created_by").prefetch_related("runs")


@dataclass(frozen=True)
class JobStats:
    """What the jobs a person sees sum up to (J9)."""

    total: int
    by_status: dict[str, int]
    records_imported: int
    records_failed: int
    average_duration: float | None  # in seconds, of those that ended; None when none did
    success_rate: float | None  # in percent, of those that ended: a completed one whose rows failed counts (A8)
    recent: list[ImportJob]


def job_stats(user: Any) -> JobStats:
    """Four queries, however many jobs there are."""
    jobs = visible_jobs(user)
    by_status = dict.fromkeys(JobStatus.values, 0)
    by_status |= dict(jobs.order_by().values_list("status").annotate(count=Count("pk")))
    sums = QueryRun.objects.filter(job__in=jobs.order_by().values("pk")).aggregate(
        created=Sum("created", default=0), failed=Sum("failed", default=0)
    )
    took = jobs.filter(status__in=FINISHED).aggregate(took=Avg(F("completed_at") - F("started_at")))["took"]
    ended = sum(by_status[status] for status in FINISHED)
    recent = jobs.select_related("profile", "file", "created_by").prefetch_related("runs")
    return JobStats(
        total=sum(by_status.values()),
        by_status=by_status,
        records_imported=sums["created"],
        records_failed=sums["failed"],
        average_duration=None if took is None else round(took.total_seconds(), 3),
        success_rate=round(100 * by_status[JobStatus.COMPLETED] / ended, 2) if ended else None,
        recent=list(recent[:RECENT]),
    )


def delete_job(job: ImportJob, *, by: Any) -> ImportJob:
    """Cancel a job that is not finished; take one that is out of the lists (J6). Its records and its history stay."""
    if not job.is_finished:
        return cancel(job)
    with transaction.atomic():
        if ImportJob.objects.filter(pk=job.pk, hidden_at=None).update(hidden_at=Now()):
            audit.record("import_job_deleted", user=by, job_id=job.pk, profile_id=job.profile_id, obj=job)
    job.refresh_from_db()
    return job
