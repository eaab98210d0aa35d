"""`/exports`: own exports with their files, templates, and what runs by the clock (U54)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from exporter import operations
from exporter.errors import ExportError
from exporter.models import ExportJob, ExportSchedule, ExportTemplate
from exporter.models.templates import Frequency
from exporter.operations.downloads import LINKS
from exporter.tasks import announce
from permissions import policy
from servicevault.jobs.models import ACTIVE, JobStatus
from servicevault.jobs.states import STATES, STOPPING
from servicevault.web.listing import page_of
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

PAGE = "pages.exports"
JOBS = 15
WEEKDAYS = (say("Mon"), say("Tue"), say("Wed"), say("Thu"), say("Fri"), say("Sat"), say("Sun"))


@dataclass(frozen=True)
class ExportView:
    """One export as the page shows it."""

    job: ExportJob

    @property
    def state(self) -> Any:
        return STOPPING if self.is_active and self.job.cancel_requested else STATES[JobStatus(self.job.status)]

    @property
    def is_active(self) -> bool:
        return self.job.status in ACTIVE

    @property
    def is_expired(self) -> bool:
        return self.job.status == JobStatus.COMPLETED and not self.job.has_file


@members_only
@require_safe
@renewed
def exports(request: PageRequest) -> HttpResponse:
    """The page; for htmx the list of exports, which renews itself while one is at work."""
    policy.require(request.user, PAGE)
    found = ExportJob.objects.filter(created_by=request.user).order_by("-created_at", "-number")
    page = page_of(request, found, size=JOBS)
    views = [ExportView(job) for job in page.object_list]
    templates = policy.restrict(ExportTemplate.objects.select_related("created_by"), request.user)[:100]
    context = {
        "exports": views,
        "page": page,
        "is_live": any(view.is_active for view in views),
        "may_link": policy.has(request.user, LINKS),
        "may_export": policy.has(request.user, "pages.settings.data_export"),
        "templates": [
            (template, operations.missing(template), policy.allows(request.user, "delete", template))
            for template in templates
        ],
        "schedules": ExportSchedule.objects.filter(created_by=request.user)
        .select_related("template")
        .prefetch_related("runs__job")[:100],
        "frequencies": Frequency.choices,
        "weekdays": list(enumerate(WEEKDAYS)),
    }
    return render_page(request, "exporter/exports.html", "exporter/_exports.html", context)


def _acted(view: Callable[[PageRequest, UUID], str]) -> Callable[..., HttpResponse]:
    """An act on one object: done, told, and back to the list."""

    def act(request: PageRequest, pk: UUID) -> HttpResponse:
        policy.require(request.user, PAGE)
        try:
            messages.success(request, view(request, pk))
        except ExportError as error:
            messages.error(request, str(error))
        return redirect("exports")

    return members_only(require_POST(act))


def _job(request: HttpRequest, pk: UUID) -> ExportJob:
    return policy.fetch(ExportJob.objects.select_related("created_by"), request.user, "view", pk)


@_acted
def cancel(request: PageRequest, pk: UUID) -> str:
    job = operations.cancel_export(_job(request, pk), by=request.user)
    if job.is_finished:
        return say("Export {job} is cancelled.", job=job.number)
    return say("Export {job} stops now.", job=job.number)


@_acted
def delete(request: PageRequest, pk: UUID) -> str:
    job = _job(request, pk)
    operations.delete_export(job, by=request.user)
    return say("Export {job} and its file are removed.", job=job.number)


@_acted
def again(request: PageRequest, pk: UUID) -> str:
    with transaction.atomic():
        job = operations.run_again(_job(request, pk), by=request.user)
        announce(job)
    return say("Export {job} is queued.", job=job.number)


@_acted
def link(request: PageRequest, pk: UUID) -> str:
    single_use = "single_use" in request.POST
    made, secret = operations.make_link(_job(request, pk), by=request.user, expires_in=None, single_use=single_use)
    address = request.build_absolute_uri(reverse("api_export_link", args=[secret]))
    until = f"{made.expires_at:%Y-%m-%d %H:%M} UTC"
    if single_use:
        return say("This link is shown once and works once, until {until}: {address}", until=until, address=address)
    return say("This link is shown once and works until {until}: {address}", until=until, address=address)


@_acted
def run_template(request: PageRequest, pk: UUID) -> str:
    template = policy.fetch(ExportTemplate.objects.all(), request.user, "run", pk)
    with transaction.atomic():
        job = operations.run_template(template, by=request.user)
        announce(job)
    return say("Export {job} is queued.", job=job.number)


@_acted
def delete_template(request: PageRequest, pk: UUID) -> str:
    template = policy.fetch(ExportTemplate.objects.all(), request.user, "delete", pk)
    operations.delete_template(template, by=request.user)
    return say("“{template}” is removed.", template=template.name)


@_acted
def schedule(request: PageRequest, pk: UUID) -> str:
    """Run a template by the clock."""
    template = policy.fetch(ExportTemplate.objects.all(), request.user, "run", pk)
    made = operations.create_schedule(template, _schedule_values(request), by=request.user)
    return say(
        "“{template}” runs next at {next_run_at:%Y-%m-%d %H:%M} UTC.",
        template=template.name,
        next_run_at=made.next_run_at,
    )


def _schedule_values(request: PageRequest) -> dict[str, Any]:
    given = request.POST
    try:
        at_time = time.fromisoformat(given.get("at_time") or "02:00")
    except ValueError:
        at_time = time(2)
    day = given.get("month_day", "")
    kept = given.get("keep_last", "")
    return {
        "frequency": given.get("frequency", Frequency.DAILY),
        "at_time": at_time,
        "weekdays": [int(no) for no in given.getlist("weekday") if no.isdecimal() and len(no) < 3],
        "month_day": int(day) if day.isdecimal() and len(day) < 4 else 1,
        "cron": given.get("cron", "")[:100],
        "timezone": given.get("timezone") or "UTC",
        "keep_last": int(kept) if kept.isdecimal() and len(kept) < 6 else None,
        "recipients": [request.user.pk] if "mail" in given else [],
    }


@_acted
def switch_schedule(request: PageRequest, pk: UUID) -> str:
    found = _schedule(request, pk)
    changed = operations.update_schedule(found, {"is_enabled": not found.is_enabled}, by=request.user)
    if changed.is_enabled:
        return say("“{template}” is switched on.", template=found.template.name)
    return say("“{template}” is switched off.", template=found.template.name)


@_acted
def run_schedule(request: PageRequest, pk: UUID) -> str:
    with transaction.atomic():
        job = operations.run_now(_schedule(request, pk))
        announce(job)
    return say("Export {job} is queued; the plan is not moved.", job=job.number)


@_acted
def delete_schedule(request: PageRequest, pk: UUID) -> str:
    found = _schedule(request, pk)
    found.delete()
    return say("“{template}” does not run by the clock any more.", template=found.template.name)


def _schedule(request: PageRequest, pk: UUID) -> ExportSchedule:
    return policy.fetch(ExportSchedule.objects.select_related("template", "created_by"), request.user, "view", pk)
