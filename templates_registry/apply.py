"""Applying a template: its queries become the profile's own, editable ones (T3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from django.db import transaction

from importer import gateway
from importer.errors import ImporterError, PackError
from importer.models import ImportProfile, ImportQuery
from importer.query.dumping import dump_spec
from importer.query.spec import Field, QuerySpec
from importer.sources.introspection import introspect
from importer.sources.schema import SourceSchema
from permissions import audit
from servicevault import catalog
from servicevault.live import telling
from servicevault.wording import say
from templates_registry.definition import parse_definition
from templates_registry.detection import FitReport
from templates_registry.detection import fit as fit_source
from templates_registry.fitting import QueryFit, pack_views
from templates_registry.loader import load_packs
from templates_registry.models import Application, Template
from templates_registry.naming import target_field
from templates_registry.pack import Definition
from templates_registry.parameters import Value, fitted, require_known, values_of

Strategy = Literal["replace", "merge"]


class TemplateConflict(ImporterError):
    """The profile has queries already; `queries` are the keys that would change."""

    code = "conflict"

    def __init__(self, profile: ImportProfile, queries: Sequence[str]) -> None:
        super().__init__(
            say("“{profile}” has queries already: {queries}.", profile=profile.name, queries=", ".join(queries)),
            hint=say("Replace them, or merge: queries of the same key are replaced, the others stay."),
        )
        self.queries = tuple(queries)


@dataclass(frozen=True)
class Keep:
    """A definition and the source it is held against, views resolved."""

    definition: Definition
    schema: SourceSchema


@dataclass(frozen=True)
class AppliedTemplate:
    """What applying a template did."""

    profile: ImportProfile
    template: Template
    queries: tuple[ImportQuery, ...]
    fits: tuple[QueryFit, ...]
    warnings: tuple[str, ...] = ()
    report: FitReport | None = None  # where the source was asked


def apply_template(
    profile: ImportProfile,
    template: Template,
    *,
    schema: SourceSchema,
    strategy: Strategy | None = None,
    variants: Mapping[str, str] | None = None,
    values: Mapping[str, Value] | None = None,
) -> AppliedTemplate:
    """Copy a template's queries, views, order and defaults into the profile.

    Variants and optional parts follow `schema`, or what `variants` says by query; `values` answer the pack's
    questions. A query that does not fit is stored switched off, with the reason.
    Without a strategy a profile that has queries is left alone: TemplateConflict names what would change.
    """
    definition = parse_definition(template.definition)
    with transaction.atomic():
        ImportProfile.objects.select_for_update().get(pk=profile.pk)
        before = {query.key: query for query in profile.queries.all()}
        if before and strategy is None:
            new = {query.key for query in definition.queries}
            raise TemplateConflict(profile, sorted(set(before) | new))
        fits = fitted(definition, schema, variants=variants, values=values)
        stale = before if strategy == "replace" else {fit.key for fit in fits}
        profile.queries.filter(key__in=list(stale)).delete()
        made = [_query(profile, template, fit, position, before) for position, fit in enumerate(fits)]
        keep_in_profile(profile, template, Keep(definition, schema), merge=strategy == "merge")
        Application.objects.update_or_create(
            profile=profile,
            defaults={
                "template": template,
                "name": template.name,
                "version": template.version,
                "queries": {fit.key: stored(fit) for fit in fits},
                "variants": dict(variants or {}),
            },
        )
        details = {"template": template.name, "version": template.version, "strategy": strategy or "new"}
        audit.record("template_applied", profile_id=profile.pk, obj=template, details=details)
    return AppliedTemplate(
        profile, template, tuple(query for query, _ in made), fits, tuple(text for _, texts in made for text in texts)
    )


def stored(fit: QueryFit) -> dict[str, Any]:
    """A query as a profile keeps it."""
    spec, _ = mapped_by_name(fit.spec, fit.plain)
    return {
        "name": fit.name,
        "target_type": spec.target_type,
        "spec": dump_spec(replace(spec, name=fit.name, value_maps={})),
        "value_maps": {name: dict(entries) for name, entries in spec.value_maps.items()},
        "enabled": fit.status != "missing",
        "disabled_reason": fit.reason[:255] if fit.status == "missing" else "",
        "variant": fit.variant,
    }


def ensure_template(
    profile: ImportProfile, platform: str, *, parameters: Mapping[str, Any] | None = None
) -> AppliedTemplate:
    """Apply the platform's template to a profile that has no queries, or only an untouched copy of it.

    Opens the source, so that variants follow what is there now. What a person wrote stays as it is.

    Raises PackError for an unknown platform, TemplateConflict when the queries come from elsewhere.
    """
    template = template_for(platform)
    before = list(profile.queries.all())
    if before and profile.has_custom_queries:
        return AppliedTemplate(profile, template, tuple(before), ())
    if before and profile.template_id != template.pk:
        raise TemplateConflict(profile, [query.key for query in before])
    previous = Application.objects.filter(profile=profile, template=template).first()
    return apply_to_source(
        profile,
        template,
        strategy="replace" if before else None,
        variants=previous.variants if previous else None,
        parameters=parameters,
    )


def apply_to_source(
    profile: ImportProfile,
    template: Template,
    *,
    strategy: Strategy | None = None,
    variants: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> AppliedTemplate:
    """`apply_template` on what the profile's source contains now, with the answers its probes find.

    Raises PackError for a parameter the template does not have.
    """
    definition = parse_definition(template.definition)
    require_known(definition, parameters or ())
    told = {**profile.parameters, **(parameters or {})}
    with gateway.open_source(profile, purpose="template") as session:
        schema = introspect(session)
        report = fit_source(definition, schema, session, parameters=told, variants=variants)
    # What a probe or a default knows is asked again each time.
    profile.parameters = {item.name: item.value for item in report.parameters if item.source == "given"}
    applied = apply_template(
        profile,
        template,
        schema=schema.with_views(report.views),
        strategy=strategy,
        variants=variants,
        values=values_of(report.parameters),
    )
    return replace(applied, warnings=(*report.refused, *applied.warnings), report=report)


def template_for(platform: str) -> Template:
    """The active template of a platform, the shipped one first. Raises PackError naming those there are."""
    if not Template.objects.filter(is_system=True).exists():
        load_packs()
    found = Template.objects.filter(platform=platform, is_active=True).order_by("-is_system", "name").first()
    if found is None:
        known = Template.objects.filter(is_active=True).order_by("platform").values_list("platform", flat=True)
        raise PackError(
            say("There is no template for “{platform}”.", platform=platform),
            hint=say("Known: {known}.", known=", ".join(dict.fromkeys(known))),
            code="not_found",
        )
    return found


# -- queries -----------------------------------------------------------------------------------------------------


def _query(
    profile: ImportProfile, template: Template, fit: QueryFit, position: int, before: dict[str, ImportQuery]
) -> tuple[ImportQuery, list[str]]:
    _, warnings = mapped_by_name(fit.spec, fit.plain)
    made = stored(fit)
    enabled, reason = made.pop("enabled"), fit.reason
    value_maps: dict[str, Any] = made.pop("value_maps")
    old = before.get(fit.key)
    if old is not None and profile.template_id == template.pk:
        # A newer copy of the same template: entries people added to value maps, and what they switched off, stay.
        for name, entries in old.value_maps.items():
            value_maps[name] = {**value_maps.get(name, {}), **entries}
        enabled = enabled and (old.enabled or bool(old.disabled_reason))
    query = ImportQuery.objects.create(
        profile=profile,
        key=fit.key,
        entity=old.entity if old is not None and old.target_type == made["target_type"] else fit.spec.entity or fit.key,
        value_maps=value_maps,
        position=position,
        enabled=enabled,
        version=old.version + 1 if old is not None else 1,
        **made,
    )
    gaps = [
        say("{fit}: {gap} is not in the source and stays empty.", fit=fit.name, gap=gap) for gap in fit.missing_optional
    ]
    off = (
        [say("{fit}: {reason}; the query is off.", fit=fit.name, reason=reason)] if reason and not fit.optional else []
    )
    return query, [*off, *gaps, *(f"{fit.name}: {text}" for text in warnings)]


def mapped_by_name(spec: QuerySpec, plain: frozenset[str]) -> tuple[QuerySpec, list[str]]:
    """The spec with its bare names mapped to target fields, and a sentence for each that means none (T15)."""
    target = catalog.get(spec.target_type)
    taken = {field.target for field in spec.fields if field.target not in plain}
    fields: list[Field] = []
    warnings: list[str] = []
    for field in spec.fields:
        if field.target not in plain:
            fields.append(field)
            continue
        meant = target_field(target, field.target)
        if not meant or meant in taken:
            why = (
                say("{meant} is filled already", meant=meant)
                if meant
                else say("{target} have no field of that name", target=target.label)
            )
            warnings.append(say("the column {target} is not mapped: {why}.", target=field.target, why=why))
            continue
        taken.add(meant)
        fields.append(replace(field, target=meant))
    return replace(spec, fields=tuple(fields)), warnings


def keep_in_profile(profile: ImportProfile, template: Template, keep: Keep, *, merge: bool) -> None:
    """Write the views, the order and the defaults of a template into the profile."""
    definition, schema = keep.definition, keep.schema
    accepted = {view.name for view in schema.views}
    views = [
        {"name": view.name, "sql": view.sql, "key": view.key, "key_source": view.key_source, "comment": view.comment}
        for view in pack_views(definition, schema)
        if not schema.views or view.name in accepted
    ]
    order = list(definition.priority_order)
    if merge:
        names = {view["name"] for view in views}
        views = [view for view in profile.views if view.get("name") not in names] + views
        order = [key for key in profile.priority_order if key not in order] + order
    profile.template = template
    profile.template_version = template.version
    profile.views, profile.priority_order = views, order
    profile.has_custom_queries = profile.has_custom_queries and merge
    if definition.account_strategy:
        profile.account_strategy = definition.account_strategy
    if definition.source_timezone and not profile.timezone_confirmed:
        profile.source_timezone = definition.source_timezone
    profile.save(
        update_fields=[
            "template", "template_version", "views", "priority_order", "has_custom_queries", "account_strategy",
            "source_timezone", "parameters", "updated_at",
        ]
    )  # fmt: skip
    telling.happened("import.template.applied", profile, [profile.channel])
