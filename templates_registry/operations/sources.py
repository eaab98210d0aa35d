"""A template and a profile's source: which one it is, how well it fits, applying it, letting go of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from importer import gateway
from importer.errors import ImporterError, PackError, SourceError
from importer.models import ImportProfile
from importer.operations.schema import kept
from importer.sources.introspection import introspect
from permissions import audit
from servicevault.wording import say
from templates_registry import detection
from templates_registry.apply import AppliedTemplate, Strategy, apply_to_source
from templates_registry.definition import parse_definition
from templates_registry.detection import Candidate, FitReport
from templates_registry.models import Application, Template
from templates_registry.parameters import require_known


@dataclass(frozen=True)
class Detection:
    """The templates a source may fit, the best first (T20)."""

    candidates: tuple[tuple[Template, Candidate], ...]

    @property
    def best(self) -> Template | None:
        """The template to propose, if one is likely."""
        return next((template for template, candidate in self.candidates if candidate.is_likely), None)

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "candidates": [
                {
                    "template_id": str(template.pk),
                    "name": template.name,
                    "platform": candidate.platform,
                    "score": candidate.score,
                    "evidence": [asdict(item) for item in candidate.evidence],
                    "version_hint": candidate.version_hint,
                }
                for template, candidate in self.candidates
            ]
        }
        return found if self.best else {**found, "suggestion": "custom"}


def detect(profile: ImportProfile, *, refresh: bool = True) -> Detection:
    """Rank the active templates by what the profile's source contains, at most ten; chooses nothing.

    Without `refresh` an answer of the last ten minutes will do. Raises SourceError when the source cannot be reached.
    """
    known = {template.pk: template for template in Template.objects.filter(is_active=True)}

    def look() -> list[tuple[Any, Candidate]]:
        definitions = {pk: parse_definition(template.definition) for pk, template in known.items()}
        with gateway.open_source(profile, purpose="detect") as session:
            return list(detection.detect_named(introspect(session), definitions, session=session))

    forms = sorted(f"{pk} {template.updated_at}" for pk, template in known.items())
    found = kept("detection", profile, look, *forms, refresh=refresh)
    return Detection(tuple((known[pk], candidate) for pk, candidate in found))


def fit(
    profile: ImportProfile,
    template: Template,
    *,
    variant: str | Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    refresh: bool = True,
) -> FitReport:
    """What of the template this source can feed, what is missing and what must be asked (T21, T22).

    Without `refresh` an answer of the last ten minutes will do.
    """
    definition = parse_definition(template.definition)
    require_known(definition, parameters or ())
    told = {**profile.parameters, **(parameters or {})}
    variants = _variants(template, variant)

    def look() -> FitReport:
        with gateway.open_source(profile, purpose="fit") as session:
            return detection.fit(definition, introspect(session), session, parameters=told, variants=variants)

    asked = json.dumps([told, variants], default=str, sort_keys=True)
    return kept("fit", profile, look, str(template.pk), str(template.updated_at), asked, refresh=refresh)


@dataclass(frozen=True)
class AppliedFit:
    """How the template that a profile has fits its source, or why that cannot be told."""

    template: Template
    report: FitReport | None
    reason: str = ""


def fit_of(profile: ImportProfile) -> AppliedFit | None:
    """The fit of the profile's own template; None for a profile without one.

    An answer of the last ten minutes will do. Raises SourceError when the source does not answer.
    """
    template = profile.template
    if template is None:
        return None
    try:
        return AppliedFit(template, fit(profile, template, refresh=False))
    except SourceError:
        raise
    except ImporterError as error:  # it was changed since, or asks for something nobody told it
        return AppliedFit(template, None, str(error))


def apply(
    profile: ImportProfile,
    template: Template,
    *,
    strategy: Strategy | None = None,
    variant: str | Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> AppliedTemplate:
    """Copy the template into the profile, fitted to its source (T3).

    `variant` is one name for all queries that have such a form, or a name by query. Raises TemplateConflict, whose
    `queries` would change, when the profile has queries and no strategy says what becomes of them.
    """
    if not template.is_active:
        raise PackError(
            say("“{template}” is switched off.", template=template.name),
            hint=say("Choose another template."),
            code="conflict",
        )
    chosen = _variants(template, variant)
    return apply_to_source(profile, template, strategy=strategy, variants=chosen, parameters=parameters)


@transaction.atomic
def remove(profile: ImportProfile) -> ImportProfile:
    """Part the profile from its template; its queries, and the views they read, stay."""
    Application.objects.filter(profile=profile).delete()
    profile.template, profile.template_version = None, ""
    profile.has_custom_queries = profile.queries.exists()
    profile.save(update_fields=["template", "template_version", "has_custom_queries", "updated_at"])
    audit.record("profile_updated", profile_id=profile.pk, obj=profile, details={"fields": ["template"]})
    return profile


def _variants(template: Template, variant: str | Mapping[str, str] | None) -> dict[str, str]:
    """The chosen form by query. Raises PackError for one that no query has."""
    if not variant:
        return {}
    forms = {
        query.key: [form.variant for form in query.forms] for query in parse_definition(template.definition).queries
    }
    if isinstance(variant, str):
        chosen = {key: variant for key, names in forms.items() if variant in names}
    else:
        chosen = {key: name for key, name in variant.items() if name in forms.get(key, ())}
    if not chosen or (not isinstance(variant, str) and len(chosen) < len(variant)):
        known = sorted({name for names in forms.values() for name in names if name})
        raise PackError(
            say("“{template}” has no such variant.", template=template.name),
            hint=say("Variants: {known}.", known=", ".join(known) or say("none")),
            code="validation_error",
        )
    return chosen
