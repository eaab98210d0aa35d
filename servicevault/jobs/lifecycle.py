"""The life of a job: each transition is one conditional UPDATE that says whether it won (J1, J12).

Nothing else assigns `status`, so whoever watches hears of every change from here. Times are the database's; `model` is a concrete subclass of Job.

    pending ─claim→ running ─complete→ completed
       │               ├─fail→ failed ─┐
       └──cancel──→ cancelled ←─cancel─┤
       ↑      ↑ requeue (resume) ──────┘
       └─hand_back── running, when its worker is told to end

    pending ─await_approval→ awaiting_approval ─release→ pending
                                    └─reject→ cancelled
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from servicevault.jobs.clock import InSeconds
from servicevault.jobs.models import FINISHED, LEASE_SECONDS, RESUMABLE, Job, JobStatus
from servicevault.live import telling
from servicevault.notifications import telling as notifications
from servicevault.wording import say, say_count


def claim(model: type[Job], job_id: Any) -> bool:
    """Start a pending job, join one that runs, or take over one whose workers are silent.

    False when it is finished, awaits approval, is cancelled, or has been started too often without progress:
    such a job kills its workers and is failed.
    """
    if claim_alone(model, job_id):
        return True
    running = model._default_manager.filter(pk=job_id, status=JobStatus.RUNNING)
    return bool(running.update(heartbeat_at=Now(), lease_until=InSeconds(LEASE_SECONDS)))


def claim_alone(model: type[Job], job_id: Any) -> bool:
    """`claim` for jobs that one worker does alone: False also while another works on it."""
    if _is_hopeless(model, job_id):
        return False
    started = model._default_manager.filter(pk=job_id, status=JobStatus.PENDING, cancel_requested=False).update(
        status=JobStatus.RUNNING,
        started_at=Coalesce(F("started_at"), Now()),
        completed_at=None,
        error_code="",
        error_message="",
        attempts=F("attempts") + 1,
        heartbeat_at=Now(),
        lease_until=InSeconds(LEASE_SECONDS),
    )
    if started:
        telling.changed(model, job_id, "job_started", previous=JobStatus.PENDING)
        return True
    silent = model._default_manager.filter(pk=job_id, status=JobStatus.RUNNING, lease_until__lt=Now())
    return bool(silent.update(attempts=F("attempts") + 1, heartbeat_at=Now(), lease_until=InSeconds(LEASE_SECONDS)))


def await_approval(model: type[Job], job_id: Any, reason: str) -> bool:
    """Keep a pending job from starting until a second person agrees (J22)."""
    waits = model._default_manager.filter(pk=job_id, status=JobStatus.PENDING).update(
        status=JobStatus.AWAITING_APPROVAL, current_operation=reason[:255]
    )
    return _told(model, job_id, "job_awaiting_approval", JobStatus.PENDING, waits)


def release(model: type[Job], job_id: Any) -> bool:
    """Queue a job whose approval was given. False when it no longer waits for one."""
    released = model._default_manager.filter(pk=job_id, status=JobStatus.AWAITING_APPROVAL).update(
        status=JobStatus.PENDING, current_operation=""
    )
    return _told(model, job_id, "job_approved", JobStatus.AWAITING_APPROVAL, released)


def reject(model: type[Job], job_id: Any, reason: str) -> bool:
    """End a job whose approval was refused or never came. False when it no longer waits for one."""
    refused = model._default_manager.filter(pk=job_id, status=JobStatus.AWAITING_APPROVAL).update(
        status=JobStatus.CANCELLED,
        completed_at=Now(),
        current_operation="",
        error_code="rejected",
        error_message=reason,
    )
    return _told(model, job_id, "job_rejected", JobStatus.AWAITING_APPROVAL, refused)


def progressed(model: type[Job], job_id: Any) -> None:
    """Something was committed: the attempts so far were not in vain."""
    model._default_manager.filter(pk=job_id, attempts__gt=0).update(attempts=0)


def wait(model: type[Job], job_id: Any, reason: str) -> None:
    """Say why a pending job does not start yet."""
    pending = model._default_manager.filter(pk=job_id, status=JobStatus.PENDING)
    if pending.exclude(current_operation=reason[:255]).update(current_operation=reason[:255]):
        telling.progressed(model, job_id)


def heartbeat(model: type[Job], job_id: Any) -> bool:
    """Renew the lease. False when the job does not run any more or should stop."""
    return bool(
        model._default_manager.filter(pk=job_id, status=JobStatus.RUNNING, cancel_requested=False).update(
            heartbeat_at=Now(), lease_until=InSeconds(LEASE_SECONDS)
        )
    )


def tell(model: type[Job], job_id: Any, operation: str) -> None:
    """Tell people what the job is doing."""
    if model._default_manager.filter(pk=job_id, status=JobStatus.RUNNING).update(current_operation=operation[:255]):
        telling.progressed(model, job_id)


def complete(model: type[Job], job_id: Any) -> bool:
    return _end(model, job_id, JobStatus.COMPLETED)


def fail(model: type[Job], job_id: Any, *, code: str, message: str) -> bool:
    """End a job that met a failure we foresee; it can be resumed."""
    return _end(model, job_id, JobStatus.FAILED, error_code=code, error_message=message)


def crash(model: type[Job], job_id: Any) -> bool:
    """End a job that met a failure nobody foresaw; the traceback is in the log."""
    return fail(
        model,
        job_id,
        code="internal_error",
        message=say("The job met an unexpected error. It is logged; resume it once it is mended."),
    )


def request_cancel(model: type[Job], job_id: Any) -> bool:
    """Ask a running job to stop after its slice; a waiting one is cancelled at once. False when it is finished."""
    for waiting in (JobStatus.AWAITING_APPROVAL, JobStatus.PENDING):  # in the order in which a job passes through them
        cancelled = model._default_manager.filter(pk=job_id, status=waiting).update(
            status=JobStatus.CANCELLED, completed_at=Now(), error_code="cancelled_by_user", current_operation=""
        )
        if _told(model, job_id, "job_cancelled", waiting, cancelled):
            return True
    asked = model._default_manager.filter(pk=job_id, status=JobStatus.RUNNING).update(cancel_requested=True)
    if asked:
        telling.progressed(model, job_id)
    return bool(asked)


def cancel(model: type[Job], job_id: Any) -> bool:
    """End a running job that was asked to stop."""
    return _end(model, job_id, JobStatus.CANCELLED, condition=Q(cancel_requested=True), error_code="cancelled_by_user")


def requeue(model: type[Job], job_id: Any) -> bool:
    """Let a failed or cancelled job continue behind its checkpoint."""
    for ended in RESUMABLE:
        queued = model._default_manager.filter(pk=job_id, status=ended).update(
            status=JobStatus.PENDING, cancel_requested=False, attempts=0, completed_at=None, current_operation=""
        )
        if _told(model, job_id, "job_resumed", ended, queued):
            return True
    return False


def hand_back(model: type[Job], job_id: Any) -> bool:
    """Let another worker continue a running job at once: this one was told to end (J21)."""
    handed = model._default_manager.filter(pk=job_id, status=JobStatus.RUNNING, cancel_requested=False).update(
        status=JobStatus.PENDING, lease_until=None, attempts=0, current_operation=say("Waiting for a worker")
    )
    return _told(model, job_id, "job_paused", JobStatus.RUNNING, handed)


def orphaned(model: type[Job]) -> Any:
    """Running jobs whose workers are all silent, and pending ones nobody started yet: to be handed to a worker."""
    return model._default_manager.filter(
        Q(status=JobStatus.PENDING) | Q(status=JobStatus.RUNNING, lease_until__lt=Now())
    )


def _is_hopeless(model: type[Job], job_id: Any) -> bool:
    forsaken = {JobStatus.PENDING: Q(), JobStatus.RUNNING: Q(lease_until__lt=Now())}
    for status, silent in forsaken.items():
        unfinished = model._default_manager.filter(silent, pk=job_id, status=status, attempts__gte=model.max_attempts)
        failed = unfinished.update(
            status=JobStatus.FAILED,
            completed_at=Now(),
            lease_until=None,
            current_operation="",
            error_code="internal_error",
            error_message=say_count(
                "The job was started {count} time and its worker ended without progress.",
                "The job was started {count} times and its worker ended each time without progress.",
                model.max_attempts,
            ),
        )
        if _told(model, job_id, "job_failed", status, failed):
            return True
    return False


def _end(model: type[Job], job_id: Any, status: JobStatus, *, condition: Q | None = None, **values: Any) -> bool:
    assert status in FINISHED
    rows = model._default_manager.filter(condition or Q(), pk=job_id, status=JobStatus.RUNNING)
    ended = rows.update(
        status=status,
        completed_at=Now(),
        lease_until=None,
        cancel_requested=False,
        current_operation="",
        **values,
    )
    return _told(model, job_id, f"job_{status}", JobStatus.RUNNING, ended)


def _told(model: type[Job], job_id: Any, event_type: str, previous: JobStatus, rows: int) -> bool:
    """Whether the transition won; then it is told after the commit, and whoever started the job of its end."""
    if rows:
        telling.changed(model, job_id, event_type, previous=previous)
    if rows and event_type in _ENDED:
        transaction.on_commit(lambda: notifications.job_ended(model._default_manager.get(pk=job_id)), robust=True)
    return bool(rows)


_ENDED = ("job_completed", "job_failed", "job_cancelled")
