"""`manage.py import_cleanup_stale`: hand jobs to workers that nobody works on any more (J12)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from importer.models import ImportJob
from importer.tasks import wake_jobs
from servicevault.jobs import lifecycle
from servicevault.wording import say, say_count


class Command(BaseCommand):
    help = say(
        "Show jobs whose workers are silent and hand them to a worker; the scheduler does the same every 15 seconds."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help=say("only show them"))

    def handle(self, **options: Any) -> None:
        jobs = list(lifecycle.orphaned(ImportJob).select_related("profile"))
        for job in jobs:
            self.stdout.write(
                say(
                    "{job}: {source_name}, {status}, last heard of {heartbeat_at}",
                    job=job,
                    source_name=job.source_name,
                    status=job.status,
                    heartbeat_at=job.heartbeat_at or say("never"),
                )
            )
        if jobs and not options["dry_run"]:
            wake_jobs()
        if options["dry_run"]:
            self.stdout.write(say_count("{count} job found.", "{count} jobs found.", len(jobs)))
        else:
            self.stdout.write(
                say_count("{count} job handed to a worker.", "{count} jobs handed to a worker.", len(jobs))
            )
