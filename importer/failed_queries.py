"""Failed queries: one that its source refuses fails alone; what builds on it waits, the others go on (J24)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models.functions import Now

from importer.errors import ImporterError, JobFailed
from importer.models import Chunk, ImportJob, JobKind, QueryRun, RunStatus
from importer.pipeline import references
from importer.pipeline.plan import LoadPlan
from importer.planning import RunPlan
from importer.sources import grants
from importer.sources.failures import SourceQueryError
from importer.sources.session import SourceSession
from servicevault.wording import say, say_count

NOT_ALLOWED = "42501"  # insufficient_privilege
OF_QUERY = frozenset(
    {"bad_value", "too_large", "source_exhausted"}
)  # failures of a source that another query need not share


def is_of_query(error: ImporterError) -> bool:
    """Whether the failure is this query's alone: its tables or columns changed, may not be read, or cannot be."""
    return isinstance(error, SourceQueryError) or error.code in OF_QUERY


def explained(error: ImporterError, plan: RunPlan, source: SourceSession) -> str:
    """What failed, where, and what to do; for a lacking permission the table and the GRANT to copy."""
    hint = error.hint
    if getattr(error, "sqlstate", "") == NOT_ALLOWED:
        tables, statements = grants.lacking(source, plan.compiled.text)
        if tables:
            hint = say(
                "The login may not read {tables}. Ask the owner for: {statements}",
                tables=", ".join(tables),
                statements=statements,
            )
    return say("Query “{plan}”: {error} {hint}", plan=plan.name, error=error.message, hint=hint).strip()


def fail(run: QueryRun, message: str) -> None:
    """End a query whose job goes on; what it wrote stays, and a resumed job continues it."""
    unfinished = QueryRun.objects.filter(pk=run.pk, status__in=[RunStatus.PENDING, RunStatus.RUNNING])
    unfinished.update(status=RunStatus.FAILED, error_message=message, completed_at=Now())


def waited_for(plan: RunPlan, plans: Iterable[RunPlan], job: ImportJob) -> RunPlan | None:
    """The failed query that a reference of this one leads to: its rows would lack what they belong to."""
    failed = set(QueryRun.objects.filter(job=job, status=RunStatus.FAILED).values_list("key", flat=True))
    named = _entities_named(plan.load) - {plan.load.entity_id}
    return next((other for other in plans if other.key in failed and other.load.entity_id in named), None)


def _entities_named(load: LoadPlan) -> set[int]:
    return {entity for mapped in references.references(load) for entity in references.entities_searched(load, mapped)}


def reopen(job: ImportJob) -> None:
    """Let a resumed job continue its failed queries behind their checkpoints; one that read nothing begins anew."""
    failed = QueryRun.objects.filter(job=job, status=RunStatus.FAILED)
    Chunk.objects.filter(run__in=failed.filter(read=0)).delete()
    failed.filter(read=0).update(status=RunStatus.PENDING, error_message="", completed_at=None)
    failed.update(status=RunStatus.RUNNING, error_message="", completed_at=None)


def raise_if_any(job: ImportJob, plans: Sequence[RunPlan]) -> None:
    """Raise JobFailed naming what failed first, when the others are done."""
    failed: Mapping[str, Any] = dict(
        QueryRun.objects.filter(job=job, status=RunStatus.FAILED).values_list("key", "error_message")
    )
    first = next((plan.key for plan in plans if plan.key in failed), None)
    if first is None:
        return
    others = len(failed) - 1
    more = say_count("{count} more query did not end.", "{count} more queries did not end.", others) if others else ""
    is_rehearsal = job.kind == JobKind.REHEARSAL
    hint = say("Mend it, then rehearse again.") if is_rehearsal else say("Mend it, then resume: the rest is done.")
    raise JobFailed(f"{failed[first]} {more}".strip(), code="query_failed", hint=hint)
