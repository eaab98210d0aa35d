"""Validation: every row through the statements of the import, and the report of F-027."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
from django.conf import settings
from django.db import transaction

from importer import file_parts, file_planning, file_staging
from importer.file_bounds import UNBOUNDED, Bounds
from importer.file_failures import FileRefused, ImportInvalid
from importer.file_options import field_mappings, file_options
from importer.file_parts import WHOLE, Part
from importer.file_planning import FilePlan
from importer.models import FileFinding, FileImport, ImportJob, QueryRun
from importer.modes import Outcome
from importer.operations.files import documents, rights, storing, uploading
from importer.operations.files.suggestions import SUGGESTIONS
from importer.operations.files.uploading import Content, require_waiting
from importer.pipeline import found as found_rows
from importer.pipeline import trial
from importer.pipeline.found import Note
from importer.pipeline.slices import Counts
from importer.pipeline.tables import stage
from importer.pipeline.tables.judge import JUDGED_AT_ONCE, judge
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.trial import Busy, Tried
from importer.runner import connect_target
from permissions import audit
from permissions.tables import ImportAllowance
from servicevault import stored_files
from servicevault.stored_files import FileGone
from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected
from servicevault.wording import say, say_count

ROW_KEY = "_key"  # that a corrected file carries along (F-089)
TRIES = 3  # a trial gives way to whoever waits for its rows
SHOWN = 100  # findings of each list in a report
NOWHERE_RUNS = 2**40  # from here on numbers that no run has: a file without a job is staged in temporary tables

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
    file, parts, runs = job.file, file_parts.parts_of(job.file), file_parts.runs_of(job)
    allowance = rights.require_parts(user, parts, "can_validate", within=file.bounds, system=system)
    audit.record("validation_started", user=user, table_name=file.table_name, job_id=job.pk)
    with connect_target() as connection:
        tried, counts = _tried(
            connection, file, parts, runs, user, allowance=allowance, system=system, on_progress=on_progress
        )
        _note_file(connection, file, parts, tried, counts, limit_rows=allowance.max_rows_per_import)
        _keep(connection, file)
        connection.commit()
    report = _summary(file, parts, counts)
    file.validation_results = report
    file.validated_as = file_planning.validated_digest(file)
    with transaction.atomic():
        file.save(
            update_fields=[
                "validation_results", "validated_as", "total_rows", "headers", "notices", "staged_as", "parts"
            ]
        )  # fmt: skip
        for part, found in zip(parts, counts, strict=True):
            job.runs.filter(key=part.key).update(total=found["read"])
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
    table_name: str = "",
    target_type: str = "",
    options: Mapping[str, Any] | None = None,
    mappings: Any = None,
    limit: int = SHOWN,
    within: Bounds = UNBOUNDED,
    is_ours: bool = False,
    system: bool = False,
) -> dict[str, Any]:
    """The report of F-027 for a file nobody stores (F-033).

    Raises what `upload` raises, with can_validate in place of can_import.
    """
    goal = documents.goal_of(table_name=table_name, target_type=target_type)
    part = Part(WHOLE, goal.table.name, goal.target.name if goal.is_desk else "")
    allowance = rights.require_parts(user, [part], "can_validate", within=within, system=system)
    if is_ours:
        allowance = storing.also_ours(allowance)
    chosen = file_options(options or {})
    given = None if mappings is None else field_mappings(mappings)
    audit.record("validation_started", user=user, table_name=part.table_name)
    with storing.taken(content, chosen.read, allowance) as taken:
        try:
            documents.describe(part, taken.inspection)
            uploading.map_part(part, given, taken.inspection, rights.goal_of(user, part, within, system=system))
            file = FileImport(original_filename=filename, import_options=dict(options or {}), within=within.stored)
            file_parts.put(file, [part])
            with stored_files.opened(taken.stored, settings.IMPORT_TEMP_DIR) as opened, reading_errors(allowance):
                report = judged_stream(
                    opened, file, part, user, limit_rows=allowance.max_rows_per_import, limit=limit, system=system
                )
        finally:
            Path(taken.stored.path).unlink(missing_ok=True)
    audit.record(
        "validation_completed",
        user=user,
        table_name=part.table_name,
        details={"rows": report["totalRows"], "rows_with_errors": report["errorRows"]},
    )
    return report


def finding_json(found: FileFinding) -> dict[str, Any]:
    """One finding as F-027 tells it."""
    return _finding(found)


# -- parts --------------------------------------------------------------------------------------------------------


@contextmanager
def reading_errors(allowance: ImportAllowance) -> Iterator[None]:
    """Say FileRefused and ImportInvalid for a file that cannot be read, or is gone."""
    try:
        yield
    except FileGone as error:
        raise ImportInvalid(str(error), hint=say("Upload it again.")) from error
    except FileRejected as error:
        raise FileRefused(error.message, allowed_formats=allowance.allowed_formats) from error


def _plan(file: FileImport, part: Part, user: Any, *, system: bool, stores: bool = True) -> FilePlan:
    goal = rights.goal_of(user, part, file.bounds, system=system)
    return file_planning.plan_part(file, part, by=user, goal=goal, stores=stores)


def judged_stream(
    content: IO[bytes],
    file: FileImport,
    part: Part,
    user: Any,
    *,
    limit_rows: int,
    limit: int,
    system: bool = False,
) -> dict[str, Any]:
    """The report of F-027 for content that is staged for one transaction only; `file` needs no row of its own.

    Raises InvalidOption, FileRejected.
    """
    plan = _plan(file, part, user, system=system, stores=False)
    tried = Tried(part.place, plan, random.randrange(NOWHERE_RUNS, NOWHERE_RUNS * 2))  # noqa: S311 - no secret
    with connect_target() as connection, connect_target() as outside:
        with sandbox.lines(content, part.read_options(file.import_options)) as (_, reading):
            stage.stage_lines(connection, tried.run_id, reading.blocks, temporary=True)
            part.notices = [notice._asdict() for notice in reading.notices]
        counts = trial.attempt(outside, connection, [tried], connect=connect_target, batch_rows=JUDGED_AT_ONCE)
        _note_file(outside, file, [part], [tried], counts, limit_rows=limit_rows)
        shown = []
        for severity in ("error", "warning"):
            rows = outside.execute(
                "SELECT \"row\", record, coalesce(\"column\", ''), coalesce(field, ''), code, message, value "
                'FROM pg_temp.found WHERE severity = %s ORDER BY "row", place, code LIMIT %s',
                (severity, limit),
            ).fetchall()
            names = ("row", "record", "column", "field", "code", "message", "value")
            shown.append(
                [_finding(FileFinding(severity=severity, **dict(zip(names, row, strict=True)))) for row in rows]
            )
        totals = outside.execute("SELECT severity, count(*) FROM pg_temp.found GROUP BY 1").fetchall()
        outside.rollback()
    summary = _summary(file, [part], counts) | {f"{severity}sTotal": number for severity, number in totals}
    return _report(summary, shown[0], shown[1])


def _tried(
    connection: psycopg.Connection,
    file: FileImport,
    parts: Sequence[Part],
    runs: Mapping[str, QueryRun],
    user: Any,
    *,
    allowance: ImportAllowance,
    system: bool,
    on_progress: Told | None,
) -> tuple[list[Tried], list[Counts]]:
    """The parts staged, with what would become of their rows. One table's are judged while they are read."""
    numbers = [runs[part.key].pk for part in parts]
    for run_id in numbers:
        connection.execute("SELECT pg_advisory_lock(%s, %s)", (file_staging.STAGING_LOCK, run_id))
    unread = [
        (part, run_id)
        for part, run_id in zip(parts, numbers, strict=True)
        if not file_staging.is_staged(connection, file, part, run_id)
    ]
    with reading_errors(allowance):
        if len(parts) == 1 and unread and parts[0].only_rows is None:
            plan = _plan(file, parts[0], user, system=system)
            if isinstance(plan, TablePlan):
                verdict = file_staging.read_and_judge(
                    connection, file, parts[0], plan, numbers[0], connect=connect_target, on_slice=on_progress
                )
                return [Tried(parts[0].place, plan, numbers[0])], [verdict.counts]
        for part, run_id in unread:
            file_staging.read(connection, file, part, run_id)
    tried = [
        Tried(part.place, _plan(file, part, user, system=system), run_id)
        for part, run_id in zip(parts, numbers, strict=True)
    ]
    return tried, _judged(connection, tried, on_progress=on_progress)


