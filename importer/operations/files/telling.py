"""A file's job as the data API tells it: status, progress, its rows with errors (F-031, F-034, F-035, F-061)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from importer import file_parts, hiding
from importer.file_parts import Part
from importer.models import ImportJob, ImportRecord, sum_counters
from importer.modes import Outcome
from importer.operations.files.suggestions import SUGGESTIONS
from importer.operations.files.validating import finding_json
from importer.operations.progress import accounts_beside, view_of
from importer.pipeline.found import IN_DOUBT
from permissions import approvals, policy
from permissions.models import AuditEntry
from permissions.models.approvals import Decision
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

LOGGED = 20
STAGES = {  # F-051
    JobStatus.AWAITING_APPROVAL: "approval",
    JobStatus.RUNNING: "batches",
    JobStatus.COMPLETED: "result",
    JobStatus.FAILED: "result",
    JobStatus.CANCELLED: "result",
}


def jobs(user: Any, *, status: str = "", table_name: str = "") -> QuerySet[ImportJob]:
    """The files' jobs the person may see, newest first (F-034)."""
    found = policy.restrict(ImportJob.objects.filter(profile=None, file__isnull=False, hidden_at=None), user)
    if status:
        found = found.filter(status=status)
    if table_name:
        found = found.filter(file__table_name=table_name)
    return found.select_related("file", "created_by").order_by("-created_at", "-number")


def described(job: ImportJob) -> dict[str, Any]:
    """The job as `upload` answers it (F-021)."""
    file = job.file
    return {
        "id": job.number,
        "job_id": str(job.pk),
        "status": job.status,
        "table_name": file.table_name,
        "target_type": file.target_type or None,
        "original_filename": file.original_filename,
        "file_size": file.file_size,
        "file_format": file.file_format,
        "detected": {name: file.detected.get(name) for name in ("encoding", "delimiter", "sheet", "record_path")},
        "total_rows": file.total_rows,
        "headers": file.headers,
        "import_options": file.import_options,
        "field_mappings": file.field_mappings,
        "parts": [_part(part) for part in file_parts.parts_of(file)] if file.parts is not None else [],
        "requires_approval": file.requires_approval,
        "within": file.within,
        "progress_percent": percent(job),
        "validation_results": {name: value for name, value in file.validation_results.items() if name != "mappings"},
        "import_results": file.import_results,
        "created_at": job.created_at,
        "updated_at": file.updated_at,
        "created_by": str(job.created_by_id) if job.created_by_id else None,
    }


def whole(job: ImportJob) -> dict[str, Any]:
    """Everything that is kept of the job (F-045): what was uploaded, where it stands, and who agreed."""
    asked = approvals.of_job(job.pk)
    decided = asked if asked is not None and asked.status == Decision.APPROVED else None
    return {
        **described(job),
        **status(job),
        "approved_by": str(decided.decided_by_id) if decided is not None and decided.decided_by_id else None,
        "approved_at": decided.decided_at if decided is not None else None,
        "approval_notes": asked.notes if asked is not None else "",
    }


def _part(part: Part) -> dict[str, Any]:
    """A part of a document, as its job tells it (F-067)."""
    names = ("place", "table_name", "headers", "total_rows", "field_mappings")
    return {name: getattr(part, name) for name in names} | {"target_type": part.target_type or None}


def status(job: ImportJob) -> dict[str, Any]:
    """Where the job stands (F-031)."""
    counters, rows = job.counters(), _rows(job)
    report = job.source_file.validation_results
    is_running = job.started_at is not None
    failed = rows["failed"] + rows["review"]  # rows in doubt are corrected like those that failed
    return {
        "id": job.number,
        "job_id": str(job.pk),
        "status": job.status,
        "progress_percent": percent(job),
        "total_rows": job.source_file.total_rows,
        "processed_rows": rows["read"],
        "valid_rows": rows["read"] - failed if is_running else report.get("validRows", 0),
        "error_rows": failed if is_running else report.get("errorRows", 0),
        **{
            f"{name}_rows": counters[name]
            for name in ("created", "updated", "unchanged", "skipped", "failed", "review", "replanned")
        },
        "current_operation": job.current_operation,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "error_message": job.error_message or None,
        "error_code": job.error_code or None,
    }


