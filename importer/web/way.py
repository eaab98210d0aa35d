"""The way of a profile from its connection to its run: what each page of it shows on top, and when the source is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect

from importer.crypto import SecretUnreadable
from importer.errors import ImporterError, SourceError
from importer.models import ImportProfile
from importer.operations.readiness import Readiness, Step, readiness
from importer.web.profiles import PAGE
from permissions import policy
from servicevault.web.pages import PageRequest, members_only

P = ParamSpec("P")
ADDRESSES = {
    "connect": "profile_edit",
    "template": "profile_template",
    "mapping": "builder",
    "values": "profile_value_maps",
    "matching": "profile_matching",
    "preview": "profile_preview",
    "run": "profile_preview",
}


@dataclass(frozen=True)
class Signpost:
    """A step with its page."""

    step: Step
    url: str  # empty where the site has no page for it
    is_current: bool
    is_next: bool
    number: int


def profile_of(request: PageRequest, pk: Any, action: str = "view") -> ImportProfile:
    """The profile, if the person may open the import pages and do this with it: else 404 or 403."""
    policy.require(request.user, PAGE)
    profiles = ImportProfile.objects.filter(deleted_at=None).select_related(
        "template", "created_by", "changed_by", "placeholder_agent"
    )
    return policy.fetch(profiles, request.user, action, pk)


def way_of(request: PageRequest, profile: ImportProfile, current: str) -> dict[str, Any]:
    """What every page of the way needs: the profile, its state, and the steps with `current` marked."""
    state = readiness(profile)
    return {
        "profile": profile,
        "state": state,
        "way": signposts(profile, state, current),
        "may_change": policy.can(request.user, "change", profile),
    }


def signposts(profile: ImportProfile, state: Readiness, current: str) -> list[Signpost]:
    after = state.next.key
    return [
        Signpost(step, address_of(profile, step.key), step.key == current, step.key == after, number)
        for number, step in enumerate(state.steps, 1)
    ]


def address_of(profile: ImportProfile, step: str) -> str:
    """The step's page."""
    return reverse(ADDRESSES[step], args=[profile.pk]) + ("#run" if step == "run" else "")


def go(request: PageRequest, name: str, *arguments: Any) -> HttpResponse:
    """Lead to another page, whether a form or a fragment asks."""
    if request.htmx:
        return HttpResponseClientRedirect(reverse(name, args=arguments))
    return redirect(name, *arguments)


def source_page(
    step: str, page: str, *, action: str = "change"
) -> Callable[
    [Callable[Concatenate[PageRequest, ImportProfile, P], HttpResponse]],
    Callable[Concatenate[Any, Any, P], HttpResponse],
]:
    """A page of the way that asks the source. When it cannot be asked, the page says why and what to do (U7)."""

    def decorate(
        view: Callable[Concatenate[PageRequest, ImportProfile, P], HttpResponse],
    ) -> Callable[Concatenate[Any, Any, P], HttpResponse]:
        @wraps(view)
        def answered(request: PageRequest, pk: Any, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            profile = profile_of(request, pk, action)
            try:
                return view(request, profile, *args, **kwargs)
            except (SourceError, SecretUnreadable) as error:
                return trouble(request, profile, step, page, error)

        return members_only(answered)

    return decorate


def trouble(request: PageRequest, profile: ImportProfile, step: str, page: str, error: ImporterError) -> HttpResponse:
    """The page's shell with what is wrong in place of its content; 502 would make programs retry, so 200 (a page)."""
    context = way_of(request, profile, step) | {
        "error": error,
        "is_locked": isinstance(error, SecretUnreadable),
        "page_title": page,
        "retry": request.get_full_path() if request.method == "GET" else request.path,
    }
    part = request.htmx and not request.htmx.boosted
    response = render(request, "importer/_trouble.html" if part else "importer/trouble.html", context)
    patch_vary_headers(response, ["HX-Request"])
    response.headers["Cache-Control"] = "private, no-cache"
    return response
