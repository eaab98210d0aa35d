"""Rows that failed, as a file to correct; and the corrected file as a new import of just these rows (F-089)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from django.conf import settings

from importer import file_part_options as part_options
from importer import file_parts
from importer.file_failures import ImportInvalid
from importer.file_parts import Part
from importer.models import ImportJob
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.files import rights, storing, uploading
from importer.operations.files.looking import named
from importer.operations.files.retries import came_in, correctable
from importer.operations.files.telling import failed_records, hidden_failures, record_errors
from importer.operations.files.validating import ROW_KEY
from servicevault import stored_files
from servicevault.tabular import containers, formats, sandbox
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.wording import say

ROW, ERRORS, KEY = "_row", "_errors", ROW_KEY
PART = "_part"  # of a document
PLAIN = re.compile(r"[^A-Za-z0-9]+")
FORMATS = ("csv", "xlsx", "json")
MOST_BYTES = 100 * 1024 * 1024


def error_file(job: ImportJob, format_name: str, target: IO[bytes]) -> int:
    """Write the failed rows: the file's columns in order, then `_row`, `_errors` and `_key`; returns their number.

    Raises InvalidFields for a format that is none of csv, xlsx and json, Conflict while the job runs.
    """
    if format_name not in FORMATS:
        raise InvalidFields({"format": [say("Use one of {formats}.", formats=", ".join(FORMATS))]})
    if not job.is_finished:
        raise Conflict(say("Job {job} is {status}.", job=job.number, status=job.status), hint=say("Wait for its end."))
    try:
        writer = formats.writable(format_name)
    except OptionRefused as error:
        raise InvalidFields({"format": [str(error)]}) from None
    parts = file_parts.parts_of(job.file)
    of = [PART] if job.file.parts is not None else []
    columns = [*own_columns(job), *of, ROW, ERRORS, KEY]
    return writer.write(target, columns, _rows(job, parts), WriteOptions())


def own_columns(job: ImportJob) -> list[str]:
    """The file's own columns, of all its parts; a corrected file carries the key of each row along."""
    headers = [header for part in file_parts.parts_of(job.file) for header in part.headers]
    return [header for header in dict.fromkeys(headers) if header != KEY]


def _rows(job: ImportJob, parts: Sequence[Part]) -> Iterator[list[Any]]:
    known, columns = {part.key: part for part in parts}, own_columns(job)
    for record in failed_records(job).iterator(chunk_size=1000):
        data = record.source_data or {}
        said = "; ".join(item["message"] for item in record_errors(record, known))
        of = [known[record.run.key].place] if job.file.parts is not None else []
        yield [*(data.get(header) for header in columns), *of, record.source_row, said, str(record.pk)]


def retry(job: ImportJob, user: Any, *, scope: str = "failed", system: bool = False) -> ImportJob:
    """A new waiting job with the file of a finished one, for its failed rows or for `scope` "all" (F-037, J7).

    Raises Conflict when the job goes on, has no failed row, or its file is gone; InvalidFields; what `upload` raises.
    """
    if not job.is_finished:
        raise Conflict(
            say("Job {job} is {status}.", job=job.number, status=job.status), hint=say("Cancel it or wait for its end.")
        )
    if scope not in ("failed", "all"):
        raise InvalidFields({"scope": [say("Use failed or all.")]})
    file = job.file
    if not file.path:
        raise Conflict(say("The file is not kept any more."), hint=say("Upload it again."))
    parts = file_parts.parts_of(file)
    lines: dict[str, list[int]] | None = {part.key: part.only_rows for part in parts if part.only_rows is not None}
    if scope == "failed":
        lines = {part.key: [] for part in parts}
        for key, line in correctable(job).values_list("run__key", "source_row"):
            lines[key].append(line or 0)
        if not any(lines.values()):
            raise Conflict(
                say("Job {job} has no failed row that is not in by now.", job=job.number), hint=say("Retry all rows.")
            )
    return uploading.upload(
        user,
        stored_files.read(file.stored),
        file.original_filename,
        **_goes_to(job),
        options=file.import_options,
        mappings={part.place: part.field_mappings for part in parts} if file.parts is not None else file.field_mappings,
        requires_approval=file.requires_approval,
        system=system,
        trigger="retry",
        retry_of=job,
        only_rows=lines or None,
        within=file.bounds,
        is_ours=any(KEY in part.headers for part in parts),
    )


def _goes_to(job: ImportJob) -> dict[str, Any]:
    """The destination of a file that is one table; of a document its options tell it."""
    return {} if job.file.parts is not None else named(file_parts.parts_of(job.file)[0])


