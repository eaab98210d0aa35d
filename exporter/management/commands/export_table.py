"""`manage.py export_table`: export a table into a file, with the rights of a named person (G37)."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from rich import progress
from rich.console import Console

from exporter.errors import ExportError
from exporter.models import ExportJob
from exporter.operations import DataExporter, Exported
from permissions.policy import Denied
from servicevault.jobs.models import JobStatus
from servicevault.jobs.progress import NullSink, Progress, ProgressSink
from servicevault.wording import say, say_count


class Command(BaseCommand):
    help = say(
        "Export a table into a file, as the person named by --as: with their rights, and written into the audit log."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("table_name")
        parser.add_argument("--as", dest="email", required=True, metavar="EMAIL", help=say("whose rights count"))
        parser.add_argument("--format", default="csv", help=say("csv, json, jsonl, xlsx, xml or yaml"))
        parser.add_argument(
            "--columns", nargs="+", default=[], metavar="NAME", help=say("default: all that are permitted")
        )
        parser.add_argument(
            "--filters", default="", metavar="JSON", help=say('[{"column": "id", "operator": ">", "value": 9}]')
        )
        parser.add_argument("--search", default="", help=say("only rows that hold this text"))
        parser.add_argument("--sort", nargs="+", default=[], metavar="NAME", help=say("name, or name:desc"))
        parser.add_argument(
            "--option", nargs="+", default=[], metavar="NAME=VALUE", help=say("delimiter=; row_limit=100")
        )
        parser.add_argument(
            "--output", default="", metavar="PATH", help=say("file or folder; default: the export's name here")
        )
        parser.add_argument("--json", action="store_true", help=say("print one JSON object on standard output"))

    def handle(self, **options: Any) -> None:
        person = get_user_model().objects.filter(email__iexact=options["email"], is_active=True).first()
        if person is None:
            raise CommandError(say("Nobody with the address {email} may log in.", email=options["email"]))
        try:
            filters = json.loads(options["filters"] or "[]")
        except ValueError as error:
            raise CommandError(say("--filters is not JSON: {error}", error=error)) from None
        sort = [
            {"column": name.removesuffix(":desc"), "direction": "desc" if name.endswith(":desc") else "asc"}
            for name in options["sort"]
        ]
        console = Console(stderr=True, highlight=False)
        shows_bar = console.is_terminal and not options["json"]
        try:
            with _bar(console, options["table_name"]) if shows_bar else NullBar() as sink:
                exported = DataExporter(person).export_table(
                    options["table_name"],
                    options["format"],
                    filters,
                    options["columns"],
                    dict(map(_option, options["option"])),
                    search=options["search"],
                    sort=sort,
                    sink=sink,
                    trigger="command",
                )
        except (ExportError, Denied) as error:
            self._refuse(error, as_json=options["json"])
            return
        path = _kept(exported, options["output"]) if exported.job.status == JobStatus.COMPLETED else None
        self._report(exported.job, path, as_json=options["json"])
        if exported.job.status not in (JobStatus.COMPLETED, JobStatus.AWAITING_APPROVAL):
            sys.exit(1)

    def _refuse(self, error: Exception, *, as_json: bool) -> None:
        if not as_json:
            raise CommandError(str(error))
        code = getattr(error, "code", "permission_denied")
        self.stdout.write(json.dumps({"code": code, "message": str(error), **getattr(error, "more", {})}, default=str))
        sys.exit(1)

    def _report(self, job: ExportJob, path: Path | None, *, as_json: bool) -> None:
        if as_json:
            body = {
                "job_id": str(job.pk),
                "status": job.status,
                "rows": job.processed_rows,
                "path": str(path) if path else None,
                "file_size": job.file_size,
                "sha256": job.sha256 or None,
                "error_code": job.error_code,
                "error_message": job.error_message,
            }
            self.stdout.write(json.dumps(body))
        elif path is not None:
            self.stdout.write(
                say_count(
                    "{count} row of {table_name} is in {path}.",
                    "{count:,} rows of {table_name} are in {path}.",
                    job.processed_rows,
                    table_name=job.table_name,
                    path=path,
                )
            )
        else:
            self.stdout.write(
                say(
                    "{job} is {status}. {error_message}",
                    job=job,
                    status=job.status,
                    error_message=job.error_message or job.current_operation,
                ).strip()
            )


class NullBar(NullSink):
    def __enter__(self) -> ProgressSink:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Bar(NullBar):
    """A progress bar that follows the export."""

    def __init__(self, bar: progress.Progress, title: str) -> None:
        self.bar = bar
        self.task = bar.add_task(title, total=None)

    def __enter__(self) -> ProgressSink:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, progress: Progress) -> None:
        self.bar.update(self.task, completed=progress.processed, total=progress.total)


def _bar(console: Console, title: str) -> _Bar:
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f} rows"),
        progress.TimeElapsedColumn(),
    )
    return _Bar(progress.Progress(*columns, console=console, transient=True), title)


def _option(text: str) -> tuple[str, Any]:
    """`delimiter=;` as an option; numbers, true and false are what they look like."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--option {text}: write NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _kept(exported: Exported, output: str) -> Path:
    """Put the file where it is wanted, whole or not at all."""
    path = Path(output or ".")
    if path.is_dir():
        path /= exported.job.filename
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        for piece in exported.read():
            file.write(piece)
    shutil.move(file.name, path)
    return path
