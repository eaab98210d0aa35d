"""What a row that waits could be: the records here that came into question, beside what the source says (R14, K14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg import sql

from importer.models import ImportRecord
from importer.operations import records as details
from importer.operations.decisions import target_versions
from servicevault import catalog


@dataclass(frozen=True)
class Candidate:
    """A record here, as it is now."""

    id: UUID
    version: str  # changes with the record
    confidence: float | None
    values: Mapping[str, Any]  # by field


@dataclass(frozen=True)
class Doubt:
    """A row that waits, with who or what it could be, best first; those that are gone meanwhile are left out."""

    record: ImportRecord
    reason: str
    source: Mapping[str, Any]  # as mapped, by field; empty where that cannot be told any more
    candidates: Sequence[Candidate]

    @property
    def fields(self) -> list[str]:
        """What is compared: fields that the source or a candidate fills."""
        found = [*self.source, *(name for each in self.candidates for name in each.values)]
        values = [self.source, *(each.values for each in self.candidates)]
        return [name for name in dict.fromkeys(found) if any(each.get(name) not in (None, "") for each in values)]


def doubts_of(records: Sequence[ImportRecord]) -> list[Doubt]:
    """Each row with its candidates; two queries a target type, two a row. What a target that is gone had is not shown."""
    wanted = [
        (record.run.target_type, UUID(str(found["id"]))) for record in records for found in details.candidates(record)
    ]
    versions = target_versions(wanted)
    here = {name: _values(name, [pk for kind, pk in wanted if kind == name]) for name in {kind for kind, _ in wanted}}
    found = []
    for record in records:
        source = details.recomputed(record).values or {}
        fields = _compared(record.run.target_type)
        candidates = [
            Candidate(pk, versions[pk], item.get("confidence"), here[record.run.target_type].get(pk, {}))
            for item in details.candidates(record)
            if (pk := UUID(str(item["id"]))) in versions
        ]
        told = {name: source[name] for name in fields if name in source}
        found.append(Doubt(record, details.reason_of(record) or "", told, candidates))
    return found


def _compared(target_type: str) -> dict[str, str]:
    """Field → column of what a person can compare: no references, and nothing of a target that is gone."""
    try:
        target = catalog.get(target_type)
    except catalog.UnknownTarget:
        return {}
    return {field.name: field.storage for field in target.fields if field.storage and not field.reference}


def _values(target_type: str, ids: Sequence[UUID]) -> dict[UUID, Mapping[str, Any]]:
    columns = _compared(target_type)
    if not columns:
        return {}
    target = catalog.get(target_type)
    picked = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(column)) for column in columns.values())
    query = sql.SQL("SELECT t.id, {} FROM {} t WHERE t.id = ANY(%s)").format(picked, sql.Identifier(target.table))
    with connection.cursor() as cursor:
        cursor.execute(query, [list(ids)])
        return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in cursor.fetchall()}
