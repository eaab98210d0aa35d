"""Import templates: how files of one kind are read and mapped, to be used again (F-069)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from importer.file_bounds import UNBOUNDED
from importer.file_failures import NotThere
from importer.file_options import FileOptions, field_mappings, file_options
from importer.file_parts import parts_of
from importer.models import ImportJob, ImportTemplate
from importer.operations.failures import InvalidFields
from importer.operations.files import documents, rights
from importer.options import InvalidOption
from permissions import audit, policy
from servicevault.wording import say


def visible(
    user: Any, *, table_name: str = "", target_type: str = "", documents: bool = False
) -> QuerySet[ImportTemplate]:
    """Own templates and public ones; those of a table are not those of the target type that is stored in it.

    With `documents` those of files with several parts alone.
    """
    found = ImportTemplate.objects.filter(Q(created_by=user) | Q(is_public=True)).select_related("created_by")
    of_documents = Q(import_options__tables__isnull=False)
    if documents:
        return found.filter(of_documents)
    if target_type:
        return found.filter(target_type=target_type).exclude(of_documents)
    return found.filter(table_name=table_name, target_type="").exclude(of_documents) if table_name else found


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
    options = file_options(template.import_options)
    if template.is_document:
        _take_document(user, template, options)
    else:
        if template.target_type:
            template.table_name = documents.goal_of(target_type=template.target_type).table.name
        rights.require(user, template.table_name)
        template.table_name = rights.table_of(template.table_name).name
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
    """Keep how a file was read and mapped, of a document every part of it. Raises what `save` raises."""
    file = job.file
    given = {
        "name": name,
        "table_name": file.table_name,
        "target_type": file.target_type,
        "field_mappings": file.field_mappings or [],
        "import_options": file.import_options,
        "is_public": is_public,
    }
    if file.parts is not None:
        named = file.import_options["tables"]
        given["field_mappings"] = {
            part.key if part.key in named else part.place: part.field_mappings for part in parts_of(file)
        }
    return save(user, given)


def _take_document(user: Any, template: ImportTemplate, options: FileOptions) -> None:
    """Check the parts of a document's template. Raises InvalidOption, UnknownTable, ImportDenied."""
    parts = documents.parts_named(options)
    rights.require_parts(user, parts, within=UNBOUNDED)
    template.table_name, template.target_type = ", ".join(rights.tables_of(parts))[:255], ""
    given = template.field_mappings or {}
    if not isinstance(given, Mapping) or set(given) - set(options.tables):
        raise InvalidOption(
            say("field_mappings of a document is an object with a list for each of its parts."),
            hint=say("Parts: {parts}.", parts=", ".join(options.tables)),
            where="field_mappings",
        )
    template.field_mappings = {
        place: [mapping.as_json() for mapping in field_mappings(each)] for place, each in given.items()
    }
