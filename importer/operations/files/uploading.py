"""A file becomes a job that waits for its start; or is only looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from django.conf import settings
from django.db import transaction

from importer import desk_planning, file_parts, file_targets
from importer.file_bounds import UNBOUNDED, Bounds
from importer.file_failures import FileTooLarge
from importer.file_options import FieldMapping, FileOptions, field_mappings, file_options
from importer.file_part_options import PARTS, with_own
from importer.file_parts import WHOLE, Part
from importer.file_targets import Destination
from importer.models import FileImport, ImportJob, JobKind
from importer.modes import Mode
from importer.operations.failures import Conflict
from importer.operations.files import documents, rights, storing
from importer.options import InvalidOption
from permissions import audit
from permissions.tables import ImportAllowance
from servicevault import stored_files
from servicevault.jobs.models import JobStatus
from servicevault.stored_files import Stored
from servicevault.tabular.filenames import cleaned
from servicevault.tabular.records import Inspection
from servicevault.wording import say

PASTED_BYTES = 1024 * 1024
Content = IO[bytes] | Iterable[bytes]


def upload(
    user: Any,
    content: Content,
    filename: str,
    *,
    table_name: str = "",
    target_type: str = "",
    options: Mapping[str, Any] | None = None,
    mappings: Any = None,
    requires_approval: bool = False,
    system: bool = False,
    trigger: str = "manual",
    retry_of: ImportJob | None = None,
    only_rows: Mapping[str, Sequence[int]] | None = None,
    within: Bounds = UNBOUNDED,
    is_ours: bool = False,
) -> ImportJob:
    """A pending job for the file that waits for `start`; `mappings` None takes the proposals of high confidence.

    It goes into a table as it is, or into a target type; with neither the option `tables` says which part of it goes
    where, and mappings are an object with a list for each part. `only_rows` are lines by the key of their part. The
    bounds of the page it was given to stay with the file; one that we wrote ourselves may be CSV wherever files may come.

    Raises UnknownTable, ImportDenied (before a byte is read), InvalidOption, FileTooLarge, FileRefused, and
    ImportInvalid for an empty file. The file is kept encrypted until a day after the job's end.
    """
    is_document = not table_name and not target_type and bool((options or {}).get("tables"))
    if is_document:
        parts = documents.parts_named(file_options(options or {}))
    else:
        goal = documents.goal_of(table_name=table_name, target_type=target_type)
        parts = [Part(WHOLE, goal.table.name, goal.target.name if goal.is_desk else "")]
    allowance = rights.require_parts(user, parts, within=within, system=system)
    if is_ours:
        allowance = storing.also_ours(allowance)
    chosen = file_options(options or {})
    given = _given(mappings, parts)
    with storing.kept(content, allowance.max_file_size_mb) as stored, transaction.atomic():
        if not system:
            rights.check_room(user, stored.size)
        file_format, found = _looked_into(stored, parts, options or {}, allowance, is_document=is_document)
        for part in parts:
            map_part(part, given[part.key], found[part.key], rights.goal_of(user, part, within, system=system))
            part.only_rows = None if only_rows is None else list(only_rows.get(part.key, ()))
        job = _job(user, chosen.on_duplicate, dict(options or {}), trigger=trigger, retry_of=retry_of)
        file = FileImport(
            job=job,
            table_name=", ".join(rights.tables_of(parts))[:255],
            original_filename=cleaned(filename),
            path=stored.path,
            key=stored.key,
            file_size=stored.size,
            sha256=stored.sha256,
            file_format=file_format,
            import_options=dict(options or {}),
            parts=[vars(part) for part in parts] if is_document else None,
            requires_approval=requires_approval,
            within=within.stored,
        )
        file_parts.put(file, parts)
        file.save()
        _runs(job, file, parts, chosen)
        audit.record(
            "file_uploaded",
            user=user,
            table_name=file.table_name,
            job_id=job.pk,
            details={
                "filename": file.original_filename,
                "file_size": file.file_size,
                "estimated_rows": file.total_rows,
                "format": file.file_format,
            },
        )
    return job


def upload_text(user: Any, text: str, **given: Any) -> ImportJob:
    """The same of pasted text of at most one megabyte (F-068). Raises FileTooLarge, and what `upload` raises."""
    data = text.encode()
    if len(data) > PASTED_BYTES:
        raise FileTooLarge(len(data), 1)
    return upload(user, [data], "pasted.txt", **given)


def configure(
    job: ImportJob,
    user: Any,
    *,
    options: Mapping[str, Any] | None = None,
    mappings: Any = None,
    part: str = "",
    system: bool = False,
) -> ImportJob:
    """Change how an uploaded file is read or mapped; its validation counts no more.

    Of a document, options and mappings are the own ones of the part at this place; without one the options are those
    of the whole, and the mappings an object with a list for each. Raises Conflict once it was started, InvalidOption, ImportDenied, FileRefused when it cannot be read that way.
    """
    require_waiting(job)
    file = job.file
    parts = file_parts.parts_of(file)
    allowance = rights.require_parts(user, parts, within=file.bounds, system=system)
    if options is not None:
        _reread(job, parts, _of_whole(file, parts, part, options), allowance)
    given = {part: mappings} if part else mappings
    changed = _given(given, parts) if mappings is not None else dict.fromkeys([each.key for each in parts])
    for each in parts:
        new = changed[each.key]
        used = tuple(mapping for mapping in each.mappings if mapping.source in each.headers) if new is None else new
        goal = rights.goal_of(user, each, file.bounds, system=system)
        file_targets.check_mappings(goal, used, each.headers)
        each.field_mappings = [mapping.as_json() for mapping in used]
    file_parts.put(file, parts)
    with transaction.atomic():
        # A start at the same moment waits here, or has won: then nothing is changed any more.
        waits = ImportJob.objects.select_for_update().filter(pk=job.pk, status=JobStatus.PENDING, awaits_start=True)
        if waits.first() is None:
            raise Conflict(say("Job {job} was started already.", job=job.number), hint=say("Upload the file again."))
        file.save()
        job.save(update_fields=["mode", "options"])
        _count_to_entities(job, parts, file_options(file.import_options))
    return job


def _of_whole(file: FileImport, parts: list[Part], part: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The file's options when these are given for the part; those of parts stay where nothing is said of them."""
    if part:
        if (wanted := file_parts.named(parts, part)) is None:
            raise InvalidOption(
                say("The file has no part “{part}”.", part=part[:80]),
                hint=say("Parts: {parts}.", parts=", ".join(each.place for each in parts) or say("none")),
                where="part",
            )
        return with_own(file.import_options, wanted, options) if wanted.place else options
    stays = file.parts is not None and PARTS not in options and file.import_options.get(PARTS)
    return {**options, PARTS: stays} if stays else options


