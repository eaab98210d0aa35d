"""`manage.py demo`: a help desk in a second database, imported for real, counted on both sides, then the site."""

from __future__ import annotations

import io
import json
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from rich import box
from rich.table import Table

from importer import operations
from importer.errors import ImporterError
from importer.management.console import report_console
from importer.models import ImportJob, ImportProfile
from importer.sources.params import ConnectionParams
from permissions.models import Role
from permissions.roles import SUPER_ADMIN
from servicevault import embedded
from servicevault.demo import database
from servicevault.demo.reconciliation import Line, reconcile
from servicevault.jobs.models import ACTIVE
from servicevault.management.commands import up
from servicevault.wording import say, say_count
from templates_registry.loader import load_packs

PROFILE = "Demo help desk"
ZONE = "Europe/Berlin"
ADMIN = "admin"
HOST = "127.0.0.1"


class Command(BaseCommand):
    help = say("Import a demo help desk with live progress, prove that nothing was lost, then serve the site.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help=say("port of the web server (default: 8000)"))
        parser.add_argument("--once", action="store_true", help=say("end after the import instead of serving the site"))
        parser.add_argument(
            "--json", action="store_true", help=say("print one JSON object on standard output; implies --once")
        )
        parser.add_argument("--workers", type=int, default=2, help=say("processes that share the import (default 2)"))

    def handle(self, **options: Any) -> None:
        as_json = options["json"]
        serves = not (options["once"] or as_json)
        self.console = report_console(stderr=as_json)
        if serves:
            up.check_port_is_free(HOST, options["port"])
        started = time.monotonic()
        try:
            password = self._prepare()
            source = database.generate(settings.DATABASE_URL)
            self._say_source(source)
            job = self._import(source, as_json=as_json, workers=options["workers"])
        except ImporterError as error:
            raise CommandError(str(error), returncode=1) from error
        with database.owner_connection(settings.DATABASE_URL, source) as owner:
            lines = reconcile(job, owner)
        seconds = time.monotonic() - started
        if as_json:
            self.stdout.write(json.dumps(_report(job, source, lines, password, seconds)))
        else:
            self.console.print(_table(lines))
            for line in lines:
                for note in line.notes:
                    self._say(f"{line.entity}: {note}")
        if not all(line.is_equal for line in lines):
            raise CommandError(say("The two sides differ; see the lines marked “no”."), returncode=1)
        self._say(say("Every row is accounted for ({seconds:.1f} seconds).", seconds=seconds))
        url = f"http://{HOST}:{options['port']}/"
        said = say("Log in as {admin} with the password {password}")
        if serves:
            said = say("Log in at {url} as {admin} with the password {password}")
        self._say(said.format(url=url, admin=ADMIN, password=password))
        if serves:
            call_command("up", host=HOST, port=options["port"])

    def _prepare(self) -> str:
        """Bring the database up to date; returns the administrator's password."""
        call_command("migrate", interactive=False, verbosity=0)
        outcomes = {pack.outcome for pack in load_packs()}
        self._say(say("Templates are current.") if outcomes == {"unchanged"} else say("Templates are loaded."))
        password = embedded.secret("DEMO_ADMIN_PASSWORD")
        users = get_user_model().objects
        admin = users.filter(username=ADMIN).first() or users.create_superuser(ADMIN, name="Demo administrator")
        admin.is_superuser, admin.is_active, admin.role = True, True, Role.objects.filter(name=SUPER_ADMIN).first()
        if not admin.check_password(password):
            admin.set_password(password)
        admin.save()
        return password

    def _say_source(self, source: database.DemoSource) -> None:
        if source.is_new:
            self._say(
                say_count(
                    "Made the help desk “{database}”: {count} row.",
                    "Made the help desk “{database}”: {count:,} rows.",
                    source.rows,
                    database=source.database,
                )
            )
        else:
            self._say(say("Reusing the help desk “{database}”; it is current.", database=source.database))

    def _import(self, source: database.DemoSource, *, as_json: bool, workers: int) -> ImportJob:
        """Import the source as `import_profile` does; a job that was cut off is continued."""
        params, _ = ConnectionParams.from_url(source.url)
        profile, is_new = operations.profile_named(PROFILE, params)
        said = say("Created the profile “{profile}”.") if is_new else say("Reusing the profile “{profile}”.")
        self._say(said.format(profile=PROFILE))
        unfinished = ImportJob.objects.filter(profile=profile, status__in=ACTIVE).first()
        arguments: dict[str, Any] = {"workers": workers, "json": as_json, "stdout": io.StringIO()}
        if unfinished:
            self._say(say("Continuing job {unfinished}.", unfinished=unfinished.number))
            arguments["resume"] = str(unfinished.pk)
        else:
            arguments |= {"name": PROFILE, "template": "freescout", "timezone": ZONE}
        try:
            call_command("import_profile", **arguments)
        except SystemExit:
            job = _newest(profile)
            why = job.error_message if job else say("It could not be started.")
            raise CommandError(say("The import did not end well. {why}", why=why), returncode=1) from None
        job = _newest(profile)
        assert job is not None
        return job

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False)


def _newest(profile: ImportProfile) -> ImportJob | None:
    return ImportJob.objects.filter(profile=profile).order_by("-number").first()


def _table(lines: list[Line]) -> Table:
    table = Table(title=str(say("Source and target, counted independently")), box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column(say("Entity"))
    for name in (
        say("Source"),
        say("Read"),
        say("Created"),
        say("Updated"),
        say("Unchanged"),
        say("Skipped"),
        say("Failed"),
        say("Review"),
        say("Target"),
    ):
        table.add_column(name, justify="right")
    table.add_column(say("Equal"))
    for line in lines:
        numbers = (
            line.source, line.read, line.created, line.updated, line.unchanged, line.skipped, line.failed, line.review,
            line.target,
        )  # fmt: skip
        equal = "yes" if line.is_equal else "no"
        style = "" if line.is_equal else "red"
        table.add_row(line.entity, *(f"{number:,}" for number in numbers), equal, style=style)
    return table


def _report(
    job: ImportJob, source: database.DemoSource, lines: list[Line], password: str, seconds: float
) -> dict[str, Any]:
    return {
        "equal": all(line.is_equal for line in lines),
        "seconds": round(seconds, 3),
        "source": {"database": source.database, "is_new": source.is_new},
        "job": operations.job_report(job),
        "reconciliation": [line.as_dict() for line in lines],
        "login": {"username": ADMIN, "password": password},
    }
