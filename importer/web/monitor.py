"""The floating monitor over all pages: a person's own jobs, live, until they close them (U28, J11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Q
from django.http import HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from importer.models import ImportJob
from importer.operations.progress import JobView, listed
from permissions import policy
from servicevault.jobs.models import ACTIVE
from servicevault.web.listing import id_in
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only, render_page

MOST = 10
KEPT = "import_monitor"  # in the session: {"watched": ids of jobs seen active, "is_small": minimised}


@dataclass(frozen=True)
class Watched:
    """One job of the monitor."""

    view: JobView
    url: str
    may_cancel: bool


@members_only
@renewed
def monitor(request: PageRequest) -> HttpResponse:
    """The person's active jobs and those that ended since they were seen; a POST closes one, or (un)folds the monitor."""
    if request.method == "POST":
        _change(request)
        if not request.htmx:
            return redirect("import_monitor")
    elif request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    context = _context(request)
    if request.htmx:
        response = render(request, "importer/_monitor.html", context)
        response.headers["Cache-Control"] = "private, no-store"
        return response
    return render_page(request, "importer/monitor.html", "importer/_monitor.html", context | {"is_page": True})


def _context(request: PageRequest) -> dict[str, Any]:
    kept = _kept(request)
    own = ImportJob.objects.filter(created_by=request.user, hidden_at=None)
    active = Q(status__in=ACTIVE, awaits_start=False)
    views = listed(own.filter(active | Q(pk__in=kept["watched"])).order_by("-created_at", "-number")[:MOST])
    watched = [str(view.job.pk) for view in views]
    if set(watched) != set(kept["watched"]):
        _keep(request, {**kept, "watched": watched})
    there = urlsplit(request.htmx.current_url or "").path if request.htmx else ""
    jobs = [
        Watched(view, _address(view.job), view.is_active and _may_cancel(request.user, view.job))
        for view in views
        if not f"{there}/".startswith(f"{_address(view.job)}/")  # its own pages show it already
    ]
    active_jobs = [job for job in jobs if job.view.is_active]
    return {
        "jobs": jobs,
        "active": len(active_jobs),
        "loudest": (active_jobs or jobs)[0].view if jobs else None,
        "is_live": any(view.is_active for view in views),
        "is_small": kept["is_small"],
        "as_of": timezone.now(),
        "announcement": ". ".join(job.view.announcement for job in jobs[:3]),
    }


def _address(job: ImportJob) -> str:
    return reverse("job" if job.profile_id else "data_import_job", args=[job.pk])


def _may_cancel(user: Any, job: ImportJob) -> bool:
    return not job.cancel_requested and policy.can(user, "cancel", job)


def _change(request: PageRequest) -> None:
    kept, given = _kept(request), request.POST
    match given.get("action"):
        case "close":
            kept["watched"] = [pk for pk in kept["watched"] if pk != given.get("job")]
        case "close_all":
            kept["watched"] = []
        case "fold" | "unfold" as action:
            kept["is_small"] = action == "fold"
    _keep(request, kept)


def _kept(request: PageRequest) -> dict[str, Any]:
    found = request.session.get(KEPT) or {}
    watched = [pk for pk in found.get("watched") or [] if id_in(str(pk))]
    return {"watched": watched[:MOST], "is_small": bool(found.get("is_small"))}


def _keep(request: PageRequest, kept: dict[str, Any]) -> None:
    request.session[KEPT] = kept
