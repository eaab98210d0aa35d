"""What the scheduler does with approvals and the audit log once a day."""

from __future__ import annotations

from celery import shared_task

from permissions import approvals, audit_log
from servicevault.notifications import telling


@shared_task(name="permissions.tasks.expire_approvals")
def expire_approvals() -> int:
    """Cancel jobs whose approval nobody decided in time (J23)."""
    return approvals.expire()


@shared_task(name="permissions.tasks.purge_audit_log")
def purge_audit_log() -> int:
    """Remove entries older than AUDIT_RETENTION_DAYS (G28)."""
    return audit_log.purge()


@shared_task(name="permissions.tasks.forget_notifications")
def forget_notifications() -> int:
    """Remove what people were told more than ninety days ago."""
    return telling.forget_old()
