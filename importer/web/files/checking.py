"""`/settings/data-import/<job>/check`: what the validation of all rows found, and the start (U51)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import FileResponse, Http404, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from importer.errors import ImporterError
from importer.file_parts import Part, parts_of
from importer.models import ImportJob
from importer.operations import files
from importer.tasks import announce
from importer.web.files.flow import LOST, Refusal, go, job_of, needs_approval, own_job, shell_of, waiting_page
from importer.web.files.mapping import STRATEGIES
from importer.web.files.rehearsing import context_of
from servicevault import catalog
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

ROWS = 50
MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
@waiting_page
def check_page(request: PageRequest, job: ImportJob) -> HttpResponse:
    """The report; a POST takes what to do with rows that are there already, and checks every row anew."""
    refusal: Refusal | None = None
    if request.method == "POST":
        try:
            if "on_duplicate" in request.POST:
                files.configure(job, request.user, options=_options(request.POST, job.file.import_options))
            files.validate(job, request.user)
        except LOST:
            raise
        except ImporterError as error:
            refusal = Refusal.of(error)
            job.file.refresh_from_db()
        else:
            return go(request, "data_import_check", job.pk)
    return _page(request, job, refusal=refusal)


@members_only
@require_POST
@waiting_page
def start(request: PageRequest, job: ImportJob) -> HttpResponse:
    """Import the rows that are right, or ask for the approval it needs."""
    try:
        with transaction.atomic():
            job = files.start(job, request.user, accept_errors="accept_errors" in request.POST)
            announce(job)
    except LOST:
        raise
    except ImporterError as error:
        job.refresh_from_db()
        return _page(request, job, refusal=Refusal.of(error))
    return go(request, "data_import_job", job.pk)


@members_only
@require_safe
def findings(request: PageRequest, pk: Any, form: str) -> Any:
    """Every error and warning as a file."""
    job = own_job(request, pk)
    if form not in MEDIA:
        raise Http404
    content = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it
    try:
        files.findings_file(job, form, content)
    except BaseException:
        content.close()
        raise
    content.seek(0)
    name = f"findings-of-job-{job.number}.{form}"
    return FileResponse(content, as_attachment=True, filename=name, content_type=MEDIA[form])


@members_only
@require_POST
def keep_template(request: PageRequest, pk: Any) -> HttpResponse:
    """Keep how this file is read and mapped, for the next of its kind (F-069)."""
    job = own_job(request, pk)
    try:
        name = plain_text(request.POST.get("name"), limit=120)
        template = files.templates.of_job(request.user, job, name, is_public="is_public" in request.POST)
    except ImporterError as error:
        told = getattr(error, "errors", {}) or {}
        messages.error(request, " ".join(str(text) for texts in told.values() for text in texts) or str(error))
    else:
        messages.success(
            request,
            say(
                "“{template}” is kept. Choose it with the next file for {goes_to}.",
                template=template.name,
                goes_to=template.goes_to,
            ),
        )
    return redirect("data_import_check" if job.awaits_start else "data_import_job", job_of(request, pk).pk)


def _options(given: QueryDict, stored: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in stored.items() if name not in ("on_duplicate", "duplicate_key")}
    options["on_duplicate"] = given.get("on_duplicate", "")
    if key := [column for column in given.get("duplicate_key", "").split("\x1f") if column]:
        options["duplicate_key"] = key
    return options


def _page(request: PageRequest, job: ImportJob, *, refusal: Refusal | None = None) -> HttpResponse:
    file = job.file
    context = shell_of(request, job, "check")
    is_current = files.is_current(file)
    kind = request.GET.get("severity", "error")
    severity = kind if kind in ("error", "warning") else "error"
    code, field = plain_text(request.GET.get("code"), limit=48), plain_text(request.GET.get("field"), limit=255)
    context |= {
        "refusal": refusal,
        "is_current": is_current,
        "strategies": STRATEGIES,
        "strategy": file.import_options.get("on_duplicate") or "skip",
        "keys": _keys(job),
        "key": "\x1f".join(_listed(file.import_options.get("duplicate_key"))),
        "needs_approval": needs_approval(job, context["allowance"]),
        "only_checked": bool(file.import_options.get("validate_only")),
        **context_of(job),
    }
    if is_current:
        report = files.report_of(file, limit=1)
        total, page = _errors(request, job, severity, code, field)
        groups = files.groups(job)
        context |= {
            "report": report,
            "too_many": report["totalRows"] > context["allowance"].max_rows_per_import,
            "groups": groups,
            "forms": list(MEDIA),
            "findings": total,
            "page": page,
            "severity": severity,
            "code": code,
            "field": field,
            "warnings": sum(group.count for group in groups if group.severity == "warning"),
        }
    status = 422 if refusal else 200
    return render_page(request, "importer/files/check.html", "importer/files/check.html", context, status=status)


def _errors(
    request: PageRequest, job: ImportJob, severity: str, code: str, field: str
) -> tuple[list[dict[str, Any]], Any]:
    """The page of findings that the address asks for."""
    wanted: dict[str, Any] = {"severity": severity, "code": code, "field": field}
    _, total = files.errors(job, limit=1, **wanted)
    page = Paginator(range(total), ROWS).get_page(request.GET.get("page"))
    found, _ = files.errors(job, skip=max(0, page.start_index() - 1), limit=ROWS, **wanted)
    return found, page


def _keys(job: ImportJob) -> list[tuple[str, str]]:
    """By what rows can be recognised: unique keys, and single columns that would have to be unique (F-057)."""
    part = parts_of(job.file)[0]
    if job.file.parts is not None:
        return [("", say("Their external ids, people also by e-mail, accounts by name"))]
    if part.target_type:
        return _match_fields(part)
    try:
        table = files.table_of(part.table_name)
    except ImporterError:
        return []
    mapped = list(part.sources)
    unique = files.keys(table, mapped)
    words = {key: say("primary key") if key == table.primary_key else say("unique") for key in unique}
    others: Sequence[str] = [name for name in mapped if (name,) not in unique]
    auto = (
        say("The first key that is mapped: {unique}", unique=", ".join(unique[0]))
        if unique
        else say("None: every row is new")
    )
    return [
        ("", auto),
        *(("\x1f".join(key), f"{', '.join(key)} ({words[key]})") for key in unique),
        *((name, say("{name} (checked for repeated values)", name=name)) for name in others),
    ]


def _match_fields(part: Part) -> list[tuple[str, str]]:
    own = catalog.get(part.target_type).match_fields
    known = [name for name in ("external_id", *own) if name in part.sources]
    auto = str(say(", else by ")).join(known) or say("none: map external_id, or choose a field")
    others = [(key, say("{key}, where the external id is new", key=key)) for (key,) in files.match_fields(part)]
    return [("", say("By {auto}", auto=auto)), *(pair for pair in others if (pair[0],) != own)]


def _listed(key: Any) -> list[str]:
    return [key] if isinstance(key, str) else list(key or ())
