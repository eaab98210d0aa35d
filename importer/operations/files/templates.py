"""Import templates: how files of one kind are read and mapped, to be used again (F-069)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from importer.file_failures import NotThere
from importer.file_options import field_mappings, file_options
from importer.models import ImportJob, ImportTemplate
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.files import documents, rights
from permissions import audit, policy
from servicevault.wording import say


def visible(user: Any, *, table_name: str = "", target_type: str = "") -> QuerySet[ImportTemplate]:
    """Own templates and public ones; those of a table are not those of the target type that is stored in it."""
    found = ImportTemplate.objects.filter(Q(created_by=user) | Q(is_public=True)).select_related("created_by")
    if target_type:
        return found.filter(target_type=target_type)
    return found.filter(table_name=table_name, target_type="") if table_name else found


def fetch(user: Any, template_id: Any, *, change: bool = False) -> ImportTemplate:
    """A template the person may use, or with `change` edit. Raises NotThere, policy.Denied."""
    template = visible(user).filter(pk=template_id).first()
    if template is None:
        raise NotThere(say("There is no such import template."))
    if change and template.created_by_id != user.pk:
        policy.require(user, "data.permissions.manage")
    return template


def save(user: Any, given: Mapping[str, Any], template: ImportTemplate | None = None) -> ImportTemplate:
    """Store a new template, or the given one changed.

    Raises InvalidFields, InvalidOption, UnknownTable, ImportDenied for a table the person may not import into.
    """
    template = template or ImportTemplate(created_by=user)
    for name in ("name", "table_name", "target_type", "field_mappings", "import_options", "is_public"):
        if name in given:
            setattr(template, name, given[name])
    if not str(template.name).strip():
        raise InvalidFields({"name": [say("A template needs a name.")]})
    if template.target_type:
        template.table_name = documents.goal_of(target_type=template.target_type).table.name
    rights.require(user, template.table_name)
    template.table_name = rights.table_of(template.table_name).name
    file_options(template.import_options)
    template.field_mappings = [mapping.as_json() for mapping in field_mappings(template.field_mappings)]
    operation = "template_created" if template._state.adding else "template_updated"
    try:
        with transaction.atomic():
            template.save()
            audit.record(operation, user=user, table_name=template.table_name, obj=template)
    except IntegrityError:
        raise InvalidFields(
            {"name": [say("You have a template “{template}” already.", template=template.name)]}
        ) from None
    return template


@transaction.atomic
def delete(user: Any, template: ImportTemplate) -> None:
    """Remove it; imports that used it stay."""
    audit.record("template_deleted", user=user, table_name=template.table_name, obj=template)
    template.delete()


def of_job(user: Any, job: ImportJob, name: str, *, is_public: bool = False) -> ImportTemplate:
    """Keep how a file was read and mapped. Raises what `save` raises, and Conflict for a document."""
    file = job.file
    if file.parts is not None:
        raise Conflict(
            say("A template is for files of one table."), hint=say("Keep the options of a document with it.")
        )
    given = {
        "name": name,
        "table_name": file.table_name,
        "target_type": file.target_type,
        "field_mappings": file.field_mappings,
        "import_options": file.import_options,
        "is_public": is_public,
    }
    return save(user, given)


def applied(template: ImportTemplate, headers: Sequence[str]) -> dict[str, Any]:
    """Options and those mappings that the file has columns for, with what differs; counts the use."""
    wanted = [mapping["source_column"] for mapping in template.field_mappings]
    ImportTemplate.objects.filter(pk=template.pk).update(usage_count=F("usage_count") + 1, last_used_at=timezone.now())
    return {
        "import_options": template.import_options,
        "field_mappings": [mapping for mapping in template.field_mappings if mapping["source_column"] in headers],
        "missing_columns": [column for column in dict.fromkeys(wanted) if column not in headers],
        "new_columns": [header for header in headers if header not in wanted],
    }
