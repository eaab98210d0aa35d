"""`manage.py import_profile`: import a source in this process, and more workers beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from importer import operations, runner
from importer.errors import ImporterError
from importer.management.console import BarSink, counters_table, report_console
from importer.models import ImportJob, ImportProfile
from importer.sources.params import ConnectionParams
from servicevault.jobs.models import JobStatus
from servicevault.jobs.progress import NullSink
from servicevault.wording import say
from templates_registry import apply

MANAGE = Path(__file__).resolve().parents[3] / "manage.py"


class Command(BaseCommand):
    help = say(
        "Import a PostgreSQL help desk: create or reuse the profile of that name, apply a template, run, report."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="", help=say("postgresql://user:pw@host:port/db; else SOURCE_URL"))
        parser.add_argument("--template", default="", help=say("platform of a template, for example freescout"))
        parser.add_argument(
            "--parameter", nargs="+", default=[], metavar="NAME=VALUE", help=say("answers to the template's questions")
        )
        parser.add_argument("--name", default="", help=say("the profile's name"))
        parser.add_argument(
            "--timezone", default="", help=say("zone of the source's timestamps, for example Europe/Berlin")
        )
        parser.add_argument("--mode", default="", help=say("create, update or upsert (default: the profile's)"))
        parser.add_argument("--query", nargs="+", default=[], metavar="KEY", help=say("only these queries"))
        parser.add_argument("--workers", type=int, default=1, help=say("processes that share the job (default 1)"))
        parser.add_argument("--batch-size", type=int, default=None, help=say("rows a transaction (default 5000)"))
        parser.add_argument("--read-ahead", type=int, default=None, help=say("rows asked of the source at a time"))
        parser.add_argument("--timeout", type=int, default=None, help=say("seconds the job may take"))
        parser.add_argument("--dry-run", action="store_true", help=say("rehearse: everything, but nothing is kept"))
        parser.add_argument(
            "--plan", default="", metavar="JOB_ID", help=say("name the rows that are not as this rehearsal planned")
        )
        parser.add_argument("--strict", action="store_true", help=say("let those rows wait for a person"))
        parser.add_argument("--resume", default="", metavar="JOB_ID", help=say("continue a job whose process died"))
        parser.add_argument("--join", default="", metavar="JOB_ID", help=say("be one more worker of a running job"))
        parser.add_argument("--json", action="store_true", help=say("print one JSON object on standard output"))

    def handle(self, **options: Any) -> None:
        if options["join"]:
            runner.work(options["join"])
            return
        console = report_console(stderr=True)
        try:
            job = _resumed(options["resume"]) if options["resume"] else _started(options, console)
        except ImporterError as error:
            self._refuse(error, as_json=options["json"])
            return
        helpers = _start_helpers(job, count=options["workers"] - 1)
        try:
            if options["json"] or not console.is_terminal:
                runner.work(job.pk, sink=NullSink())
            else:
                with BarSink(console, title=job.source_name) as sink:
                    runner.work(job.pk, sink=sink)
        except KeyboardInterrupt:
            operations.cancel(job)
            raise CommandError(
                say("Stopped. Continue with: manage.py import_profile --resume {job}", job=job.pk)
            ) from None
        finally:
            for helper in helpers:
                helper.wait()
        job.refresh_from_db()
        self._report(job, console, as_json=options["json"])
        if job.status != JobStatus.COMPLETED:
            sys.exit(1)

    def _report(self, job: ImportJob, console: Console, *, as_json: bool) -> None:
        report = operations.job_report(job)
        if as_json:
            self.stdout.write(json.dumps(report))
            return
        report_console().print(counters_table(job))
        for error in report["errors"][:10]:
            place = " ".join(str(error[part]) for part in ("query", "source_identifier", "field") if error.get(part))
            console.print(f"  {place}: {error['message']} ({error['code']})", style="red", markup=False)
        if job.status != JobStatus.COMPLETED:
            console.print(say("Continue with: manage.py import_profile --resume {job}", job=job.pk), markup=False)

    def _refuse(self, error: ImporterError, *, as_json: bool) -> None:
        """Say what is wrong; nothing was started. Ends with status 1."""
        if as_json:
            found = {"code": error.code, "message": error.message, "hint": error.hint, "where": error.where}
            self.stdout.write(
                json.dumps(
                    {
                        "job_id": None,
                        "status": "failed",
                        "seconds": 0,
                        "rows_per_second": 0,
                        "queries": [],
                        "errors": [found],
                    }
                )
            )
            sys.exit(1)
        raise CommandError(str(error), returncode=1)


def _started(options: dict[str, Any], console: Console) -> ImportJob:
    profile = _profile(options, console)
    chosen = {
        "selected_queries": options["query"],
        "batch_size": options["batch_size"],
        "read_ahead": options["read_ahead"],
        "timeout": options["timeout"],
        "plan_id": options["plan"],
        "strict": options["strict"],
    }
    return operations.start_import(
        profile,
        mode=options["mode"],
        options={name: value for name, value in chosen.items() if value},
        dry_run=options["dry_run"],
        trigger="command",
    )


def _profile(options: dict[str, Any], console: Console) -> ImportProfile:
    url = options["url"] or os.environ.get("SOURCE_URL", "")
    name = options["name"]
    if not name:
        raise ImporterError(
            say("Give the profile a name."), hint=say('Add --name "Old desk".'), code="validation_error"
        )
    if url:
        params, unused = ConnectionParams.from_url(url)
        if unused:
            console.print(
                say("Not used from the URL: {unused}", unused=", ".join(unused)), style="yellow", markup=False
            )
        profile, _ = operations.profile_named(name, params)
    else:
        found = ImportProfile.objects.filter(name__iexact=name, deleted_at=None).first()
        if found is None:
            raise ImporterError(
                say("There is no profile “{name}”.", name=name),
                hint=say("Give --url, or SOURCE_URL in the environment."),
                code="not_found",
            )
        profile = found
    if options["timezone"]:
        operations.set_timezone(profile, _zone(options["timezone"]))
    if options["template"]:
        answers = dict(item.partition("=")[::2] for item in options["parameter"])
        for warning in apply.ensure_template(profile, options["template"], parameters=answers).warnings:
            console.print(warning, style="yellow", markup=False)
    return profile


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ImporterError(
            say("“{name}” is not a time zone.", name=name),
            hint=say("Use a name such as Europe/Berlin."),
            code="validation_error",
        ) from None
    return name


def _resumed(job_id: str) -> ImportJob:
    try:
        job = ImportJob.objects.select_related("profile").get(pk=job_id)
    except (ImportJob.DoesNotExist, ValidationError):
        raise ImporterError(
            say("There is no job {job_id}.", job_id=job_id),
            hint=say("Copy its id from the job's page."),
            code="not_found",
        ) from None
    return operations.resume(job)


def _start_helpers(job: ImportJob, *, count: int) -> list[subprocess.Popen[bytes]]:
    """More processes on the same job; a rehearsal is one transaction and has one worker."""
    if count < 1 or job.kind == "rehearsal":
        return []
    command = [sys.executable, str(MANAGE), "import_profile", "--join", str(job.pk)]
    return [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
