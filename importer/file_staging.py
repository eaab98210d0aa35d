"""A stored file's rows in the staging tables of its runs, ready to be judged and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import psycopg
from django.conf import settings
from django.db import transaction
from psycopg import sql

from importer import file_parts, file_planning, file_rights
from importer.errors import JobFailed
from importer.file_failures import ImportDenied, ImportInvalid, UnknownTable
from importer.file_parts import Part
from importer.file_planning import FilePlan
from importer.models import FileImport, ImportJob, QueryRun
from importer.options import InvalidOption
from importer.pipeline import chunks, keyed, said_accounts
from importer.pipeline.keyed import KeyedPlan
from importer.pipeline.readers import FETCHED_ROWS, LinesReader, Reader, StagedReader
from importer.pipeline.tables import stage
from importer.pipeline.tables.judge import Verdict, judge, stage_and_judge
from importer.pipeline.tables.plan import TablePlan
from permissions.tables import ImportAllowance
from servicevault import stored_files
from servicevault.stored_files import FileGone
from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected
from servicevault.wording import say, say_count

STAGING_LOCK = chunks.LOCK_CLASS + 4


def plan_of(file: FileImport, part: Part, job: ImportJob) -> FilePlan:
    """The plan of a part of a job's file as of now. Raises JobFailed when target, mapping or right are gone meanwhile."""
    user = job.created_by
    with _ending_the_job():
        goal = file_rights.goal_of(user, part, file.bounds, system=user is None)
        return file_planning.plan_part(file, part, by=user, goal=goal)


def check_rights(file: FileImport, job: ImportJob, action: str = "can_import") -> ImportAllowance:
    """Ask anew what was asked at the start, for rights change while a job waits or is paused. Raises JobFailed."""
    with _ending_the_job():
        return file_rights.require_file(job.created_by, file, action, system=job.created_by is None)


@contextmanager
def _ending_the_job() -> Iterator[None]:
    """Say JobFailed for what a person would be told."""
    try:
        yield
    except ImportDenied as error:
        raise JobFailed(error.message, code="permission_denied", hint=error.hint) from error
    except ImportInvalid as error:
        raise JobFailed(error.message, code="source_limit", hint=error.hint) from error
    except UnknownTable as error:
        raise JobFailed(str(error), code="query_failed", hint=say("The table was dropped or renamed.")) from error
    except InvalidOption as error:
        raise JobFailed(error.message, code="query_failed", hint=error.hint) from error


def reader_of(
    file: FileImport,
    part: Part,
    plan: FilePlan,
    run_id: int,
    *,
    connect: Callable[[], psycopg.Connection],
    read_ahead: int = FETCHED_ROWS,
) -> Reader:
    """What reads the part's rows, by lines for a table and by external ids for a target type.

    To prepare it raises JobFailed when the file cannot be read any more.
    """
    if isinstance(plan, TablePlan):
        return LinesReader(lambda connection: _lines_ready(connection, file, part, plan, run_id), is_lasting=True)

    def fill(connection: psycopg.Connection) -> int:
        _staged(connection, file, part, run_id)
        assert isinstance(plan, KeyedPlan)
        return keyed.fill(connection, plan, run_id)

    return StagedReader(fill, connect, run_id, read_ahead=read_ahead)


def accounts_run(job: ImportJob, part: Part, plan: KeyedPlan) -> QueryRun:
    """The job's run that counts the accounts which the part's customers say (E34)."""
    assert plan.accounts is not None
    with transaction.atomic():
        run, _ = job.runs.get_or_create(
            key=plan.accounts.key,
            defaults={
                "name": say("Accounts of {part}", part=part.place or part.label)[:255],
                "target_type": plan.accounts.load.target.name,
                "source_table": job.source_file.original_filename,
                "entity_id": plan.accounts.load.entity_id,
                "mapping_version_id": plan.accounts.load.version_id or None,
                "position": job.runs.get(key=part.key).position,
            },
        )
    return run


def accounts_reader(
    file: FileImport,
    part: Part,
    plan: KeyedPlan,
    run_id: int,
    *,
    staged_as: int,
    connect: Callable[[], psycopg.Connection],
) -> Reader:
    """What reads the accounts that the part's customers say. To prepare it raises JobFailed like `reader_of`."""

    def fill(connection: psycopg.Connection) -> int:
        _staged(connection, file, part, staged_as)
        assert plan.accounts is not None
        return said_accounts.fill(connection, plan.accounts, plan.load, staged_as=staged_as, run_id=run_id)

    return StagedReader(fill, connect, run_id)


def _lines_ready(connection: psycopg.Connection, file: FileImport, part: Part, plan: TablePlan, run_id: int) -> None:
    """Stage and judge the lines, unless the validation has done so; in a document others came before them since."""
    was_staged = _staged(connection, file, part, run_id)
    if not was_staged or file.parts is not None or file.validated_as != file_planning.validated_digest(file):
        judge(connection, plan, run_id)


