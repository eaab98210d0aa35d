"""`/settings/data-import`: the table, its columns, what the person may do with it, the file (F-150 to F-155, F-160)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from importer import file_targets
from importer.errors import ImporterError
from importer.file_bounds import UNBOUNDED, Bounds
from importer.file_options import SOURCE_KEY
from importer.file_parts import WHOLE, Part, parts_of
from importer.file_targets import Destination
from importer.models import DOCUMENT, OF_DESK, FileUpload, ImportJob, ImportTemplate
from importer.operations import files
from importer.operations.files import parts
from importer.operations.files.applying import Difference
from importer.operations.files.uploading import Content
from importer.operations.progress import listed
from importer.web.files.flow import PAGE, Refusal, go, rows_of, steps_of
from importer.web.files.parameters import Parameters, parameters_of
from permissions import policy
from permissions import tables as granted
from permissions.tables import ImportAllowance
from servicevault import catalog, tables
from servicevault.jobs.models import ACTIVE
from servicevault.web.listing import id_in, plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

LATEST = 10
TEMPLATES = 100


@dataclass(frozen=True)
class Choice:
    """A target that may be chosen."""

    value: str  # in the address
    words: str
    row_estimate: int = 0


@dataclass(frozen=True)
class Sent:
    """The file a form brings: with it, or in parts that came before."""

    content: Content
    name: str
    parts: FileUpload | None = None


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
    return _page(request, plain_text(request.GET.get("table"), limit=255), parameters_of(request.user, request.GET))


@members_only
@require_POST
def upload(request: PageRequest) -> HttpResponse:
    """Keep the file, or the pasted text, and go on to how it is read."""
    policy.require(request.user, PAGE)
    table_name, text = plain_text(request.POST.get("table"), limit=255), request.POST.get("text", "")
    parameters = parameters_of(request.user, request.POST)
    try:
        job = taken(request, parameters)
    except ImporterError as error:
        return _page(request, table_name, parameters, refusal=Refusal.of(error), text=text)
    return go(request, "data_import_read", job.pk)


def taken(request: PageRequest, parameters: Parameters | None) -> ImportJob:
    """The job of the file or the text that the form brings, mapped as far as names and contents tell.

    Raises what `files.upload` raises, what `parts.find` raises, and ImportInvalid without a file.
    """
    table_name = plain_text(request.POST.get("table"), limit=255)
    sent, text = _sent(request), request.POST.get("text", "")
    if sent is None and not text.strip():
        raise files.ImportInvalid(say("Choose a file, or paste its text."))
    template = _template(request)
    job = _uploaded(request, template, table_name, sent=sent, text=text, parameters=parameters)
    if sent is not None and sent.parts is not None:
        parts.discard(sent.parts)
    try:
        _mapped(request, job, template)
    except ImporterError as error:  # the file is kept: what does not fit is changed on the next pages
        messages.warning(request, say("Nothing is mapped yet: {error}", error=error))
    return job


def _sent(request: PageRequest) -> Sent | None:
    if upload_id := id_in(request.POST.get("upload_id")):
        came = parts.find(request.user, upload_id)
        return Sent(parts.content_of(came), came.filename, came)
    file = request.FILES.get("file")
    return Sent(file, file.name or "file") if file is not None else None


def _template(request: PageRequest) -> ImportTemplate | None:
    wanted = id_in(request.POST.get("template"))
    return files.templates.fetch(request.user, wanted) if wanted else None


def _uploaded(
    request: PageRequest,
    template: ImportTemplate | None,
    table_name: str,
    *,
    sent: Sent | None,
    text: str,
    parameters: Parameters | None,
) -> ImportJob:
    given: dict[str, Any] = {
        "options": files.options_for_upload(template) if template else None,
        "within": parameters.bounds if parameters else UNBOUNDED,
        "requires_approval": "requires_approval" in request.POST,
        "mappings": [],
    }
    if source := plain_text(request.POST.get("source_key"), limit=64):
        given["options"] = (given["options"] or {}) | {"source_key": source}
    if declared := plain_text(request.POST.get("format"), limit=20):
        given["options"] = (given["options"] or {}) | {"format": declared}
    if table_name == DOCUMENT:
        given["mappings"] = None
        document = sent or Sent([text.encode()], "pasted.txt")
        known = template.import_options.get("tables") if template else None
        return files.upload_document(request.user, document.content, document.name, known=known, **given)
    given |= goes_to(table_name)
    if sent is not None:
        return files.upload(request.user, sent.content, sent.name, **given)
    return files.upload_text(request.user, text, **given)


def goes_to(name: str) -> dict[str, Any]:
    """What the page calls a target, as operations take it."""
    return {"target_type": name.removeprefix(OF_DESK)} if name.startswith(OF_DESK) else {"table_name": name}


def _mapped(request: PageRequest, job: ImportJob, template: ImportTemplate | None) -> None:
    """Map the file's columns: as the template says, else by name and content."""
    if template is None or template.is_document:
        for part in parts_of(job.file):
            files.map_anew(job, request.user, rows_of(request, job, part), part=part.place)
    if template is None:
        return
    for words in told_of(files.apply(template, job, request.user)):
        messages.warning(request, words)


