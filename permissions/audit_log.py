"""Reading the audit log, proving that it is whole, and shortening it without breaking the proof (G26, G28)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from permissions import audit, policy, preferences
from permissions.models import AuditAnchor, AuditEntry
from servicevault.tabular.values import guard

PERMISSION = "audit.view"
FILTERS = {  # parameter → condition
    "user_id": "user_id",
    "operation": "operation",
    "table_name": "table_name",
    "job_id": "job_id",
    "object_id": "object_id",
    "result": "result",
    "from": "timestamp__gte",
    "to": "timestamp__lte",
}
COLUMNS = (
    "id", "timestamp", "user_id", "user", "operation", "result", "table_name", "job_id", "profile_id", "object_type",
    "object_id", "details", "ip_address", "user_agent", "request_id",
)  # fmt: skip


def entries(user: Any, filters: Mapping[str, Any] | None = None) -> QuerySet[AuditEntry]:
    """Own entries; everybody's with `audit.view`. Newest first."""
    found = AuditEntry.objects.all()
    if not policy.has(user, PERMISSION):
        found = found.filter(user=user.pk)
    narrowed = {FILTERS[name]: value for name, value in (filters or {}).items() if name in FILTERS}
    return found.filter(**narrowed).select_related("user").order_by("-timestamp", "-id")


def shown(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is told; the name of a person who is gone is empty, the id stays."""
    person = entry.user if entry.user_id and _is_there(entry) else None
    return {
        **{name: getattr(entry, name) for name in COLUMNS if name not in ("id", "user", "user_id")},
        "id": str(entry.pk),
        "user_id": str(entry.user_id) if entry.user_id else None,
        "user": str(person) if person else "",
    }


def _is_there(entry: AuditEntry) -> bool:
    try:
        return entry.user is not None
    except entry._meta.get_field("user").related_model.DoesNotExist:  # type: ignore[union-attr]
        return False


class _Echo:
    def write(self, text: str) -> str:
        return text


def csv_lines(found: QuerySet[AuditEntry]) -> Iterator[str]:
    """The entries as CSV, a line at a time; cells that a spreadsheet would run are guarded (F-174)."""
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for entry in found.iterator(chunk_size=1000):
        values = shown(entry)
        values["timestamp"] = entry.timestamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        yield writer.writerow([guard("" if values[name] is None else str(values[name])) for name in COLUMNS])


# -- the chain ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One place where the log is not what was written."""

    position: int  # in the chain; 0 for an entry that is not in it
    entry_id: str  # empty when the entry is gone
    what: str


# The head is read in the same statement: entries sealed meanwhile are not missed.
_BROKEN = """
WITH anchor AS (SELECT * FROM audit_anchor UNION ALL
                SELECT 1, 0, '', 0, '' WHERE NOT EXISTS (SELECT FROM audit_anchor)),
chain AS (
    SELECT l.id, l.position, l.hash, l.previous_hash, audit_digest(l, l.previous_hash) AS now,
        lag(l.position, 1, a.start_position) OVER w AS position_before, lag(l.hash, 1, a.start_hash) OVER w AS hash_before
    FROM audit_log l CROSS JOIN anchor a WHERE l.position IS NOT NULL WINDOW w AS (ORDER BY l.position))
SELECT position, id::text, 'changed: it is not what was sealed' FROM chain WHERE hash <> now
UNION ALL
SELECT position_before + 1, '', format('removed: %s of the chain before entry %s', position - position_before - 1, id)
    FROM chain WHERE position <> position_before + 1
UNION ALL
SELECT position, id::text, 'not sealed to the entry before it' FROM chain
    WHERE position = position_before + 1 AND previous_hash <> hash_before
UNION ALL
SELECT 0, id::text, 'never sealed' FROM audit_log WHERE position IS NULL
UNION ALL
SELECT a.position, '', 'removed: the newest entries' FROM anchor a
    WHERE a.position > a.start_position AND NOT EXISTS (
        SELECT FROM audit_log l WHERE l.position = a.position AND l.hash = a.hash)
ORDER BY 1
"""


def faults() -> list[Fault]:
    """Every place where an entry was changed or removed; empty when the log is whole. One pass over the table."""
    with connection.cursor() as cursor:
        cursor.execute(_BROKEN)
        return [Fault(position, entry_id, what) for position, entry_id, what in cursor.fetchall()]


def purge(*, older_than_days: int | None = None, by: Any = None) -> int:
    """Remove the beginning of the log that is older than the retention; returns how many entries.

    The chain is anchored anew at the last removed entry, and the purge itself is on record.
    """
    days = preferences.value("AUDIT_RETENTION_DAYS") if older_than_days is None else older_than_days
    oldest_kept = timezone.now() - timedelta(days=days)
    with transaction.atomic():
        anchor = AuditAnchor.objects.select_for_update().first()
        if anchor is None:
            return 0
        sealed = AuditEntry.objects.filter(position__isnull=False)
        first_kept = sealed.filter(timestamp__gte=oldest_kept).order_by("position").first()
        late = sealed if first_kept is None else sealed.filter(position__lt=first_kept.position)
        last = late.order_by("-position").first()
        if last is None:
            return 0
        _switch_guard("on")
        count, _ = AuditEntry.objects.filter(position__lte=last.position).delete()
        _switch_guard("off")
        anchor.start_position, anchor.start_hash = last.position or 0, last.hash
        anchor.save(update_fields=["start_position", "start_hash"])
        details = {"log": "audit", "entries": count, "until": last.timestamp.isoformat(), "position": last.position}
        audit.record("data_purged", user=by, details=details)
    return count


def _switch_guard(state: str) -> None:
    """Let this transaction remove entries, or no longer."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('servicevault.audit_purge', %s, true)", [state])
