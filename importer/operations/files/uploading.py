"""A file becomes a job that waits for its start; or is only looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from django.db import transaction

from importer import file_planning
from importer.file_options import FieldMapping, field_mappings, file_options
from importer.models import FileImport, ImportJob, JobKind
from importer.modes import Mode
from importer.operations.failures import Conflict
from importer.operations.files import rights, storing
from importer.operations.files.failures import FileTooLarge
from importer.operations.files.storing import Taken
from permissions import audit
from permissions.tables import ImportAllowance
from servicevault.jobs.models import JobStatus
from servicevault.tables import Table
from servicevault.tabular.filenames import cleaned

RUN = "file"
PASTED_BYTES = 1024 * 1024
Content = IO[bytes] | Iterable[bytes]


def upload(
    user: Any,
    content: Content,
    filename: str,
    *,
    table_name: str,
    options: Mapping[str, Any] | None = None,
    mappings: Any = None,
    requires_approval: bool = False,
    system: bool = False,
    trigger: str = "manual",
    retry_of: ImportJob | None = None,
    only_rows: Sequence[int] | None = None,
) -> ImportJob:
    """A pending job for the file that waits for `start`; `mappings` None takes the proposals of high confidence.

    Raises UnknownTable, ImportDenied (before a byte is read), InvalidOption, FileTooLarge, FileRefused, and
    ImportInvalid for an empty file. The file is kept encrypted until a day after the job's end.
    """
    allowance = rights.require(user, table_name, system=system)
    table = rights.table_of(table_name)
    table_name = table.name
    chosen = file_options(options or {})
    given = None if mappings is None else field_mappings(mappings)
    with storing.taken(content, chosen.read, allowance) as taken, transaction.atomic():
        if not system:
            rights.check_room(user, taken.stored.size)
        headers = taken.inspection.headers
        found = file_planning.proposals(table, headers, _samples(taken), columns=allowance.allowed_columns)
        used = file_planning.certain(found) if given is None else given
        file_planning.check_mappings(table, used, headers, allowance.allowed_columns)
        job = _job(user, chosen.on_duplicate, dict(options or {}), trigger=trigger, retry_of=retry_of)
        file = _file(job, taken, filename, table_name, used, requires_approval=requires_approval)
        file.import_options = dict(options or {})
        file.only_rows = None if only_rows is None else list(only_rows)
        file.save()
        _run(job, file)
        audit.record(
            "file_uploaded",
            user=user,
            table_name=table_name,
            job_id=job.pk,
            details={
                "filename": file.original_filename,
                "file_size": file.file_size,
                "estimated_rows": file.total_rows,
                "format": file.file_format,
            },
        )
    return job


def upload_text(user: Any, text: str, *, table_name: str, **given: Any) -> ImportJob:
    """The same of pasted text of at most one megabyte (F-068). Raises FileTooLarge, and what `upload` raises."""
    data = text.encode()
    if len(data) > PASTED_BYTES:
        raise FileTooLarge(len(data), 1)
    return upload(user, [data], "pasted.txt", table_name=table_name, **given)


def configure(
    job: ImportJob, user: Any, *, options: Mapping[str, Any] | None = None, mappings: Any = None, system: bool = False
) -> ImportJob:
    """Change how an uploaded file is read or mapped; its validation counts no more.

    Raises Conflict once it was started, InvalidOption, ImportDenied, FileRefused when it cannot be read that way.
    """
    require_waiting(job)
    file = job.file
    allowance = rights.require(user, file.table_name, system=system)
    table = rights.table_of(file.table_name)
    if options is not None:
        chosen = file_options(options)
        if chosen.read != file_options(file.import_options).read:
            inspection = storing.understood(file.stored, chosen.read, allowance)
            file.headers, file.detected = inspection.headers, storing.detected(inspection)
            file.file_format = inspection.detection.format
        file.import_options = dict(options)
        job.mode = mode_of(chosen.on_duplicate)
        job.options = job_options(options)
    used = field_mappings(file.field_mappings if mappings is None else mappings)
    if mappings is None:
        used = tuple(mapping for mapping in used if mapping.source in file.headers)
    file_planning.check_mappings(table, used, file.headers, allowance.allowed_columns)
    file.field_mappings = [mapping.as_json() for mapping in used]
    with transaction.atomic():
        # A start at the same moment waits here, or has won: then nothing is changed any more.
        waits = ImportJob.objects.select_for_update().filter(pk=job.pk, status=JobStatus.PENDING, awaits_start=True)
        if waits.first() is None:
            raise Conflict(f"Job {job.number} was started already.", hint="Upload the file again.")
        file.save()
        job.save(update_fields=["mode", "options"])
    return job


def parse(
    user: Any,
    content: Content,
    *,
    options: Mapping[str, Any] | None = None,
    table_name: str = "",
    system: bool = False,
) -> dict[str, Any]:
    """What the file is and its first rows (F-026); nothing stays stored.

    Raises UnknownTable, ImportDenied, InvalidOption, FileTooLarge, FileRefused, ImportInvalid for an empty file.
    """
    if table_name:
        allowance = rights.require(user, table_name, "can_preview", system=system)
    else:
        allowance = rights.require_any(user, system=system)
    chosen = file_options(options or {})
    with storing.taken(content, chosen.read, allowance) as taken:
        storing.stored_files.delete(taken.stored.path)
    shown = shown_as_parsed(taken, rights.table_of(table_name) if table_name else None, allowance)
    audit.record(
        "file_parsed",
        user=user,
        table_name=table_name,
        details={"file_size": taken.stored.size, "format": taken.inspection.detection.format},
    )
    return shown


def shown_as_parsed(taken: Taken, table: Table | None, allowance: ImportAllowance) -> dict[str, Any]:
    """F-026's answer."""
    found = taken.inspection
    rows = [record.mapping(found.headers) for record in found.sample]
    proposed = None
    if table is not None:
        proposed = file_planning.proposals(table, found.headers, _samples(taken), columns=allowance.allowed_columns)
    detection = storing.detected(found)
    return {
        "headers": found.headers,
        "sample_rows": rows,
        "total_rows": found.total_rows,
        "total_rows_exact": found.total_rows_exact,
        "format": found.detection.format,
        "encoding": found.detection.encoding,
        "encoding_reason": found.detection.encoding_reason,
        "delimiter": found.detection.delimiter,
        "quote_char": found.detection.quote_char,
        "has_headers": found.detection.has_headers,
        "sheet": found.detection.sheet,
        "sheets": detection["sheets"],
        "record_path": found.detection.record_path,
        "record_paths": detection["record_paths"],
        "date_order": found.detection.date_order,
        "warnings": [notice._asdict() for notice in found.notices],
        "suggested_mappings": file_planning.suggested(proposed) if proposed is not None else [],
    }