def retry_from_file(
    job: ImportJob,
    user: Any,
    content: uploading.Content,
    filename: str,
    *,
    is_ours: bool = False,
    system: bool = False,
) -> tuple[ImportJob, list[dict[str, Any]]]:
    """A new waiting job for the corrected rows, and those of them that were refused.

    Rows are matched by `_key`; one that is no failed row of this job, or was corrected and imported already, is refused
    with status 409 and not imported. Raises what `upload` raises, Conflict while the job runs, and ImportInvalid for a
    file without `_key` or without any row that is still to be imported.
    """
    if not job.is_finished:
        raise Conflict(say("Job {job} is {status}.", job=job.number, status=job.status), hint=say("Wait for its end."))
    parts = file_parts.parts_of(job.file)
    allowance = rights.require_parts(user, parts, within=job.file.bounds, system=system)
    if is_ours:
        allowance = storing.also_ours(allowance)
    with storing.taken(content, ReadOptions(), allowance) as taken:
        try:
            chosen, refused = _corrected(job, taken)
        finally:
            stored_files.delete(taken.stored.path)
    if not any(chosen.values()):
        raise ImportInvalid(say("No row of the file is still to be imported."), results=refused)
    retry = again(job, user, {key: rows for key, rows in chosen.items() if rows}, filename, system=system)
    return retry, refused


def again(
    job: ImportJob, user: Any, rows: Mapping[str, list[list[Any]]], filename: str, *, system: bool = False
) -> ImportJob:
    """A new waiting job for these rows, by the key of their part: the part's own columns and the key of each row.

    They come back as our plain CSV, those of a document as an archive of it. Raises what `upload` raises.
    """
    options, data = corrected_options(job), io.BytesIO()
    parts = [part for part in file_parts.parts_of(job.file) if part.key in rows]
    mappings: Any = job.file.field_mappings
    if job.file.parts is None:
        _write(data, parts[0], rows[parts[0].key])
    else:
        names = {part.key: f"{number}-{PLAIN.sub('_', part.place)}.csv" for number, part in enumerate(parts, start=1)}
        options["tables"] = {names[part.key]: part.target_name for part in parts}
        own = {names[part.key]: _but_reading(part_options.own(job.file.import_options, part)) for part in parts}
        options[part_options.PARTS] = {place: said for place, said in own.items() if said}
        mappings = {names[part.key]: part.field_mappings for part in parts}
        filename = f"{filename.rpartition('.')[0] or filename}.zip"
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in parts:
                with containers.new_member(archive, names[part.key]) as member:
                    _write(member, part, rows[part.key])
    data.seek(0)
    return uploading.upload(
        user,
        data,
        filename,
        **_goes_to(job),
        options=options,
        mappings=mappings,
        requires_approval=job.file.requires_approval,
        system=system,
        trigger="retry",
        retry_of=job,
        within=job.file.bounds,
        is_ours=True,
    )


def _write(target: IO[bytes], part: Part, rows: list[list[Any]]) -> None:
    formats.writable("csv").write(target, [*_own(part), KEY], rows, WriteOptions())


def _own(part: Part) -> list[str]:
    return [header for header in part.headers if header != KEY]


# Of the first file; ours is plain CSV in UTF-8 with commas.
READ_BY_THE_FILE = (
    "format", "has_headers", "include_headers", "delimiter", "quote_char", "escape_char", "encoding", "skip_rows",
    "skip_first_rows", "comment_char", "max_rows", "sheet", "record_path", "fill_merged",
)  # fmt: skip


def corrected_options(job: ImportJob) -> dict[str, Any]:
    """How rows of the job are read once they come back as our plain CSV."""
    options = _but_reading(job.file.import_options)
    options.pop(part_options.PARTS, None)  # by places that the corrected rows do not have
    return options | {"format": "csv"}


def _but_reading(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in READ_BY_THE_FILE}


def _corrected(job: ImportJob, taken: storing.Taken) -> tuple[dict[str, list[list[Any]]], list[dict[str, Any]]]:
    """The rows that are still to be imported, by the key of their part, and those that were refused."""
    parts = {part.key: part for part in file_parts.parts_of(job.file)}
    chosen: dict[str, list[list[Any]]] = {key: [] for key in parts}
    refused = []
    with (
        stored_files.opened(taken.stored, settings.IMPORT_TEMP_DIR) as file,
        sandbox.opened(file, ReadOptions()) as (_, read),
    ):
        failed = {str(record.pk): record.run.key for record in failed_records(job)}
        imported = came_in(job)
        hidden = {str(pk) for pk in hidden_failures(job).values_list("pk", flat=True)}
        for record in read.records:
            cells = record.mapping(read.headers)
            if KEY not in cells:
                raise ImportInvalid(
                    say("The file has no column {key}.", key=KEY),
                    hint=say("Correct the file of errors and keep its last column."),
                )
            key = cells[KEY] or ""
            known = failed.pop(key, None)
            if known is None or key in imported:
                message = say("The row is imported already.") if known else say("This is no failed row of the job.")
                if key in hidden:
                    message = say("The row was taken out by a decision; it is not imported.")
                refused.append({"row": record.line, "key": key, "result": 409, "message": message})
                continue
            chosen[known].append([*(cells.get(header) for header in _own(parts[known])), key])
    return chosen, refused
