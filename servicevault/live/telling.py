"""What happened becomes a hint: which event, about what, and in which order (L4 to L7).

A job's `sequence` rises with each hint, in the database, so that all workers of a job count together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any, Protocol, cast

from django.db import DatabaseError, models, transaction
from django.db.models import F, Q

from servicevault.jobs.clock import InSeconds
from servicevault.live.publishing import publish

logger = logging.getLogger("servicevault.live")

PROGRESS_SECONDS = 0.25  # L7: at most four a second for each job, however many work on it


class Told(Protocol):
    """A job whose life is told."""

    sequence: int
    status: str

    def progress_channels(self) -> list[str]: ...

    def status_channels(self) -> list[str]: ...


def progressed(model: Any, job_id: Any) -> None:
    """Tell after the commit where the job stands, unless somebody did a moment ago. Never fails the work that calls it."""

    def told() -> None:
        try:
            quiet = Q(told_at=None) | Q(told_at__lte=InSeconds(-PROGRESS_SECONDS))
            if model._default_manager.filter(quiet, pk=job_id).update(sequence=F("sequence") + 1, told_at=InSeconds(0)):
                job = _job(model, job_id)
                publish(job.progress_channels(), {"event": model.progress_event, **_about(job_id, job)})
        except DatabaseError:
            logger.warning("job %s: its progress could not be told", job_id)

    transaction.on_commit(told, robust=True)


class Teller:
    """`progressed` for one worker in one job: so frequent slices are not asked of the database each time."""

    def __init__(self, model: Any, job_id: Any) -> None:
        self.model, self.job_id = model, job_id
        self.last = -PROGRESS_SECONDS

    def progressed(self) -> None:
        now = time.monotonic()
        if now - self.last >= PROGRESS_SECONDS:
            self.last = now
            progressed(self.model, self.job_id)


def changed(model: Any, job_id: Any, event_type: str, *, previous: str | None) -> None:
    """Tell after the commit that the job's state is another now (L5)."""

    def told() -> None:
        if not model._default_manager.filter(pk=job_id).update(sequence=F("sequence") + 1, told_at=InSeconds(0)):
            return  # it is gone again
        job = _job(model, job_id)
        change = {"event_type": event_type, "status": job.status, "previous_status": previous}
        hint = {"event": model.status_event, **change}
        publish(job.status_channels(), hint | _about(job_id, job))

    transaction.on_commit(told, robust=True)


def happened(event: str, about: models.Model, channels: Iterable[str]) -> None:
    """Tell after the commit that something became of an object that is no job (L6)."""
    pk = str(about.pk)
    transaction.on_commit(lambda: publish(channels, {"event": event, "id": pk}), robust=True)


def _job(model: Any, job_id: Any) -> Told:
    return cast(Told, model._default_manager.get(pk=job_id))


def _about(job_id: Any, job: Told) -> dict[str, Any]:
    return {"id": str(job_id), "sequence": job.sequence}
