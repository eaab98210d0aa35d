"""One export, its encrypted file, and links to it that need no session."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from exporter.wanted import Wanted
from servicevault.jobs.models import Job, JobStatus
from servicevault.stored_files import Stored
from servicevault.wording import say


class ExportJob(Job):
    """One export of a table (F-180). What was asked for is kept as asked; who may is judged again when it runs."""

    max_attempts = 4  # F-108: a lost worker's export is begun again three times
    progress_event: ClassVar[str] = "export.progress.updated"
    status_event: ClassVar[str] = "export.job.status.changed"

    table_name = models.CharField(max_length=127)
    export_format = models.CharField(max_length=16)
    export_options = models.JSONField(default=dict, blank=True)
    selected_columns = models.JSONField(default=list)
    filters = models.JSONField(default=list, blank=True)
    search = models.CharField(max_length=255, blank=True, default="")
    search_columns = models.JSONField(default=list, blank=True)
    sort = models.JSONField(default=list, blank=True)
    within = models.JSONField(default=dict, blank=True, db_default={})  # bounds of the page it was asked on
    filename = models.CharField(max_length=200, blank=True, default="")
    file_path = models.CharField(max_length=1000, blank=True, default="")  # never leaves
    file_key = models.BinaryField(null=True, editable=False)  # sealed
    file_size = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    media_type = models.CharField(max_length=100, blank=True, default="")
    estimated_rows = models.BigIntegerField(null=True)
    processed_rows = models.BigIntegerField(default=0, db_default=0)
    expires_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(db_default=Now())
    trigger = models.CharField(max_length=12, default="manual")  # manual, api, command, schedule
    template = models.ForeignKey("ExportTemplate", null=True, on_delete=models.SET_NULL, related_name="jobs")

    class Meta(Job.Meta):
        abstract = False
        constraints = [*Job.Meta.constraints]
        indexes = [
            models.Index(fields=["created_by", "-created_at"], name="exportjob_newest"),
            models.Index(fields=["expires_at"], name="exportjob_expires", condition=~models.Q(file_path="")),
        ]

    def __str__(self) -> str:
        return str(say("Export {number}", number=self.number))

    def progress_channels(self) -> list[str]:
        return [f"export.job.{self.pk}"]

    @property
    def wanted(self) -> Wanted:
        """What it was made for."""
        return Wanted(
            table_name=self.table_name,
            export_format=self.export_format,
            selected_columns=self.selected_columns,
            filters=self.filters,
            search=self.search,
            search_columns=self.search_columns,
            sort=self.sort,
            export_options=self.export_options,
            within=self.within,
        )

    @property
    def progress_percent(self) -> float:
        """100.0 exactly when completed (F-116)."""
        if self.status == JobStatus.COMPLETED:
            return 100.0
        if not self.estimated_rows:
            return 0.0
        return min(99.0, round(self.processed_rows * 100 / self.estimated_rows, 1))

    @property
    def has_file(self) -> bool:
        """Whether there is something to download now."""
        return (
            self.status == JobStatus.COMPLETED
            and bool(self.file_path)
            and self.expires_at is not None
            and self.expires_at > timezone.now()
        )

    @property
    def download_url(self) -> str | None:
        return reverse("api_export_download", args=[self.pk]) if self.has_file else None

    @property
    def stored(self) -> Stored:
        assert self.file_key is not None
        return Stored(self.file_path, bytes(self.file_key), self.file_size or 0, self.sha256)


class ExportLink(models.Model):
    """A link that downloads one file without a session, once or until it expires (F-105)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(ExportJob, on_delete=models.CASCADE, related_name="links")
    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the secret in the address
    is_single_use = models.BooleanField(default=False)
    used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(say("Link to {job_id}", job_id=self.job_id))
