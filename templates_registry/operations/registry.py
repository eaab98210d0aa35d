"""The templates there are: finding, making, changing, copying, deleting; and making one of a profile."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.text import slugify

from importer.errors import ImporterError
from importer.models import ImportProfile
from importer.operations.previews import RAW_SQL
from permissions import audit, policy
from servicevault.wording import say
from templates_registry import notation
from templates_registry.definition import parse_definition
from templates_registry.files import MAIN, SIGNATURE, PackFiles
from templates_registry.lint import LintFailed, lint_text
from templates_registry.loader import template_fields
from templates_registry.models import Template
from templates_registry.pack import Definition
from templates_registry.portable import definition_of


class SystemTemplate(ImporterError):
    """A shipped template is not changed: the next release would undo it (T9)."""

    code = "permission_denied"

    def __init__(self, template: Template) -> None:
        super().__init__(
            say("“{template}” comes with Service Vault.", template=template.name),
            hint=say("Copy it and change the copy."),
        )


def templates(
    *, search: str = "", platform: str = "", source_type: str = "", database_type: str = "", active: bool | None = True
) -> QuerySet[Template]:
    """Templates that match all of these; `active` None means switched off ones too. `source_type` is the platform (T1)."""
    found = Template.objects.all()
    if active is not None:
        found = found.filter(is_active=active)
    for name in filter(None, (platform, source_type)):
        found = found.filter(platform=name)
    if database_type:
        found = found.filter(database_type=database_type)
    if search:
        found = found.filter(
            Q(name__icontains=search) | Q(platform__icontains=search) | Q(description__icontains=search)
        )
    return found.order_by("name", "pk")


def create(
    data: Mapping[str, Any], *, by: Any = None, source: str = "", files: Mapping[str, str] | None = None
) -> Template:
    """A template of this definition. Raises LintFailed with every fault of it, Denied for SQL `by` may not write."""
    text, definition = _checked(data, source)
    _check_sql(definition, by)
    return _stored(data, text, definition, by=by, files=files)


def _stored(
    data: Mapping[str, Any], text: str, definition: Definition, *, by: Any, files: Mapping[str, str] | None = None
) -> Template:
    with transaction.atomic():
        template = Template.objects.create(
            **template_fields(PackFiles({MAIN: text, **(files or {})}), dict(data), definition),
            platform=definition.platform,
            created_by=by,
        )
        record("template_created", template, by)
    return template


def record(operation: str, template: Template, by: Any = None) -> None:
    """Put on record what was done with a template, by name and version."""
    audit.record(operation, user=by, obj=template, details={"name": template.name, "version": template.version})


def update(
    template: Template,
    data: Mapping[str, Any],
    *,
    by: Any = None,
    source: str = "",
    files: Mapping[str, str] | None = None,
) -> Template:
    """Give the template another definition; profiles keep their copies. Raises SystemTemplate, LintFailed, Denied."""
    if template.is_system:
        raise SystemTemplate(template)
    text, definition = _checked(data, source)
    _check_sql(definition, by, known=sql_of(parse_definition(template.definition)))
    # It is no longer what was signed.
    kept = dict(template.files if files is None else files)
    if files is None:
        kept.pop(SIGNATURE, None)
    for name, value in template_fields(PackFiles({MAIN: text, **kept}), dict(data), definition).items():
        setattr(template, name, value)
    template.platform = definition.platform
    with transaction.atomic():
        template.save()
        record("template_updated", template, by)
    return template


def delete(template: Template) -> None:
    """Delete the template; profiles that were made of it keep their queries (T16). Raises SystemTemplate."""
    if template.is_system:
        raise SystemTemplate(template)
    with transaction.atomic():
        record("template_deleted", template)
        template.delete()


def copy(template: Template, *, name: str = "", by: Any = None) -> Template:
    """A copy that may be changed."""
    data = {**template.definition, "name": name or str(say("{template} (copy)", template=template.name))}
    files = {path: content for path, content in template.files.items() if path != SIGNATURE}
    return _stored(data, *_checked(data, ""), by=by, files=files)


def save_as_template(
    profile: ImportProfile,
    name: str,
    *,
    platform: str = "",
    description: str = "",
    version: str = "1.0.0",
    keep_filter_values: bool = False,
    by: Any = None,
) -> Template:
    """A template of the profile's queries, without its connection and, unless kept, without filters' values (T10)."""
    if not profile.queries.exists():
        raise ImporterError(
            say("“{profile}” has no queries to save.", profile=profile.name),
            hint=say("Build one first."),
            code="validation_error",
        )
    data = definition_of(
        profile,
        name=name,
        platform=platform or slugify(name)[:64] or "custom",
        description=description,
        version=version,
        keep_filter_values=keep_filter_values,
    )
    return _stored(data, *_checked(data, ""), by=by)


def sql_of(definition: Definition) -> set[str]:
    """The SQL people wrote into a definition: of queries, views and probes."""
    queries = {form.spec.sql for query in definition.queries for form in query.forms if form.spec.kind == "sql"}
    return queries | {view.sql for view in definition.views} | {probe.sql for probe in definition.probes}


def _check_sql(definition: Definition, by: Any, *, known: Set[str] = frozenset()) -> None:
    """Raise Denied for SQL the person may not write: a template runs on every profile it is applied to (DEC-24)."""
    if by is not None and sql_of(definition) - known:
        policy.require(by, RAW_SQL)


def _checked(data: Mapping[str, Any], source: str) -> tuple[str, Definition]:
    """The definition and its text. Raises LintFailed."""
    text = source or notation.to_yaml(dict(data))
    report = lint_text(text)
    if not report.valid or report.definition is None:
        raise LintFailed(report)
    return text, report.definition
