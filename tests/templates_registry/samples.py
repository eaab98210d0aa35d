"""The shipped packs' fixtures as source databases, and what an import of one leaves behind."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.utils import timezone

from importer.models import ExternalRef, ImportJob, ImportRecord
from servicevault.models import Account, Ticket, TicketComment, TimeEntry, User
from templates_registry import loader
from templates_registry.loader import Pack, read_pack
from tests.importer.desk import Desk

PACKS = loader.PACKS
FIXTURES = sorted((path.parents[1].name, path.stem) for path in PACKS.glob("*/fixtures/*.sql"))
NAMES = sorted({pack for pack, _ in FIXTURES})
# The zone the installation is said to have run in: 2026-03-29 02:30 does not exist there.
ZONE = "Europe/Berlin"


@dataclass(frozen=True)
class Sample:
    """One fixture of one pack in a database of its own."""

    name: str
    fixture: str
    url: str

    @property
    def pack(self) -> Pack:
        return pack(self.name)

    @property
    def expected(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file().read_text())
        return found

    def file(self, kind: str = "") -> Path:
        return PACKS / self.name / "expected" / f"{self.fixture}{kind}.json"


@cache
def pack(name: str) -> Pack:
    return read_pack(PACKS / name)


def end_state(desk: Desk, job: ImportJob) -> dict[str, Any]:
    """What the import did and what is there now; our own keys as the source's ids, so that it reads like the source."""
    ids = {
        ref.target_id: f"{ref.entity.entity}/{ref.external_id}"
        for ref in ExternalRef.objects.select_related("entity").order_by("-entity__entity", "-external_id")
    }
    ids[User.objects.get(username="service-vault-import").pk] = "the system"
    rows = {
        "accounts": Account.objects.all(),
        "users": User.objects.exclude(username="service-vault-import"),
        "tickets": Ticket.objects.all(),
        "comments": TicketComment.objects.all(),
        "time_entries": TimeEntry.objects.all(),
    }
    return {
        "outcomes": {run.key: desk.outcomes(job, run.key) for run in job.runs.order_by("position")},
        "not_imported": not_imported(job),
        "warnings": warnings(job),
        **{
            name: [_row(row, ids, job.created_at) for row in sorted(found, key=lambda row: ids.get(row.pk, ""))]
            for name, found in rows.items()
        },
    }


def not_imported(job: ImportJob) -> list[str]:
    """Each held or failed row: query, id, outcome, reason, field, value."""
    records = ImportRecord.objects.filter(run__job=job, action__in=("review", "failed")).select_related("run")
    return sorted(
        f"{record.run.key} {record.source_identifier}: {record.action}, {record.code}"
        + "".join(f", {problem.get('field')}={problem.get('value')}" for problem in (record.problems or [])[:1])
        for record in records
    )


def warnings(job: ImportJob) -> list[str]:
    records = ImportRecord.objects.filter(run__job=job).exclude(warnings=None).select_related("run")
    return sorted(
        f"{record.run.key} {record.source_identifier}: {warning['code']}, {warning.get('field')}"
        for record in records
        for warning in record.warnings or ()
    )


OWN_NUMBER = re.compile(r"TKT-\d{4}-\d+")
IGNORED = {
    "id", "password", "username", "role", "is_superuser", "last_login_at", "version", "search", "metadata",
}  # fmt: skip


def _row(row: Any, ids: dict[Any, str], since: datetime) -> dict[str, Any]:
    found: dict[str, Any] = {"is": ids.get(row.pk, "made by the import")}
    for field in row._meta.concrete_fields:
        value = field.value_from_object(row)
        if field.name in IGNORED or value in (None, "", [], {}) or value == field.get_default():
            continue
        if field.name in ("created_at", "updated_at") and since <= value <= timezone.now():
            continue  # the import's own moment
        if field.name == "ticket_number" and OWN_NUMBER.fullmatch(value):
            continue  # drawn here: says how many tickets there were before, and the year
        found[field.name] = ids.get(value, value) if field.is_relation else value
    return json.loads(json.dumps(found, default=str))  # type: ignore[no-any-return]
