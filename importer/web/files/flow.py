"""The way of a file: whose job it is, which step comes next, and how a refusal is shown where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from importer import file_parts
from importer.errors import ImporterError
from importer.file_parts import Part, parts_of
from importer.models import ImportJob
from importer.operations import files
from permissions import policy
from permissions.tables import ImportAllowance
from servicevault.jobs.models import JobStatus
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, render_page
from servicevault.wording import say

PAGE = "pages.settings.data_import"
STEPS = (("read", say("Upload")), ("map", say("Map")), ("check", say("Check")), ("import", say("Import")))


LOST = (files.ImportDenied, files.UnknownTable)  # the right, or the table itself, is gone meanwhile: see `stopped`


@dataclass(frozen=True)
class Step:
    """A step on top of each page of the way."""

    number: int
    title: str
    url: str  # empty where it cannot be opened now
    state: str  # done, todo
    is_current: bool


@dataclass(frozen=True)
class Refusal:
    """What was refused, and what to do about it."""

    message: str
    hint: str = ""
    code: str = ""

    @classmethod
    def of(cls, error: Exception) -> Refusal:
        message = getattr(error, "message", "") or str(error)
        return cls(str(message), str(getattr(error, "hint", "")), str(getattr(error, "code", "")))


def job_of(request: PageRequest, pk: Any) -> ImportJob:
    """A file's job that the person may see: else 404; 403 without the page."""
    policy.require(request.user, PAGE)
    found = ImportJob.objects.filter(profile=None, file__isnull=False).select_related("file", "created_by")
    return policy.fetch(found.prefetch_related("runs"), request.user, "view", pk)


def own_job(request: PageRequest, pk: Any) -> ImportJob:
    """The same of whoever uploaded it only: its file was read by their permissions."""
    job = job_of(request, pk)
    if job.created_by_id != request.user.pk and not request.user.is_superuser:
        raise policy.Denied("import.jobs.monitor")
    return job


def waiting_page(
    view: Callable[[PageRequest, ImportJob], HttpResponse],
) -> Callable[[PageRequest, Any], HttpResponse]:
    """A step before the import: of one's own job; once it was started, its result is the only page left.

    Whoever lost the right to import into the table meanwhile is told so.
    """

    @wraps(view)
    def answered(request: PageRequest, pk: Any) -> HttpResponse:
        job = own_job(request, pk)
        if not is_waiting(job):
            return go(request, "data_import_job", job.pk)
        try:
            return view(request, job)
        except LOST as error:
            return stopped(request, job, error)

    return answered


def stopped(request: PageRequest, job: ImportJob, error: ImporterError) -> HttpResponse:
    """The file's page with why it does not go on, 403."""
    context = {"job": job, "file": job.file, "steps": steps_of(job, "import"), "refusal": Refusal.of(error)}
    return render_page(request, "importer/files/stopped.html", "importer/files/_refusal.html", context, status=403)


def is_waiting(job: ImportJob) -> bool:
    return job.awaits_start and job.status == JobStatus.PENDING


def steps_of(job: ImportJob | None, current: str) -> list[Step]:
    """The four steps with `current` marked; those before the next one can be opened."""
    order = [key for key, _ in STEPS]
    at = order.index(current)
    waiting = job is not None and is_waiting(job)
    is_over = job is not None and not waiting
    found = []
    for number, (key, title) in enumerate(STEPS):
        url = ""
        if job is not None and waiting and key not in ("import", current):
            url = reverse(f"data_import_{key}", args=[job.pk])
        found.append(Step(number + 1, title, url, "done" if number < at or is_over else "todo", key == current))
    return found


def shell_of(request: PageRequest, job: ImportJob, current: str) -> dict[str, Any]:
    """What every page of the way needs."""
    return {
        "job": job,
        "file": job.file,
        "steps": steps_of(job, current),
        "allowance": files.seen(request.user, parts_of(job.file), job.file.bounds),
        "parts": parts_of(job.file),
    }


def part_of(request: PageRequest, job: ImportJob) -> Part:
    """The part of a document that the address or the form names; the first when it names none."""
    return file_parts.part_of(job.file, plain_text(request.POST.get("part", request.GET.get("part")), limit=255))


def rows_of(request: PageRequest, job: ImportJob, part: Part) -> list[list[str | None]]:
    """The part's first rows; none without the right to see them. Raises what `files.first_rows` raises else."""
    if not files.seen(request.user, [part], job.file.bounds).can_preview:
        return []
    return files.first_rows(job, request.user, part=part.place)


def go(request: PageRequest, name: str, *arguments: Any) -> HttpResponse:
    """Lead to another page, whether a form or a fragment asks."""
    if request.htmx:
        return HttpResponseClientRedirect(reverse(name, args=arguments))
    return redirect(name, *arguments)


def needs_approval(job: ImportJob, allowance: ImportAllowance) -> bool:
    return allowance.requires_approval or job.file.requires_approval


def next_step(job: ImportJob) -> str:
    """The address at which an uploaded file goes on."""
    if not is_waiting(job):
        return "data_import_job"
    return "data_import_check" if files.is_current(job.file) else "data_import_read"