def told_of(differences: Sequence[Difference]) -> Iterator[str]:
    """Where a file and its template differ, in sentences."""
    for found in differences:
        of = f"{found.part}: " if found.part else ""
        if found.only_in == "template":
            yield of + say("The template knows this part, the file does not have it.")
        elif found.only_in:
            yield of + say("The file has this part, the template does not know it.")
        for words, names in (
            (say("The template maps columns that the file does not have"), found.missing_columns),
            (say("The file has columns that the template does not know"), found.new_columns),
        ):
            if names:
                yield f"{of}{words}: {', '.join(names[:20])}."


def _page(
    request: PageRequest,
    table_name: str,
    parameters: Parameters | None,
    *,
    refusal: Refusal | None = None,
    text: str = "",
) -> HttpResponse:
    known = _targets(request.user, plain_text(request.GET.get("q"), limit=100))
    context: dict[str, Any] = {
        "groups": known,
        "text_search": plain_text(request.GET.get("q"), limit=100),
        "is_permitted": granted.importable_tables(request.user) != set(),
        "table_name": table_name,
        "refusal": refusal,
        "source_key": SOURCE_KEY,
        "pasted": text[: files.PASTED_BYTES],
        "steps": steps_of(None, "read"),
        "within": request.POST.get("within", request.GET.get("within", "")) if parameters else "",
    }
    context |= history_of(request)
    if table_name:
        context |= _chosen(request.user, table_name, parameters.bounds if parameters else UNBOUNDED)
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


def _targets(user: Any, text: str) -> list[tuple[str, list[Choice]]]:
    """What the person may do something with: the help desk's target types first, then tables as they are (F-153)."""
    allowed = granted.importable_tables(user)
    targets = [target for target in catalog.all_targets() if allowed is None or target.table in allowed]
    desk = [Choice(f"{OF_DESK}{target.name}", target.label) for target in targets]
    if len(targets) > 1:
        desk.append(Choice(DOCUMENT, say("Several of these in one document")))
    of_desk = {target.table for target in targets}
    plain = [table for table in tables.listed() if allowed is None or table.name in allowed]
    words = {table.name: f"{table.name} {table.comment}" for table in plain}
    listed = [Choice(table.name, table.name, table.row_estimate) for table in plain]
    groups = (
        (say("Help desk"), desk),
        (say("Tables of the help desk as they are"), [each for each in listed if each.value in of_desk]),
        (say("Other tables"), [each for each in listed if each.value not in of_desk]),
    )
    found = [
        (name, [each for each in members if text.lower() in words.get(each.value, each.words).lower()])
        for name, members in groups
    ]
    return [(name, members) for name, members in found if members]


def _chosen(user: Any, name: str, within: Bounds) -> dict[str, Any]:
    """The target and what may be done with it. Raises Http404 for one that is not there or not the person's."""
    allowed = granted.importable_tables(user)
    if name == DOCUMENT:
        return _document(user, allowed)
    try:
        goal = file_targets.destination(**goes_to(name))
    except (tables.UnknownTable, catalog.UnknownTarget):
        raise Http404 from None
    if allowed is not None and goal.table.name not in allowed:
        raise Http404
    allowance = within.narrowed(granted.import_allowance(user, goal.table.name))
    may_import = allowance.can_import and _may_import(user, goal.table.name)
    return {
        "goal": Choice(name, goal.target.label if goal.is_desk else goal.table.name),
        "table": goal.table,
        "is_desk": goal.is_desk,
        "fields": _fields(user, goal, within) if goal.is_desk and may_import else [],
        "columns": [] if goal.is_desk else _columns(goal, allowance.allowed_columns, within),
        "allowance": allowance,
        "max_bytes": allowance.max_file_size_mb * files.MIB,
        "may_import": may_import,
        "accepted": accepted(allowance),
        "import_templates": files.templates.visible(user, **_of_templates(goal))[:TEMPLATES],
    }


def _document(user: Any, allowed: set[str] | None) -> dict[str, Any]:
    """The same of a document with several parts; the narrowest right of the parts it has counts once it is sent."""
    names = [target.table for target in catalog.all_targets() if allowed is None or target.table in allowed]
    names = [name for name in dict.fromkeys(names) if _may_import(user, name)]
    if not names:
        raise Http404
    allowance = files.allowance_of([granted.import_allowance(user, name) for name in names])
    return {
        "goal": Choice(DOCUMENT, say("Several in one document")),
        "is_desk": True,
        "is_document": True,
        "allowance": allowance,
        "max_bytes": allowance.max_file_size_mb * files.MIB,
        "may_import": True,
        "accepted": accepted(allowance),
        "import_templates": files.templates.visible(user, documents=True)[:TEMPLATES],
    }


def accepted(allowance: ImportAllowance) -> str:
    """Endings of files, as a browser offers them."""
    return ",".join(f".{name}" for name in (*allowance.allowed_formats, "txt", "tsv", "gz", "zip"))


def _of_templates(goal: Destination) -> dict[str, Any]:
    return {"target_type": goal.target.name} if goal.is_desk else {"table_name": goal.table.name}


def _fields(user: Any, goal: Destination, within: Bounds) -> list[files.TargetColumn]:
    return files.targets(Part(WHOLE, goal.table.name, goal.target.name), user, within)


def _may_import(user: Any, table_name: str) -> bool:
    try:
        files.require(user, table_name)
    except ImporterError:
        return False
    return True


def _columns(goal: Destination, allowed: tuple[str, ...], within: Bounds) -> list[ColumnView]:
    table = goal.table
    open_here = {field.name for field in file_targets.narrowed(goal, allowed, within).target.fields}
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
            is_open=column.name in open_here,
        )
        for column in table.columns
    ]
