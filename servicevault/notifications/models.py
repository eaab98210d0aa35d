"""One thing one person was told."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from servicevault.wording import say


class Kind(models.TextChoices):
    APPROVAL_ASKED = "approval_asked", say("Approval asked")
    APPROVAL_DECIDED = "approval_decided", say("Approval decided")
    JOB_COMPLETED = "job_completed", say("Completed")
    JOB_FAILED = "job_failed", say("Failed")
    JOB_CANCELLED = "job_cancelled", say("Cancelled")


class Notification(models.Model):
    """Kept for ninety days; see `telling`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    url = models.CharField(max_length=255)  # a path of this site
    created_at = models.DateTimeField(db_default=Now())
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "servicevault"
        db_table = "notifications"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="notifications_of"),
            models.Index(fields=["user"], condition=Q(read_at=None), name="notifications_unread"),
        ]

    def __str__(self) -> str:
        return self.title
