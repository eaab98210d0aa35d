"""`/import/profiles/<id>/matching`: what a run may do, and how rows that are here already are recognised (U24)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from importer import operations
from importer.errors import ImporterError, SourceError
from importer.models import ImportProfile
from importer.modes import Mode, Strategy
from importer.operations.profile_preview import ProfilePreview, preview_profile
from importer.operations.readiness import Readiness
from importer.operations.uniqueness import Uniqueness, measure
from importer.planning import stored_spec
from importer.web.forms import StyledForm
from importer.web.histogram import Histogram, histogram
from importer.web.way import go, source_page, way_of
from servicevault import catalog
from servicevault.web.pages import PageRequest, render_page
from servicevault.wording import say

MODE_SENTENCES = {
    Mode.UPSERT: say("New rows are created, rows that are here are brought up to date. Right for most imports."),
    Mode.CREATE: say("Only what is not here yet comes in. Whatever is here stays exactly as it is."),
    Mode.UPDATE: say("Only what is here is brought up to date. Nothing new comes in."),
}


class MatchingForm(StyledForm):
    import_mode = forms.ChoiceField(label=say("Import mode"), choices=Mode.choices)
    enabled = forms.BooleanField(
        required=False, label=say("Look for rows that are here but were not imported from this source")
    )
    strategy = forms.ChoiceField(
        required=False,
        label=say("Comparison"),
        choices=[("", say("As each target does by itself")), *Strategy.choices],
    )
    primary_fields = forms.MultipleChoiceField(required=False, label=say("Primary fields"))
    secondary_fields = forms.MultipleChoiceField(required=False, label=say("Secondary fields"))
    confidence_threshold = forms.IntegerField(
        min_value=0,
        max_value=100,
        initial=85,
        label=say("Write from"),
        help_text=say("Percent of agreement that counts as the same."),
    )
    review_floor = forms.IntegerField(
        min_value=0,
        max_value=100,
        required=False,
        label=say("Ask a person from"),
        help_text=say("Between this and the threshold a row waits in the review. Empty: such rows count as new."),
    )

    def __init__(self, *args: Any, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in ("primary_fields", "secondary_fields"):
            self.fields[field].choices = [(name, name) for name in names]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        floor, threshold = given.get("review_floor"), given.get("confidence_threshold")
        if floor is not None and threshold is not None and floor > threshold:
            self.add_error("review_floor", say("This lies above the threshold: nothing could ever wait."))
        return given

    def matching(self) -> dict[str, Any]:
        """What was chosen, as the profile stores it; defaults are left out."""
        given = self.cleaned_data
        chosen: dict[str, Any] = {"enabled": given["enabled"]}
        for name in ("strategy", "primary_fields", "secondary_fields"):
            if given[name]:
                chosen[name] = given[name]
        if given["confidence_threshold"] != 85:
            chosen["confidence_threshold"] = given["confidence_threshold"]
        if given["review_floor"] is not None:
            chosen["review_floor"] = given["review_floor"]
        return chosen


@dataclass(frozen=True)
class ModeCard:
    value: str
    words: str
    sentence: str
    is_chosen: bool
    estimate: str


@dataclass(frozen=True)
class FieldChoice:
    """A field to recognise rows by, with how well it tells them apart."""

    name: str
    measured: tuple[Uniqueness, ...]
    is_primary: bool
    is_secondary: bool


@require_http_methods(["GET", "HEAD", "POST"])
@source_page("matching", say("Matching and writing"))
def matching_page(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """Mode, comparison and fields; saved, they count for every later run."""
    context = way_of(request, profile, "matching")
    names = _names(context["state"])
    stored = profile.matching or {}
    initial = {
        "enabled": True,
        "strategy": stored.get("matching_strategy", ""),
        **stored,
        "import_mode": profile.import_mode,
    }
    form = MatchingForm(request.POST or None, initial=initial, names=names)
    if request.method == "POST" and form.is_valid():
        values = {"import_mode": form.cleaned_data["import_mode"], "matching": form.matching()}
        try:
            with transaction.atomic():
                operations.update_profile(profile, values, by=request.user)
        except ImporterError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, say("Saved how rows are recognised and written."))
            return go(request, "profile_matching", profile.pk)
    measured = measure(profile, names, by=request.user)
    found = _sampled(profile, request.user)
    context |= {
        "form": form,
        "cards": _cards(form, dict(found.impact.counts) if found else {}),
        "histogram": _histogram(form, found),
        "fields": [
            FieldChoice(
                name,
                tuple(item for item in measured if item.field == name),
                name in (form["primary_fields"].value() or ()),
                name in (form["secondary_fields"].value() or ()),
            )
            for name in names
        ],
        "usual": _usual(context["state"]),
        "summary": next(step.note for step in context["state"].steps if step.key == "matching"),
    }
    status = 422 if form.errors else 200
    return render_page(request, "importer/matching.html", "importer/_matching.html", context, status=status)


def _names(state: Readiness) -> list[str]:
    """Short mapped texts, by which rows may be recognised."""
    found: dict[str, None] = {}
    for entity in state.entities:
        if not entity.query.enabled or entity.problem:
            continue
        spec = stored_spec(entity.query)
        target = catalog.get(spec.target_type)
        for item in spec.fields:
            field = target.field(item.target)
            is_text = field is not None and field.type in ("text", "email") and item.target != spec.source_identifier
            if field and is_text and field.max_length and not (field.choices or field.reference):
                found.setdefault(field.name)
    return sorted(found)


def _usual(state: Readiness) -> list[tuple[str, str, str]]:
    """What each target compares when nothing is chosen here."""
    found = {}
    for entity in state.entities:
        if entity.query.enabled and not entity.problem:
            target = catalog.get(entity.query.target_type)
            found[target.label] = (", ".join(target.match_fields), str(Strategy(target.match_strategy).label).lower())
    return [(label, fields, how) for label, (fields, how) in found.items()]


def _sampled(profile: ImportProfile, user: Any) -> ProfilePreview | None:
    """What creating and updating would do, from a sample; None when nothing can be sampled."""
    try:
        return preview_profile(profile, by=user, keys=[""], mode=Mode.UPSERT)
    except SourceError:
        raise
    except ImporterError:
        return None


def _histogram(form: MatchingForm, found: ProfilePreview | None) -> Histogram | None:
    """How alike the sampled rows are to what is here, with the limits of the form drawn in."""
    if found is None:
        return None
    threshold, floor = _percent(form["confidence_threshold"].value()), _percent(form["review_floor"].value())
    sampled = sum(item.expected.impact.sample_size for item in found.queries if item.expected)
    return histogram(found.confidences, sampled=sampled, threshold=85 if threshold is None else threshold, floor=floor)


def _percent(value: Any) -> float | None:
    """A number somebody typed, kept between 0 and 100; None for anything else."""
    try:
        return min(100.0, max(0.0, float(value)))
    except (TypeError, ValueError):
        return None


def _cards(form: MatchingForm, counts: dict[str, int]) -> list[ModeCard]:
    """The three modes; one sample of creating and updating tells all of them."""
    here = counts.get("updated", 0) + counts.get("unchanged", 0)
    new, changed = counts.get("created", 0), counts.get("updated", 0)
    estimates = {
        Mode.UPSERT: say("about {new:,} created, {changed:,} updated", new=new, changed=changed),
        Mode.CREATE: say("about {new:,} created, {here:,} left as they are", new=new, here=here),
        Mode.UPDATE: say("about {changed:,} updated, {new:,} left out", changed=changed, new=new),
    }
    chosen = form["import_mode"].value()
    return [
        ModeCard(mode.value, mode.label, MODE_SENTENCES[mode], mode == chosen, estimates[mode] if counts else "")
        for mode in MODE_SENTENCES
    ]