def _judged(connection: psycopg.Connection, parts: Sequence[Tried], on_progress: Told | None = None) -> list[Counts]:
    """What would become of the rows: one table's are judged where they are staged, others are tried in their order."""
    first = parts[0]
    if len(parts) == 1 and isinstance(first.plan, TablePlan):
        return [judge(connection, first.plan, first.run_id, helper=connect_target, on_slice=on_progress).counts]
    connection.commit()  # the other session is to see the rows
    for left in reversed(range(TRIES)):
        try:
            with connect_target() as inside:
                return trial.attempt(
                    connection, inside, parts, connect=connect_target, batch_rows=JUDGED_AT_ONCE, on_slice=on_progress
                )
        except Busy:
            if not left:
                raise
            connection.rollback()
    raise AssertionError


def _note_file(
    connection: psycopg.Connection,
    file: FileImport,
    parts: Sequence[Part],
    tried: Sequence[Tried],
    counts: Sequence[Counts],
    *,
    limit_rows: int,
) -> None:
    """Add what concerns the file as a whole, or a part of it: before all rows, once (F-076, F-077, F-059)."""
    notes: list[Note] = []
    total = sum(found["read"] for found in counts)
    for position, (part, used, found) in enumerate(zip(parts, tried, counts, strict=True)):
        of = Note(part.place, position)
        for name in file_planning.unmapped_required(part):
            message = say("{name} must have a value, and no column of the file is mapped to it.", name=name)
            notes.append(of._replace(field=name, code="unmapped_required", message=message))
        columns = {ROW_KEY, *(mapped.column for mapped in used.plan.load.mapped)}
        unused = [header for header in part.headers if header not in columns]
        if unused and found["read"]:
            message = say("These columns of the file are not imported: {unused}.", unused=", ".join(unused))
            notes.append(of._replace(code="unmapped_columns", message=message, severity="warning"))
        notes += [
            of._replace(row=told["line"], code=told["code"], message=told["message"], severity="warning")
            for told in part.notices
        ]
    if not total:
        said = Note(code="no_data_rows", message=say("The file has no data rows."))
        notes = [said, *(note for note in notes if note.severity == "warning")]
    if total > limit_rows:
        message = say_count(
            "The file has {count} row; at most {limit_rows:,} may be imported at once.",
            "The file has {count:,} rows; at most {limit_rows:,} may be imported at once.",
            total,
            limit_rows=limit_rows,
        )
        notes.append(Note(code="too_many_rows", message=message))
    found_rows.add(connection, notes)


