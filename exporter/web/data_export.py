"""`/settings/data-export`: choose a table, look at it, choose columns, filters and a format, export (F-151, U53)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from exporter import operations
from exporter.errors import ExportError
from exporter.operations import Preview
from exporter.tasks import announce
from exporter.web import desk as form
from exporter.web.desk import Desk
from permissions import policy
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

PAGE = "pages.settings.data_export"
ROWS = 20
LARGE = 10_000  # U53


@dataclass(frozen=True)
class Pager:
    """Where in the rows the preview is."""

    offset: int
    shown: int
    total: int

    @property
    def first(self) -> int:
        return self.offset + 1 if self.shown else 0

    @property
    def last(self) -> int:
        return self.offset + self.shown

    @property
    def before(self) -> int | None:
        return max(0, self.offset - ROWS) if self.offset else None

    @property
    def after(self) -> int | None:
        return self.offset + ROWS if self.last < self.total else None


@members_only
@require_safe
def data_export(request: PageRequest) -> HttpResponse:
    """The page; for htmx the desk alone, of which it takes the part that changed."""
    policy.require(request.user, PAGE)
    return _page(request, request.GET)


@members_only
@require_POST
def start(request: PageRequest) -> HttpResponse:
    """Queue the export the form asks for; then on to the list of exports."""
    policy.require(request.user, PAGE)
    desk = Desk.of(request.user, request.POST)
    if not desk.chosen:
        return _page(request, request.POST, error=say("Choose at least one column."))
    try:
        with transaction.atomic():
            job = operations.create_export(desk.wanted, by=request.user)
            announce(job)
    except ExportError as error:
        return _page(request, request.POST, error=str(error))
    messages.success(request, say("Export {job} is queued: {filename}.", job=job.number, filename=job.filename))
    return redirect("exports")


@members_only
@require_POST
def save(request: PageRequest) -> HttpResponse:
    """Keep the form as a template."""
    policy.require(request.user, PAGE)
    desk = Desk.of(request.user, request.POST)
    if desk.parameters:  # a template would not keep the bounds
        return _page(
            request, request.POST, error=say("This choice belongs to the page you came from. Open the table anew.")
        )
    wanted, name = desk.wanted, request.POST.get("template_name", "").replace("\x00", "").strip()[:255]
    if not name:
        return _page(request, request.POST, error=say("Give the template a name."))
    values = {
        "name": name,
        "table_name": wanted.table_name,
        "columns": list(wanted.selected_columns),
        "filters": wanted.filters,
        "search": wanted.search,
        "sort": list(wanted.sort),
        "export_format": wanted.export_format,
        "options": dict(wanted.export_options),
        "is_public": "is_public" in request.POST,
    }
    try:
        operations.create_template(values, by=request.user)
    except ExportError as error:
        return _page(request, request.POST, error=str(error))
    messages.success(request, say("“{name}” is saved. It can run by the clock too.", name=name))
    return redirect("exports")


def _page(request: PageRequest, given: QueryDict, *, error: str = "") -> HttpResponse:
    tables = [table for table in operations.available(request.user) if table.can_export]
    context: dict[str, Any] = {"tables": tables, "chosen_table": given.get("table", ""), "error": error}
    status = 422 if error else 200
    if given.get("table"):
        desk = Desk.of(request.user, given)
        preview, problem = _preview(desk, given, request.user) if not error else (None, "")
        status = 422 if error or problem else 200
        context |= _choices(desk) | {
            "desk": desk,
            "preview": preview,
            "error": error or problem,
            "may_preview": desk.described.exports.can_preview,
            "may_export": desk.described.exports.can_export,
            "is_large": preview is not None and preview.total_rows > LARGE,
            "large": LARGE,
        }
        if preview is not None:
            context["pager"] = Pager(_offset(given), len(preview.rows), preview.total_rows)
            context["rows"] = [list(row.values()) for row in preview.shown]
    return render_page(request, "exporter/data_export.html", "exporter/_desk.html", context, status=status)


def _preview(desk: Desk, given: QueryDict, user: Any) -> tuple[Preview | None, str]:
    if not desk.described.exports.can_preview or not desk.described.exportable:
        return None, ""
    try:
        return operations.preview_export(desk.wanted, by=user, limit=ROWS, offset=_offset(given)), ""
    except ExportError as error:
        return None, str(error)


def _offset(given: QueryDict) -> int:
    text = given.get("offset", "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _choices(desk: Desk) -> dict[str, Any]:
    return {
        "operators": form.OPERATORS,
        "dates": form.DATES,
        "delimiters": form.DELIMITERS,
        "encodings": form.ENCODINGS,
        "compressions": form.COMPRESSIONS,
        "filter_rows": [*desk.filters, form.Filter()],
    }
