"""`/settings/data-import/<job>/correct`: rows that failed, to be corrected in place and imported (U52, F-089)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from importer.errors import ImporterError
from importer.file_parts import Part, parts_of
from importer.models import ImportJob, ImportRecord
from importer.operations import files
from importer.tasks import announce
from importer.web.files.flow import LOST, Refusal, go, own_job, shell_of, stopped
from servicevault.tabular import formats
from servicevault.tabular.options import WriteOptions
from servicevault.web.listing import page_of, plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say, say_count

ROWS = 50
KEY = "_key"
TEXT = 100


@dataclass(frozen=True)
class Cell:
    """One cell: its name in the form, its value, and what is wrong with it."""

    name: str
    column: str
    value: str
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class GridRow:
    """A row of the file that did not go in."""

    key: str
    line: int
    cells: tuple[Cell, ...]
    messages: tuple[str, ...] = ()  # of the row as a whole

    @property
    def is_good(self) -> bool:
        return not self.messages and not any(cell.messages for cell in self.cells)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def correct(request: PageRequest, pk: Any) -> HttpResponse:
    """Fifty failed rows with their messages; a POST replaces, checks again, or imports those that are right now."""
    job = own_job(request, pk)
    if not job.is_finished:
        return redirect("data_import_job", job.pk)
    left = files.correctable(job)
    part = _part(request, job, left)
    page = page_of(request, left.filter(run__key=part.key), size=ROWS)
    records = list(page.object_list)
    if request.method != "POST":
        return _page(request, job, part, page, _first(job, part, records))
    values = _typed(request, part, records)
    act, replaced = request.POST.get("act", "check"), 0
    if act == "replace":
        replaced = _replace(request, part, values)
    try:
        rows = _checked(request, job, part, records, values)
        if act == "import":
            return _imported(request, job, part, rows)
    except LOST as error:
        return stopped(request, job, error)
    except ImporterError as error:
        return _page(request, job, part, page, _shown(part, records, values, {}), refusal=Refusal.of(error))
    return _page(request, job, part, page, rows, replaced=replaced if act == "replace" else None)


def _page(
    request: PageRequest,
    job: ImportJob,
    part: Part,
    page: Any,
    rows: Sequence[GridRow],
    *,
    refusal: Refusal | None = None,
    replaced: int | None = None,
) -> HttpResponse:
    context = shell_of(request, job, "import") | {
        "page": page,
        "hidden_rows": files.hidden_failures(job).count(),
        "part": part,
        "rows": rows,
        "columns": _columns(part),
        "good": sum(row.is_good for row in rows),
        "refusal": refusal,
        "replaced": replaced,
        "is_checked": request.method == "POST" and refusal is None,
        "find": plain_text(request.POST.get("find"), limit=TEXT),
        "replace": plain_text(request.POST.get("replace"), limit=TEXT),
        "in_column": request.POST.get("in_column", ""),
    }
    status = 422 if refusal else 200
    return render_page(request, "importer/files/correct.html", "importer/files/_grid.html", context, status=status)


def _part(request: PageRequest, job: ImportJob, left: QuerySet[ImportRecord]) -> Part:
    """The part of a document whose rows are shown: that of the address, else the first with a row to correct."""
    failed = left.values_list("run__key", flat=True).first()
    found = parts_of(job.file)
    wanted = request.POST.get("part", request.GET.get("part", ""))
    return next((part for part in found if part.place == wanted and wanted), None) or next(
        (part for part in found if part.key == failed), found[0]
    )


def _columns(part: Part) -> list[str]:
    return [header for header in part.headers if header != KEY]


def _first(job: ImportJob, part: Part, records: Sequence[ImportRecord]) -> list[GridRow]:
    """The rows as the file had them, with what the import said."""
    parts = {part.key: part for part in parts_of(job.file)}
    said = {str(record.pk): files.record_errors(record, parts) for record in records}
    values = {str(record.pk): dict(record.source_data or {}) for record in records}
    return _shown(part, records, values, said)


def _typed(request: PageRequest, part: Part, records: Sequence[ImportRecord]) -> dict[str, dict[str, Any]]:
    """The cells as the form has them; cells it does not have stay as they were."""
    columns = _columns(part)
    found = {}
    for record in records:
        key, stored = str(record.pk), record.source_data or {}
        found[key] = {
            column: request.POST.get(f"{key}:{number}", stored.get(column) or "").replace("\x00", "")
            for number, column in enumerate(columns)
        }
    return found


def _replace(request: PageRequest, part: Part, values: Mapping[str, dict[str, Any]]) -> int:
    """Replace a text in the cells of this page; returns how many changed."""
    find, new = request.POST.get("find", "")[:TEXT], request.POST.get("replace", "")[:TEXT].replace("\x00", "")
    chosen = request.POST.get("in_column", "")
    count = 0
    for cells in values.values():
        for number, column in enumerate(_columns(part)):
            if chosen in ("", str(number)) and find and find in cells[column]:
                cells[column] = cells[column].replace(find, new)
                count += 1
    return count


def _checked(
    request: PageRequest,
    job: ImportJob,
    part: Part,
    records: Sequence[ImportRecord],
    values: Mapping[str, dict[str, Any]],
) -> list[GridRow]:
    """The rows with what a validation says of them now. Raises what `files.validate_file` raises."""
    report = files.validate_file(
        request.user,
        _as_file(part, values),
        "corrected.csv",
        **files.named(part),
        options={name: value for name, value in files.corrected_options(job).items() if name != "tables"},
        mappings=part.field_mappings,
        limit=ROWS * 20,
        within=job.file.bounds,
        is_ours=True,
    )
    keys = list(values)
    said: dict[str, list[dict[str, Any]]] = {}
    for found in report["errors"]:
        if found["record"] and found["record"] <= len(keys):
            said.setdefault(keys[found["record"] - 1], []).append(found)
    return _shown(part, records, values, said)


def _imported(request: PageRequest, job: ImportJob, part: Part, checked: Sequence[GridRow]) -> HttpResponse:
    """Import the rows that are right now, as a job of their own. Raises what the operations raise."""
    good = {row.key: {cell.column: cell.value for cell in row.cells} for row in checked if row.is_good}
    if not good:
        raise files.ImportInvalid(say("No row of this page is right yet."), hint=say("Correct the marked cells first."))
    rows = _as_file(part, good)
    again, _ = files.retry_from_file(job, request.user, rows, job.file.original_filename, is_ours=True)
    files.validate(again, request.user)
    with transaction.atomic():
        again = files.start(again, request.user, accept_errors=True)
        announce(again)
    messages.success(
        request,
        say_count(
            "{count} corrected row of job {job} go in now.",
            "{count} corrected rows of job {job} go in now.",
            len(good),
            job=job.number,
        ),
    )
    return go(request, "data_import_job", again.pk)


def _as_file(part: Part, values: Mapping[str, Mapping[str, Any]]) -> io.BytesIO:
    data, columns = io.BytesIO(), _columns(part)
    rows = [[*(cells.get(column) for column in columns), key] for key, cells in values.items()]
    formats.writable("csv").write(data, [*columns, KEY], rows, WriteOptions(formula_guard=False))
    data.seek(0)
    return data


def _shown(
    part: Part,
    records: Sequence[ImportRecord],
    values: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[GridRow]:
    columns = _columns(part)
    rows = []
    for record in records:
        key = str(record.pk)
        told = said.get(key, ())
        cells = tuple(
            Cell(
                f"{key}:{number}",
                column,
                str(values[key].get(column) if values[key].get(column) is not None else ""),
                tuple(str(each["message"]) for each in told if each["column"] == column),
            )
            for number, column in enumerate(columns)
        )
        whole = tuple(str(each["message"]) for each in told if each["column"] not in columns)
        rows.append(GridRow(key, record.source_row or 0, cells, whole))
    return rows
