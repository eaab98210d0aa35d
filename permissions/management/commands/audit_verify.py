"""`manage.py audit_verify`: prove that no audit entry was changed or removed (G26)."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from permissions import audit_log
from permissions.models import AuditEntry
from servicevault.wording import say, say_count


class Command(BaseCommand):
    help = say("Checks the chain of the audit log; ends with status 1 and names each place that was tampered with.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help=say("print one JSON object"))

    def handle(self, **options: Any) -> None:
        faults = audit_log.faults()
        if options["json"]:
            found = [{"position": each.position, "entry_id": each.entry_id, "what": each.what} for each in faults]
            self.stdout.write(json.dumps({"entries": AuditEntry.objects.count(), "faults": found}))
        elif not faults:
            self.stdout.write(
                say_count(
                    "{count} entry, not changed.",
                    "{count} entries, none changed, none removed.",
                    AuditEntry.objects.count(),
                )
            )
        for fault in faults if not options["json"] else ():
            self.stderr.write(
                say(
                    "Position {position} {entry_id}: {what}",
                    position=fault.position,
                    entry_id=fault.entry_id,
                    what=fault.what,
                )
            )
        if faults:
            sys.exit(1)
