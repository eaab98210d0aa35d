"""Runs: a row for each query of a job, made by whichever worker comes first, with what was noticed before (X16)."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from importer import room
from importer.errors import SourceExhausted
from importer.models import ImportJob, QueryRun
from importer.planning import RunPlan
from importer.query import preview
from importer.sources.failures import SourceQueryError
from importer.sources.session import SourceSession

COUNT_SECONDS = 1.0  # to count a query's rows before the start; then the planner's estimate does


def make_runs(job: ImportJob, plans: Sequence[RunPlan], source: SourceSession) -> dict[str, QueryRun]:
    """The job's runs by query, with the rows each is expected to read.

    Raises JobFailed when the target has no room for them; nothing is made then.
    """
    known = set(QueryRun.objects.filter(job=job).values_list("key", flat=True))
    expected = {plan.key: _expected(plan, source) for plan in plans if plan.key not in known}
    findings = room.check(plans, expected, source) if expected else []
    with transaction.atomic():
        ImportJob.objects.select_for_update().get(pk=job.pk)
        for position, plan in enumerate(plans):
            QueryRun.objects.get_or_create(
                job=job,
                key=plan.key,
                defaults={
                    "name": plan.name,
                    "target_type": plan.load.target.name,
                    "source_table": plan.source_table[:255],
                    "entity_id": plan.load.entity_id,
                    "mapping_version_id": plan.load.version_id,
                    "position": position,
                    "total": found.rows if (found := expected.get(plan.key)) else None,
                    "plan": {**plan.load.described, "findings": [] if position else findings},
                },
            )
    return {run.key: run for run in QueryRun.objects.filter(job=job)}


def _expected(plan: RunPlan, source: SourceSession) -> preview.Count | None:
    """Rows the query will give; None when the source refuses it, which its run will say."""
    try:
        return preview.count(source, plan.compiled, COUNT_SECONDS)
    except (SourceQueryError, SourceExhausted):
        return None


def note_halved(run_id: int, keys: int) -> None:
    """Remember that the source had too little memory, and how many rows of the query were read at once since."""
    with transaction.atomic():
        run = QueryRun.objects.select_for_update().get(pk=run_id)
        run.plan["rows_at_once"] = min(keys, run.plan.get("rows_at_once", keys))
        run.save(update_fields=["plan"])
