"""Room: whether the target's disk can take what a job would write, asked before its first write (X16)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg import sql

from importer.errors import ImporterError, JobFailed
from importer.models import ExternalRef
from importer.planning import RunPlan
from importer.query.preview import Count
from importer.sources.session import SourceSession
from servicevault.wording import say

SAMPLED_ROWS = 200
COPIES = 2  # of a row's data: the target's row and its record; what is longer than a page is compressed
ROW_BYTES = 400  # beside its data: external reference, record, index entries
MB = 1024 * 1024
STARTED_WITHIN_SECONDS = 60  # of what postmaster.pid says: another server may use the same path and port elsewhere


def check(plans: Sequence[RunPlan], rows: Mapping[str, Count | None], source: SourceSession) -> list[Mapping[str, Any]]:
    """What is to be said about the room for these rows, per query as far as they are known; nothing when there is enough.

    Rows that were imported before need none, and what the planner guesses of a join is not believed. Raises JobFailed when there is too little room.
    """
    needed = sum(_needed(plan, found, source) for plan in plans if (found := rows.get(plan.key)))
    free, limit = free_bytes(), settings.IMPORT_MAX_GROWTH * MB
    if free is not None and needed > free:
        raise _too_little(needed, say("{mb} MB are free on the disk of the target database", mb=_mb(free)))
    if limit and needed > limit:
        raise _too_little(needed, say("one import may add {mb} MB (IMPORT_MAX_GROWTH)", mb=_mb(limit)))
    if free is None and not limit:
        said = say(
            "The disk of the target database cannot be looked at from here, so nobody knows whether it has room."
        )
        hint = say("This import may add about {mb} MB. IMPORT_MAX_GROWTH sets a limit.", mb=_mb(needed))
        return [{"code": "room_unknown", "message": f"{said} {hint}"}]
    return []


def free_bytes() -> int | None:
    """Bytes the target database can grow by; None when its server is another machine or does not say where it lives."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT setting FROM pg_settings WHERE name = 'data_directory'), current_setting('port'), "
            "extract(epoch FROM pg_postmaster_start_time())::bigint, "
            "(SELECT pg_tablespace_location(dattablespace) FROM pg_database WHERE datname = current_database())"
        )
        directory, port, started, tablespace = cursor.fetchone()
    if not directory or not _is_here(Path(directory), port, started):
        return None
    try:
        disk = os.statvfs(tablespace or directory)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _is_here(directory: Path, port: str, started: int) -> bool:
    """Whether the server that lives in this directory is the one we talk to, not one of the same path elsewhere."""
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
        return lines[3] == port and abs(int(lines[2]) - started) <= STARTED_WITHIN_SECONDS
    except (OSError, ValueError, IndexError):
        return False


def _needed(plan: RunPlan, count: Count, source: SourceSession) -> int:
    if not count.exact and (plan.spec.kind != "builder" or plan.spec.joins):
        return 0
    new = count.rows - _known(plan, count.rows)
    if new <= 0:
        return 0
    try:
        mean = source.fetch_all(*plan.compiled.mean(SAMPLED_ROWS))[0][0] or 0
    except ImporterError:
        return 0  # the query's own run says why
    return int(new * (COPIES * mean + ROW_BYTES))


def _known(plan: RunPlan, most: int) -> int:
    """Rows that were imported before; of a table nobody knows, so those that are in it, `most` at most."""
    if plan.table is None:
        return ExternalRef.objects.filter(entity=plan.load.entity_id).count()
    with connection.cursor() as cursor:
        rows = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) t")
        cursor.execute(rows.format(plan.table.table.identifier, sql.Literal(most)))
        return int(cursor.fetchone()[0])


def _too_little(needed: int, what_is: str) -> JobFailed:
    return JobFailed(
        say("This import may add about {mb} MB, and {what_is}. Nothing was written.", mb=_mb(needed), what_is=what_is),
        code="storage_full",
        hint=say("Make room, or import less at a time, then resume."),
    )


def _mb(size: int) -> str:
    return f"{-(-size // MB):,}"
