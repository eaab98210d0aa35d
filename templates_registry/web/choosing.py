"""A profile's "what is it?": detection, fit, applying, upgrading (U18, T17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from importer import operations as importing
from importer.errors import ImporterError, SourceError
from importer.models import ImportProfile
from importer.web.forms import zones
from importer.web.way import go, profile_of, source_page, way_of
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say
from templates_registry import operations
from templates_registry.apply import Strategy
from templates_registry.detection import Candidate, FitReport
from templates_registry.models import Template
from templates_registry.operations.upgrading import Decision
from templates_registry.platforms import platforms

WHAT = say("What is it?")
STRATEGIES: Mapping[str, Strategy] = {"replace": "replace", "merge": "merge"}


@dataclass(frozen=True)
class Option:
    """A template to choose, with what speaks for it."""

    template: Template
    candidate: Candidate | None
    is_chosen: bool
    is_best: bool

    @property
    def evidence(self) -> str:
        """ "9 of 9 marks found"."""
        if self.candidate is None:
            return say("none of its marks found")
        found = sum(item.matched for item in self.candidate.evidence)
        return say("{found} of {evidence} marks found", found=found, evidence=len(self.candidate.evidence))


@require_http_methods(["GET", "HEAD", "POST"])
@source_page("template", WHAT)
def profile_template(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """Which help desk the source is, what of it the chosen template can feed, and applying it by a click."""
    if request.method == "POST":
        return _applied(request, profile)
    return _template_page(request, profile, str(request.GET.get("template", "")))


def _applied(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    chosen = request.POST.get("template", "")
    template = _chosen(chosen, None)
    if template is None:
        raise Http404
    given = {
        name.removeprefix("parameter-"): value
        for name, value in request.POST.items()
        if name.startswith("parameter-") and value
    }
    try:
        with transaction.atomic():
            if zone := request.POST.get("timezone", "").strip():
                values = {"source_timezone": zone, "timezone_confirmed": True}
                profile = importing.update_profile(profile, values, by=request.user)
            found = operations.apply(
                profile, template, strategy=STRATEGIES.get(request.POST.get("strategy", "")), parameters=given
            )
    except SourceError:
        raise
    except ImporterError as error:
        return _template_page(request, profile, chosen, problem=error, given=given, status=422)
    on = sum(query.enabled for query in found.queries)
    messages.success(
        request,
        say(
            "“{template}” is applied: {on} of {queries} queries are on.",
            template=template.name,
            on=on,
            queries=len(found.queries),
        ),
    )
    for warning in found.warnings[:5]:
        messages.warning(request, warning)
    return go(request, "profile", profile.pk)


def _template_page(
    request: PageRequest, profile: ImportProfile, chosen: str, *, status: int = 200, **more: Any
) -> HttpResponse:
    anew = "refresh" in request.GET
    detection = operations.detect(profile, refresh=anew)
    best = detection.best
    template = _chosen(chosen, best or profile.template)
    report = operations.fit(profile, template, parameters=more.get("given"), refresh=anew) if template else None
    options = _options(detection, template)
    context = way_of(request, profile, "template") | {
        "options": [option for option in options if option.candidate or option.is_chosen],
        "others": [option for option in options if not option.candidate and not option.is_chosen],
        "best": best,
        "template": template,
        "report": report,
        "sentence": fit_sentence(detection, template, report) if template and report else "",
        "existing": list(profile.queries.order_by("position").values_list("name", flat=True)),
        "zones": zones(),
        "platforms": platforms(),
        "newer": _newer(profile),
        **more,
    }
    page, part = "templates_registry/profile_template.html", "templates_registry/_profile_template.html"
    return render_page(request, page, part, context, status=status)


def _chosen(pk: str, otherwise: Template | None) -> Template | None:
    if not pk:
        return otherwise
    found = [template for template in Template.objects.filter(is_active=True) if str(template.pk) == pk]
    return found[0] if found else otherwise


def _options(detection: operations.Detection, chosen: Template | None) -> list[Option]:
    """Every active template, the likeliest first; those that build nothing by themselves are left to the builder."""
    ranked = {template.pk: candidate for template, candidate in detection.candidates}
    others = Template.objects.filter(is_active=True).exclude(pk__in=ranked).order_by("name")
    templates = [template for template, _ in detection.candidates]
    templates += [template for template in others if template.definition.get("configuration", {}).get("queries")]
    return [
        Option(template, ranked.get(template.pk), template == chosen, template == detection.best)
        for template in templates
    ]


_FITS = {  # (detected, not everything is there)
    (True, False): say("Detected {name}, {score} fit: {fitting} of {queries} queries fit."),
    (True, True): say("Detected {name}, {score} fit: {fitting} of {queries} queries fit, {absent} not found."),
    (False, False): say("Chosen {name}, {score} fit: {fitting} of {queries} queries fit."),
    (False, True): say("Chosen {name}, {score} fit: {fitting} of {queries} queries fit, {absent} not found."),
}


def fit_sentence(detection: operations.Detection, template: Template, report: FitReport) -> str:
    """ "Detected FreeScout Platform, 98 % fit: 6 of 6 queries fit, time tracking not found"."""
    fitting = sum(query.status != "missing" for query in report.queries)
    absent = [query.name for query in report.queries if query.status == "missing"]
    candidate = next((item for found, item in detection.candidates if found == template), None)
    hint = candidate.version_hint if candidate and len(candidate.version_hint) <= 16 else ""
    name = f"{template.name} {hint}".strip()
    values = {"name": name, "score": f"{report.score} %", "fitting": fitting, "queries": len(report.queries)}
    return _FITS[template == detection.best, bool(absent)].format(**values, absent=", ".join(absent))


def _newer(profile: ImportProfile) -> str:
    """The version of the template that is newer than the profile's; empty when there is none."""
    template = profile.template
    return template.version if template and template.version != profile.template_version else ""


@members_only
@require_POST
def remove_template(request: PageRequest, pk: Any) -> HttpResponse:
    """Part the profile from its template; its queries stay."""
    profile = profile_of(request, pk, "change")
    operations.remove(profile)
    messages.success(request, say("The template is removed; the queries stay."))
    return go(request, "profile", profile.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@source_page("template", say("Upgrade the template"))
def upgrade_template(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """What the template's newer version changes; conflicts with a person's edits are decided one by one."""
    problem: ImporterError | None = None
    try:
        if request.method == "POST":
            found = operations.accept_upgrade(profile, _decisions(request))
            messages.success(request, say("The template is upgraded to {to_version}.", to_version=found.to_version))
            return go(request, "profile", profile.pk)
        found = operations.upgrade(profile)
    except operations.Undecided as error:
        problem, found = error, operations.upgrade(profile)
    except SourceError:
        raise
    except ImporterError as error:
        messages.error(request, str(error))
        return go(request, "profile", profile.pk)
    context = way_of(request, profile, "template") | {"upgrade": found, "problem": problem}
    page = "templates_registry/upgrade.html"
    return render_page(request, page, page, context, status=422 if problem else 200)


def _decisions(request: PageRequest) -> Mapping[str, Decision]:
    prefix = "decide-"
    return {
        name.removeprefix(prefix): "mine" if value == "mine" else "theirs"
        for name, value in request.POST.items()
        if name.startswith(prefix)
    }
