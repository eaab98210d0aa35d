"""`manage.py export_cleanup`: remove the files of exports whose time is over (F-119)."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from exporter import operations
from servicevault.wording import say


class Command(BaseCommand):
    help = say(
        "Remove expired export files, and files no export names any more. The scheduler does it every five minutes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help=say("print one JSON object on standard output"))

    def handle(self, **options: Any) -> None:
        cleaned = operations.remove_expired()
        if options["json"]:
            self.stdout.write(json.dumps(asdict(cleaned)))
        else:
            self.stdout.write(
                say("Removed {expired} expired and {stray} stray files.", expired=cleaned.expired, stray=cleaned.stray)
            )
