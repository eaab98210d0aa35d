"""What was done, by whom and from where: entries nobody can change, each sealed to the one before (F-139, G26)."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from servicevault.wording import say

HASH_CHARACTERS = 64


class AuditEntry(models.Model):
    """One act. The database refuses to change or remove it, and seals it when the act's transaction commits.

    Sealing at the commit keeps the chain's lock for an instant only, however long the act takes.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    timestamp = models.DateTimeField(db_default=Now())
    # No foreign key: the entry outlives the person, and nothing may set it to NULL.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, db_constraint=False, on_delete=models.DO_NOTHING, related_name="+"
    )
    operation = models.CharField(max_length=64)
    table_name = models.CharField(max_length=127, blank=True, default="")
    job_id = models.UUIDField(null=True)
    profile_id = models.UUIDField(null=True)
    object_type = models.CharField(max_length=64, blank=True, default="")
    object_id = models.CharField(max_length=64, blank=True, default="")
    result = models.CharField(max_length=8, default="ok")  # ok, denied or failed
    details = models.JSONField(default=dict)
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=255, blank=True, default="")
    request_id = models.CharField(max_length=64, blank=True, default="")
    position = models.BigIntegerField(null=True, editable=False)  # in the chain; given when the entry is sealed
    previous_hash = models.CharField(max_length=HASH_CHARACTERS, default="", db_default="", editable=False)
    hash = models.CharField(max_length=HASH_CHARACTERS, default="", db_default="", editable=False)

    class Meta:
        db_table = "audit_log"
        ordering = ["-timestamp", "-id"]
        verbose_name_plural = say("audit entries")
        indexes = [
            models.Index(fields=["-timestamp", "-id"], name="audit_newest"),
            models.Index(fields=["user", "-timestamp"], name="audit_by_user"),
            models.Index(fields=["operation", "-timestamp"], name="audit_by_operation"),
            models.Index(fields=["job_id"], name="audit_by_job", condition=models.Q(job_id__isnull=False)),
            models.Index(fields=["object_id"], name="audit_by_object", condition=~models.Q(object_id="")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["position"], name="audit_position_once"),
            models.CheckConstraint(
                condition=models.Q(result__in=["ok", "denied", "failed"]), name="audit_result_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.timestamp:%Y-%m-%d %H:%M:%S} {self.operation}"


class AuditAnchor(models.Model):
    """Both ends of the chain in one row: where it begins since the last purge, and its last entry."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    start_position = models.BigIntegerField(default=0, db_default=0)  # the last purged entry
    start_hash = models.CharField(max_length=HASH_CHARACTERS, default="", db_default="")
    position = models.BigIntegerField(default=0, db_default=0)
    hash = models.CharField(max_length=HASH_CHARACTERS, default="", db_default="")

    class Meta:
        db_table = "audit_anchor"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="audit_anchor_once")]

    def __str__(self) -> str:
        return f"{self.start_position}-{self.position}"
