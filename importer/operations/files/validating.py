"""Validation: every row through the statements of the import, and the report of F-027."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import psycopg
from django.conf import settings
from django.db import transaction

from importer import file_planning, file_staging
from importer.file_options import field_mappings, file_options
from importer.models import FileFinding, FileImport, ImportJob
from importer.modes import Outcome
from importer.operations.files import rights, storing
from importer.operations.files.failures import FileRefused, ImportInvalid
from importer.operations.files.uploading import Content, require_waiting
from importer.pipeline.slices import Counts
from importer.pipeline.tables import stage
from importer.pipeline.tables.judge import judge
from importer.pipeline.tables.plan import TablePlan
from importer.runner import connect_target
from permissions import audit
from servicevault import stored_files
from servicevault.stored_files import FileGone
from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected

ROW_KEY = "_key"  # that a corrected file carries along (F-089)
SHOWN = 100  # findings of each list in a report
NOWHERE_RUN = 0  # staging of a file without a job: a temporary table

SUGGESTIONS = {
    "required_empty": "Fill the cell, or set a default in the mapping.",
    "not_a_number": "Write digits only, or set the separators in the options.",
    "out_of_range": "Use a value that the column holds.",
    "not_a_boolean": "Write true or false, yes or no, 1 or 0.",
    "bad_date": "Write it as 2024-12-31, or choose the date format.",
    "ambiguous_date": "Choose the date format: DD/MM/YYYY or MM/DD/YYYY.",
    "bad_email": "Correct the address.",
    "foreign_key": "Import the row it names first, or correct the value.",
    "duplicate": "Remove the row, or let rows be skipped or updated.",
    "unique_conflict": "Give the row a value of its own.",
    "too_long": "Shorten the text.",
    "too_many_columns": "Quote cells that hold the delimiter.",
    "unmapped_required": "Map a column of the file to it, or give it a default.",
}
Told = Callable[[int], None]


def validate(
    job: ImportJob, user: Any, *, limit: int = SHOWN, system: bool = False, on_progress: Told | None = None
) -> dict[str, Any]:
    """Judge every row of an uploaded file; the report of F-027. The findings stay to be asked for, page by page.

    The staged rows stay too: an import of the same file, mapping and options need not read it again.
    Raises Conflict once the job was started, ImportDenied, InvalidOption, FileRefused, ImportInvalid when the file is
    gone.
    """
    require_waiting(job)
    file, run = job.file, job.runs.get()
    allowance = rights.require(user, file.table_name, "can_validate", system=system)
    audit.record("validation_started", user=user, table_name=file.table_name, job_id=job.pk)
    plan = file_planning.plan_file(file, by=user, columns=allowance.allowed_columns)
    with connect_target() as connection:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (file_staging.STAGING_LOCK, run.pk))
        try:
            if file.staged_as != file_planning.digests(file)[0] or not stage.is_staged(connection, run.pk):
                file_staging.read(connection, file, run.pk)
        except FileGone as error:
            raise ImportInvalid(str(error), hint="Upload it again.") from error
        except FileRejected as error:
            raise FileRefused(error.message, allowed_formats=allowance.allowed_formats) from error
        counts = _judged(connection, plan, run.pk, on_progress=on_progress)
        _note_file(connection, plan, file, counts["read"], limit_rows=allowance.max_rows_per_import)
        _keep(connection, file)
        connection.commit()
    report = _summary(plan, file, counts)
    file.validation_results = report
    file.validated_as = file_planning.digests(file)[1]
    with transaction.atomic():
        file.save(update_fields=["validation_results", "validated_as", "total_rows", "headers", "notices", "staged_as"])
        job.runs.update(total=counts["read"])
        audit.record(
            "validation_completed",
            user=user,
            table_name=file.table_name,
            job_id=job.pk,
            details={"rows": report["totalRows"], "rows_with_errors": report["errorRows"]},
        )
    return report_of(file, limit=limit)


def report_of(file: FileImport, *, limit: int = SHOWN) -> dict[str, Any]:
    """The stored report with its first findings; empty when the file was not validated."""
    if not file.validation_results:
        return {}
    found = file.findings.all()
    errors = [finding_json(item) for item in found.filter(severity="error")[:limit]]
    warnings = [finding_json(item) for item in found.filter(severity="warning")[:limit]]
    return _report(file.validation_results, errors, warnings)


def validate_file(
    user: Any,
    content: Content,
    filename: str,
    *,
    table_name: str,
    options: Mapping[str, Any] | None = None,
    mappings: Any = None,
    limit: int = SHOWN,
    system: bool = False,
) -> dict[str, Any]:
    """The report of F-027 for a file nobody stores (F-033).

    Raises what `upload` raises, with can_validate in place of can_import.
    """
    allowance = rights.require(user, table_name, "can_validate", system=system)
    table = rights.table_of(table_name)
    chosen = file_options(options or {})
    given = None if mappings is None else field_mappings(mappings)
    audit.record("validation_started", user=user, table_name=table_name)
    with storing.taken(content, chosen.read, allowance) as taken:
        try:
            found = file_planning.proposals(
                table, taken.inspection.headers, [record.cells for record in taken.inspection.sample],
                columns=allowance.allowed_columns,
            )  # fmt: skip
            file = FileImport(
                table_name=table_name,
                original_filename=filename,
                file_format=taken.inspection.detection.format,
                headers=taken.inspection.headers,
                import_options=dict(options or {}),
                field_mappings=[each.as_json() for each in (file_planning.certain(found) if given is None else given)],
            )
            plan = file_planning.plan_file(file, by=user, columns=allowance.allowed_columns)
            with stored_files.opened(taken.stored, settings.IMPORT_TEMP_DIR) as opened, connect_target() as connection:
                report = judged_stream(
                    connection, opened, file, plan, limit_rows=allowance.max_rows_per_import, limit=limit
                )
                connection.rollback()
        except FileRejected as error:
            raise FileRefused(error.message, allowed_formats=allowance.allowed_formats) from error
        finally:
            Path(taken.stored.path).unlink(missing_ok=True)
    audit.record(
        "validation_completed",
        user=user,
        table_name=table_name,
        details={"rows": report["totalRows"], "rows_with_errors": report["errorRows"]},
    )
    return report


def finding_json(found: FileFinding) -> dict[str, Any]:
    """One finding as F-027 tells it."""
    return _finding(found)


# -- parts --------------------------------------------------------------------------------------------------------


def judged_stream(
    connection: psycopg.Connection,
    content: IO[bytes],
    file: FileImport,
    plan: TablePlan,
    *,
    limit_rows: int,
    limit: int,
) -> dict[str, Any]:
    """The report of F-027 for content that is staged for this transaction only; `file` needs no row of its own."""
    with sandbox.lines(content, file_options(file.import_options).read) as (_, reading):
        stage.stage_lines(connection, NOWHERE_RUN, reading.blocks, temporary=True)
        file.notices = [notice._asdict() for notice in reading.notices]
    counts = _judged(connection, plan, NOWHERE_RUN)
    _note_file(connection, plan, file, counts["read"], limit_rows=limit_rows)
    shown = []
    for severity in ("error", "warning"):
        rows = connection.execute(
            "SELECT \"row\", record, coalesce(\"column\", ''), coalesce(field, ''), code, message, value FROM pg_temp.found "
            'WHERE severity = %s ORDER BY "row", place, code LIMIT %s',
            (severity, limit),
        ).fetchall()
        names = ("row", "record", "column", "field", "code", "message", "value")
        shown.append([_finding(FileFinding(severity=severity, **dict(zip(names, row, strict=True)))) for row in rows])
    totals = connection.execute("SELECT severity, count(*) FROM pg_temp.found GROUP BY 1").fetchall()
    summary = _summary(plan, file, counts) | {f"{severity}sTotal": number for severity, number in totals}
    return _report(summary, shown[0], shown[1])


def _judged(connection: psycopg.Connection, plan: TablePlan, run_id: int, on_progress: Told | None = None) -> Counts:
    if run_id == NOWHERE_RUN:
        return judge(connection, plan, run_id, temporary=True).counts
    return judge(connection, plan, run_id, helper=connect_target, on_slice=on_progress).counts


def _note_file(
    connection: psycopg.Connection, plan: TablePlan, file: FileImport, total: int, *, limit_rows: int
) -> None:
    """Add what concerns the file as a whole: before all rows, once (F-076, F-077, F-059)."""
    notes: list[tuple[int, str, str, str, str, str]] = []
    for name in file_planning.unmapped_required(plan):
        message = f"{name} must have a value, and no column of the file is mapped to it."
        notes.append((0, "", name, "unmapped_required", message, "error"))
    if not total:
        notes = [(0, "", "", "no_data_rows", "The file has no data rows.", "error")]
    if total > limit_rows:
        message = f"The file has {total:,} rows; at most {limit_rows:,} may be imported at once."
        notes.append((0, "", "", "too_many_rows", message, "error"))
    used = {ROW_KEY, *(mapped.column for mapped in plan.load.mapped)}
    unused = [header for header in file.headers if header not in used]
    if unused and total:
        message = f"These columns of the file are not imported: {', '.join(unused)}."
        notes.append((0, "", "", "unmapped_columns", message, "warning"))
    for notice in file.notices:
        notes.append((notice["line"], "", "", notice["code"], notice["message"], "warning"))
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO pg_temp.found ("row", place, "column", field, code, message, severity) '
            "VALUES (%s, -1, %s, %s, %s, %s, %s)",
            notes,
        )


def _keep(connection: psycopg.Connection, file: FileImport) -> None:
    connection.execute("DELETE FROM importer_filefinding WHERE file_id = %s", (file.pk,))
    connection.execute(
        'INSERT INTO importer_filefinding (file_id, severity, "row", record, place, "column", field, code, message, value) '
        "SELECT %s, severity, \"row\", record, place, coalesce(\"column\", ''), coalesce(field, ''), code, message, value "
        'FROM pg_temp.found ORDER BY "row", place, code',
        (file.pk,),
    )


def _summary(plan: TablePlan, file: FileImport, counts: Counts) -> dict[str, Any]:
    """What the report says besides its lists; a file that misses a required column has no good row."""
    total, errors = counts["read"], counts[Outcome.FAILED]
    if file_planning.unmapped_required(plan):
        errors = total
    totals = {"errorsTotal": 0, "warningsTotal": 0}
    if file.pk and FileImport.objects.filter(pk=file.pk).exists():
        for severity in ("error", "warning"):
            totals[f"{severity}sTotal"] = file.findings.filter(severity=severity).count()
    return {
        "totalRows": total,
        "validRows": total - errors,
        "errorRows": errors,
        **totals,
        "headers": file.headers,
        "mappings": file.field_mappings,
        "wouldCreate": counts[Outcome.CREATED],
        "wouldUpdate": counts["existing"],
        "wouldSkip": counts[Outcome.SKIPPED],
    }


def _report(summary: Mapping[str, Any], errors: list[dict[str, Any]], warnings: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "isValid": not summary["errorsTotal"] and not summary["errorRows"],
        **summary,
        "errors": errors,
        "warnings": [{name: value for name, value in each.items() if name != "severity"} for each in warnings],
        "truncated": summary["errorsTotal"] > len(errors) or summary["warningsTotal"] > len(warnings),
        "recommendations": _recommendations(errors, warnings),
    }


def _recommendations(errors: list[dict[str, Any]], warnings: list[dict[str, Any]]) -> list[str]:
    codes = dict.fromkeys(each["code"] for each in [*errors, *warnings])
    return [SUGGESTIONS[code] for code in codes if code in SUGGESTIONS]


def _finding(found: FileFinding) -> dict[str, Any]:
    return {
        "row": found.row,
        "record": found.record,
        "column": found.column,
        "field": found.field,
        "message": found.message,
        "severity": found.severity,
        "value": found.value,
        "code": found.code,
        "suggestion": SUGGESTIONS.get(found.code, ""),
    }
