"""A second person's consent to one job (F-124, G20)."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from servicevault.wording import say


class Kind(models.TextChoices):
    IMPORT = "import", say("Import")
    EXPORT = "export", say("Export")


class Decision(models.TextChoices):
    PENDING = "pending", say("Pending")
    APPROVED = "approved", say("Approved")
    REJECTED = "rejected", say("Rejected")
    EXPIRED = "expired", say("Expired")


class Approval(models.Model):
    """A request to let a job run, and what became of it. Holds for one digest of what would run (DEC-22)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subject = models.CharField(max_length=32)  # whose hooks answer for the job, see permissions.approvals
    kind = models.CharField(max_length=8, choices=Kind.choices)
    job_id = models.UUIDField(db_index=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="approvals_requested"
    )
    requested_at = models.DateTimeField(db_default=Now())
    table_name = models.CharField(max_length=127, blank=True, default="")
    profile_id = models.UUIDField(null=True)
    profile = models.CharField(max_length=255, blank=True, default="")  # its name, as the approver saw it
    summary = models.TextField(blank=True, default="")
    risk_flags = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    bound_to = models.CharField(max_length=64)
    status = models.CharField(max_length=8, choices=Decision.choices, default=Decision.PENDING)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="approvals_decided"
    )
    decided_at = models.DateTimeField(null=True)
    notes = models.TextField(blank=True, default="")

    class Meta:
        db_table = "approvals"
        ordering = ["-requested_at", "id"]
        indexes = [models.Index(fields=["status", "-requested_at"], name="approvals_queue")]
        constraints = [
            models.UniqueConstraint(fields=["job_id"], condition=Q(status="pending"), name="approval_pending_once"),
            models.CheckConstraint(condition=Q(status__in=Decision.values), name="approval_status_known"),
        ]

    def __str__(self) -> str:
        return str(say("{kind} of {profile}", kind=self.kind, profile=self.profile or self.table_name))

    @property
    def is_pending(self) -> bool:
        return self.status == Decision.PENDING
