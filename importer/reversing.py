"""Rollbacks and their undo as a job's runs: one for each table and level, in the order in which rows may go (R16).

Whoever comes first lists the records; every worker then builds the same plans from the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
from django.db import connection as django_connection
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from importer import file_rights, writer
from importer.errors import JobFailed
from importer.file_failures import ImportDenied, UnknownTable
from importer.file_targets import is_table, table_of
from importer.models import ImportJob, ImportRecord, JobKind, Purpose, QueryRun, Reversal, RunStatus
from importer.modes import Bucket
from importer.pipeline.reversal import listing
from importer.pipeline.reversal.plan import ReversalPlan
from importer.pipeline.run import Worker
from permissions import policy
from servicevault import catalog, tables
from servicevault.tables import Table
from servicevault.wording import say

RIGHT = "import.rollback"
ACTIONS = ("created", "updated")
_WORDS = {
    Purpose.PREVIEW: say("Looking at {name}"),
    Purpose.ROLLBACK: say("Rolling back {name}"),
    Purpose.UNDO: say("Bringing back {name}"),
}


def reverse(job: ImportJob, worker: Worker, tell: Callable[[str], None]) -> None:
    """Take part in a rollback or an undo until every record has its bucket. Raises what `Worker.run` raises."""
    for run in runs_of(job):
        if run.status != RunStatus.DONE:
            tell(_WORDS[purpose_of(job)].format(name=run.name))
            plan = plan_of(job, run)
            reader = listing.Listed(whole=plan.is_ring)
            worker.run(run.pk, plan, reader, "reversal", role=writer.remover_of(plan.table))
    if Reversal.objects.filter(run__job=job, bucket="").exists():
        raise JobFailed(say("Some records have no bucket."), code="counter_mismatch")


def check_rights(job: ImportJob) -> None:
    """Ask anew what was asked at the start, for rights change while a job waits. Raises JobFailed."""
    if job.created_by is None:
        return
    if not policy.can(job.created_by, "rollback", job.imported):
        raise JobFailed(
            say("Whoever started this may not roll back imports any more."),
            code="permission_denied",
            hint=say("Ask for the permission {permission}.", permission=RIGHT),
        )
    try:
        check_tables(job.imported, job.created_by)
    except (ImportDenied, UnknownTable) as error:
        raise JobFailed(str(error), code="permission_denied") from error


def check_tables(imported: ImportJob, by: Any) -> None:
    """Rows of tables as they are, and of files, need the right that importing them needed. Raises ImportDenied."""
    kinds = set(imported.runs.values_list("target_type", flat=True))
    is_file = imported.kind == JobKind.FILE
    for name in sorted({_table_name(kind) for kind in kinds if is_file or is_table(kind)}):
        if tables.exists(name):
            file_rights.require(by, name)


def purpose_of(job: ImportJob) -> Purpose:
    if job.is_preview:
        return Purpose.PREVIEW
    return Purpose.UNDO if job.kind == JobKind.UNDO else Purpose.ROLLBACK


def runs_of(job: ImportJob) -> list[QueryRun]:
    """The job's runs in their order; made, with everything that is in question, by whoever comes first."""
    with transaction.atomic():
        ImportJob.objects.select_for_update().get(pk=job.pk)
        if not job.options.get("listed"):
            job.refresh_from_db(fields=["options"])
        if not job.options.get("listed"):
            if job.is_preview:
                _forget_previews(job)
            _list_undo(job) if job.kind == JobKind.UNDO else _list_rollback(job)
            job.options = {**job.options, "listed": True}
            job.save(update_fields=["options"])
            listing.analyze(_psycopg())
    return list(QueryRun.objects.filter(job=job).order_by("position"))


def plan_of(job: ImportJob, run: QueryRun) -> ReversalPlan:
    """What the run does, in the database as it is now. Raises JobFailed when the table is gone meanwhile."""
    try:
        table = tables.find(run.plan["table"])
    except tables.UnknownTable as error:
        raise JobFailed(str(error), code="query_failed", hint=say("The table was dropped or renamed.")) from error
    by_table: dict[str, list[int]] = {}
    for other in QueryRun.objects.filter(job=job):
        by_table.setdefault(other.plan["table"], []).append(other.pk)
    return _plan(
        job,
        table,
        types=run.plan["types"],
        key=run.plan["key"],
        is_ring=bool(run.plan.get("ring")),
        runs={name: tuple(pks) for name, pks in by_table.items()},
    )


def rolled_back(records: QuerySet[ImportRecord]) -> QuerySet[ImportRecord]:
    """Those of the records whose target a rollback changed and nobody brought back (R3)."""
    written = Reversal.objects.filter(purpose=Purpose.ROLLBACK, written=True, undone_at=None)
    return records.filter(Exists(written.filter(record=OuterRef("pk"))))


# -- listing ------------------------------------------------------------------------------------------------------


