"""`/import/profiles/new` and `/edit`: where the source is, how to log in, and whether that works (U16, U17)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from importer import operations
from importer.crypto import SecretUnreadable
from importer.errors import ImporterError
from importer.models import ImportProfile
from importer.sources.params import ConnectionParams
from importer.sources.probe import ConnectionTest
from importer.web.forms import ConnectionForm, zones
from importer.web.profiles import PAGE
from importer.web.way import go, profile_of, way_of
from permissions import policy, roles
from servicevault.api.limits import spend
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say, say_count

CHECKS = {
    "host_policy": say("Host allowed"),
    "dns": say("Name found"),
    "tcp": say("Server reached"),
    "tls": say("Encryption"),
    "login": say("Login"),
    "version": say("PostgreSQL version"),
    "read_only_role": say("Rights of the login"),
    "schemas": say("Tables visible"),
    "clock": say("Clocks agree"),
    "timezone": say("Time zone"),
}
LOOKS = {
    "ok": ("check", "green", say("passed")),
    "failed": ("x", "red", say("failed")),
    "skipped": ("circle-minus", "grey", say("skipped")),
}


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: PageRequest) -> HttpResponse:
    """A new profile: paste an address or fill the fields, test, save."""
    policy.require(request.user, PAGE)
    policy.require(request.user, *roles.CONFIGURE)
    if request.method != "POST":
        return _page(request, None, ConnectionForm())
    return _answer(request, None)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: PageRequest, pk: Any) -> HttpResponse:
    """Change a profile; a changed place or login is tested before it is stored."""
    profile = profile_of(request, pk, "change")
    if request.method != "POST":
        return _page(request, profile, ConnectionForm(initial=_initial(profile)))
    return _answer(request, profile)


def _answer(request: PageRequest, profile: ImportProfile | None) -> HttpResponse:
    action = request.POST.get("action", "save")
    if action == "parse":
        return _parsed(request, profile)
    form = ConnectionForm(request.POST)
    if not form.is_valid():
        return _page(request, profile, form, status=422)
    try:
        if action == "test":
            return _page(request, profile, form, test=_tested(request, profile, form.values()))
        saved = _saved(request, profile, form, action)
    except operations.InvalidFields as error:
        for name, texts in error.errors.items():
            form.add_error(name if name in form.fields else None, texts)
        return _page(request, profile, form, status=422)
    except operations.ConnectionTestFailed as error:
        return _page(request, profile, form, test=error.test, offers_untested=True, status=422)
    except operations.VersionConflict as error:
        return _page(request, profile, form, conflict=error, status=422)
    except SecretUnreadable as error:
        form.add_error("password", str(error))
        return _page(request, profile, form, status=422)
    except ImporterError as error:
        form.add_error(None, str(error))
        return _page(request, profile, form, status=422)
    messages.success(request, say("“{saved}” is saved.", saved=saved.name))
    return go(request, "profile_template" if profile is None else "profile", saved.pk)


def _saved(request: PageRequest, profile: ImportProfile | None, form: ConnectionForm, action: str) -> ImportProfile:
    untested = action == "save_untested"
    with transaction.atomic():
        if profile is None:
            return operations.create_profile(form.values(), by=request.user, skip_test=untested)
        version = None if action == "overwrite" else form.cleaned_data["version"]
        return operations.update_profile(profile, form.values(), by=request.user, version=version, skip_test=untested)


def _tested(request: PageRequest, profile: ImportProfile | None, values: dict[str, Any]) -> ConnectionTest:
    """The test as far as it got. Raises InvalidFields, and ImporterError when it was asked for too often."""
    allowance = spend("connection_test", str(request.user.pk))
    if not allowance.allowed:
        raise ImporterError(
            say("{limit} tests a minute are enough.", limit=allowance.limit),
            hint=say_count("Wait {count} second.", "Wait {count} seconds.", allowance.reset),
            code="rate_limited",
        )
    if profile is None:
        return operations.try_connection(operations.connection_of(values))
    return operations.try_changes(profile, values, by=request.user)


def _parsed(request: PageRequest, profile: ImportProfile | None) -> HttpResponse:
    """The fields of the pasted address; its password is not sent back (P18)."""
    typed = {name: request.POST.get(name, "") for name in ConnectionForm.base_fields if name != "password"}
    initial = (_initial(profile) if profile else {}) | {name: value for name, value in typed.items() if value}
    initial["is_active"] = profile is None or "is_active" in request.POST
    try:
        params, unused = ConnectionParams.from_url(request.POST.get("url", ""))
    except ImporterError as error:
        return _page(request, profile, ConnectionForm(initial=initial), url_error=str(error), status=422)
    found = {name: value for name, value in asdict(params).items() if value}
    had_password = found.pop("password", None) is not None
    form = ConnectionForm(initial=initial | found)
    return _page(request, profile, form, parsed={"unused": unused, "needs_password": had_password})


def _initial(profile: ImportProfile) -> dict[str, Any]:
    names = [name for name in ConnectionForm.base_fields if name != "password"]
    return {name: getattr(profile, name) for name in names}


def _page(
    request: PageRequest,
    profile: ImportProfile | None,
    form: ConnectionForm,
    *,
    test: ConnectionTest | None = None,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "profile": profile,
        "fieldsets": {name.lower(): [form[field] for field in getattr(form, name)] for name in ("PLACE", "SAFETY", "MEANING", "WORDS")},
        "zones": zones(),
        "test": test,
        "checks": [(CHECKS.get(check.name, check.name), check, LOOKS[check.status]) for check in test.checks] if test else [],
        **more,
    }  # fmt: skip
    if profile is not None:
        context = way_of(request, profile, "connect") | context
    return render_page(request, "importer/connection.html", "importer/_connection_form.html", context, status=status)
