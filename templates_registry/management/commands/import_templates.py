"""`manage.py import_templates sync`: bring the shipped packs up to date."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from importer.errors import PackError
from servicevault.wording import say
from templates_registry.loader import load_packs


class Command(BaseCommand):
    help = say("Install or update the templates that are shipped; profiles keep their copies.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["sync"], help=say("sync: install what is new, update what changed"))
        parser.add_argument("--json", action="store_true", help=say("print one JSON list on standard output"))

    def handle(self, **options: Any) -> None:
        try:
            loaded = load_packs()
        except PackError as error:
            raise CommandError(str(error), returncode=1) from error
        if options["json"]:
            self.stdout.write(json.dumps([asdict(item) for item in loaded]))
            return
        for item in loaded:
            self.stdout.write(f"{item.platform} {item.version}: {item.outcome}")
