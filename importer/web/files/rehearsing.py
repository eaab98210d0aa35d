"""`/settings/data-import/<job>/rehearsal`: the import of a waiting file, carried out and taken back (X18)."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from importer import operations
from importer.errors import ImporterError
from importer.models import ImportJob
from importer.operations import files
from importer.operations.progress import view_of
from importer.tasks import announce
from importer.web.files.flow import LOST, PAGE, go, waiting_page
from permissions import policy
from servicevault.jobs.models import JobStatus
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
@renewed
@waiting_page
def rehearsal(request: PageRequest, job: ImportJob) -> HttpResponse:
    """For htmx what became of the rehearsal, which asks for itself again while it goes on; a POST begins one, or ends it."""
    if request.method == "POST":
        return _begun(request, job)
    if not request.htmx or request.htmx.boosted:
        return redirect(reverse("data_import_check", args=[job.pk]) + "#rehearsal")
    return render(request, "importer/files/_rehearsal.html", {"job": job, **context_of(job)})


def context_of(job: ImportJob) -> dict[str, Any]:
    """What the part of the check that tells of the last rehearsal needs."""
    found = files.last_rehearsal(job)
    if found is None:
        return {"rehearsal": None}
    return {"rehearsal": view_of(found), "rehearsal_is_as_now": files.is_as_rehearsed(found)}


def rehearsal_of(request: PageRequest, pk: Any) -> ImportJob | None:
    """The job, when it is one that rehearses a file; 404 for one the person may not see."""
    policy.require(request.user, PAGE)
    found = ImportJob.objects.filter(rehearses__isnull=False)
    return policy.fetch(found, request.user, "view", pk) if found.filter(pk=pk).exists() else None


def to_rehearsal(job: ImportJob) -> HttpResponse:
    """On to the plan, or to the file whose rehearsal goes on or came to nothing."""
    if job.status == JobStatus.COMPLETED:
        return redirect("job_plan", job.pk)
    return redirect("data_import_job", job.rehearses_id)


def _begun(request: PageRequest, job: ImportJob) -> HttpResponse:
    try:
        if "cancel" in request.POST:
            if (found := files.last_rehearsal(job)) is not None:
                operations.cancel(found)
        else:
            with transaction.atomic():
                announce(files.rehearse(job, request.user))
    except LOST:
        raise
    except ImporterError as error:
        messages.error(request, f"{error} {getattr(error, 'hint', '')}".strip())
        return go(request, "data_import_check", job.pk)
    return redirect(reverse("data_import_check", args=[job.pk]) + "#rehearsal")
