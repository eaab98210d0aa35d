"""`/api/import/jobs/{id}/rollback` and `/rollback/{id}`: take back what an import wrote, and bring it back (R7, R20, R23)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.access import sees_records
from importer.api import job_shapes as shapes
from importer.api.jobs import JobApi, shown
from importer.models import ImportJob, Reversal
from importer.modes import Bucket
from importer.operations import rollbacks
from importer.operations.progress import view_of
from importer.reversing import ACTIONS
from importer.tasks import announce
from permissions import policy
from servicevault.api.documents import envelope, page_of
from servicevault.api.idempotency import once
from servicevault.api.views import PageParameters, listed
from servicevault.wording import say


class RollbackOptions(serializers.Serializer[Any]):
    target_actions = serializers.ListField(
        child=serializers.ChoiceField(ACTIONS), default=list(ACTIONS), min_length=1, max_length=2
    )
    preserve_relationships = serializers.ChoiceField(
        [True], default=True, help_text="Rows that others depend on always stay."
    )
    batch_size = serializers.IntegerField(required=False, min_value=10, max_value=50_000)
    dry_run = serializers.BooleanField(default=False)


class Confirmation(serializers.Serializer[Any]):
    understood_consequences = serializers.BooleanField(default=False)
    backup_created = serializers.BooleanField(default=False)


class RollbackBody(serializers.Serializer[Any]):
    """What is taken back, and that its consequences are understood; a dry run needs no confirmation."""

    rollback_options = RollbackOptions(required=False)
    confirmation = Confirmation(required=False)


class UndoBody(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(default=False)


class Buckets(serializers.Serializer[Any]):
    """Every record of the import is in exactly one (R15)."""

    reversed = serializers.IntegerField()
    kept_edited = serializers.IntegerField()
    blocked = serializers.IntegerField()
    error = serializers.IntegerField()


class RollbackStatus(serializers.Serializer[Any]):
    rollback_id = serializers.UUIDField()
    job_id = serializers.UUIDField(help_text="The import.")
    status = serializers.CharField()
    dry_run = serializers.BooleanField()
    progress_percentage = serializers.IntegerField(allow_null=True)
    buckets = Buckets()
    rows_url = serializers.CharField()
    undoable = serializers.BooleanField()


class Dependants(serializers.Serializer[Any]):
    table = serializers.CharField()
    count = serializers.IntegerField()
    rows = serializers.ListField(child=serializers.CharField(), help_text="The first five.")


class ReversalRow(serializers.Serializer[Any]):
    """What became of one record."""

    record_id = serializers.UUIDField()
    target_type = serializers.CharField()
    target = serializers.CharField(help_text="Id, or key, of the target row.")
    source_identifier = serializers.CharField()
    import_action = serializers.CharField()
    bucket = serializers.ChoiceField(Bucket.choices)
    code = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    restored_fields = serializers.ListField(child=serializers.CharField())
    kept_fields = serializers.ListField(child=serializers.CharField())
    dependants = Dependants(many=True)
    later_jobs = serializers.ListField(child=serializers.IntegerField(), help_text="Numbers.")

    def to_representation(self, instance: Reversal) -> dict[str, Any]:
        details = instance.details or {}
        return {
            "record_id": str(instance.record_id),
            "target_type": instance.record.run.target_type,
            "target": instance.key,
            "source_identifier": instance.record.source_identifier,
            "import_action": instance.record.action,
            "bucket": instance.bucket,
            "code": instance.code,
            "reason": str(rollbacks.reason_of(instance)),
            "restored_fields": instance.restored or [],
            "kept_fields": instance.kept or [],
            "dependants": details.get("dependants", []),
            "later_jobs": details.get("jobs", []),
        }


class RowParameters(PageParameters):
    bucket = serializers.ChoiceField(Bucket.choices, required=False)


BEGUN = envelope(
    "RollbackStarted", message=serializers.CharField(), rollback_id=serializers.UUIDField(), job=shapes.Job()
)


class RollbackApi(JobApi):
    def reversal(self, pk: UUID, action: str = "view") -> ImportJob:
        job = self.job(pk, action)
        if not job.is_reversing:
            raise Http404
        return job

    def begun(self, job: ImportJob, words: str) -> Response:
        job.refresh_from_db()
        return Response(
            {"message": words, "rollback_id": str(job.pk), "job": shown(job, self.request.user)}, status=202
        )


class Rollback(RollbackApi):
    rate = "import_start"

    @extend_schema(operation_id="roll_back_job", request=RollbackBody, responses={202: BEGUN}, tags=["rollback"])
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Take back what an import wrote, except what people changed since and what others depend on (R7).

        With `dry_run` nothing is written and no confirmation needed: the rows say what would become of each record.
        """
        job = self.job(pk, "rollback")
        given = self.body(RollbackBody)
        options = given.get("rollback_options") or {}
        with transaction.atomic():
            rollback = rollbacks.start_rollback(
                job,
                by=request.user,
                dry_run=options.get("dry_run", False),
                understood=(given.get("confirmation") or {}).get("understood_consequences", False),
                scope=rollbacks.Scope(actions=options.get("target_actions", ACTIONS)),
                batch_size=options.get("batch_size"),
                trigger="api",
            )
            announce(rollback)
        return self.begun(
            rollback, say("The preview is queued.") if rollback.is_preview else say("The rollback is queued.")
        )


class Undo(RollbackApi):
    rate = "import_start"

    @extend_schema(operation_id="undo_rollback", request=UndoBody, responses={202: BEGUN}, tags=["rollback"])
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Bring back what a rollback took, with the same ids, except where people changed something since (R20)."""
        rollback = self.reversal(pk, "rollback")
        given = self.body(UndoBody)
        with transaction.atomic():
            undo = rollbacks.start_undo(rollback, by=request.user, dry_run=given["dry_run"], trigger="api")
            announce(undo)
        return self.begun(undo, say("The undo is queued."))


class Status(RollbackApi):
    @extend_schema(operation_id="get_rollback_status", responses=RollbackStatus, tags=["rollback"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Where a rollback or its undo is, and how many records are in each bucket so far (R23)."""
        job = self.reversal(pk)
        return Response(
            {
                "rollback_id": str(job.pk),
                "job_id": str(job.origin_id),
                "status": job.status,
                "dry_run": job.is_preview,
                "progress_percentage": view_of(job).percent,
                "buckets": rollbacks.buckets_of(job),
                "rows_url": reverse("api_rollback_rows", args=[job.pk]),
                "undoable": job.is_finished and rollbacks.is_undoable(job),
            }
        )


class Rows(RollbackApi):
    @extend_schema(
        operation_id="list_rollback_rows",
        parameters=[RowParameters],
        responses=page_of("RollbackRows", ReversalRow),
        tags=["rollback"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """What became of each record, with its reason, and what depends on it. Needs the right to see record data."""
        job = self.reversal(pk)
        if not (sees_records(request.user, job) or sees_records(request.user, job.imported)):
            raise policy.Denied("import.jobs.monitor")
        given = self.query(RowParameters)
        found = rollbacks.rows_of(job, bucket=given.get("bucket", ""))
        return listed(found, given, lambda row: ReversalRow(row).data)