def _reread(job: ImportJob, parts: list[Part], options: Mapping[str, Any], allowance: ImportAllowance) -> None:
    """Read the file as the options say, where they say it otherwise than before."""
    file, chosen = job.file, file_options(options)
    before = file_options(file.import_options)
    if file.parts is not None and chosen.tables != before.tables:
        raise InvalidOption(
            say("What each part of a document is was said when it was uploaded."),
            hint=say("Upload it again to change that."),
            where=documents.WHERE,
        )
    if any(part.read_options(options) != part.read_options(file.import_options) for part in parts):
        file.file_format, _ = _looked_into(file.stored, parts, options, allowance, is_document=file.parts is not None)
    file.import_options = dict(options)
    job.mode = mode_of(chosen.on_duplicate)
    job.options = job_options(options)


def _looked_into(
    stored: Stored, parts: list[Part], options: Mapping[str, Any], allowance: ImportAllowance, *, is_document: bool
) -> tuple[str, dict[str, Inspection]]:
    """The file's format and what its parts are; the parts know it then too."""
    if is_document:
        with stored_files.opened(stored, settings.IMPORT_TEMP_DIR) as opened:
            return documents.placed(opened, parts, options, allowance)
    found = storing.understood(stored, file_options(options).read, allowance)
    documents.describe(parts[0], found)
    return found.detection.format, {parts[0].key: found}


def _given(mappings: Any, parts: Sequence[Part]) -> dict[str, tuple[FieldMapping, ...] | None]:
    """The mappings of each part by its key; None where nothing is said. Raises InvalidOption."""
    if len(parts) == 1 and not parts[0].place:
        return {parts[0].key: None if mappings is None else field_mappings(mappings)}
    if mappings is None:
        return dict.fromkeys(part.key for part in parts)
    names = {part.place: part.key for part in parts} | {part.key: part.key for part in parts}
    if not isinstance(mappings, Mapping) or set(mappings) - set(names):
        raise InvalidOption(
            say("field_mappings of a document is an object with a list for each of its parts."),
            hint=say("Parts: {parts}.", parts=", ".join(part.place for part in parts)),
            where="field_mappings",
        )
    said = {names[place]: field_mappings(each) for place, each in mappings.items()}
    return {part.key: said.get(part.key) for part in parts}


def map_part(part: Part, given: tuple[FieldMapping, ...] | None, found: Inspection, goal: Destination) -> None:
    """Map the part as is said, else as is certain. Raises InvalidOption."""
    used = file_targets.certain(file_targets.proposals(goal, part.headers, samples(found))) if given is None else given
    file_targets.check_mappings(goal, used, part.headers)
    part.field_mappings = [mapping.as_json() for mapping in used]


def require_waiting(job: ImportJob) -> None:
    """Raise Conflict unless the job is a file's and waits for its start."""
    job.refresh_from_db(fields=["awaits_start", "status"])
    if job.source_kind != "file":
        raise Conflict(say("Job {job} imports no file.", job=job.number), hint=say("Choose the job of a file."))
    if not job.awaits_start or job.status != JobStatus.PENDING:
        raise Conflict(say("Job {job} was started already.", job=job.number), hint=say("Upload the file again."))


def mode_of(on_duplicate: str) -> Mode:
    return Mode.UPSERT if on_duplicate == "update" else Mode.CREATE


def job_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a file's options that the runner reads."""
    read = ("batch_size", "read_ahead", "error_policy", "timeout")
    return {name: options[name] for name in read if options.get(name) is not None}


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


def _runs(job: ImportJob, file: FileImport, parts: Sequence[Part], options: FileOptions) -> None:
    job.refresh_from_db(fields=["number"])
    for position, part in enumerate(parts):
        job.runs.create(
            key=part.key,
            name=(part.place or file.original_filename)[:255],
            target_type=part.target_name,
            source_table=file.original_filename,
            position=position,
            total=part.total_rows,
        )
    _count_to_entities(job, parts, options)


def _count_to_entities(job: ImportJob, parts: Sequence[Part], options: FileOptions) -> None:
    """Note at the runs whose external ids their rows have."""
    for part in parts:
        if part.target_type:
            job.runs.filter(key=part.key).update(entity=desk_planning.entity_of(part, options))


def samples(found: Inspection) -> list[list[str | None]]:
    """The first rows, as proposals look at them."""
    return [record.cells for record in found.sample]
