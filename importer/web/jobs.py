"""`/import/jobs/<id>`: one job, live; its records; cancel and resume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from importer import codes, hiding, operations
from importer.access import sees_records
from importer.errors import ImporterError
from importer.models import ImportJob, ImportRecord
from importer.modes import Outcome
from importer.operations.job_reports import MEDIA
from importer.operations.looks import OUTCOMES
from importer.operations.progress import JobView, view_of
from importer.tasks import announce
from importer.web.profiles import PAGE
from importer.web.rollbacks import may_roll_back
from permissions import policy
from servicevault.web.listing import page_of
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

RECORDS_SHOWN = 50  # U31
TROUBLE = (Outcome.FAILED, Outcome.REVIEW)
_DOUBTS = {
    "unique_conflict": say("Another record here already has this value, and it must be unique."),
    "target_deleted": say("The record it became was deleted here."),
}


@dataclass(frozen=True)
class RecordView:
    """One record's row: the first thing that stopped it, else the first warning."""

    pk: Any
    query: str
    source_identifier: str
    outcome: str  # in the reader's language
    code: str
    field: str
    value: str | None  # as the source had it; None where no single value is to blame
    message: str
    more: int  # further problems and warnings
    planned: str | None  # what was planned where it is not what came of the row; empty for nothing


@members_only
@require_safe
@renewed
def job_page(request: PageRequest, pk: Any) -> HttpResponse:
    """The job; for htmx the part that changes, which asks for itself again as long as the job is active."""
    policy.require(request.user, PAGE)
    job = policy.fetch(_jobs(), request.user, "view", pk)
    view = view_of(job)
    context = _context(request.user, view)
    if context["sees_records"] and view.failed + view.review:
        trouble = _records(job).filter(action__in=TROUBLE).order_by("action", "id")  # failed before review
        context["records"] = _shown(trouble[:RECORDS_SHOWN])
    return render_page(request, "importer/job.html", "importer/_job_live.html", context)


@members_only
@require_safe
def job_progress(request: PageRequest, pk: Any) -> HttpResponse:
    """The dialog after Execute over the job's page; for htmx its inside, which asks for itself again (U26)."""
    policy.require(request.user, PAGE)
    view = view_of(policy.fetch(_jobs(), request.user, "view", pk))
    context = _context(request.user, view)
    return render_page(request, "importer/job_progress.html", "importer/_job_dialog.html", context)


@members_only
@require_safe
def job_records(request: PageRequest, pk: Any) -> HttpResponse:
    """What happened to each source row, fifty a page, by outcome."""
    policy.require(request.user, PAGE)
    job = policy.fetch(_jobs(), request.user, "view", pk)
    if not sees_records(request.user, job):
        raise policy.Denied("import.jobs.monitor")
    action, replanned = request.GET.get("action", ""), "replanned" in request.GET
    records = _records(job).order_by("id")
    if replanned:
        records = records.filter(replanned_from__isnull=False)
    if action in Outcome.values:
        records = records.filter(action=action)
    view = view_of(job)
    page = page_of(request, records, size=RECORDS_SHOWN)
    context = _context(request.user, view) | {
        "action": action if action in Outcome.values else "",
        "replanned": replanned,
        "record_page": page,
        "records": _shown(page.object_list),
    }
    return render_page(request, "importer/job_records.html", "importer/_job_records.html", context)


@members_only
@require_POST
def cancel(request: PageRequest, pk: Any) -> HttpResponse:
    """Stop after the slice that is being written."""
    policy.require(request.user, PAGE)
    job = policy.fetch(_jobs(), request.user, "cancel", pk)
    try:
        job = operations.cancel(job)
    except ImporterError as error:
        messages.error(request, str(error))
    else:
        said = say("Job {job} is cancelled.") if job.is_finished else say("Job {job} stops after the current slice.")
        messages.success(request, said.format(job=job.number))
    return redirect("job", job.pk)


@members_only
@require_POST
def resume(request: PageRequest, pk: Any) -> HttpResponse:
    """Continue a failed or cancelled job behind its last checkpoint."""
    policy.require(request.user, PAGE)
    job = policy.fetch(_jobs(), request.user, "resume", pk)
    try:
        with transaction.atomic():
            job = operations.resume(job)
            announce(job)
    except ImporterError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, say("Job {job} continues behind its last checkpoint.", job=job.number))
    return redirect("job", job.pk)


