"""Where records came from: their external ids, the job that brought them, and the way back from an old number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from importer.models import ExternalRef, ImportJob, SourceEntity
from permissions import policy


@dataclass(frozen=True)
class Origin:
    """One external id of one record."""

    source_key: str
    entity: str
    external_id: str
    source_number: str
    source_url: str  # empty unless it is a web address
    imported_at: datetime
    last_seen_at: datetime
    job: ImportJob | None  # None when it is gone, or the person may not see it
    deleted_in_source_at: datetime | None


def origins_of(target_ids: Iterable[UUID], target_type: str, user: Any) -> dict[UUID, list[Origin]]:
    """The origins of each record, oldest first. Two queries, and one for the person's rights."""
    refs = list(
        ExternalRef.objects.filter(target_id__in=list(target_ids), entity__target_type=target_type)
        .select_related("entity")
        .order_by("first_seen_at", "external_id")
    )
    wanted = {ref.job_id for ref in refs if ref.job_id}
    visible = policy.restrict(ImportJob.objects.filter(pk__in=wanted), user).select_related("profile")
    jobs = {job.pk: job for job in visible} if wanted else {}
    origins: dict[UUID, list[Origin]] = {}
    for ref in refs:
        origins.setdefault(ref.target_id, []).append(_origin(ref, jobs.get(ref.job_id) if ref.job_id else None))
    return origins


def found_by_source(text: str, target_type: str) -> QuerySet[ExternalRef]:
    """References whose external id or number in the source is `text`, for search (E31)."""
    entities = SourceEntity.objects.filter(target_type=target_type).values("pk")
    refs = ExternalRef.objects.filter(entity_id__in=entities)
    return refs.filter(external_id=text) | refs.filter(source_number=text)


def _origin(ref: ExternalRef, job: ImportJob | None) -> Origin:
    url = ref.source_url or ""
    return Origin(
        source_key=ref.entity.source_key,
        entity=ref.entity.entity,
        external_id=ref.external_id,
        source_number=ref.source_number or "",
        source_url=url if url.startswith(("https://", "http://")) else "",
        imported_at=ref.first_seen_at,
        last_seen_at=ref.last_seen_at,
        job=job,
        deleted_in_source_at=ref.deleted_in_source_at,
    )
