"""`manage.py rollback_job`: take back what an import wrote, in this process, or bring it back."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich import box
from rich.console import Console
from rich.table import Table

from importer import runner
from importer.errors import ImporterError
from importer.management.console import BarSink, report_console
from importer.models import ImportJob, JobKind
from importer.operations import rollbacks
from importer.operations.looks import BUCKETS
from importer.operations.progress import view_of
from servicevault.jobs.models import JobStatus
from servicevault.jobs.progress import NullSink
from servicevault.wording import say

ROWS_TOLD = 50  # that are not simply reversed


class Command(BaseCommand):
    help = say("Roll an import back: what nobody changed since. With --undo, bring back what its rollback took.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", help=say("number or id of the import; with --undo also of the rollback"))
        parser.add_argument("--dry-run", action="store_true", help=say("only say what would become of each record"))
        parser.add_argument("--undo", action="store_true", help=say("bring back what the rollback took"))
        parser.add_argument("--only", choices=["created", "updated"], help=say("only rows it created, or updated"))
        parser.add_argument("--batch-size", type=int, default=None, help=say("rows a transaction (default 5000)"))
        parser.add_argument("--json", action="store_true", help=say("print one JSON object on standard output"))

    def handle(self, **options: Any) -> None:
        console = report_console(stderr=options["json"])
        try:
            job = self.started(options)
        except ImporterError as error:
            if options["json"]:
                self.stdout.write(json.dumps({"job_id": None, "status": "failed", "errors": [_told(error)]}))
                sys.exit(1)
            raise CommandError(str(error), returncode=1) from None
        if options["json"]:
            runner.work(job.pk, sink=NullSink())
        else:
            with BarSink(console, title=job.title) as sink:
                runner.work(job.pk, sink=sink)
        job.refresh_from_db()
        if options["json"]:
            self.stdout.write(json.dumps(report(job)))
        else:
            _show(job, console)
        if job.status != JobStatus.COMPLETED:
            sys.exit(1)

    def started(self, options: dict[str, Any]) -> ImportJob:
        job = _job(options["job"])
        if options["undo"]:
            rollback = job if job.kind == JobKind.ROLLBACK else rollbacks.last_rollback(job)
            if rollback is None:
                raise ImporterError(say("Job {job} was not rolled back.", job=job.number), code="not_found")
            return rollbacks.start_undo(rollback, dry_run=options["dry_run"], trigger="command")
        actions = [options["only"]] if options["only"] else rollbacks.ACTIONS
        return rollbacks.start_rollback(
            job,
            dry_run=options["dry_run"],
            understood=True,
            scope=rollbacks.Scope(actions=actions),
            batch_size=options["batch_size"],
            trigger="command",
        )


def report(job: ImportJob) -> dict[str, Any]:
    """The result as `--json` prints it; no values of any row."""
    return {
        "job_id": str(job.pk),
        "import_job_id": str(job.origin_id),
        "kind": job.kind,
        "dry_run": job.is_preview,
        "status": job.status,
        "seconds": round(job.duration.total_seconds(), 3) if job.duration else 0,
        "buckets": rollbacks.buckets_of(job),
        "rows": [
            {
                "target_type": row.record.run.target_type,
                "target": row.key,
                "source_identifier": row.record.source_identifier,
                "bucket": row.bucket,
                "code": row.code,
                "kept_fields": row.kept or [],
                "details": row.details,
            }
            for row in rollbacks.rows_of(job).exclude(code="")[:ROWS_TOLD]
        ],
        "errors": [{"code": job.error_code, "message": job.error_message}] if job.error_message else [],
    }


def _show(job: ImportJob, console: Console) -> None:
    table = Table(title=job.title, box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column(say("Target"))
    for look in BUCKETS.values():
        table.add_column(str(look.word), justify="right", no_wrap=True)
    for run in job.runs.all():
        table.add_row(run.name, *(f"{getattr(run, bucket.outcome):,}" for bucket in BUCKETS))
    console.print(table)
    console.print(view_of(job).sentence, markup=False)
    if job.error_message:
        console.print(job.error_message, style="red", markup=False)


def _job(text: str) -> ImportJob:
    found = ImportJob.objects.select_related("profile", "origin")
    try:
        job = found.filter(number=int(text)).first() if text.isdecimal() else found.filter(pk=UUID(text)).first()
    except (ValueError, OverflowError):
        job = None
    if job is None:
        raise ImporterError(
            say("There is no job {text}.", text=text), hint=say("Copy its number from its page."), code="not_found"
        )
    return job


def _told(error: ImporterError) -> dict[str, str]:
    return {"code": error.code, "message": str(error.message), "hint": str(error.hint)}
