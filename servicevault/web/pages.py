"""A page is a shell around a fragment that can also come alone; and pages are for people who logged in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from permissions import audit

P = ParamSpec("P")


class PageRequest(HttpRequest):
    """A request of somebody who is logged in, as the middleware leaves it."""

    htmx: HtmxDetails
    user: Any


def members_only(
    view: Callable[Concatenate[PageRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Send people who are not logged in to the log-in page, and back here afterwards.

    A fragment's request answers with a redirect of the whole page: else the form would land in the fragment's place.
    """

    @wraps(view)
    def checked(request: Any, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not isinstance(request.user, AnonymousUser):
            audit.act_as(request.user)
            return view(request, *args, **kwargs)
        if request.htmx:
            return HttpResponseClientRedirect(_log_in(request.htmx.current_url_abs_path or "/"))
        # What was posted is lost with the session; the page before the form is not.
        return HttpResponseRedirect(_log_in(request.get_full_path() if request.method == "GET" else "/"))

    return checked


def render_page(
    request: PageRequest, page: str, fragment: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """The fragment when htmx asks for a part, else the page that includes the same fragment."""
    wants_part = request.htmx and not request.htmx.boosted and not request.htmx.history_restore_request
    response = render(request, fragment if wants_part else page, context, status=status)
    patch_vary_headers(response, ["HX-Request"])  # both answers have one address
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _log_in(path: str) -> str:
    return f"{reverse('login')}?{urlencode({REDIRECT_FIELD_NAME: path})}"
