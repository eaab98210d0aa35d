"""Exports made, looked at before, stopped and removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from exporter import reading
from exporter.errors import Conflict, TooManyRows, TooOften
from exporter.models import ExportJob, ExportTemplate
from exporter.operations import consent
from exporter.planning import Plan, planned
from exporter.wanted import Wanted
from permissions import approvals, audit
from servicevault import stored_files
from servicevault.jobs import lifecycle
from servicevault.jobs.limits import take_turns
from servicevault.jobs.models import ACTIVE
from servicevault.tabular.values import render
from servicevault.wording import say, say_count

MOST_UNFINISHED = 10  # G33
SAMPLED = 20  # rows that tell the size of the file
NATIVE_JSON = {"json", "jsonl", "yaml"}


def create_export(
    wanted: Wanted, *, by: Any, trigger: str = "manual", template: ExportTemplate | None = None
) -> ExportJob:
    """A job that a worker takes from there; it waits first where the permission wants an approval.

    Raises what `planned` raises, TooManyRows, TooOften, Conflict when an approval is needed that nobody can give.
    """
    plan = planned(wanted, by)
    rows, is_exact = reading.count(plan.selection)
    taken = min(rows, plan.extras.row_limit or rows)
    if is_exact and taken > plan.limit:
        raise TooManyRows(rows, plan.limit)
    with transaction.atomic():
        take_turns(by)
        _check_quota(plan, by)
        job = ExportJob.objects.create(
            table_name=plan.table.name,
            export_format=plan.format.name,
            export_options=dict(wanted.export_options),
            selected_columns=list(plan.selection.columns),
            filters=wanted.filters or [],
            search=wanted.search or plan.extras.search_term,
            search_columns=list(wanted.search_columns),
            sort=list(wanted.sort),
            within=dict(wanted.within),
            filename=plan.filename(datetime.now(UTC)),
            estimated_rows=taken,
            trigger=trigger,
            template=template,
            created_by=by,
        )
        job.refresh_from_db()
        audit.record(
            "export_created",
            user=by,
            table_name=job.table_name,
            job_id=job.pk,
            details={"filename": job.filename, "estimated_rows": taken, "export_format": job.export_format},
        )
        if plan.allowance.requires_approval:
            consent.ask(job, by=by)
    job.refresh_from_db()
    return job


def _check_quota(plan: Plan, by: Any) -> None:
    """Raise TooOften, naming the number."""
    own = ExportJob.objects.filter(created_by=by)
    unfinished = own.filter(status__in=ACTIVE).count()
    if unfinished >= MOST_UNFINISHED:
        raise TooOften(
            say_count(
                "You have {count} unfinished export; at most {most_unfinished} are kept.",
                "You have {count} unfinished exports; at most {most_unfinished} are kept.",
                unfinished,
                most_unfinished=MOST_UNFINISHED,
            ),
            hint=say("Wait for one, or cancel one."),
        )
    of_table = own.filter(table_name=plan.table.name)
    for most, hours, word in (
        (plan.allowance.max_exports_per_hour, 1, "hour"),
        (plan.allowance.max_exports_per_day, 24, "day"),
    ):
        if most is None:
            continue
        made = of_table.filter(created_at__gt=timezone.now() - timedelta(hours=hours)).count()
        if made >= most:
            raise TooOften(
                say("You may export “{table}” {most} times in a {word}.", table=plan.table.name, most=most, word=word),
                hint=say("Try again later."),
            )


@dataclass(frozen=True)
class Preview:
    """What the file would hold: a page of its rows, how many there are, how large it becomes."""

    plan: Plan
    rows: list[tuple[Any, ...]]
    total_rows: int
    is_exact: bool
    estimated_size: int  # bytes, uncompressed
    warnings: list[str]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The rows as JSON, cells as the file has them."""
        plan = self.plan
        guards = plan.format.name == "csv" and plan.options.formula_guard
        return [
            {
                name: reading.shown(value, plan.options, guards=guards)
                for name, value in zip(plan.selection.columns, row, strict=True)
            }
            for row in self.rows
        ]


def preview_export(wanted: Wanted, *, by: Any, limit: int = 20, offset: int = 0) -> Preview:
    """The first rows of what an export would write; needs can_preview. Raises what `planned` raises."""
    plan = planned(wanted, by, preview=True)
    rows, is_exact = reading.count(plan.selection)
    total = min(rows, plan.extras.row_limit or rows)
    found = reading.page(plan.selection, limit=limit, offset=offset, native_json=plan.format.name in NATIVE_JSON)
    warnings = []
    if total > plan.limit:
        warnings.append(
            say_count(
                "This is {count} row; at most {limit:,} may be exported at once. Add filters.",
                "These are {count:,} rows; at most {limit:,} may be exported at once. Add filters.",
                total,
                limit=plan.limit,
            )
        )
    if not is_exact:
        warnings.append(say("The number of rows is the database's estimate; counting them takes too long."))
    return Preview(plan, found, total, is_exact, _size(plan, found[:SAMPLED], total), warnings)


def _size(plan: Plan, rows: list[tuple[Any, ...]], total: int) -> int:
    """The size of the file, from some rows: cells and what each format puts around them."""
    names = sum(len(name) for name in plan.selection.columns)
    count = len(plan.selection.columns)
    around = {"csv": count + 1, "xlsx": count * 6, "json": names + count * 5, "jsonl": names + count * 5}.get(
        plan.format.name, names * 2 + count * 6
    )
    if not rows:
        return names + count
    cells = sum(len((render(value, plan.options) or "").encode()) for row in rows for value in row)
    return int((cells / len(rows) + around) * total) + names


def cancel_export(job: ExportJob, *, by: Any) -> ExportJob:
    """Stop it; a partial file is removed. Raises Conflict when it is finished (F-100)."""
    with transaction.atomic():
        if not lifecycle.request_cancel(ExportJob, job.pk):
            job.refresh_from_db()
            raise Conflict(
                say("Export {job} is already {status}.", job=job.number, status=job.status),
                hint=say("Reload the page to see its state."),
                more={"status": job.status},
            )
        approvals.withdraw(job.pk)
    job.refresh_from_db()
    return job


def delete_export(job: ExportJob, *, by: Any) -> None:
    """Remove the export and its file; what was done stays in the audit log. Raises Conflict while it runs."""
    if not job.is_finished:
        raise Conflict(
            say("Export {job} is {status}.", job=job.number, status=job.status),
            hint=say("Cancel it first."),
            more={"status": job.status},
        )
    with transaction.atomic():
        audit.record(
            "export_deleted",
            user=by,
            table_name=job.table_name,
            job_id=job.pk,
            details={"filename": job.filename, "file_size": job.file_size},
        )
        path = job.file_path
        job.delete()
    stored_files.delete(path)


def run_again(job: ExportJob, *, by: Any) -> ExportJob:
    """The same export once more, with the rights of now. Raises what `create_export` raises."""
    return create_export(job.wanted, by=by, template=job.template)
