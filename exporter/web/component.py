"""`{% data_export %}`: what it shows, and what its buttons do in place (F-164).

Without scripts its form leads to `/settings/data-export` with the same bounds. With htmx the answers are parts of the
component, and tell the page what happened by events: `data-export:previewed`, `:created`, `:ready`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from exporter import operations
from exporter.errors import ExportError
from exporter.models import ExportJob
from exporter.tasks import announce
from exporter.web.data_export import PAGE
from exporter.web.desk import Desk, FormatCard
from exporter.web.exports import PAGE as MY_EXPORTS
from exporter.web.exports import ExportView
from exporter.web.parameters import Parameters, key_of
from permissions import policy
from permissions.tables import export_allowance
from servicevault.jobs.models import JobStatus
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only

ROWS = 5


@dataclass(frozen=True)
class Component:
    """One export on a page of somebody else's."""

    desk: Desk
    parameters: Parameters
    sealed: str

    @property
    def key(self) -> str:
        return key_of(self.sealed)

    @cached_property
    def formats(self) -> list[FormatCard]:
        """Those that may be chosen here."""
        return [card for card in self.desk.formats if card.is_allowed]

    @property
    def chosen_format(self) -> FormatCard | None:
        return next((card for card in self.formats if card.name == self.desk.format), None)

    @property
    def most_rows(self) -> int:
        return self.desk.described.exports.max_rows_per_export

    @property
    def total_rows(self) -> int | None:
        return self.parameters.total_rows

    @property
    def is_too_large(self) -> bool:
        """Whether the page says itself that there are more rows than may leave."""
        return self.total_rows is not None and self.total_rows > self.most_rows

    @property
    def may_preview(self) -> bool:
        return self.desk.described.exports.can_preview

    @property
    def can_run(self) -> bool:
        return bool(self.formats and self.desk.chosen)


def component_for(user: Any, parameters: Parameters) -> Component | None:
    """What the person sees; None for somebody who may not export the table. Two queries to know that."""
    if not policy.has(user, PAGE) or not export_allowance(user, parameters.table_name).can_export:
        return None
    sealed, given = parameters.sealed(user), QueryDict(mutable=True)
    given.update({"table": parameters.table_name, "within": sealed})
    return Component(Desk.of(user, given), parameters, sealed)


@members_only
@require_POST
def preview(request: PageRequest) -> HttpResponse:
    """The first rows as they will be in the file; tells `data-export:previewed`."""
    desk = _desk(request)
    try:
        found = operations.preview_export(desk.wanted, by=request.user, limit=ROWS)
    except ExportError as error:
        return _refused(request, error)
    context = {"preview": found, "rows": [list(row.values()) for row in found.shown]}
    answer = render(request, "exporter/_component_preview.html", context)
    details = {"table_name": desk.table_name, "export_format": found.plan.format.name, "total_rows": found.total_rows}
    return trigger_client_event(answer, "data-export:previewed", details)


@members_only
@require_POST
def start(request: PageRequest) -> HttpResponse:
    """Queue the export; tells `data-export:created`."""
    desk = _desk(request)
    try:
        with transaction.atomic():
            job = operations.create_export(desk.wanted, by=request.user)
            announce(job)
    except ExportError as error:
        return _refused(request, error)
    return trigger_client_event(_shown(request, job, is_news=True), "data-export:created", _told(job))


@members_only
@require_safe
@renewed
def progress(request: PageRequest, pk: UUID) -> HttpResponse:
    """The export as it is now; asks again while it is at work, and tells `data-export:ready` once."""
    policy.require(request.user, PAGE)
    job = policy.fetch(ExportJob.objects.select_related("created_by"), request.user, "view", pk)
    is_over = job.status in {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    answer = _shown(request, job, is_news=is_over)
    if not job.has_file:
        return answer
    details = _told(job) | {"filename": job.filename, "rows": job.processed_rows, "download_url": job.download_url}
    return trigger_client_event(answer, "data-export:ready", details)


def _desk(request: PageRequest) -> Desk:
    """The form within its bounds. Raises SuspiciousOperation without bounds: only a component posts here."""
    policy.require(request.user, PAGE)
    given = request.POST.copy()
    given.setdefault("within", "")
    return Desk.of(request.user, given)


def _refused(request: HttpRequest, error: ExportError) -> HttpResponse:
    return render(request, "exporter/_component_preview.html", {"error": str(error)}, status=422)


def _shown(request: PageRequest, job: ExportJob, *, is_news: bool) -> HttpResponse:
    context = {
        "view": ExportView(job),
        "is_working": job.status in {JobStatus.PENDING, JobStatus.RUNNING},
        "is_news": is_news,
        "may_open": policy.has(request.user, MY_EXPORTS),
    }
    answer = render(request, "exporter/_component_job.html", context)
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


def _told(job: ExportJob) -> dict[str, Any]:
    return {
        "job_id": job.pk,
        "table_name": job.table_name,
        "export_format": job.export_format,
        "status": job.status,
    }
