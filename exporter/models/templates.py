"""Exports people repeat: templates, and schedules that run them."""

from __future__ import annotations

import uuid
from datetime import time

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from servicevault.wording import say

from .jobs import ExportJob


class ExportTemplate(models.Model):
    """A saved choice of table, columns, filters and options; whoever runs it needs the rights themselves (F-106)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="")
    table_name = models.CharField(max_length=127)
    columns = models.JSONField(default=list, blank=True)
    filters = models.JSONField(default=list, blank=True)
    search = models.CharField(max_length=255, blank=True, default="")
    sort = models.JSONField(default=list, blank=True)
    export_format = models.CharField(max_length=16)
    options = models.JSONField(default=dict, blank=True)
    is_public = models.BooleanField(default=False)
    is_system_template = models.BooleanField(default=False)
    usage_count = models.PositiveIntegerField(default=0, db_default=0)
    last_used_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, db_default=1)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="export_templates"
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["created_by", "name"], name="export_template_name_unique")]

    def __str__(self) -> str:
        return self.name


class Frequency(models.TextChoices):
    HOURLY = "hourly", say("Hourly")
    DAILY = "daily", say("Daily")
    WEEKLY = "weekly", say("Weekly")
    MONTHLY = "monthly", say("Monthly")
    CRON = "cron", say("Cron expression")


class ExportSchedule(models.Model):
    """A template that runs by the clock, as its owner (F-107)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    template = models.ForeignKey(ExportTemplate, on_delete=models.CASCADE, related_name="schedules")
    is_enabled = models.BooleanField(default=True)
    frequency = models.CharField(max_length=8, choices=Frequency.choices, default=Frequency.DAILY)
    at_time = models.TimeField(default=time(2))  # local time of `timezone`; of hourly ones the minute counts
    weekdays = models.JSONField(default=list, blank=True)  # 0 is Monday
    month_day = models.PositiveSmallIntegerField(default=1)
    cron = models.CharField(max_length=100, blank=True, default="")
    timezone = models.CharField(max_length=64, default="UTC")
    on_missed = models.CharField(
        max_length=8, choices=[("run_once", say("Run once")), ("skip", say("Skip"))], default="run_once"
    )
    recipients = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    keep_last = models.PositiveSmallIntegerField(null=True, blank=True)
    changed_since_column = models.CharField(max_length=63, blank=True, default="")  # F-179
    last_position = models.DateTimeField(null=True, blank=True)  # up to which rows left, by that column
    next_run_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, db_default=1)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="export_schedules"
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["next_run_at"], name="exportschedule_due", condition=models.Q(is_enabled=True))]

    def __str__(self) -> str:
        return f"{self.template} {self.frequency}"


class ScheduledRun(models.Model):
    """What became of one planned time; kept also when nothing was exported (S4)."""

    schedule = models.ForeignKey(ExportSchedule, on_delete=models.CASCADE, related_name="runs")
    planned_at = models.DateTimeField()
    status = models.CharField(max_length=20)  # started, skipped_overlap, missed, skipped_inactive, failed
    job = models.OneToOneField(ExportJob, null=True, on_delete=models.SET_NULL, related_name="scheduled_run")
    error_message = models.TextField(blank=True, default="")
    position = models.DateTimeField(null=True)  # the watermark this run reads up to
    is_told = models.BooleanField(default=False)  # its recipients or its owner know how it ended
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-planned_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["schedule", "planned_at"], name="scheduled_run_once")]

    def __str__(self) -> str:
        return f"{self.schedule_id} {self.planned_at}"

    @property
    def outcome(self) -> str:
        """How it ended, or how its export stands; reads self.job."""
        return self.job.status if self.job is not None and self.status == "started" else self.status
