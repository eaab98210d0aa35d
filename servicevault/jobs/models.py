"""What every job is: one execution with a state, a lease and a fence."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from servicevault.live import telling
from servicevault.wording import say

LEASE_SECONDS = 60  # J12: a worker that says nothing for so long is taken to be dead


class JobStatus(models.TextChoices):
    PENDING = "pending", say("Pending")
    AWAITING_APPROVAL = "awaiting_approval", say("Awaiting Approval")
    RUNNING = "running", say("Running")
    COMPLETED = "completed", say("Completed")
    FAILED = "failed", say("Failed")
    CANCELLED = "cancelled", say("Cancelled")


ACTIVE = (JobStatus.PENDING, JobStatus.AWAITING_APPROVAL, JobStatus.RUNNING)
FINISHED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
RESUMABLE = (JobStatus.FAILED, JobStatus.CANCELLED)


class Job(models.Model):
    """One execution. Only `jobs.lifecycle` changes `status`; the database, never the broker, is the truth."""

    max_attempts = 5  # J12: claims without progress, then a person must look
    progress_event: ClassVar[str]  # the names under which its life is told (L4, L5)
    status_event: ClassVar[str]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(
        db_default=models.expressions.Func(models.Value("job_number"), function="nextval"), editable=False
    )
    status = models.CharField(max_length=20, choices=JobStatus.choices, default=JobStatus.PENDING)
    cancel_requested = models.BooleanField(default=False, db_default=False)
    current_operation = models.CharField(max_length=255, blank=True, default="", db_default="")
    error_code = models.CharField(max_length=64, blank=True, default="", db_default="")
    error_message = models.TextField(blank=True, default="", db_default="")
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)  # claims since the last progress
    lease_until = models.DateTimeField(null=True, blank=True)  # by the database's clock
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    sequence = models.BigIntegerField(default=0, db_default=0, editable=False)  # of what was told about it last (L7)
    told_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True
        ordering = ["-created_at", "-number"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="%(class)s_status_known"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Tell whoever watches that there is a new job."""
        is_new = self._state.adding
        super().save(*args, **kwargs)
        if is_new:
            telling.changed(type(self), self.pk, "job_created", previous=None)

    def progress_channels(self) -> list[str]:
        """Where those listen who may want to know how far it is; each is asked for their right."""
        raise NotImplementedError

    def status_channels(self) -> list[str]:
        """Those, and whoever started it."""
        starter = [f"user.{self.created_by_id}"] if self.created_by_id else []
        return [*self.progress_channels(), *starter]

    @classmethod
    def unfinished(cls) -> models.QuerySet[Self]:
        """Jobs that were started and did not end."""
        return cls._default_manager.filter(status__in=ACTIVE)

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    @property
    def duration(self) -> timedelta | None:
        """How long the work took; None before it started or while it runs."""
        if self.started_at is None or self.completed_at is None:
            return None
        return self.completed_at - self.started_at
