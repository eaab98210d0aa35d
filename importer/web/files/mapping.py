"""`/settings/data-import/<job>/map`: which column of the file fills which of the table (U50, F-157)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_http_methods

from importer.errors import ImporterError
from importer.models import ImportJob
from importer.operations import files
from importer.operations.files import TargetColumn
from importer.web.files.flow import LOST, Refusal, go, rows_of, shell_of, waiting_page
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, members_only, render_page

SAMPLES = 3
SHOWN = 10  # errors of the first rows
TRANSFORMS = (
    ("", "As it is"), ("trim", "Trim blanks"), ("upper", "Upper case"), ("lower", "Lower case"),
    ("number", "Number"), ("date", "Date"), ("boolean", "Yes or no"),
)  # fmt: skip
KEPT = "kept"  # a transformation that the form cannot say: it stays as a template or the API set it
LEVELS = {"High": "green", "Medium": "blue", "Low": "amber"}


@dataclass(frozen=True)
class Row:
    """A column of the file in the table of the form."""

    number: str  # as it is in the names of the form: never with separators
    source: str
    samples: tuple[str | None, ...]
    target: str
    transform: str
    is_kept: bool
    skip_empty: bool
    default: str
    level: str
    colour: str
    reason: str
    is_hidden: bool


@dataclass(frozen=True)
class Tally:
    """The counters of the page."""

    mapped: int
    unmapped: tuple[str, ...]
    missing: tuple[str, ...]


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
@waiting_page
def map_page(request: PageRequest, job: ImportJob) -> HttpResponse:
    """The form; a change is kept and judged at the first hundred rows, `go` has every row checked."""
    if request.method != "POST":
        return _page(request, job)
    act = request.POST.get("act", "")
    try:
        if act == "auto":
            files.map_anew(job, request.user, rows_of(request, job))
        elif act == "clear":
            files.configure(job, request.user, mappings=[])
        else:
            files.configure(job, request.user, mappings=mappings_of(request.POST, job.file.field_mappings or []))
        if act == "go":
            files.validate(job, request.user)
            return go(request, "data_import_check", job.pk)
    except LOST:
        raise
    except ImporterError as error:
        job.file.refresh_from_db()
        return _page(request, job, refusal=Refusal.of(error))
    return _page(request, job)


def mappings_of(given: QueryDict, stored: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The mapping as the form says it; rows come by number, so that names of any kind are safe."""
    known = {each["source_column"]: each for each in stored}
    found = []
    for number, source in enumerate(given.getlist("source")):
        target = given.get(f"target_{number}", "")
        if not target:
            continue
        transform: Any = given.get(f"transform_{number}", "") or None
        if transform == KEPT:
            transform = known.get(source, {}).get("transform")
        default = given.get(f"default_{number}", "").replace("\x00", "")
        found.append(
            {
                "source_column": source,
                "target_column": target,
                "transform": transform,
                "skip_empty": f"skip_{number}" in given,
                "default": default or None,
            }
        )
    return found


def tally_of(job: ImportJob, targets: Sequence[TargetColumn]) -> Tally:
    mapped = {each["target_column"] for each in job.file.field_mappings or []}
    sources = {each["source_column"] for each in job.file.field_mappings or []}
    return Tally(
        len(mapped),
        tuple(header for header in job.file.headers if header not in sources),
        tuple(target.name for target in targets if target.is_required and target.name not in mapped),
    )


def _page(request: PageRequest, job: ImportJob, *, refusal: Refusal | None = None) -> HttpResponse:
    """The page; for htmx what the change means alone: the fields stay as they are under the hands."""
    targets = files.targets(job.file.table_name, request.user)
    context = shell_of(request, job, "map") | {"refusal": refusal, "tally": tally_of(job, targets)}
    if refusal is None and context["allowance"].can_validate:
        try:
            report = files.validate_sample(job, request.user)
        except ImporterError as error:
            context["refusal"] = refusal = Refusal.of(error)
        else:
            context |= {"report": report, "errors": report["errors"][:SHOWN], "sampled": report["totalRows"]}
    if not request.htmx:
        context |= _form(request, job, targets)
    status = 422 if refusal and request.method == "POST" else 200
    return render_page(request, "importer/files/map.html", "importer/files/_map_verdict.html", context, status=status)


def _form(request: PageRequest, job: ImportJob, targets: Sequence[TargetColumn]) -> dict[str, Any]:
    try:
        rows = rows_of(request, job)
    except ImporterError:
        rows = []  # told by the verdict
    given = request.POST or request.GET
    text, only_unmapped = plain_text(given.get("q"), limit=100), given.get("unmapped") == "1"
    proposed = files.suggest_mapping(job.file.table_name, job.file.headers, rows, request.user)["mappings"]
    confidence = {(each["source_column"], each["target_column"]): each for each in proposed}
    used = {each["source_column"]: each for each in job.file.field_mappings or []}
    found = []
    for number, source in enumerate(job.file.headers):
        mapping = used.get(source, {})
        told = confidence.get((source, mapping.get("target_column", "")), {})
        transform = mapping.get("transform") or ""
        is_kept = transform not in dict(TRANSFORMS) if isinstance(transform, str) else True
        default = mapping.get("default")
        found.append(
            Row(
                number=str(number),
                source=source,
                samples=tuple(row[number] for row in rows[:SAMPLES]),
                target=mapping.get("target_column", ""),
                transform=KEPT if is_kept else transform,
                is_kept=is_kept,
                skip_empty=bool(mapping.get("skip_empty")),
                default="" if default is None else str(default),
                level=told.get("level", ""),
                colour=LEVELS.get(told.get("level", ""), "grey"),
                reason=told.get("reason", ""),
                is_hidden=text.lower() not in source.lower() or (only_unmapped and source in used),
            )
        )
    return {
        "rows": found,
        "targets": targets,
        "transforms": TRANSFORMS,
        "kept": KEPT,
        "text": text,
        "only_unmapped": only_unmapped,
        "shown": sum(not row.is_hidden for row in found),
    }
