"""`/import/jobs` and `/import/review`: every job by filter, and the rows that wait for a person."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from importer import operations
from importer.access import sees_records
from importer.models import ImportProfile, JobKind
from importer.operations.progress import listed
from importer.web.profiles import PAGE
from importer.web.tabs import tabs, waiting_runs
from permissions import policy, roles
from servicevault.jobs.models import JobStatus
from servicevault.jobs.states import STATES
from servicevault.web.listing import page_of, plain_text
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only, render_page

JOBS = 15  # U15


@members_only
@require_safe
@renewed
def job_list(request: PageRequest) -> HttpResponse:
    """Jobs the person may see, newest first, fifteen a page; the filters are in the address."""
    policy.require(request.user, PAGE)
    chosen = _chosen(request)
    page = page_of(request, operations.found_jobs(request.user, _filter(chosen)), size=JOBS)
    jobs = listed(page.object_list)
    profiles = policy.restrict(ImportProfile.objects.filter(deleted_at=None), request.user)
    context = {
        "tabs": tabs(request.user, "import_jobs"),
        "jobs": jobs,
        "page": page,
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "may_execute": policy.has(request.user, *roles.EXECUTE),
        "is_live": any(view.is_active for view in jobs),
        "statuses": [(status.value, STATES[status].word) for status in STATES],
        "kinds": JobKind.choices,
        "profiles": profiles.order_by("name").only("pk", "name")[:200],
    }
    return render_page(request, "importer/jobs.html", "importer/_job_list.html", context)


@members_only
@require_safe
def review(request: PageRequest) -> HttpResponse:
    """Queries of jobs whose rows wait for a decision, with the way to the rows."""
    policy.require(request.user, PAGE)
    runs = waiting_runs(request.user).select_related("job__profile", "job__file", "job__created_by")
    page = page_of(request, runs.order_by("-job__created_at", "position"), size=JOBS)
    rows = [(run, sees_records(request.user, run.job)) for run in page.object_list]
    context = {"tabs": tabs(request.user, "import_review"), "rows": rows, "page": page}
    return render_page(request, "importer/review.html", "importer/_review_rows.html", context)


def _chosen(request: PageRequest) -> dict[str, str]:
    """The filters of the address that can be right; others are left out."""
    given = request.GET
    status, kind = given.get("status", ""), given.get("kind", "")
    return {
        "status": status if status in JobStatus.values else "",
        "kind": kind if kind in JobKind.values else "",
        "profile": _checked(given.get("profile", ""), UUID),
        "from": _checked(given.get("from", ""), date.fromisoformat),
        "to": _checked(given.get("to", ""), date.fromisoformat),
        "q": plain_text(given.get("q"), limit=100),
    }


def _checked(text: str, read: Any) -> str:
    try:
        read(text)
    except ValueError:
        return ""
    return text


def _filter(chosen: dict[str, str]) -> operations.JobFilter:
    return operations.JobFilter(
        statuses=[chosen["status"]] if chosen["status"] else (),
        kind=chosen["kind"],
        profile_id=chosen["profile"],
        date_from=chosen["from"],
        date_to=chosen["to"],
        search=chosen["q"],
    )
