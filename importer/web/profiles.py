"""`/import`: the profiles as cards, the last jobs below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from importer import operations
from importer.errors import ImporterError
from importer.models import ImportJob, ImportProfile
from importer.modes import Mode
from importer.operations.progress import JobView, listed
from importer.tasks import announce
from importer.web.forms import StartForm
from permissions import policy, roles
from servicevault.web.listing import page_of
from servicevault.web.pages import PageRequest, members_only, render_page

PAGE = "pages.import.manage"
CARDS = 9
JOBS = 15  # U15


@dataclass(frozen=True)
class Card:
    profile: ImportProfile
    last: JobView | None
    query_count: int
    may_start: bool
    why_not: str  # the reason a disabled button gives
    may_build: bool = False


@members_only
@require_safe
def import_page(request: PageRequest) -> HttpResponse:
    """Profiles the person may see, nine a page, and jobs, fifteen a page."""
    policy.require(request.user, PAGE)
    return _page(request)


@members_only
@require_POST
def start(request: PageRequest, pk: Any) -> HttpResponse:
    """Make a job and tell a worker about it once it is stored; the request itself imports nothing."""
    policy.require(request.user, PAGE)
    profile = policy.fetch(ImportProfile.objects.all(), request.user, "execute", pk)
    form = StartForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose one of the modes offered.")
        return _page(request, status=422)
    try:
        with transaction.atomic():
            job = operations.start_import(
                profile, by=request.user, mode=form.cleaned_data["mode"], dry_run=form.cleaned_data["rehearse"]
            )
            announce(job)
    except ImporterError as error:
        messages.error(request, str(error))
        return redirect("import")
    return redirect("job", job.pk)


def _page(request: PageRequest, *, status: int = 200) -> HttpResponse:
    profiles = page_of(request, _profiles(request.user), size=CARDS, name="profiles")
    jobs = page_of(request, policy.restrict(ImportJob.objects.all(), request.user), size=JOBS)
    context = {
        "cards": _cards(request.user, list(profiles.object_list)),
        "profiles": profiles,
        "jobs": listed(jobs.object_list),
        "job_page": jobs,
        "modes": Mode.choices,
        "execute_permission": roles.EXECUTE[0],
    }
    return render_page(request, "importer/import.html", "importer/_import.html", context, status=status)


def _profiles(user: Any) -> Any:
    newest = ImportJob.objects.filter(profile=OuterRef("pk")).order_by("-created_at").values("pk")[:1]
    visible = policy.restrict(ImportProfile.objects.filter(deleted_at=None), user)
    return visible.select_related("template").prefetch_related("queries").annotate(last_job_id=Subquery(newest))


def _cards(user: Any, profiles: list[Any]) -> list[Card]:
    """One card a profile: two queries for all last jobs, and up to two for each card's right to start."""
    newest = [profile.last_job_id for profile in profiles if profile.last_job_id]
    jobs = policy.restrict(ImportJob.objects.filter(pk__in=newest), user)
    last = {view.job.profile_id: view for view in listed(jobs)}
    executes = policy.has(user, *roles.EXECUTE)
    return [_card(user, profile, last.get(profile.pk), executes=executes) for profile in profiles]


def _card(user: Any, profile: ImportProfile, last: JobView | None, *, executes: bool) -> Card:
    queries = sum(query.enabled for query in profile.queries.all())
    if not executes:
        why_not = f"You need the permission “{roles.EXECUTE[0]}” to start imports."
    elif not profile.is_active:
        why_not = "The profile is switched off."
    elif not queries:
        why_not = "The profile has no query yet. Apply a template or build one."
    elif last is not None and last.is_active:
        why_not = f"Job {last.job.number} is not finished."
    elif not policy.can(user, "execute", profile):
        why_not = "The profile was shared with you for reading. Ask its owner for the right to run it."
    else:
        why_not = ""
    may_build = policy.has(user, *roles.CONFIGURE)
    return Card(profile, last, queries, may_start=not why_not, why_not=why_not, may_build=may_build)
