"""`/import/jobs/<id>/plan`: what a rehearsal found out, row by row, and the import that follows from it (U29)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from importer.access import sees_records
from importer.errors import ImporterError
from importer.models import ImportJob, ImportProfile
from importer.modes import Outcome
from importer.operations import files
from importer.operations.looks import OUTCOMES
from importer.operations.masking import record_shown
from importer.operations.plan_beside import PLAN_LIFE, is_expired
from importer.operations.plans import (
    FORMATS,
    check_plan,
    facets_of,
    groups_of,
    import_as_rehearsed,
    plan_file,
    row_of,
    rows_of,
)
from importer.operations.progress import view_of
from importer.tasks import announce
from importer.web.files.checking import MEDIA
from importer.web.files.flow import PAGE as FILES
from importer.web.profiles import PAGE, why_not_start
from permissions import policy
from servicevault.jobs.models import ACTIVE
from servicevault.web.listing import page_of, plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

ROWS = 50
WORDS = {
    Outcome.CREATED: say("Create"), Outcome.UPDATED: say("Update"), Outcome.UNCHANGED: say("Unchanged"), Outcome.REVIEW: say("Uncertain"),
    Outcome.SKIPPED: say("Skipped"), Outcome.FAILED: say("Errors"),
}  # fmt: skip


@dataclass(frozen=True)
class PlanTab:
    action: str
    words: str
    icon: str
    colour: str
    count: int
    is_open: bool


@members_only
@require_safe
def plan_page(request: PageRequest, pk: Any) -> HttpResponse:
    """The plan by action, fifty rows a page; a row opens what was and what becomes."""
    job, chosen = _plan(request, pk), _chosen(request)
    view = view_of(job)
    counts = {counter.name: counter.count for counter in view.outcomes}
    if not chosen["action"]:
        chosen["action"] = next((str(name) for name in WORDS if counts[name]), str(Outcome.CREATED))
    page = page_of(request, rows_of(job, chosen), size=ROWS)
    rows = [row_of(record) for record in page.object_list]
    if rows and job.profile is not None:
        record_shown(
            job.profile, request.user, say("plan of job {job}", job=job.number), rows=len(rows), revealed=False
        )
    context = {
        "job": job,
        "view": view,
        "tabs": [_tab(name, counts[name], chosen["action"]) for name in WORDS],
        "chosen": chosen,
        "page": page,
        "rows": rows,
        "facets": facets_of(job),
        "groups": groups_of(job) if chosen["action"] == Outcome.FAILED else [],
        "formats": FORMATS,
        "importable": view.importable,
        "why_not": _why_not(request.user, job),
        "file": job.source_file if job.profile is None else None,
        "may_change": job.profile is not None and policy.can(request.user, "change", job.profile),
    }
    return render_page(request, "importer/plan.html", "importer/_plan.html", context)


@members_only
@require_safe
def plan_download(request: PageRequest, pk: Any, form: str) -> Any:
    """The plan as a file, narrowed as the page is."""
    job = _plan(request, pk)
    if form not in FORMATS:
        raise Http404
    content = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it
    try:
        lines = plan_file(job, _chosen(request), form, content)
    except BaseException:
        content.close()
        raise
    if job.profile is not None:
        record_shown(
            job.profile,
            request.user,
            say("plan of job {job} as {form}", job=job.number, form=form),
            rows=lines,
            revealed=False,
        )
    content.seek(0)
    name = f"plan-of-job-{job.number}.{form}"
    return FileResponse(content, as_attachment=True, filename=name, content_type=MEDIA[form])


@members_only
@require_POST
def run_plan(request: PageRequest, pk: Any) -> HttpResponse:
    """Import with the mode and options that were rehearsed."""
    job = _plan(request, pk)
    if job.profile is not None:
        policy.fetch(ImportProfile.objects.all(), request.user, "execute", job.profile_id)
    elif _may_not_start(request.user, job):
        raise policy.Denied("import.jobs.monitor")
    try:
        with transaction.atomic():
            started = import_as_rehearsed(job, by=request.user, strict="strict" in request.POST)
            announce(started)
    except ImporterError as error:
        messages.error(request, str(error))
        return redirect("job_plan", job.pk)
    return redirect("job_progress" if started.profile_id else "data_import_job", started.pk)


def _plan(request: PageRequest, pk: Any) -> ImportJob:
    """The rehearsal, for somebody who may see its rows; 404 for a job that has no plan."""
    jobs = ImportJob.objects.select_related("profile", "rehearses__file", "created_by").prefetch_related("runs")
    of_file = jobs.filter(pk=pk, rehearses__isnull=False).exists()
    policy.require(request.user, FILES if of_file else PAGE)
    job = policy.fetch(jobs, request.user, "view", pk)
    if not sees_records(request.user, job):
        raise policy.Denied("import.jobs.monitor")
    try:
        return check_plan(job)
    except ImporterError:
        raise Http404 from None


def _chosen(request: PageRequest) -> dict[str, str]:
    given = request.GET
    action = given.get("action", "")
    return {
        "action": action if action in Outcome.values else "",
        "query": plain_text(given.get("query"), limit=64),
        "reason": plain_text(given.get("reason"), limit=64),
        "search": plain_text(given.get("search"), limit=100),
    }


def _tab(name: Outcome, count: int, current: str) -> PlanTab:
    look = OUTCOMES[name]
    return PlanTab(str(name), WORDS[name], look.icon, look.colour, count, str(name) == current)


def _why_not(user: Any, job: ImportJob) -> str:
    """Why the import cannot be started from here; empty when it can."""
    if job.rehearses is not None:
        return _may_not_start(user, job) or files.why_not_start(job)
    profile = job.profile
    if profile is None or profile.deleted_at is not None:
        return say("The profile is gone.")
    if not job.is_finished:
        return say("The rehearsal goes on.")
    if is_expired(job):
        return say("The plan is older than {days} days. Rehearse again.", days=PLAN_LIFE.days)
    active = profile.jobs.filter(status__in=ACTIVE).first()
    return why_not_start(user, profile, queries=profile.queries.filter(enabled=True).count(), active=active)


def _may_not_start(user: Any, job: ImportJob) -> str:
    """A file is imported by whoever uploaded it: it was read by their permissions."""
    is_own = job.rehearses is not None and job.rehearses.created_by_id == user.pk
    return "" if is_own or user.is_superuser else say("Only who uploaded the file imports it.")
