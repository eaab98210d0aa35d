"""Records that a person took out of the lists (R6): what they imported stays, and so does their count."""

from __future__ import annotations

from django.db.models import QuerySet

from importer.models import ImportRecord


def shown(records: QuerySet[ImportRecord]) -> QuerySet[ImportRecord]:
    """The records nobody took out of the lists."""
    return records.filter(verdict__hidden_at=None)


def hidden(records: QuerySet[ImportRecord]) -> QuerySet[ImportRecord]:
    """The others."""
    return records.filter(verdict__hidden_at__isnull=False)
