"""`{% data_import %}`: what it shows, and what its buttons do in place (F-163).

Without scripts its form leads to `/settings/data-import` with the same bounds. With htmx the answers are parts of the
component, and tell the page what happened by events: `data-import:previewed`, `:validated`, `:imported`. From the
upload on the bounds lie with the file; nothing that is sent later can say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from importer import file_targets
from importer.errors import ImporterError
from importer.file_parts import parts_of
from importer.file_planning import unmapped_required
from importer.models import ImportJob
from importer.operations import files
from importer.operations.progress import view_of
from importer.tasks import announce
from importer.web.files.choosing import accepted, goes_to, taken
from importer.web.files.flow import PAGE, Refusal, job_of, needs_approval, own_job, rows_of
from importer.web.files.parameters import Parameters, key_of, parameters_of
from permissions import policy
from permissions import tables as granted
from permissions.tables import ImportAllowance
from servicevault import catalog, tables
from servicevault.jobs.models import JobStatus
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only

ROWS = 5
ERRORS = 5
FORMATS = {
    "csv": "CSV", "xlsx": "Excel", "xls": "Excel 97", "json": "JSON", "jsonl": "JSON Lines", "xml": "XML", "yaml": "YAML",
}  # fmt: skip


@dataclass(frozen=True)
class Heading:
    """A column of the file, and what it fills."""

    source: str
    target: str


@dataclass(frozen=True)
class Component:
    """One import on a page of somebody else's."""

    label: str
    allowance: ImportAllowance  # within the bounds
    parameters: Parameters
    sealed: str

    @property
    def key(self) -> str:
        return key_of(self.sealed)

    @cached_property
    def formats(self) -> list[tuple[str, str]]:
        """Those that a file may have here, by name and words."""
        return [(name, FORMATS.get(name, name.upper())) for name in self.allowance.allowed_formats]

    @property
    def chosen_format(self) -> str:
        """What the file is taken for unless another is chosen; empty: its content decides."""
        wanted = self.parameters.default_format
        return wanted if wanted in self.allowance.allowed_formats else ""

    @property
    def accepted(self) -> str:
        return accepted(self.allowance)

    @property
    def max_bytes(self) -> int:
        return self.allowance.max_file_size_mb * files.MIB

    @property
    def can_run(self) -> bool:
        return bool(self.formats and self.max_bytes and self.allowance.max_rows_per_import)


def component_for(user: Any, parameters: Parameters) -> Component | None:
    """What the person sees; None for somebody who may not import into the table, or from here. Few queries for those."""
    if not parameters.bounds.can_import or not policy.has(user, PAGE):
        return None
    try:
        goal = file_targets.destination(**goes_to(parameters.goal))
        files.require(user, goal.table.name)
    except (tables.UnknownTable, catalog.UnknownTarget, files.ImportDenied):
        return None
    allowance = parameters.bounds.narrowed(granted.import_allowance(user, goal.table.name))
    label = goal.target.label if goal.is_desk else goal.table.name
    return Component(label, allowance, parameters, parameters.sealed(user))


@members_only
@require_POST
def upload(request: PageRequest) -> HttpResponse:
    """Keep the file and show how it is understood; tells `data-import:previewed` when rows of it are shown."""
    policy.require(request.user, PAGE)
    given = request.POST.copy()
    given.setdefault("within", "")  # only a component posts here
    try:
        job = taken(request, parameters_of(request.user, given))
    except ImporterError as error:
        return _refused(request, error)
    return _file(request, job)


@members_only
@require_POST
def check(request: PageRequest, pk: UUID) -> HttpResponse:
    """Judge every row; tells `data-import:validated`."""
    policy.require(request.user, PAGE)
    job = own_job(request, pk)
    try:
        files.validate(job, request.user)
    except ImporterError as error:
        return _refused(request, error)
    return _report(request, job)


@members_only
@require_POST
def start(request: PageRequest, pk: UUID) -> HttpResponse:
    """Import the checked rows, or with `at_once` a file whose rows are all right, checked now."""
    policy.require(request.user, PAGE)
    job = own_job(request, pk)
    try:
        if "at_once" in request.POST:
            job = files.check_and_start(job, request.user)
        else:
            job = files.start(job, request.user, accept_errors="accept_errors" in request.POST)
        announce(job)
    except ImporterError as error:
        job = own_job(request, pk)
        if "at_once" in request.POST and files.is_current(job.file):
            return _report(request, job, Refusal.of(error))
        return _refused(request, error)
    return _shown(request, job, is_news=True)


@members_only
@require_safe
@renewed
def progress(request: PageRequest, pk: UUID) -> HttpResponse:
    """The import as it is now; asks again while it is at work, and tells `data-import:imported` once."""
    job = job_of(request, pk)
    answer = _shown(request, job, is_news=job.is_finished)
    if job.status != JobStatus.COMPLETED:
        return answer
    counted = {f"{name}_rows": number for name, number in job.counters().items() if name != "read"}
    return trigger_client_event(answer, "data-import:imported", _told(job) | counted)


def _file(request: PageRequest, job: ImportJob) -> HttpResponse:
    """The file as it was understood: its first rows under what they fill."""
    part, file = parts_of(job.file)[0], job.file
    try:
        rows = rows_of(request, job, part)[:ROWS]
    except ImporterError as error:
        return _refused(request, error)
    filled = {source: target for target, source in part.sources.items()}
    context = _of_job(request, job) | {
        "rows": rows,
        "headings": [Heading(header, filled.get(header, "")) for header in part.headers],
        "missing": unmapped_required(part),
        "is_mapped": bool(filled),
    }
    answer = render(request, "importer/files/_component_file.html", context)
    if not rows:
        return answer
    details = {"headers": part.headers, "rows": len(rows), "total_rows": file.total_rows}
    return trigger_client_event(answer, "data-import:previewed", _told(job) | details)


def _report(request: PageRequest, job: ImportJob, refusal: Refusal | None = None) -> HttpResponse:
    report = files.report_of(job.file, limit=ERRORS)
    context = _of_job(request, job) | {"report": report, "refusal": refusal}
    answer = render(request, "importer/files/_component_report.html", context, status=422 if refusal else 200)
    details = {
        "is_valid": report["isValid"],
        **{name: report[key] for name, key in (("total_rows", "totalRows"), ("valid_rows", "validRows"), ("error_rows", "errorRows"))},
    }  # fmt: skip
    return trigger_client_event(answer, "data-import:validated", _told(job) | details)


def _of_job(request: PageRequest, job: ImportJob) -> dict[str, Any]:
    allowance = files.seen(request.user, parts_of(job.file), job.file.bounds)
    return {
        "job": job,
        "file": job.file,
        "allowance": allowance,
        "bounds": job.file.bounds,
        "needs_approval": needs_approval(job, allowance),
    }


def _refused(request: HttpRequest, error: ImporterError) -> HttpResponse:
    return render(request, "importer/files/_refusal.html", {"refusal": Refusal.of(error)}, status=422)


def _shown(request: PageRequest, job: ImportJob, *, is_news: bool) -> HttpResponse:
    view = view_of(job)
    context = {
        "job": job,
        "file": job.file,
        "view": view,
        "is_working": job.status in {JobStatus.PENDING, JobStatus.RUNNING},
        "is_news": is_news,
    }
    answer = render(request, "importer/files/_component_job.html", context)
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


def _told(job: ImportJob) -> dict[str, Any]:
    return {"job_id": job.pk, "table_name": job.file.table_name, "target_type": job.file.target_type or None}