def _keep(connection: psycopg.Connection, file: FileImport) -> None:
    connection.execute("DELETE FROM importer_filefinding WHERE file_id = %s", (file.pk,))
    connection.execute(
        'INSERT INTO importer_filefinding (file_id, part, position, severity, "row", record, place, "column", field, code, '
        'message, value) SELECT %s, part, position, severity, "row", record, place, coalesce("column", \'\'), '
        "coalesce(field, ''), code, message, value FROM pg_temp.found ORDER BY position, \"row\", place, code",
        (file.pk,),
    )


def _summary(file: FileImport, parts: Sequence[Part], counts: Sequence[Counts]) -> dict[str, Any]:
    """What the report says besides its lists; a part that misses a required column has no good row."""
    totals = {"errorsTotal": 0, "warningsTotal": 0}
    if file.pk and FileImport.objects.filter(pk=file.pk).exists():
        for severity in ("error", "warning"):
            totals[f"{severity}sTotal"] = file.findings.filter(severity=severity).count()
    told = [_counted(part, found) for part, found in zip(parts, counts, strict=True)]
    whole = {name: sum(each[name] for each in told) for name in told[0]}
    listed = [{"part": part.place, **each} for part, each in zip(parts, told, strict=True)]
    return {
        **whole,
        **totals,
        "headers": file.headers,
        "mappings": file.field_mappings or [],
        **({"parts": listed} if file.parts is not None else {}),
    }


def _counted(part: Part, counts: Counts) -> dict[str, int]:
    total = counts["read"]
    errors = counts[Outcome.FAILED] + counts[Outcome.REVIEW]  # rows in doubt wait for a person: they do not go in
    if file_planning.unmapped_required(part):
        errors = total
    return {
        "totalRows": total,
        "validRows": total - errors,
        "errorRows": errors,
        "wouldCreate": counts[Outcome.CREATED],
        "wouldUpdate": counts["existing"] + counts[Outcome.UPDATED],
        "wouldSkip": counts[Outcome.SKIPPED],
        "wouldStay": counts[Outcome.UNCHANGED],
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
        **({"part": found.part} if found.part else {}),
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
