"""Saved exports: kept, changed, run again with the rights of who runs them (F-106, F-178)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from exporter.errors import Conflict, ExportError, InvalidFields, VersionConflict
from exporter.models import ExportJob, ExportTemplate
from exporter.operations.jobs import create_export
from exporter.planning import planned
from exporter.wanted import Wanted
from permissions import audit
from servicevault import tables
from servicevault.wording import say

FIELDS = (
    "name", "description", "table_name", "columns", "filters", "search", "sort", "export_format", "options", "is_public",
)  # fmt: skip


def create_template(values: Mapping[str, Any], *, by: Any) -> ExportTemplate:
    """A template of the person's own; what it wants must be permitted to them. Raises what `planned` raises."""
    template = ExportTemplate(created_by=by, updated_by=by, **{name: values[name] for name in FIELDS if name in values})
    return _saved(template, by=by, operation="template_created")


def update_template(
    template: ExportTemplate, values: Mapping[str, Any], *, by: Any, version: int | None = None
) -> ExportTemplate:
    """Change what is named; the rest stays (C10). Raises VersionConflict."""
    if version is not None and version != template.version:
        raise VersionConflict(template.name, changed_by=str(template.updated_by or ""), changed_at=template.updated_at)
    for name in FIELDS:
        if name in values:
            setattr(template, name, values[name])
    template.updated_by, template.version = by, template.version + 1
    return _saved(template, by=by, operation="template_updated")


def _saved(template: ExportTemplate, *, by: Any, operation: str) -> ExportTemplate:
    planned(wanted_of(template), by)
    try:
        with transaction.atomic():
            template.save()
            audit.record(operation, user=by, table_name=template.table_name, obj=template)
    except IntegrityError:
        raise InvalidFields(
            {"name": [say("You have a template named “{template}” already.", template=template.name)]}
        ) from None
    template.refresh_from_db()
    return template


def delete_template(template: ExportTemplate, *, by: Any) -> None:
    """Remove it and its schedules. Raises Conflict for a template of the system."""
    if template.is_system_template:
        raise Conflict(say("This template belongs to the system."), hint=say("Copy it to change it."))
    with transaction.atomic():
        audit.record("template_deleted", user=by, table_name=template.table_name, obj=template)
        template.delete()


def run_template(template: ExportTemplate, *, by: Any, trigger: str = "manual", **changes: Any) -> ExportJob:
    """Export what the template says, as the person: columns not permitted to them are EXPORT_003, listed.

    Raises Conflict naming what vanished, and what `create_export` raises.
    """
    if gone := missing(template):
        raise Conflict(
            say(
                "“{template}” does not run: {gone} is not there any more.", template=template.name, gone=", ".join(gone)
            ),
            hint=say("Change the template."),
            more={"missing": gone},
        )
    wanted = wanted_of(template)
    if changes:
        wanted = Wanted(**{**wanted.__dict__, **changes})
    with transaction.atomic():
        job = create_export(wanted, by=by, trigger=trigger, template=template)
        used = ExportTemplate.objects.filter(pk=template.pk)
        used.update(usage_count=F("usage_count") + 1, last_used_at=timezone.now())
    return job


def missing(template: ExportTemplate) -> list[str]:
    """The table or the columns of the template that vanished (F-178)."""
    try:
        table = tables.find(template.table_name)
    except tables.UnknownTable:
        return [f"table {template.table_name}"]
    return [f"column {name}" for name in template.columns if name not in table.by_name]


def wanted_of(template: ExportTemplate) -> Wanted:
    return Wanted(
        table_name=template.table_name,
        export_format=template.export_format,
        selected_columns=template.columns,
        filters=template.filters,
        search=template.search,
        sort=template.sort,
        export_options=template.options,
    )


def problem_of(template: ExportTemplate, user: Any) -> str:
    """Why the person cannot run the template; empty text when they can."""
    if gone := missing(template):
        return say("Not there any more: {gone}.", gone=", ".join(gone))
    try:
        planned(wanted_of(template), user)
    except ExportError as error:
        return str(error)
    return ""