def progress(job: ImportJob) -> dict[str, Any]:
    """Status with the stage, the speed, the estimated end and what was done so far (F-035)."""
    told = status(job)
    view = view_of(job)
    rate = view.rows_per_second
    left = (job.source_file.total_rows or 0) - told["processed_rows"]
    end = None
    if job.status == JobStatus.RUNNING and rate and left >= 0 and job.source_file.total_rows:
        end = timezone.now() + timedelta(seconds=left / rate)
    entries = AuditEntry.objects.filter(job_id=job.pk).order_by("-timestamp", "-id")[:LOGGED]
    return told | {
        "stage": stage(job),
        "message": job.current_operation or view.sentence,
        "log": [{"at": entry.timestamp, "operation": entry.operation, "details": entry.details} for entry in entries],
        "rows_per_second": rate,
        "estimated_completion": end,
    }


def stage(job: ImportJob) -> str:
    """Which of the steps of F-051 the job is in."""
    if job.awaits_start:
        return "validation" if job.file.validation_results else "mapping"
    return STAGES.get(JobStatus(job.status), "queued")


def percent(job: ImportJob) -> float:
    """100.0 exactly when completed (F-031)."""
    if job.status == JobStatus.COMPLETED:
        return 100.0
    total, read = job.source_file.total_rows, _rows(job)["read"]
    return min(99.0, round(read * 100 / total, 1)) if total else 0.0


def _rows(job: ImportJob) -> dict[str, int]:
    """The counters of the file's own rows, without the accounts made beside them."""
    runs = list(job.runs.all())
    beside = accounts_beside(job, runs)
    return sum_counters(run for run in runs if run.key not in beside)


def errors(
    job: ImportJob, *, skip: int = 0, limit: int = 100, field: str = "", code: str = "", severity: str = "error"
) -> tuple[list[dict[str, Any]], int]:
    """Findings in the order of rows and columns, and how many there are (F-061, F-083).

    Of the import's failed rows once it ran, of the validation before.
    """
    if job.started_at is None or severity == "warning":
        found = job.file.findings.filter(severity=severity)
        if field:
            found = found.filter(field=field)
        if code:
            found = found.filter(code=code)
        return [finding_json(item) for item in found[skip : skip + limit]], found.count()
    records = failed_records(job)
    if code:
        records = records.filter(code=code)
    if field:
        records = records.filter(problems__contains=[{"field": field}])
    total = records.count()
    parts = {part.key: part for part in file_parts.parts_of(job.file)}
    return [item for record in records[skip : skip + limit] for item in record_errors(record, parts)], total


def failed_records(job: ImportJob) -> QuerySet[ImportRecord]:
    """Rows of the file that did not go in, those in doubt included, in the file's order; without those a person hid."""
    return hiding.shown(_failed(job)).select_related("run").order_by("run__position", "source_row", "id")


def hidden_failures(job: ImportJob) -> QuerySet[ImportRecord]:
    """Rows that did not go in and that a person took out of the lists: nobody is to correct them."""
    return hiding.hidden(_failed(job))


def _failed(job: ImportJob) -> QuerySet[ImportRecord]:
    # Without those of accounts that customers say: they are no rows of the file.
    found = ImportRecord.objects.filter(run__job=job, action__in=(Outcome.FAILED, Outcome.REVIEW))
    return found.filter(source_row__isnull=False)


def record_errors(record: ImportRecord, parts: Mapping[str, Part]) -> list[dict[str, Any]]:
    """What kept one row from going in, a finding each."""
    said = IN_DOUBT.get(record.code or "", say("The row was refused."))
    problems = record.problems or [{"code": record.code, "message": said}]
    part = parts.get(record.run.key)
    sources = part.sources if part else {}
    return [
        {
            **({"part": part.place} if part and part.place else {}),
            "record_id": str(record.pk),
            "row": record.source_row,
            "column": sources.get(problem.get("field") or "", problem.get("column") or ""),
            "field": problem.get("field") or "",
            "message": problem.get("message") or "",
            "severity": "error",
            "value": problem.get("value"),
            "code": problem.get("code") or record.code,
            "suggestion": SUGGESTIONS.get(problem.get("code") or "", ""),
        }
        for problem in problems
        if problem.get("code") != "parent"  # whose record a blocked row waits for
    ]
