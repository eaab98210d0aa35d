"""Memory: what people mapped before, for the same source or for files with the same headers (M17)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from importer.mapping.auto import Remembered
from importer.models import MappingMemory
from importer.query.expressions import render
from importer.query.spec import QuerySpec

Transformation = Sequence[tuple[str, Mapping[str, Any]]]


def of_source(source_key: str) -> str:
    """The name under which mappings of a database are remembered."""
    return f"source:{source_key}"


def of_headers(headers: Iterable[str]) -> str:
    """The name under which mappings of files with these headers are remembered, whatever their order."""
    listed = json.dumps(sorted({header.strip().lower() for header in headers}))
    return f"headers:{hashlib.sha256(listed.encode()).hexdigest()}"


def remember(
    source: str, target_type: str, mappings: Iterable[tuple[str, str, Transformation]], *, user: Any = None
) -> int:
    """Keep confirmed mappings, (source column, target field, transformation), in place of older ones; returns how many.

    `user` is the person who confirmed them.
    """
    now = timezone.now()
    rows = {
        target_field: MappingMemory(
            source=source,
            target_type=target_type,
            source_column=column,
            target_field=target_field,
            transformation=[{"name": name, "params": dict(params)} for name, params in transformation],
            used_at=now,
            used_by=user,
        )
        for column, target_field, transformation in mappings
    }
    with transaction.atomic():
        MappingMemory.objects.bulk_create(
            rows.values(),
            update_conflicts=True,
            unique_fields=["source", "target_type", "target_field"],
            update_fields=["source_column", "transformation", "used_at", "used_by"],
        )
    return len(rows)


def remember_query(source_key: str, spec: QuerySpec, *, user: Any = None) -> int:
    """Keep the mappings of a query that was saved."""
    found = [
        (render(field.source), field.target, [(name, dict(params)) for name, params in field.transformation])
        for field in spec.fields
        if field.source is not None
    ]
    return remember(of_source(source_key), spec.target_type, found, user=user)


def recall(source: str, target_type: str) -> list[Remembered]:
    """What is remembered, newest first; one query."""
    found = MappingMemory.objects.filter(source=source, target_type=target_type).select_related("used_by")
    return [
        Remembered(
            source=memory.source_column,
            target=memory.target_field,
            transformation=tuple((step["name"], step["params"]) for step in memory.transformation),
            used_at=memory.used_at,
            used_by=memory.used_by.name if memory.used_by else "",
        )
        for memory in found.order_by("-used_at", "target_field")
    ]