def _list_rollback(job: ImportJob) -> None:
    by_table: dict[str, list[str]] = {}
    for kind in sorted(set(job.imported.runs.values_list("target_type", flat=True))):
        by_table.setdefault(_table_name(kind), []).append(kind)
    found: list[Table] = []
    for name, types in by_table.items():
        try:
            found.append(tables.find(name))
        except tables.UnknownTable:
            _list_lost(job, name, types, "table_gone")
    for table in reversed(tables.parents_first(found)):
        types = by_table[table.name]
        key = _key_of(job.imported, table, types)
        if not key:
            _list_lost(job, table.name, types, "no_key")
            continue
        run = _run(job, table.name, types, key)
        if not _list(job, run, types):
            run.delete()
            continue
        _part(job, run, _plan(job, table, types=types, key=key, runs={}))


def _part(job: ImportJob, run: QueryRun, plan: ReversalPlan) -> None:
    """Give rows that refer to rows of their own table runs of their own, those that refer first."""
    made = [run]

    def next_run() -> int:
        made.append(_run(job, plan.table.name, list(plan.types), plan.key, level=len(made)))
        return made[-1].pk

    if listing.part_levels(_psycopg(), plan, run.pk, next_run):
        made[-1].plan["ring"] = True
        made[-1].save(update_fields=["plan"])


def _list(job: ImportJob, run: QueryRun, types: Sequence[str]) -> int:
    return listing.list_records(
        _psycopg(),
        run_id=run.pk,
        origin_id=job.imported.pk,
        types=types,
        purpose=purpose_of(job).value,
        actions=job.options.get("target_actions") or ACTIONS,
        records=job.options.get("records"),
        fields=job.options.get("fields"),
    )


def _list_lost(job: ImportJob, name: str, types: Sequence[str], code: str) -> None:
    """Records whose targets nothing finds any more are an error from the start."""
    run = _run(job, name, types, ())
    count = _list(job, run, types)
    Reversal.objects.filter(run=run).update(bucket=Bucket.ERROR, code=code, judged_at=Now())
    QueryRun.objects.filter(pk=run.pk).update(
        status=RunStatus.DONE, total=count, read=count, failed=count, completed_at=Now()
    )
    if not count:
        run.delete()


def _list_undo(job: ImportJob) -> None:
    """The rollback's runs backwards: who is referred to comes first."""
    assert job.undoes is not None
    for before in job.undoes.runs.order_by("-position"):
        run = _run(job, before.plan["table"], before.plan["types"], before.plan["key"])
        if not listing.list_reversed(_psycopg(), run_id=run.pk, runs=[before.pk], purpose=purpose_of(job).value):
            run.delete()


def _run(job: ImportJob, table: str, types: Sequence[str], key: Sequence[str], *, level: int = 0) -> QueryRun:
    position = QueryRun.objects.filter(job=job).count()
    labels = [str(catalog.get(kind).label) for kind in types if not is_table(kind)]
    return QueryRun.objects.create(
        job=job,
        key=f"reversal-{position}",
        name=(", ".join(labels) or table)[:255],
        target_type=types[0] if len(types) == 1 else f"table:{table}",
        position=position,
        plan={"table": table, "types": [*types], "key": [*key], "level": level},
    )


def _plan(
    job: ImportJob,
    table: Table,
    *,
    types: Sequence[str],
    key: Sequence[str],
    runs: dict[str, tuple[int, ...]],
    is_ring: bool = False,
) -> ReversalPlan:
    return ReversalPlan(
        table=table,
        types=tuple({*types, *_types_of(table)}),
        key=tuple(key),
        purpose=purpose_of(job).value,
        origin_id=str(job.imported.pk),
        undoes_id=str(job.undoes_id or ""),
        brings_back=job.kind == JobKind.UNDO,
        is_ring=is_ring,
        children=listing.children_of(_psycopg(), table.schema, table.relation),
        runs=runs,
    )


def _types_of(table: Table) -> Iterable[str]:
    """Target types by which any job may have written into the table."""
    return [f"table:{table.name}", *(target.name for target in catalog.all_targets() if target.table == table.name)]


def _key_of(imported: ImportJob, table: Table, types: Sequence[str]) -> tuple[str, ...]:
    """Columns by which the records name their targets; none where they do not."""
    if any(not is_table(kind) for kind in types):
        return table.primary_key
    named = ImportRecord.objects.filter(run__job=imported, run__target_type__in=types, action__in=ACTIONS)
    first = named.exclude(target_key=None).values_list("target_key", flat=True).first()
    columns = tuple(first or ())
    return columns if set(columns) <= set(table.by_name) else ()


def _table_name(kind: str) -> str:
    return table_of(kind) if is_table(kind) else catalog.get(kind).table


def _forget_previews(job: ImportJob) -> None:
    """A new look at a job takes the place of earlier ones."""
    earlier = ImportJob.objects.filter(origin=job.origin_id, options__contains={"dry_run": True}).exclude(pk=job.pk)
    Reversal.objects.filter(run__job__in=earlier, purpose=Purpose.PREVIEW).delete()


def _psycopg() -> psycopg.Connection:
    """Django's connection as psycopg knows it: what is listed is made in the same transaction as the runs."""
    django_connection.ensure_connection()
    return django_connection.connection
