"""How the site is right now: measured when asked, never remembered (F-140, G36)."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.models import Min
from django.utils import timezone
from redis.exceptions import RedisError

from servicevault import pulse
from servicevault.jobs.models import ACTIVE, Job, JobStatus

Status = Literal["healthy", "degraded", "unhealthy"]
GIGABYTE = 1 << 30
LEAST_STORAGE_GB = 1.0


@dataclass(frozen=True)
class Health:
    import_service_status: Status
    export_service_status: Status
    active_import_jobs: int
    active_export_jobs: int
    queue_size: int  # jobs that wait for a worker
    system_load: float  # average of the last minute
    available_storage_gb: float
    workers: int
    oldest_pending_seconds: int | None
    scheduler_last_beat: datetime | None
    database_ms: float | None  # None: it does not answer
    cache_ms: float | None

    @property
    def is_serving(self) -> bool:
        return "unhealthy" not in (self.import_service_status, self.export_service_status)


def is_alive() -> bool:
    """Whether the database answers."""
    return _database_ms() is not None


def measure() -> Health:
    """Everything F-140 tells; a database that is down is an answer, not an error."""
    database_ms, cache_ms = _database_ms(), _cache_ms()
    workers = pulse.workers() if cache_ms is not None else 0
    beat = pulse.scheduler_last_beat() if cache_ms is not None else None
    importing, exporting = _storage_gb(settings.IMPORT_TEMP_DIR), _storage_gb(settings.EXPORT_TEMP_DIR)
    is_answering = database_ms is not None
    pending = [rows for model in job_models() for rows in [_pending(model)] if rows] if is_answering else []
    oldest = min((at for _, at in pending), default=None)
    return Health(
        import_service_status=_judged(is_answering, importing, workers, cache_ms),
        export_service_status=_judged(is_answering, exporting, workers, cache_ms),
        active_import_jobs=_active("importer") if is_answering else 0,
        active_export_jobs=_active("exporter") if is_answering else 0,
        queue_size=sum(count for count, _ in pending),
        system_load=round(os.getloadavg()[0], 2),
        available_storage_gb=round(min(importing, exporting), 2),
        workers=workers,
        oldest_pending_seconds=round((timezone.now() - oldest).total_seconds()) if oldest else None,
        scheduler_last_beat=datetime.fromtimestamp(beat, UTC) if beat else None,
        database_ms=database_ms,
        cache_ms=cache_ms,
    )


def job_models(app_label: str = "") -> list[type[Job]]:
    """Every kind of job there is, or those of one app."""
    return [
        model
        for model in apps.get_models()
        if issubclass(model, Job) and (not app_label or model._meta.app_label == app_label)
    ]


def _judged(is_answering: bool, storage_gb: float, workers: int, cache_ms: float | None) -> Status:
    if not is_answering or storage_gb < LEAST_STORAGE_GB:
        return "unhealthy"
    return "degraded" if not workers or cache_ms is None else "healthy"


def _active(app_label: str) -> int:
    return sum(model._default_manager.filter(status__in=ACTIVE).count() for model in job_models(app_label))


def _pending(model: type[Job]) -> tuple[int, datetime] | None:
    waiting = model._default_manager.filter(status=JobStatus.PENDING)
    oldest = waiting.aggregate(at=Min("created_at"))["at"]
    return (waiting.count(), oldest) if oldest else None


def _database_ms() -> float | None:
    began = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return None
    return round((time.perf_counter() - began) * 1000, 2)


def _cache_ms() -> float | None:
    began = time.perf_counter()
    try:
        cache.set("health", 1, 10)
    except RedisError:
        return None
    return round((time.perf_counter() - began) * 1000, 2)


def _storage_gb(folder: Path) -> float:
    """Free space where the folder is or will be."""
    place = Path(folder)
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / GIGABYTE
