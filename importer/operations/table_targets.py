"""Queries that feed a table as it is: who may name one, and what such a table asks of a job (M14)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from importer import file_targets
from importer.models import ImportJob
from importer.operations.failures import Conflict
from importer.operations.files import rights
from importer.query.spec import QuerySpec
from permissions import audit
from permissions import tables as granted
from servicevault import catalog, tables
from servicevault.wording import say


def require(target_type: str, by: Any) -> None:
    """Raise ImportDenied or UnknownTable for a table the person may not import into; `by` None is the installation."""
    if by is not None and file_targets.is_table(target_type):
        rights.require(by, file_targets.table_of(target_type))


def named(specs: Iterable[QuerySpec]) -> list[str]:
    """The tables that these queries feed."""
    return list(
        dict.fromkeys(
            file_targets.table_of(spec.target_type) for spec in specs if file_targets.is_table(spec.target_type)
        )
    )


def check_start(specs: Sequence[QuerySpec], by: Any, *, is_rehearsal: bool) -> None:
    """Raise ImportDenied, TooManyImports, and Conflict for a rehearsal, which could not take back what a table does."""
    found = named(specs)
    if found and is_rehearsal:
        raise Conflict(
            say("Queries into tables are not rehearsed: {found}.", found=", ".join(found)),
            hint=say(
                "Their own numbers and triggers could not be taken back. Look at the preview, or rehearse the others."
            ),
        )
    for name in found if by is not None else ():
        rights.require(by, name)
        rights.check_pace(by, name)


def note_start(job: ImportJob, specs: Sequence[QuerySpec]) -> None:
    """Put on record which tables the job writes: `check_start` counts by that how many were started."""
    for name in named(specs):
        audit.record(
            "import_started", user=job.created_by, table_name=name, job_id=job.pk, profile_id=job.profile_id, obj=job
        )


def needs_approval(specs: Sequence[QuerySpec], by: Any) -> bool:
    """Whether a table of these wants a second person's consent."""
    return by is not None and any(granted.import_allowance(by, name).requires_approval for name in named(specs))


def choices(user: Any) -> list[tuple[str, str]]:
    """Target types, then the tables the person may import into, as (name, words)."""
    allowed = granted.importable_tables(user)
    own = {target.table for target in catalog.all_targets()}
    others = [
        (f"{file_targets.OF_TABLES}:{table.name}", say("Table {table}", table=table.name))
        for table in tables.listed()
        if table.name not in own and (allowed is None or table.name in allowed)
    ]
    return [*((target.name, target.label) for target in catalog.all_targets()), *others]
