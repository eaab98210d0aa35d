"""`/settings/data-import/<job>`: the import while it runs, and its result; cancel, retry, own jobs (F-161)."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from importer import operations
from importer.access import sees_records
from importer.errors import ImporterError
from importer.operations import files
from importer.operations.progress import view_of
from importer.web.files.choosing import history_of
from importer.web.files.flow import PAGE, is_waiting, job_of, next_step, own_job, shell_of
from importer.web.files.rehearsing import rehearsal_of, to_rehearsal
from importer.web.rollbacks import may_roll_back
from permissions import policy
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

ERRORS = 20


@members_only
@require_safe
@renewed
def job_page(request: PageRequest, pk: Any) -> HttpResponse:
    """The job; for htmx the part that changes, which asks for itself again as long as the job is active."""
    if (rehearsal := rehearsal_of(request, pk)) is not None:
        return to_rehearsal(rehearsal)
    job = job_of(request, pk)
    if is_waiting(job):
        return redirect(next_step(job), job.pk)
    view = view_of(job)
    is_own = job.created_by_id == request.user.pk or request.user.is_superuser
    context = shell_of(request, job, "import") | {
        "view": view,
        "is_own": is_own,
        "may_cancel": view.is_active and not job.cancel_requested and policy.allows(request.user, "cancel", job),
        "sees_records": sees_records(request.user, job),
        "may_roll_back": may_roll_back(request.user, job),
    }
    if context["sees_records"]:
        context["hidden_rows"] = files.hidden_failures(job).count()
    if view.failed and context["sees_records"]:
        found, total = files.errors(job, limit=ERRORS)
        context |= {"errors": found, "failed_rows": total, "forms": ("csv", "xlsx", "json")}
        if is_own and not view.is_active:
            context["correctable"] = files.correctable(job).count()
    return render_page(request, "importer/files/job.html", "importer/files/_job.html", context)


@members_only
@require_safe
@renewed
def history(request: PageRequest) -> HttpResponse:
    """Own files, for the part of the page that renews itself while one of them is at work."""
    policy.require(request.user, PAGE)
    return render_page(request, "importer/files/history.html", "importer/files/_history.html", history_of(request))


@members_only
@require_POST
def cancel(request: PageRequest, pk: Any) -> HttpResponse:
    """Stop after the slice that is being written; a file that waits is given up."""
    policy.require(request.user, PAGE)
    job = job_of(request, pk)
    waited = is_waiting(job)
    if not policy.allows(request.user, "cancel", job):
        raise policy.Denied("import.jobs.monitor")
    try:
        job = operations.cancel(job)
    except ImporterError as error:
        messages.error(request, str(error))
    else:
        if waited:
            said = say("Job {job} is given up.", job=job.number)
        elif job.is_finished:
            said = say("Job {job} is cancelled.", job=job.number)
        else:
            said = say("Job {job} stops after the current slice.", job=job.number)
        messages.success(request, said)
    return redirect("data_import") if waited else redirect("data_import_job", job.pk)


@members_only
@require_POST
def retry(request: PageRequest, pk: Any) -> HttpResponse:
    """A new waiting job with the same file: for the rows that failed, or for all."""
    job = own_job(request, pk)
    try:
        again = files.retry(job, request.user, scope=request.POST.get("scope", "failed"))
    except ImporterError as error:
        messages.error(request, f"{error} {getattr(error, 'hint', '')}".strip())
        return redirect("data_import_job", job.pk)
    messages.success(
        request,
        say("Job {again} has the file again. Change how it is read or mapped, then check it.", again=again.number),
    )
    return redirect("data_import_map", again.pk)