def stage_for_rehearsal(file: FileImport, *, most: int, connect: Callable[[], psycopg.Connection]) -> None:
    """Stage the parts that are not, as they are read and mapped now.

    Raises JobFailed when the file is gone, or has more rows than `most`: it need not have been validated.
    """
    runs = file_parts.runs_of(file.job)
    with connect() as connection:
        for part in file_parts.parts_of(file):
            _staged(connection, file, part, runs[part.key].pk)
            connection.commit()
    if (file.total_rows or 0) > most:
        raise JobFailed(
            say_count(
                "The file has {count} row; at most {most:,} may be imported at once.",
                "The file has {count:,} rows; at most {most:,} may be imported at once.",
                file.total_rows or 0,
                most=most,
            ),
            code="source_limit",
            hint=say("Split it, or ask for a higher limit."),
        )


def hold(connection: psycopg.Connection, file: FileImport, digest: str) -> None:
    """Let nobody stage the file's rows anew before the open transaction ends; they wait, which ends a rehearsal.

    Raises JobFailed when the file is read or mapped otherwise by now than `digest` says.
    """
    runs = file_parts.runs_of(file.job)
    for run in runs.values():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (STAGING_LOCK, run.pk))
    file.refresh_from_db()
    parts = file_parts.parts_of(file)
    if file_planning.validated_digest(file) != digest or not all(
        is_staged(connection, file, part, runs[part.key].pk) for part in parts
    ):
        raise JobFailed(
            say("The file was mapped or read otherwise since the rehearsal was asked for."),
            code="drift_detected",
            hint=say("Rehearse again."),
        )


def _staged(connection: psycopg.Connection, file: FileImport, part: Part, run_id: int) -> bool:
    """Stage the part unless it is; says whether it was."""
    if is_staged(connection, file, part, run_id):
        return True
    try:
        read(connection, file, part, run_id)
    except (FileGone, FileRejected) as error:
        raise JobFailed(str(error), code="file_rejected", hint=say("Upload the file again.")) from error
    return False


def is_staged(connection: psycopg.Connection, file: FileImport, part: Part, run_id: int) -> bool:
    """Whether the part's rows are there as it is to be read now."""
    return part.staged_as == file_planning.staged_digest(file, part) and stage.is_staged(connection, run_id)


def read(connection: psycopg.Connection, file: FileImport, part: Part, run_id: int) -> None:
    """Stage the part's rows in the open transaction; notes headers, notices and count at the file.

    Raises FileRejected, FileGone.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (STAGING_LOCK, run_id))
    with _noted_lines(file, part) as reading:
        stage.stage_lines(connection, run_id, reading.blocks)
    if part.only_rows is not None:
        part.total_rows = stage.keep_only(connection, run_id, part.only_rows)
    _note(file, part)


def read_and_judge(
    connection: psycopg.Connection,
    file: FileImport,
    part: Part,
    plan: TablePlan,
    run_id: int,
    *,
    connect: Callable[[], psycopg.Connection],
    on_slice: Callable[[int], None] | None = None,
) -> Verdict:
    """The same with all rows judged meanwhile, and everything committed; the caller holds the run's staging lock."""
    with _noted_lines(file, part) as reading:
        verdict = stage_and_judge(connection, plan, run_id, reading.blocks, connect=connect, on_slice=on_slice)
    _note(file, part)
    return verdict


@contextmanager
def _noted_lines(file: FileImport, part: Part) -> Iterator[sandbox.Lines]:
    """The part's lines; what was seen of the file meanwhile is the part's afterwards."""
    with (
        unsealed(file) as content,
        sandbox.lines(content, part.read_options(file.import_options)) as (_, reading),
    ):
        yield reading
        part.headers = reading.headers
        part.notices = [notice._asdict() for notice in reading.notices]
        part.total_rows = reading.count


def _note(file: FileImport, part: Part) -> None:
    part.staged_as = file_planning.staged_digest(file, part)
    file_parts.put(file, [part])
    file.save(update_fields=["headers", "notices", "total_rows", "staged_as", "parts"])


@contextmanager
def unsealed(file: FileImport) -> Iterator[IO[bytes]]:
    """The file's content, without a name on disk. Raises FileGone."""
    if not file.path:
        raise FileGone(say("The file is not kept any more. Upload it again."))
    with stored_files.opened(file.stored, settings.IMPORT_TEMP_DIR) as content:
        yield content


def note_results(file: FileImport, counters: dict[str, int]) -> None:
    """Keep what became of the rows beside what was expected of them (F-045)."""
    FileImport.objects.filter(pk=file.pk).update(import_results=counters)


def advance_sequences(connection: psycopg.Connection, plan: TablePlan) -> None:
    """Let the table's own numbers go on behind those the file brought."""
    for column in plan.table.columns:
        if not column.autoincrement or column.name not in plan.mapped:
            continue
        connection.execute(
            sql.SQL(
                "SELECT setval(s.name, greatest(m.most, (SELECT last_value FROM pg_sequences q WHERE "
                "format('%I.%I', q.schemaname, q.sequencename)::regclass = s.name), 1)) "
                "FROM (SELECT pg_get_serial_sequence({table}, {column})::regclass AS name) s, "
                "(SELECT max({quoted})::bigint AS most FROM {relation}) m WHERE s.name IS NOT NULL AND m.most IS NOT NULL"
            ).format(
                table=sql.Literal(plan.table.identifier.as_string(connection)),
                column=sql.Literal(column.name),
                quoted=sql.Identifier(column.name),
                relation=plan.table.identifier,
            )
        )
    connection.commit()
