"""Rows that failed, as a file to correct; and the corrected file as a new import of just these rows (F-089)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

from django.conf import settings

from importer.models import ImportJob
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.files import rights, storing, uploading
from importer.operations.files.failures import ImportInvalid
from importer.operations.files.retries import came_in, correctable
from importer.operations.files.telling import failed_records, record_errors, source_columns
from importer.operations.files.validating import ROW_KEY
from servicevault import stored_files
from servicevault.tabular import formats, sandbox
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.options import ReadOptions, WriteOptions

ROW, ERRORS, KEY = "_row", "_errors", ROW_KEY
FORMATS = ("csv", "xlsx", "json")
MOST_BYTES = 100 * 1024 * 1024


def error_file(job: ImportJob, format_name: str, target: IO[bytes]) -> int:
    """Write the failed rows: the file's columns in order, then `_row`, `_errors` and `_key`; returns their number.

    Raises InvalidFields for a format that is none of csv, xlsx and json, Conflict while the job runs.
    """
    if format_name not in FORMATS:
        raise InvalidFields({"format": [f"Use one of {', '.join(FORMATS)}."]})
    if not job.is_finished:
        raise Conflict(f"Job {job.number} is {job.status}.", hint="Wait for its end.")
    try:
        writer = formats.writable(format_name)
    except OptionRefused as error:
        raise InvalidFields({"format": [str(error)]}) from None
    columns = [*own_columns(job), ROW, ERRORS, KEY]
    return writer.write(target, columns, _rows(job), WriteOptions())


def own_columns(job: ImportJob) -> list[str]:
    """The file's own columns; a corrected file carries the key of each row along."""
    return [header for header in job.file.headers if header != KEY]


def _rows(job: ImportJob) -> Iterator[list[Any]]:
    sources = source_columns(job.file)
    for record in failed_records(job).iterator(chunk_size=1000):
        data = record.source_data or {}
        said = "; ".join(item["message"] for item in record_errors(record, sources))
        yield [*(data.get(header) for header in own_columns(job)), record.source_row, said, str(record.pk)]


def retry(job: ImportJob, user: Any, *, scope: str = "failed", system: bool = False) -> ImportJob:
    """A new waiting job with the file of a finished one, for its failed rows or for `scope` "all" (F-037, J7).

    Raises Conflict when the job goes on, has no failed row, or its file is gone; InvalidFields; what `upload` raises.
    """
    if not job.is_finished:
        raise Conflict(f"Job {job.number} is {job.status}.", hint="Cancel it or wait for its end.")
    if scope not in ("failed", "all"):
        raise InvalidFields({"scope": ["Use failed or all."]})
    file = job.file
    if not file.path:
        raise Conflict("The file is not kept any more.", hint="Upload it again.")
    lines = file.only_rows
    if scope == "failed":
        lines = list(correctable(job).values_list("source_row", flat=True))
        if not lines:
            raise Conflict(f"Job {job.number} has no failed row that is not in by now.", hint="Retry all rows.")
    return uploading.upload(
        user,
        stored_files.read(file.stored),
        file.original_filename,
        table_name=file.table_name,
        options=file.import_options,
        mappings=file.field_mappings,
        requires_approval=file.requires_approval,
        system=system,
        trigger="retry",
        retry_of=job,
        only_rows=lines,
    )


def retry_from_file(
    job: ImportJob, user: Any, content: uploading.Content, filename: str, *, system: bool = False
) -> tuple[ImportJob, list[dict[str, Any]]]:
    """A new waiting job for the corrected rows, and those of them that were refused.

    Rows are matched by `_key`; one that is no failed row of this job, or was corrected and imported already, is refused
    with status 409 and not imported. Raises what `upload` raises, Conflict while the job runs, and ImportInvalid for a
    file without `_key` or without any row that is still to be imported.
    """
    if not job.is_finished:
        raise Conflict(f"Job {job.number} is {job.status}.", hint="Wait for its end.")
    allowance = rights.require(user, job.file.table_name, system=system)
    with storing.taken(content, ReadOptions(), allowance) as taken:
        try:
            chosen, refused = _corrected(job, taken)
        finally:
            stored_files.delete(taken.stored.path)
    if not chosen:
        raise ImportInvalid("No row of the file is still to be imported.", results=refused)
    data = io.BytesIO()
    formats.writable("csv").write(data, [*own_columns(job), KEY], chosen, WriteOptions())
    data.seek(0)
    retry = uploading.upload(
        user,
        data,
        filename,
        table_name=job.file.table_name,
        options=corrected_options(job),
        mappings=job.file.field_mappings,
        requires_approval=job.file.requires_approval,
        system=system,
        trigger="retry",
        retry_of=job,
    )
    return retry, refused


# Of the first file; ours is plain CSV in UTF-8 with commas.
READ_BY_THE_FILE = (
    "format", "has_headers", "include_headers", "delimiter", "quote_char", "escape_char", "encoding", "skip_rows",
    "skip_first_rows", "comment_char", "max_rows", "sheet", "record_path", "fill_merged",
)  # fmt: skip


def corrected_options(job: ImportJob) -> dict[str, Any]:
    """How rows of the job are read once they come back as our plain CSV."""
    options = {name: value for name, value in job.file.import_options.items() if name not in READ_BY_THE_FILE}
    return options | {"format": "csv"}


def _corrected(job: ImportJob, taken: storing.Taken) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    chosen, refused = [], []
    with (
        stored_files.opened(taken.stored, settings.IMPORT_TEMP_DIR) as file,
        sandbox.opened(file, ReadOptions()) as (_, read),
    ):
        failed = {str(record.pk): record for record in failed_records(job)}
        imported = came_in(job)
        for record in read.records:
            cells = record.mapping(read.headers)
            if KEY not in cells:
                raise ImportInvalid(
                    f"The file has no column {KEY}.", hint="Correct the file of errors and keep its last column."
                )
            key = cells[KEY] or ""
            known = failed.pop(key, None)
            if known is None or key in imported:
                message = "The row is imported already." if known else "This is no failed row of the job."
                refused.append({"row": record.line, "key": key, "result": 409, "message": message})
                continue
            chosen.append([*(cells.get(header) for header in own_columns(job)), key])
    return chosen, refused
