"""`/settings/data-import`: the table, its columns, what the person may do with it, the file (F-150 to F-155, F-160)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from importer.errors import ImporterError
from importer.models import ImportJob, ImportTemplate
from importer.operations import files
from importer.operations.progress import listed
from importer.web.files.flow import PAGE, Refusal, go, rows_of, steps_of
from permissions import policy
from permissions import tables as granted
from servicevault import catalog, tables
from servicevault.jobs.models import ACTIVE
from servicevault.tables import Table
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, members_only, render_page

LATEST = 10
TEMPLATES = 100


@dataclass(frozen=True)
class ColumnView:
    """A column as the schema table shows it (F-154)."""

    name: str
    type: str
    nullable: bool
    key: str
    default: str
    is_required: bool
    is_unique: bool
    reference: str
    is_open: bool  # whether the person's imports may fill it


@members_only
@require_safe
def data_import(request: PageRequest) -> HttpResponse:
    """The page; the table is in the address, so that it can be kept and sent."""
    policy.require(request.user, PAGE)
    return _page(request, plain_text(request.GET.get("table"), limit=255))


@members_only
@require_POST
def upload(request: PageRequest) -> HttpResponse:
    """Keep the file, or the pasted text, and go on to how it is read."""
    policy.require(request.user, PAGE)
    table_name = plain_text(request.POST.get("table"), limit=255)
    sent, text = request.FILES.get("file"), request.POST.get("text", "")
    if sent is None and not text.strip():
        return _page(request, table_name, refusal=Refusal("Choose a file, or paste its text."), text=text)
    try:
        template = _template(request)
        job = _uploaded(request, template, table_name, sent, text)
    except ImporterError as error:
        return _page(request, table_name, refusal=Refusal.of(error), text=text)
    try:
        _mapped(request, job, template)
    except ImporterError as error:  # the file is kept: what does not fit is changed on the next pages
        messages.warning(request, f"Nothing is mapped yet: {error}")
    return go(request, "data_import_read", job.pk)


def _template(request: PageRequest) -> ImportTemplate | None:
    wanted = request.POST.get("template", "")
    return files.templates.fetch(request.user, wanted) if wanted.isdecimal() and len(wanted) < 10 else None


def _uploaded(
    request: PageRequest, template: ImportTemplate | None, table_name: str, sent: Any, text: str
) -> ImportJob:
    given: dict[str, Any] = {
        "table_name": table_name,
        "options": dict(template.import_options) if template else None,
        "requires_approval": "requires_approval" in request.POST,
        "mappings": [],
    }
    if sent is not None:
        return files.upload(request.user, sent, sent.name or "file", **given)
    return files.upload_text(request.user, text, **given)


def _mapped(request: PageRequest, job: ImportJob, template: ImportTemplate | None) -> None:
    """Map the file's columns: as the template says, else by name and content."""
    if template is None:
        files.map_anew(job, request.user, rows_of(request, job))
        return
    applied = files.templates.applied(template, job.file.headers)
    files.configure(job, request.user, mappings=applied["field_mappings"])
    for words, names in (
        ("The template maps columns that the file does not have", applied["missing_columns"]),
        ("The file has columns that the template does not know", applied["new_columns"]),
    ):
        if names:
            messages.warning(request, f"{words}: {', '.join(names[:20])}.")


def _page(request: PageRequest, table_name: str, *, refusal: Refusal | None = None, text: str = "") -> HttpResponse:
    known = _tables(request.user, plain_text(request.GET.get("q"), limit=100))
    context: dict[str, Any] = {
        "groups": known,
        "text_search": plain_text(request.GET.get("q"), limit=100),
        "is_permitted": granted.importable_tables(request.user) != set(),
        "table_name": table_name,
        "refusal": refusal,
        "pasted": text[: files.PASTED_BYTES],
        "steps": steps_of(None, "read"),
    }
    context |= history_of(request)
    if table_name:
        context |= _chosen(request.user, table_name)
    status = 422 if refusal else 200
    return render_page(
        request, "importer/files/data_import.html", "importer/files/_upload.html", context, status=status
    )


def history_of(request: PageRequest) -> dict[str, Any]:
    """The person's own jobs of files, newest first (F-161)."""
    own = files.jobs(request.user).filter(created_by=request.user)
    hides = request.GET.get("hide_finished") == "1"
    if hides:
        own = own.filter(status__in=ACTIVE)
    views = listed(own[:LATEST])
    return {
        "views": views,
        "hides_finished": hides,
        "is_live": any(view.is_active and not view.job.awaits_start for view in views),
    }


def _tables(user: Any, text: str) -> list[tuple[str, list[tables.Listed]]]:
    """Tables the person may do something with, those of the help desk first (F-153)."""
    allowed = granted.importable_tables(user)
    of_desk = {target.table for target in catalog.all_targets()}
    found = [
        table
        for table in tables.listed()
        if (allowed is None or table.name in allowed) and text.lower() in f"{table.name} {table.comment}".lower()
    ]
    groups = (
        ("Help desk", [table for table in found if table.name in of_desk]),
        ("Other tables", [table for table in found if table.name not in of_desk]),
    )
    return [(words, members) for words, members in groups if members]


def _chosen(user: Any, table_name: str) -> dict[str, Any]:
    """The table and what may be done with it. Raises Http404 for one that is not there or not the person's."""
    allowed = granted.importable_tables(user)
    if allowed is not None and table_name not in allowed:
        raise Http404
    try:
        table = tables.find(table_name)
    except tables.UnknownTable:
        raise Http404 from None
    allowance = granted.import_allowance(user, table.name)
    return {
        "table": table,
        "columns": _columns(table, allowance.allowed_columns),
        "allowance": allowance,
        "max_bytes": allowance.max_file_size_mb * files.MIB,
        "may_import": _may_import(user, table.name),
        "accepted": ",".join(f".{name}" for name in (*allowance.allowed_formats, "txt", "tsv", "gz", "zip")),
        "import_templates": files.templates.visible(user, table_name=table.name)[:TEMPLATES],
    }


def _may_import(user: Any, table_name: str) -> bool:
    try:
        files.require(user, table_name)
    except ImporterError:
        return False
    return True


def _columns(table: Table, allowed: tuple[str, ...]) -> list[ColumnView]:
    references = {
        column: f"{key.referred_table} ({', '.join(key.referred_columns)})"
        for key in table.foreign_keys
        for column in key.columns
    }
    return [
        ColumnView(
            name=column.name,
            type=column.type,
            nullable=column.nullable,
            key="primary" if column.name in table.primary_key else "",
            default="numbered" if column.autoincrement else (column.default or ""),
            is_required=not column.nullable and column.default is None and not column.identity,
            is_unique=table.is_unique(column.name),
            reference=references.get(column.name, ""),
            is_open=column.writable and (not allowed or column.name in allowed),
        )
        for column in table.columns
    ]
