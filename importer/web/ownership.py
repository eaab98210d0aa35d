"""Copying, sharing and deleting a profile (U36, G9, P9)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from importer import operations
from importer.errors import ImporterError
from importer.models import ImportProfile, Visibility
from importer.operations import sharing
from importer.web.forms import StyledForm
from importer.web.way import go, profile_of, way_of
from servicevault.web.listing import id_in
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

MOST_PEOPLE = 200
RIGHTS = {"view": say("See"), "change": say("Change"), "execute": say("Run"), "delete": say("Delete")}


class CopyForm(StyledForm):
    name = forms.CharField(label=say("Name of the copy"), max_length=255)
    description = forms.CharField(
        label=say("Description"), required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 2})
    )
    source_key = forms.ChoiceField(
        label=say("Rows imported by the original"),
        choices=[("same", say("Recognise them: both profiles read the same source")), ("new", say("Do not know them"))],
        initial="same",
        required=False,
    )


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def duplicate(request: PageRequest, pk: Any) -> HttpResponse:
    """An independent copy, with what is copied and what is not said before."""
    profile = profile_of(request, pk, "change")
    form = CopyForm(
        request.POST or None,
        initial={
            "name": str(say("Copy of {name}", name=profile.name))[:255],
            "description": profile.description[:1000],
        },
    )
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            given = form.cleaned_data
            try:
                copy = operations.duplicate_profile(
                    profile,
                    given["name"],
                    by=request.user,
                    description=given["description"],
                    new_source=given["source_key"] == "new",
                )
            except operations.InvalidFields as error:
                for name, texts in error.errors.items():
                    form.add_error(name if name in form.fields else None, texts)
            except ImporterError as error:
                form.add_error(None, str(error))
            else:
                messages.success(
                    request, say("“{copy}” is a copy of “{profile}”.", copy=copy.name, profile=profile.name)
                )
                return go(request, "profile", copy.pk)
    context = way_of(request, profile, "") | {"form": form, "queries": profile.queries.count()}
    return render_page(request, "importer/duplicate.html", "importer/duplicate.html", context, status=status)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: PageRequest, pk: Any) -> HttpResponse:
    """Take the profile away once its name was typed; jobs, records and imported rows stay."""
    profile = profile_of(request, pk, "delete")
    problem = ""
    if request.method == "POST":
        if request.POST.get("name", "").strip() != profile.name:
            problem = say("This is not the profile's name.")
        else:
            try:
                operations.delete_profile(profile, by=request.user)
            except ImporterError as error:
                problem = str(error)
            else:
                messages.success(request, say("“{profile}” is deleted.", profile=profile.name))
                return go(request, "import")
    context = way_of(request, profile, "") | {"problem": problem, "jobs": profile.jobs.count()}
    status = 422 if problem else 200
    return render_page(request, "importer/delete.html", "importer/delete.html", context, status=status)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def access(request: PageRequest, pk: Any) -> HttpResponse:
    """Who may see, change, run and delete a restricted profile."""
    profile = profile_of(request, pk, "change")
    problem = ""
    if request.method == "POST":
        try:
            sharing.set_access(profile, request.POST.get("visibility", ""), _grants(request), by=request.user)
        except ImporterError as error:
            problem = str(error)
        else:
            messages.success(request, say("Saved who may see and use the profile."))
            return go(request, "profile_access", profile.pk)
    shared = sharing.access_of(profile)
    held = {item["user_id"]: set(item["rights"]) for item in shared["grants"]}
    context = way_of(request, profile, "") | {
        "problem": problem,
        "visibility": shared["visibility"],
        "visibilities": Visibility.choices,
        "rights": RIGHTS,
        "people": [(person, held.get(str(person.pk), set())) for person in _people(profile, held)],
        "most": MOST_PEOPLE,
    }
    return render_page(request, "importer/access.html", "importer/access.html", context, status=422 if problem else 200)


def _people(profile: ImportProfile, held: dict[str, set[str]]) -> list[Any]:
    """Agents who can log in, those with rights first; the owner needs none."""
    owner = profile.created_by_id or profile.pk  # nobody has the profile's id
    agents = get_user_model().objects.filter(is_active=True, user_type="agent").exclude(pk=owner)
    agents = agents.exclude(role=None, is_superuser=False).order_by("name")[:MOST_PEOPLE]
    return sorted(agents, key=lambda person: (str(person.pk) not in held, person.name.casefold()))


def _grants(request: PageRequest) -> dict[UUID, set[str]]:
    """`right-<person>` fields of the form; whatever is no person is left out."""
    found: dict[UUID, set[str]] = {}
    for name in request.POST:
        if name.startswith("right-") and (person := id_in(name.removeprefix("right-"))):
            found[person] = set(request.POST.getlist(name)) & set(RIGHTS)
    return {person: rights for person, rights in found.items() if rights}