def suggest_mapping(
    table_name: str, headers: Sequence[str], rows: Sequence[Any], user: Any, *, system: bool = False
) -> dict[str, Any]:
    """Proposals for the columns of a file (F-043); rows are lists, or objects by header.

    Raises UnknownTable, ImportDenied.
    """
    allowance = rights.require(user, table_name, system=system)
    table = rights.table_of(table_name)
    listed = [[row.get(header) for header in headers] if isinstance(row, Mapping) else list(row) for row in rows]
    found = file_planning.proposals(table, headers, listed, columns=allowance.allowed_columns)
    filled = {proposal.target for proposal in found.mappings}
    return {
        "mappings": file_planning.suggested(found),
        "unmapped_sources": list(found.unused_sources),
        "unmapped_required": [
            name
            for name in file_planning.target_of(table, columns=allowance.allowed_columns).must_map
            if name not in filled
        ],
    }


def require_waiting(job: ImportJob) -> None:
    """Raise Conflict unless the job is a file's and waits for its start."""
    job.refresh_from_db(fields=["awaits_start", "status"])
    if job.source_kind != "file":
        raise Conflict(f"Job {job.number} imports no file.")
    if not job.awaits_start or job.status != JobStatus.PENDING:
        raise Conflict(f"Job {job.number} was started already.", hint="Upload the file again.")


def mode_of(on_duplicate: str) -> Mode:
    return Mode.UPSERT if on_duplicate == "update" else Mode.CREATE


def job_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a file's options that the runner reads."""
    return {name: options[name] for name in ("batch_size", "error_policy", "timeout") if options.get(name) is not None}


def _job(
    user: Any, on_duplicate: str, options: Mapping[str, Any], *, trigger: str, retry_of: ImportJob | None
) -> ImportJob:
    return ImportJob.objects.create(
        kind=JobKind.FILE,
        mode=mode_of(on_duplicate),
        options=job_options(options),
        trigger=trigger,
        retry_of=retry_of,
        created_by=user if getattr(user, "pk", None) else None,
        awaits_start=True,
    )


def _file(
    job: ImportJob,
    taken: Taken,
    filename: str,
    table_name: str,
    mappings: Sequence[FieldMapping],
    *,
    requires_approval: bool,
) -> FileImport:
    found, stored = taken.inspection, taken.stored
    return FileImport(
        job=job,
        table_name=table_name,
        original_filename=cleaned(filename),
        path=stored.path,
        key=stored.key,
        file_size=stored.size,
        sha256=stored.sha256,
        file_format=found.detection.format,
        field_mappings=[mapping.as_json() for mapping in mappings],
        detected=storing.detected(found),
        headers=found.headers,
        total_rows=found.total_rows if found.total_rows_exact else None,
        notices=[notice._asdict() for notice in found.notices],
        requires_approval=requires_approval,
    )


def _run(job: ImportJob, file: FileImport) -> None:
    job.refresh_from_db(fields=["number"])
    job.runs.create(
        key=RUN,
        name=file.original_filename,
        target_type=f"table:{file.table_name}",
        source_table=file.original_filename,
        position=0,
        total=file.total_rows,
    )


def _samples(taken: Taken) -> list[list[str | None]]:
    return [record.cells for record in taken.inspection.sample]
