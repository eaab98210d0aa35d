"""`/import`: the profiles as cards; and starting a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from importer import operations
from importer.errors import ImporterError
from importer.models import ImportJob, ImportProfile
from importer.operations.progress import JobView, listed
from importer.tasks import announce
from importer.web.forms import StartForm
from importer.web.tabs import tabs
from permissions import policy, roles
from servicevault.web.listing import page_of, plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

PAGE = "pages.import.manage"
CARDS = 9


@dataclass(frozen=True)
class Card:
    profile: ImportProfile
    last: JobView | None
    query_count: int
    may_change: bool
    why_not: str  # the reason a disabled Execute gives


@members_only
@require_safe
def import_page(request: PageRequest) -> HttpResponse:
    """Profiles the person may see, nine a page."""
    policy.require(request.user, PAGE)
    text = plain_text(request.GET.get("q"))
    profiles = page_of(request, _profiles(request.user, text), size=CARDS)
    context = {
        "tabs": tabs(request.user, "import"),
        "cards": _cards(request.user, list(profiles.object_list)),
        "page": profiles,
        "text": text,
        "may_configure": policy.has(request.user, *roles.CONFIGURE),
        "configure_permission": roles.CONFIGURE[0],
    }
    return render_page(request, "importer/import.html", "importer/_cards.html", context)


@members_only
@require_POST
def start(request: PageRequest, pk: Any) -> HttpResponse:
    """Make a job and tell a worker about it once it is stored; the request itself imports nothing."""
    policy.require(request.user, PAGE)
    profile = policy.fetch(ImportProfile.objects.all(), request.user, "execute", pk)
    form = StartForm(request.POST)
    if not form.is_valid():
        for texts in form.errors.get_json_data().values():
            messages.error(request, texts[0]["message"])
        return redirect("profile", profile.pk)
    try:
        with transaction.atomic():
            job = operations.start_import(
                profile,
                by=request.user,
                mode=form.cleaned_data["mode"],
                options=form.options(),
                dry_run=form.cleaned_data["rehearse"],
            )
            announce(job)
    except ImporterError as error:
        messages.error(request, str(error))
        return redirect("profile", profile.pk)
    return redirect("job_progress", job.pk)


def _profiles(user: Any, text: str) -> Any:
    newest = ImportJob.objects.filter(profile=OuterRef("pk"), hidden_at=None).order_by("-created_at").values("pk")[:1]
    visible = policy.restrict(ImportProfile.objects.filter(deleted_at=None), user)
    if text:
        visible = visible.filter(
            Q(name__icontains=text)
            | Q(description__icontains=text)
            | Q(host__icontains=text)
            | Q(database__icontains=text)
        )
    with_application = visible.select_related("template", "application")
    return with_application.prefetch_related("queries").annotate(last_job_id=Subquery(newest))


def _cards(user: Any, profiles: list[Any]) -> list[Card]:
    """One card a profile: two queries for all last jobs, and up to two for each card's rights."""
    newest = [profile.last_job_id for profile in profiles if profile.last_job_id]
    jobs = policy.restrict(ImportJob.objects.filter(pk__in=newest), user)
    last = {view.job.profile_id: view for view in listed(jobs)}
    changes = policy.has(user, *roles.CONFIGURE)
    return [_card(user, profile, last.get(profile.pk), changes=changes) for profile in profiles]


def _card(user: Any, profile: ImportProfile, last: JobView | None, *, changes: bool) -> Card:
    queries = sum(query.enabled for query in profile.queries.all())
    return Card(
        profile=profile,
        last=last,
        query_count=queries,
        may_change=changes and policy.allows(user, "change", profile),
        why_not=why_not_start(user, profile, queries=queries, active=last.job if last and last.is_active else None),
    )


def why_not_start(user: Any, profile: ImportProfile, *, queries: int, active: ImportJob | None) -> str:
    """Why the person cannot run the profile now; empty when they can."""
    if not policy.has(user, *roles.EXECUTE):
        return say("You need the permission “{execute}” to start imports.", execute=roles.EXECUTE[0])
    if not profile.is_active:
        return say("The profile is switched off.")
    if not queries:
        return say("The profile has no query yet. Apply a template or build one.")
    if active is not None:
        return say("Job {active} is not finished.", active=active.number)
    if not policy.allows(user, "execute", profile):
        return say("The profile was shared with you for reading. Ask its owner for the right to run it.")
    return ""
