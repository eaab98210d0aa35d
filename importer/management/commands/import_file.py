"""`manage.py import_file`: a file into a table or a target type, in this process."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from importer import operations, runner
from importer.errors import ImporterError
from importer.management import crew
from importer.management.console import BarSink, counters_table, report_console
from importer.models import ImportJob
from importer.operations import files
from servicevault import catalog
from servicevault.jobs.models import JobStatus
from servicevault.jobs.progress import NullSink, Progress, ProgressSink
from servicevault.wording import say, say_count

EMPTY: dict[str, Any] = {"job_id": None, "status": "failed", "seconds": 0, "rows_per_second": 0, "queries": []}


class Command(BaseCommand):
    help = say(
        "Import a CSV, JSON, Excel, XML or YAML file into a table or into tickets, customers and so on: validate every "
        "row, then load, then report."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        goal = parser.add_mutually_exclusive_group(required=True)
        goal.add_argument("--table", default="", help=say("for example products, or archive.products"))
        goal.add_argument("--target-type", default="", metavar="TYPE", help=", ".join(catalog.names()))
        goal.add_argument(
            "--parts",
            nargs="+",
            default=[],
            metavar="PART=TARGET",
            help=say("of a document: a record path, sheet or file of an archive, and the target type or table of it"),
        )
        parser.add_argument(
            "--mapping",
            nargs="+",
            default=[],
            metavar="SOURCE=TARGET",
            help=say("columns of the file and of the target; customer_external_id:email finds a row by its address"),
        )
        parser.add_argument(
            "--source-key", default="", help=say("the source that external ids belong to (default files)")
        )
        parser.add_argument("--options", default="{}", metavar="JSON", help=say('for example \'{"delimiter": ";"}\''))
        parser.add_argument("--on-duplicate", choices=("skip", "update", "error"), help=say("default: skip"))
        parser.add_argument("--key", nargs="+", default=[], metavar="COLUMN", help=say("by which rows are recognised"))
        parser.add_argument("--batch-size", type=int, metavar="ROWS", help=say("rows in one transaction, 10 to 50,000"))
        parser.add_argument("--read-ahead", type=int, metavar="ROWS", help=say("rows asked for at a time, 1 to 10,000"))
        parser.add_argument("--validate-only", action="store_true", help=say("judge every row and change nothing"))
        parser.add_argument(
            "--accept-errors", action="store_true", help=say("import the good rows when others are bad")
        )
        parser.add_argument("--workers", type=int, default=1, help=say("sessions that share the load (default 1)"))
        parser.add_argument(
            "--as", dest="person", default="", metavar="EMAIL", help=say("with this person's permissions")
        )
        parser.add_argument("--json", action="store_true", help=say("print one JSON object on standard output"))

    def handle(self, **options: Any) -> None:
        console = report_console(stderr=True)
        is_quiet = options["json"] or not console.is_terminal
        try:
            job, report = self._run(options, console, is_quiet=is_quiet)
        except (ImporterError, OSError) as error:
            self._refuse(error, as_json=options["json"])
            return
        self._report(job, report, console, as_json=options["json"])
        if not (report["isValid"] if options["validate_only"] else job.status == JobStatus.COMPLETED):
            sys.exit(1)

    def _run(self, options: dict[str, Any], console: Console, *, is_quiet: bool) -> tuple[ImportJob, dict[str, Any]]:
        user = _person(options["person"])
        as_system = user is None
        path: Path = options["file"]
        with path.open("rb") as content:
            job = files.upload(
                user,
                content,
                path.name,
                table_name=options["table"],
                target_type=options["target_type"],
                options=_options(options),
                mappings=_mappings(options["mapping"]),
                system=as_system,
                trigger="command",
            )
        shown: AbstractContextManager[ProgressSink] = (
            nullcontext(NullSink()) if is_quiet else BarSink(console, title=path.name)
        )
        with shown as sink:
            report = files.validate(
                job,
                user,
                system=as_system,
                on_progress=lambda rows: sink.update(Progress(say("Validating"), rows, job.file.total_rows)),
            )
            if options["validate_only"]:
                operations.cancel(job)
                return job, report
            try:
                files.start(job, user, accept_errors=options["accept_errors"], system=as_system)
            except files.ImportInvalid:
                operations.cancel(job)
                if options["json"] or not report["errors"]:
                    raise
                _print_findings(console, report)
                raise
            with crew.helping(job.pk, count=options["workers"] - 1):
                runner.work(job.pk, sink=sink)
        job.refresh_from_db()
        return job, report

    def _report(self, job: ImportJob, report: dict[str, Any], console: Console, *, as_json: bool) -> None:
        job.refresh_from_db()
        if as_json:
            self.stdout.write(json.dumps(operations.job_report(job) | {"validation": report}, default=str))
            return
        if job.started_at is None:
            valid, total = report["validRows"], report["totalRows"]
            console.print(
                say_count(
                    "{valid:,} of {count} row can be imported.",
                    "{valid:,} of {count:,} rows can be imported.",
                    total,
                    valid=valid,
                ),
                markup=False,
            )
            _print_findings(console, report)
            return
        report_console().print(counters_table(job))
        _print_findings(console, {"errors": operations.job_errors(job), "warnings": report["warnings"]})

    def _refuse(self, error: Exception, *, as_json: bool) -> None:
        """Say what is wrong; nothing was imported. Ends with status 1."""
        if not as_json:
            raise CommandError(str(error), returncode=1)
        found = {"code": getattr(error, "code", "unreadable"), "message": str(error), **getattr(error, "more", {})}
        self.stdout.write(json.dumps(EMPTY | {"errors": [found]}, default=str))
        sys.exit(1)


def _print_findings(console: Console, report: dict[str, Any]) -> None:
    for kind, style in (("errors", "red"), ("warnings", "yellow")):
        for found in report[kind][:10]:
            row = found.get("row", found.get("source_identifier"))
            place = f"row {row}, " if row else ""
            console.print(f"  {place}{found['message']} ({found['code']})", style=style, markup=False)


def _options(options: dict[str, Any]) -> dict[str, Any]:
    try:
        given = json.loads(options["options"])
    except ValueError:
        raise ImporterError(
            say("--options is no JSON object."),
            hint=say('Write it like \'{"delimiter": ";"}\'.'),
            code="validation_error",
        ) from None
    if not isinstance(given, dict):
        raise ImporterError(
            say("--options is no JSON object."),
            hint=say('Write it like \'{"delimiter": ";"}\'.'),
            code="validation_error",
        )
    if options["on_duplicate"]:
        given["on_duplicate"] = options["on_duplicate"]
    for name in ("source_key", "batch_size", "read_ahead"):
        if options[name] not in (None, ""):
            given[name] = options[name]
    if options["parts"]:
        given["tables"] = {
            place: target or place for place, _, target in (each.partition("=") for each in options["parts"])
        }
    if options["key"]:
        given["duplicate_key"] = options["key"]
    return given


def _mappings(pairs: list[str]) -> list[dict[str, Any]] | None:
    if not pairs:
        return None
    found: list[dict[str, Any]] = []
    for source, _, said in (pair.partition("=") for pair in pairs):
        target, _, by = said.partition(":")
        found.append({"source_column": source, "target_column": target or source})
        if by:
            found[-1]["reference"] = {"by": by}
    return found


def _person(email: str) -> Any:
    if not email:
        return None
    person = get_user_model().objects.filter(email__iexact=email, is_active=True).order_by("user_type").first()
    if person is None:
        raise ImporterError(
            say("There is no person with the address {email}.", email=email),
            hint=say("Give the address of somebody who may log in."),
            code="not_found",
        )
    return person
