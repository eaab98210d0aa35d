"""`/import/jobs/<id>/rollback`: look at what a rollback would do, do it, see what came of it, undo it (U34)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from importer.access import sees_records
from importer.errors import ImporterError
from importer.models import ImportJob, Reversal
from importer.modes import Bucket
from importer.operations import rollbacks
from importer.operations.looks import BUCKETS
from importer.operations.news import page_of as page_of_job
from importer.operations.progress import view_of
from importer.tasks import announce
from importer.web.profiles import PAGE
from permissions import policy
from servicevault import catalog
from servicevault.web.listing import page_of, plain_text
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

ROWS = 50
EXPLAINED = {
    Bucket.REVERSED: say("Nobody changed them since: they go, or have the values they had before."),
    Bucket.KEPT_EDITED: say("A person changed them since: what was changed stays."),
    Bucket.BLOCKED: say("Others depend on them, a later import changed them, or a rule forbids it: they stay."),
    Bucket.ERROR: say("They could not be judged or written; each says why."),
}


@dataclass(frozen=True)
class BucketView:
    name: str
    word: str
    icon: str
    colour: str
    count: int
    text: str
    is_open: bool


@dataclass(frozen=True)
class RowView:
    """One record's row."""

    row: Reversal
    label: str
    word: str
    icon: str
    colour: str
    reason: str
    dependants: tuple[str, ...]
    jobs: tuple[int, ...]


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
@renewed
def rollback_page(request: PageRequest, pk: Any) -> HttpResponse:
    """Of an import the way to its rollback; of a rollback or an undo what came of each record."""
    policy.require(request.user, PAGE)
    job = policy.fetch(_jobs(), request.user, "rollback", pk)
    if request.method == "POST":
        return _asked(request, job)
    return _shown(request, job)


def may_roll_back(user: Any, job: ImportJob) -> bool:
    """Whether the way to the job's rollback, or to what came of one, is open to the person."""
    if not job.is_finished or not (job.is_reversing or job.kind in rollbacks.KINDS):
        return False
    return policy.has(user, PAGE) and policy.can(user, "rollback", job)


def _asked(request: PageRequest, job: ImportJob) -> HttpResponse:
    action = request.POST.get("action", "")
    if job.is_reversing:
        return _begun(request, job, lambda: rollbacks.start_undo(job, by=request.user))
    actions = [each for each in rollbacks.ACTIONS if each in request.POST.getlist("target_actions")]
    scope = rollbacks.Scope(actions=actions)
    if action == "preview":
        return _begun(request, job, lambda: rollbacks.start_rollback(job, by=request.user, dry_run=True, scope=scope))
    problems = {}
    if plain_text(request.POST.get("number")) != str(job.number):
        problems["number"] = say("Type the number of the job: {number}.", number=job.number)
    if not request.POST.get("understood"):
        problems["understood"] = say("Tick the box when you understood what is changed.")
    if problems:
        return _shown(request, job, problems=problems, status=422)
    return _begun(request, job, lambda: rollbacks.start_rollback(job, by=request.user, understood=True, scope=scope))


def _begun(request: PageRequest, job: ImportJob, start: Callable[[], ImportJob]) -> HttpResponse:
    try:
        with transaction.atomic():
            begun = start()
            announce(begun)
    except ImporterError as error:
        messages.error(request, str(error))
        return redirect("job_rollback", job.pk)
    return redirect("job_rollback", job.pk if begun.is_preview else begun.pk)


def _shown(
    request: PageRequest, job: ImportJob, *, problems: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    told = job if job.is_reversing else _looked(job)
    bucket = request.GET.get("bucket", "")
    bucket = bucket if bucket in Bucket.values else ""
    context: dict[str, Any] = {
        "job": job,
        "imported": job.imported,
        "imported_url": page_of_job(job.imported),
        "told": told,
        "problems": problems or {},
        "may_start": not job.is_reversing and job.is_finished and job.kind in rollbacks.KINDS,
        "last": None if job.is_reversing else rollbacks.last_rollback(job),
        "bucket": bucket,
        "address": reverse("job_rollback", args=[job.pk]),
    }
    if told is not None:
        view = view_of(told)
        counts = rollbacks.buckets_of(told)
        context |= {
            "view": view,
            "chosen": told.options.get("target_actions", rollbacks.ACTIONS),
            "buckets": [
                BucketView(
                    each.value, look.word, look.icon, look.colour, counts[each.value], EXPLAINED[each], bucket == each
                )
                for each, look in BUCKETS.items()
            ],
            "may_undo": told.is_finished and not told.is_preview and rollbacks.is_undoable(told),
            "sees_rows": sees_records(request.user, told) or sees_records(request.user, job.imported),
        }
        if context["sees_rows"]:
            page = page_of(request, rollbacks.rows_of(told, bucket=bucket), size=ROWS)
            context |= {"page": page, "rows": [_row(row) for row in page.object_list]}
    return render_page(request, "importer/rollback.html", "importer/_rollback.html", context, status=status)


def _looked(job: ImportJob) -> ImportJob | None:
    """The newest preview, unless a rollback or an undo came after it: the world is another one since."""
    preview, last = rollbacks.last_preview(job), job.reversing.order_by("-number").first()
    return preview if preview is not None and preview == last else None


def _row(row: Reversal) -> RowView:
    look = BUCKETS[Bucket(row.bucket)]
    details = row.details or {}
    kind = row.record.run.target_type
    dependants = tuple(
        str(say("{count} of {table}", count=f"{item['count']:,}", table=item["table"]))
        for item in details.get("dependants", [])
    )
    return RowView(
        row=row,
        label=kind.partition(":")[2] or str(catalog.get(kind).label),
        word=look.word,
        icon=look.icon,
        colour=look.colour,
        reason=rollbacks.reason_of(row),
        dependants=dependants,
        jobs=tuple(details.get("jobs", [])),
    )


def _jobs() -> Any:
    return ImportJob.objects.select_related("profile", "file", "created_by", "origin__file").prefetch_related("runs")
