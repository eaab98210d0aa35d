"""What a rollback, its preview, or the undo of a rollback makes of each record of a job (R15)."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from importer.modes import Bucket
from servicevault.wording import say

from .fields import KeyField
from .jobs import QueryRun
from .records import ImportRecord


class Purpose(models.TextChoices):
    PREVIEW = "preview", say("Preview")
    ROLLBACK = "rollback", say("Rollback")
    UNDO = "undo", say("Undo")


class Reversal(models.Model):
    """One record's part in a rollback: listed before its first write, judged and done chunk by chunk.

    The record itself stays as it was written (R24). All records of one target row have the same `key`, so they are
    judged together.
    """

    # Written by set statements only, as records are.
    run = models.ForeignKey(
        QueryRun, on_delete=models.CASCADE, related_name="reversals", db_index=False, db_constraint=False
    )
    record = models.ForeignKey(
        ImportRecord, on_delete=models.CASCADE, related_name="reversals", db_index=False, db_constraint=False
    )
    key = KeyField()  # of the target row within its table
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    is_new = models.BooleanField()  # the job created the target: to reverse it is to remove it
    fields = ArrayField(models.TextField(), null=True)  # in question; of a target that the job created all
    bucket = models.CharField(max_length=11, choices=Bucket.choices, blank=True, default="")  # empty: not judged yet
    code = models.CharField(max_length=48, blank=True, default="")  # why it is not simply reversed
    restored = ArrayField(models.TextField(), null=True)  # fields that have the other value again
    kept = ArrayField(models.TextField(), null=True)  # fields that somebody changed since
    written = models.BooleanField(default=False)  # the target was changed; in a preview: would be
    # {dependants: [{table, count, rows}], jobs: [number], message}: what keeps it.
    details = models.JSONField(null=True)
    refs = models.JSONField(null=True)  # the target's external references as they were
    touched = models.JSONField(
        null=True
    )  # of a removed target: when it was changed last, where its image says otherwise
    judged_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(bucket__in=["", *Bucket.values]), name="reversal_bucket")]
        indexes = [
            models.Index(fields=["run", "key"], name="reversal_target"),
            models.Index(fields=["record"], name="reversal_record"),
        ]

    def __str__(self) -> str:
        return f"{self.record_id} {self.bucket or 'waits'}"
