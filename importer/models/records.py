"""What happened to each source row, and which target row it became."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from importer.modes import Outcome
from servicevault.wording import say

from .fields import KeyField, VerbatimJSONField
from .jobs import ImportJob, QueryRun
from .profiles import SourceEntity


class ExternalRef(models.Model):
    """External id of a source row → the target row it became (E23).

    Several external ids may point to one target; one external id never points to two.
    """

    pk = models.CompositePrimaryKey("entity_id", "external_id")
    # Written by set statements only, a row for each row imported: a checked foreign key would cost a fifth of the load.
    entity = models.ForeignKey(SourceEntity, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    external_id = KeyField()
    target_id = models.UUIDField()
    source_hash = models.BinaryField(null=True)  # SHA-256 of the row's JSON text as it was read
    mapping_version_id = models.BigIntegerField(null=True)
    record_id = models.UUIDField(null=True)  # the record that last wrote the target
    source_number = models.TextField(null=True)
    source_url = models.TextField(null=True)
    job_id = models.UUIDField(null=True)
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    deleted_in_source_at = models.DateTimeField(null=True)
    # The target takes the row's place and is not the same thing: it is never updated from the row.
    stands_in = models.BooleanField(default=False, db_default=False)

    class Meta:
        db_table = "external_refs"
        indexes = [models.Index(fields=["target_id"], name="external_refs_target")]

    def __str__(self) -> str:
        return f"{self.entity_id}/{self.external_id}"


class ImportRecord(models.Model):
    """The audit entry of one source row within one job (R1).

    `sha256(convert_to(source_data::text, 'UTF8')) = source_hash` holds in SQL.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(
        QueryRun, on_delete=models.PROTECT, related_name="records", db_index=False, db_constraint=False
    )
    batch_no = models.IntegerField()
    source_identifier = KeyField()
    ordinal = models.IntegerField(default=0)  # 1, 2, ... for repeats of one identifier in one query
    action = models.CharField(max_length=9, choices=Outcome.choices)
    code = models.CharField(max_length=48, null=True)  # why: skip_reason or error_code
    target_id = models.UUIDField(null=True)
    target_key = models.JSONField(null=True)  # of a table without UUIDs: {column: value} that finds the row again
    source_row = models.BigIntegerField(null=True)  # of a file: the physical line
    source_hash = models.BinaryField(null=True)
    source_data = VerbatimJSONField(null=True)
    before_image = VerbatimJSONField(null=True)
    after_image = VerbatimJSONField(null=True)
    changed_fields = ArrayField(models.TextField(), null=True)
    problems = models.JSONField(null=True)  # [{field, code, value, message}] that stopped the row
    warnings = models.JSONField(null=True)  # the same form, for what was imported all the same
    confidence = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    matching = models.JSONField(null=True)  # {by, fields, candidates}: how the target was found
    # Held against a plan: the action that was planned, where another fate came of it; empty where nothing was planned.
    replanned_from = models.CharField(max_length=12, null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "source_identifier", "ordinal"], name="one_record_a_row"),
            models.CheckConstraint(condition=Q(action__in=Outcome.values), name="importrecord_action_known"),
        ]
        indexes = [
            models.Index(
                fields=["run", "action"],
                condition=Q(action__in=["skipped", "failed", "review"]),
                name="importrecord_exceptions",
            ),
            models.Index(fields=["run"], condition=Q(replanned_from__isnull=False), name="importrecord_replanned"),
            # What a later job changed is asked of updates alone: rows that are created pay nothing for it (R18).
            models.Index(
                fields=["target_id"],
                condition=Q(action="updated", target_id__isnull=False),
                name="importrecord_updated",
            ),
            HashIndex(
                fields=["target_key"], condition=Q(action="updated", target_id=None), name="importrecord_updated_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source_identifier} {self.action}"


class Decision(models.TextChoices):
    MATCH = "match", say("Match")  # it is the target that was named
    NEW = "new", say("New")  # it is nobody we know
    SKIP = "skip", say("Skip")  # it is left out
    APPROVE = "approve", say("Approve")  # the mode had skipped it
    RETRY = "retry", say("Retry")  # it had failed


class Verdict(models.Model):
    """What a person did about a record afterwards; the record itself stays as it was written (R4-R6, R24)."""

    record = models.OneToOneField(
        ImportRecord, primary_key=True, on_delete=models.CASCADE, related_name="verdict", db_constraint=False
    )
    decision = models.CharField(max_length=8, choices=Decision.choices, blank=True)
    target_id = models.UUIDField(null=True)  # of a match
    job = models.ForeignKey(ImportJob, null=True, on_delete=models.SET_NULL, related_name="+")  # carries it out
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True)
    hidden_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    hidden_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.decision or 'hidden'} {self.record_id}"


class PendingReference(models.Model):
    """A reference that found nothing: linked when the row it names arrives, unless a person filled it (E29)."""

    searched = ArrayField(models.BigIntegerField())  # entities in which the id may appear
    external_id = KeyField()
    target_type = models.CharField(max_length=128)
    target_id = models.UUIDField()
    column = models.CharField(max_length=63)
    placeholder = models.UUIDField(null=True)  # what was stored meanwhile
    run = models.ForeignKey(QueryRun, on_delete=models.CASCADE)
    record_id = models.UUIDField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target_id", "column"], name="pendingreference_once")]
        indexes = [models.Index(fields=["external_id"], name="pendingreference_id")]

    def __str__(self) -> str:
        return f"{self.target_type}.{self.column} → {self.external_id}"
