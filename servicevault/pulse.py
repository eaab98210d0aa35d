"""Signs of life that workers and the scheduler leave in the cache, for the health page (F-140)."""

from __future__ import annotations

import time

from django.core.cache import cache

SILENT_SECONDS = 60  # F-140: then a worker is taken to be gone
_WORKERS, _SCHEDULER = "pulse:workers", "pulse:scheduler"
_KEPT_SECONDS = 86_400


def worker_lives(name: str) -> None:
    """Two workers that say so in the same instant may forget one another until the next time."""
    now = time.time()
    seen = {each: at for each, at in (cache.get(_WORKERS) or {}).items() if now - at < SILENT_SECONDS}
    cache.set(_WORKERS, {**seen, name: now}, _KEPT_SECONDS)


def worker_ended(name: str) -> None:
    cache.set(_WORKERS, {each: at for each, at in (cache.get(_WORKERS) or {}).items() if each != name}, _KEPT_SECONDS)


def scheduler_lives() -> None:
    cache.set(_SCHEDULER, time.time(), _KEPT_SECONDS)


def workers() -> int:
    """How many workers said something within the last minute."""
    return sum(time.time() - at < SILENT_SECONDS for at in (cache.get(_WORKERS) or {}).values())


def scheduler_last_beat() -> float | None:
    """Seconds since the epoch; None when it was never heard."""
    found: float | None = cache.get(_SCHEDULER)
    return found
