"""`/import/templates`: the templates there are, as files out and in, copied, deleted, made of a profile (U21d, T10, T11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from importer.errors import ImporterError
from importer.models import ImportProfile
from importer.web.forms import StyledForm
from importer.web.profiles import PAGE
from importer.web.tabs import tabs
from importer.web.way import go, profile_of, way_of
from permissions import policy
from servicevault import catalog
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say
from templates_registry import operations
from templates_registry.definition import parse_definition
from templates_registry.files import MAX_TOTAL
from templates_registry.models import Template
from templates_registry.pack import Definition
from templates_registry.platforms import platforms

MANAGE = "system.configure"


class SaveForm(StyledForm):
    name = forms.CharField(label=say("Name of the template"), max_length=255)
    description = forms.CharField(
        label=say("Description"), required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 2})
    )
    keep_filter_values = forms.BooleanField(
        required=False,
        label=say("Keep the values of filters"),
        help_text=say("Without, the next profile is asked for them: a date of yours rarely fits another desk."),
    )


class UploadForm(StyledForm):
    file = forms.FileField(label=say("Template or pack"), help_text=say("A .yaml, .json or .zip file of at most 5 MB."))

    def clean_file(self) -> UploadedFile:
        sent: UploadedFile = self.cleaned_data["file"]
        if (sent.size or 0) > MAX_TOTAL:
            raise forms.ValidationError(say("A pack has at most 5 MB."))
        return sent


@dataclass(frozen=True)
class QueryLook:
    """One query of a template, before it is held against a source."""

    name: str
    target: str
    base: str
    joins: int
    fields: int


@dataclass(frozen=True)
class TemplateLook:
    template: Template
    queries: tuple[QueryLook, ...]

    @property
    def formats(self) -> tuple[tuple[str, str], ...]:
        """The files it can be had as; a pack must bring its tests."""
        found = (("yaml", "YAML"), ("json", "JSON"))
        return (*found, ("zip", say("Pack (zip)"))) if operations.is_pack(self.template) else found


@members_only
@require_safe
def template_list(request: PageRequest) -> HttpResponse:
    """The templates there are, and how other help desks get here."""
    policy.require(request.user, PAGE)
    policy.require(request.user, "system.import")
    text = plain_text(request.GET.get("q"))
    looks = [
        TemplateLook(found, queries_of(parse_definition(found.definition)))
        for found in operations.templates(search=text)
    ]
    context = {
        "may_manage": policy.has(request.user, MANAGE),
        "tabs": tabs(request.user, "import_templates"),
        "looks": looks,
        "text": text,
        "platforms": platforms(text),
    }
    return render_page(request, "templates_registry/templates.html", "templates_registry/_templates.html", context)


def queries_of(definition: Definition) -> tuple[QueryLook, ...]:
    """The template's queries in their first form."""
    found = []
    for query in definition.queries:
        spec = query.forms[0].spec
        base = spec.base.name if spec.kind == "builder" else "SQL"
        label = catalog.get(spec.target_type).label
        found.append(QueryLook(query.name, label, base, len(spec.joins), len(spec.fields)))
    return tuple(found)


@members_only
@require_safe
def export_template(request: PageRequest, pk: UUID) -> HttpResponse:
    """The template as a file, in the form `format` names."""
    template = _template(request, pk)
    try:
        found = operations.export_template(template, request.GET.get("format", "yaml"))  # type: ignore[arg-type]
    except ImporterError as error:
        messages.error(request, str(error))
        return go(request, "import_templates")
    return HttpResponse(
        found.content,
        content_type=found.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{found.filename}"',
            "Cache-Control": "private, no-store",
        },
    )


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def import_template(request: PageRequest) -> HttpResponse:
    """Install a template from a file; whatever is wrong with it is said with its line."""
    policy.require(request.user, PAGE)
    policy.require(request.user, MANAGE)
    form = UploadForm(request.POST or None, request.FILES or None)
    faults: list[str] = []
    if request.method == "POST" and form.is_valid():
        sent = form.cleaned_data["file"]
        try:
            found = operations.import_template(sent.read(), sent.name or "template", by=request.user)
        except ImporterError as error:
            report = getattr(error, "report", None)
            faults = [str(finding) for finding in report.findings] if report else [str(error)]
        else:
            said = say("“{template}” is installed.") if found.created else say("“{template}” is replaced.")
            messages.success(request, said.format(template=found.template.name))
            for warning in found.warnings[:5]:
                messages.warning(request, warning)
            return go(request, "import_templates")
    context = {"tabs": tabs(request.user, "import_templates"), "form": form, "faults": faults}
    page = "templates_registry/import.html"
    status = 422 if faults or form.errors or request.method == "POST" else 200
    return render_page(request, page, page, context, status=status)


@members_only
@require_POST
def copy_template(request: PageRequest, pk: UUID) -> HttpResponse:
    """A copy of one's own, which may be changed."""
    template = _template(request, pk)
    policy.require(request.user, MANAGE)
    made = operations.copy(template, by=request.user)
    messages.success(request, say("“{made}” is yours to change.", made=made.name))
    return go(request, "import_templates")


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def delete_template(request: PageRequest, pk: UUID) -> HttpResponse:
    """Take a template of one's own away; profiles that were made of it keep their queries."""
    template = _template(request, pk)
    policy.require(request.user, MANAGE)
    problem = ""
    if request.method == "POST":
        try:
            name = template.name
            operations.delete(template)
        except ImporterError as error:
            problem = str(error)
        else:
            messages.success(request, say("“{name}” is deleted.", name=name))
            return go(request, "import_templates")
    context = {
        "tabs": tabs(request.user, "import_templates"),
        "template": template,
        "profiles": template.profiles.filter(deleted_at=None).count(),
        "problem": problem,
    }
    page = "templates_registry/delete.html"
    return render_page(request, page, page, context, status=422 if problem else 200)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def save_as_template(request: PageRequest, pk: Any) -> HttpResponse:
    """A template of the profile's queries, without its connection."""
    profile = profile_of(request, pk, "change")
    policy.require(request.user, MANAGE)
    form = SaveForm(request.POST or None, initial={"name": profile.name, "description": profile.description[:1000]})
    if request.method == "POST" and form.is_valid():
        try:
            made = operations.save_as_template(profile, by=request.user, **form.cleaned_data)
        except ImporterError as error:
            form.add_error(None, str(error))
        else:
            messages.success(
                request, say("“{made}” is a template now: apply it to other profiles, or export it.", made=made.name)
            )
            return go(request, "import_templates")
    context = way_of(request, profile, "") | {"form": form, "queries": _names(profile)}
    page = "templates_registry/save.html"
    status = 422 if request.method == "POST" else 200
    return render_page(request, page, page, context, status=status)


def _names(profile: ImportProfile) -> list[str]:
    return list(profile.queries.order_by("position").values_list("name", flat=True))


def _template(request: PageRequest, pk: UUID) -> Template:
    policy.require(request.user, PAGE)
    policy.require(request.user, "system.import")
    found = Template.objects.filter(pk=pk, is_active=True).first()
    if found is None:
        raise Http404
    return found