@members_only
@require_POST
def delete(request: PageRequest, pk: Any) -> HttpResponse:
    """Cancel the job, or take it out of the lists when it is finished (J6)."""
    policy.require(request.user, PAGE)
    job = policy.fetch(_jobs(), request.user, "view", pk)
    job = policy.fetch(_jobs(), request.user, "delete" if job.is_finished else "cancel", pk)
    try:
        job = operations.delete_job(job, by=request.user)
    except ImporterError as error:
        messages.error(request, str(error))
        return redirect("job", job.pk)
    if job.hidden_at is None:
        messages.success(request, say("Job {job} is being cancelled.", job=job.number))
        return redirect("job", job.pk)
    messages.success(request, say("Job {job} is out of the lists. What it imported stays.", job=job.number))
    return redirect("import_jobs")


@members_only
@require_safe
def report(request: PageRequest, pk: Any, form: str) -> HttpResponse:
    """What became of the job, as a document to keep (J14)."""
    policy.require(request.user, PAGE)
    job = policy.fetch(_jobs(), request.user, "view", pk)
    if form not in MEDIA:
        raise Http404
    content = operations.report_file(job, form, rows=sees_records(request.user, job))
    answer = HttpResponse(content, content_type=MEDIA[form])
    if form != "html":
        answer["Content-Disposition"] = f'attachment; filename="report-of-job-{job.number}.{form}"'
    return answer


@members_only
@require_POST
def release_held(request: PageRequest, pk: Any) -> HttpResponse:
    """Import the rows that waited for a value map."""
    policy.require(request.user, PAGE)
    policy.require(request.user, "import.records.manage")
    job = policy.fetch(_jobs(), request.user, "view", pk)
    try:
        with transaction.atomic():
            done = operations.release_held(job, by=request.user)
            if done.job is not None:
                announce(done.job)
    except ImporterError as error:
        messages.error(request, str(error))
        return redirect("job", job.pk)
    if done.job is None:
        messages.info(request, say("No row of this job waits for a value map."))
        return redirect("job", job.pk)
    messages.success(
        request, say("Job {job} imports the rows that waited. Values still unmapped wait again.", job=done.job.number)
    )
    return redirect("job", done.job.pk)


def _jobs() -> Any:
    return ImportJob.objects.select_related("profile", "file", "created_by", "origin__file").prefetch_related("runs")


def _records(job: ImportJob) -> Any:
    # The source's rows themselves stay in the database: a page of fifty could weigh megabytes.
    wanted = (
        "source_identifier",
        "ordinal",
        "action",
        "code",
        "problems",
        "warnings",
        "matching",
        "run__name",
        "replanned_from",
    )
    found = hiding.shown(ImportRecord.objects.filter(run__job=job))
    return found.select_related("run").only("id", *wanted)


def _shown(records: Iterable[ImportRecord]) -> list[RecordView]:
    return [_record_view(record) for record in records]


def _record_view(record: ImportRecord) -> RecordView:
    problems = [item for item in [*(record.problems or []), *(record.warnings or [])] if isinstance(item, dict)]
    first = problems[0] if problems else _doubt(record)
    value = first.get("value")
    return RecordView(
        pk=record.pk,
        query=record.run.name,
        source_identifier=record.source_identifier,
        outcome=OUTCOMES[Outcome(record.action)].word,
        code=record.code or "",
        field=str(first.get("field") or ""),
        value=None if value is None else str(value),
        message=str(first.get("message") or ""),
        more=max(0, len(problems) - 1),
        planned=planned_word(record),
    )


def planned_word(record: ImportRecord) -> str | None:
    """What was planned for a row that is not as planned, empty for nothing; None for other rows."""
    planned = record.replanned_from
    return str(OUTCOMES[Outcome(planned)].word) if planned else planned


def _doubt(record: ImportRecord) -> dict[str, Any]:
    """What the matching says about a row that waits; rows that were skipped only have their code."""
    matching = record.matching or {}
    words = _DOUBTS.get(record.code or "", codes.words(record.code or ""))
    return {"field": matching.get("field"), "message": words}


def _context(user: Any, view: JobView) -> dict[str, Any]:
    job = view.job
    return {
        "view": view,
        "job": job,
        "sees_records": sees_records(user, job),
        "report_forms": tuple(MEDIA),
        "may_cancel": view.is_active and not job.cancel_requested and policy.can(user, "cancel", job),
        "held": operations.held_rows(job) if view.review and not view.is_active else 0,
        "may_release": policy.has(user, "import.records.manage") and policy.can(user, "resume", job),
        "may_delete": job.is_finished and job.hidden_at is None and policy.can(user, "delete", job),
        "may_resume": view.is_resumable and policy.can(user, "resume", job),
        "may_roll_back": may_roll_back(user, job),
    }
