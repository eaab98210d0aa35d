"""A stored file's rows in the run's staging table, ready to be judged and loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import psycopg
from django.conf import settings
from psycopg import sql

from importer import file_planning
from importer.errors import JobFailed
from importer.file_options import file_options
from importer.models import FileImport, ImportJob
from importer.options import InvalidOption
from importer.pipeline import chunks
from importer.pipeline.tables import stage
from importer.pipeline.tables.judge import judge
from importer.pipeline.tables.plan import TablePlan
from permissions import tables as granted
from servicevault import stored_files
from servicevault.stored_files import FileGone
from servicevault.tables import UnknownTable
from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected

STAGING_LOCK = chunks.LOCK_CLASS + 4


def plan_of(file: FileImport, job: ImportJob) -> TablePlan:
    """The plan of a job's file as of now. Raises JobFailed when table, mapping or right are gone meanwhile."""
    user = job.created_by
    try:
        columns: tuple[str, ...] = ()
        if user is not None:
            allowance = granted.import_allowance(user, file.table_name)
            if not allowance.can_import:
                raise JobFailed(f"The right to import into {file.table_name} was taken away.", code="permission_denied")
            columns = allowance.allowed_columns
        return file_planning.plan_file(file, by=user, columns=columns)
    except UnknownTable as error:
        raise JobFailed(str(error), code="query_failed", hint="The table was dropped or renamed.") from error
    except InvalidOption as error:
        raise JobFailed(error.message, code="query_failed", hint=error.hint) from error


def make_ready(connection: psycopg.Connection, file: FileImport, plan: TablePlan, run_id: int) -> None:
    """Stage the file unless its validation has done so. Raises JobFailed when it cannot be read any more."""
    staged_as, validated_as = file_planning.digests(file)
    if file.staged_as == staged_as and file.validated_as == validated_as and stage.is_staged(connection, run_id):
        return
    try:
        read(connection, file, run_id)
    except (FileGone, FileRejected) as error:
        raise JobFailed(str(error), code="file_rejected", hint="Upload the file again.") from error
    judge(connection, plan, run_id)


def read(connection: psycopg.Connection, file: FileImport, run_id: int) -> None:
    """Stage the file's rows in the open transaction; notes headers, notices and count at the file.

    Raises FileRejected, FileGone.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (STAGING_LOCK, run_id))
    with unsealed(file) as content, sandbox.lines(content, file_options(file.import_options).read) as (_, reading):
        stage.stage_lines(connection, run_id, reading.blocks)
        file.headers = reading.headers
        file.notices = [notice._asdict() for notice in reading.notices]
        file.total_rows = reading.count
        if file.only_rows is not None:
            file.total_rows = stage.keep_only(connection, run_id, file.only_rows)
    file.staged_as = file_planning.digests(file)[0]
    file.save(update_fields=["headers", "notices", "total_rows", "staged_as"])


@contextmanager
def unsealed(file: FileImport) -> Iterator[IO[bytes]]:
    """The file's content, without a name on disk. Raises FileGone."""
    if not file.path:
        raise FileGone("The file is not kept any more.")
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
