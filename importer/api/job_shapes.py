"""Jobs as JSON: starting them, and what is told of them (J4, J17, X22)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from rest_framework import serializers

from importer import operations
from importer.models import Chunk, ImportJob
from importer.operations.amounts import clock
from importer.operations.frames import COUNTED, counters_of, progress_of
from importer.operations.progress import JobView, view_of
from permissions import approvals
from permissions.api.approvals import ApprovalShape


class StartBody(serializers.Serializer[Any]):
    """Start an import of a profile; `options` as in X22, an unknown one is refused."""

    profile_id = serializers.UUIDField()
    options = serializers.DictField(required=False)
    plan_id = serializers.UUIDField(
        required=False,
        help_text="A completed rehearsal of at most seven days that the rows are held against; its mode and options "
        "count where none are given. May stand in `options` too.",
    )
    strict = serializers.BooleanField(
        required=False, help_text="Rows that are not as planned wait as `review` instead of being written."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        plan = {name: attrs.pop(name) for name in ("plan_id", "strict") if name in attrs}
        if "plan_id" in plan:
            plan["plan_id"] = str(plan["plan_id"])
        return attrs | {"options": {**(attrs.get("options") or {}), **plan}}


class Options(serializers.Serializer[Any]):
    options = serializers.DictField(required=False)


class OnceBody(serializers.Serializer[Any]):
    """One query that is run once, in the form that queries are saved in."""

    query_config = serializers.DictField()
    import_options = serializers.DictField(required=False)


class JobParameters(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    per_page = serializers.IntegerField(min_value=1, max_value=100, default=15)
    profile_id = serializers.UUIDField(required=False)
    status = serializers.CharField(
        required=False, max_length=200, help_text="One state or several with commas; may be repeated."
    )
    kind = serializers.CharField(required=False, max_length=32)
    target_type = serializers.CharField(required=False, max_length=255)
    created_by = serializers.UUIDField(required=False)
    date_from = serializers.DateField(required=False)
    date_to = serializers.DateField(required=False)
    search = serializers.CharField(required=False, max_length=255)


class Checkpoint(serializers.Serializer[Any]):
    """How far a query is committed: ranges of its keys, which any worker takes; null before they are known."""

    ranges = serializers.IntegerField()
    ranges_done = serializers.IntegerField()


class QueryProgress(serializers.Serializer[Any]):
    key = serializers.CharField()
    target_type = serializers.CharField()
    status = serializers.CharField()
    counters = serializers.DictField(child=serializers.IntegerField())
    checkpoint = Checkpoint(allow_null=True)
    error_message = serializers.CharField(allow_blank=True, help_text="Why the query failed, or what it waits for.")


class JobSummary(serializers.Serializer[Any]):
    """A job with its counters."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    kind = serializers.CharField()
    trigger = serializers.CharField()
    source_kind = serializers.CharField(help_text="database, or file.")
    profile_id = serializers.UUIDField(allow_null=True)
    profile_name = serializers.CharField()
    status = serializers.CharField()
    mode = serializers.CharField()
    options = serializers.DictField()
    progress_percentage = serializers.IntegerField(allow_null=True)
    current_operation = serializers.CharField(allow_blank=True)
    records_total = serializers.IntegerField(allow_null=True)
    records_processed = serializers.IntegerField()
    records_imported = serializers.IntegerField()
    records_created = serializers.IntegerField()
    records_updated = serializers.IntegerField()
    records_unchanged = serializers.IntegerField()
    records_skipped = serializers.IntegerField()
    records_failed = serializers.IntegerField()
    records_review = serializers.IntegerField()
    records_replanned = serializers.IntegerField(help_text="Rows that are not as the plan of the job says.")
    average_confidence = serializers.FloatField(
        allow_null=True, help_text="In percent, of the rows that met a target; null while none did."
    )
    buckets = serializers.DictField(
        child=serializers.IntegerField(),
        required=False,
        help_text="Of a rollback and its undo alone: reversed (told as updated too), kept_edited (skipped), blocked "
        "(review) and error (failed).",
    )
    rows_per_second = serializers.IntegerField(allow_null=True)
    progress_text = serializers.CharField(help_text="As “1,500 / 2,000 records”, in the reader's language.")
    has_failures = serializers.BooleanField()
    error_code = serializers.CharField(allow_blank=True)
    error_message = serializers.CharField(allow_blank=True)
    retry_of = serializers.UUIDField(allow_null=True)
    created_by = serializers.DictField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    duration = serializers.FloatField(allow_null=True, help_text="Seconds.")
    duration_text = serializers.CharField(allow_blank=True, help_text="As “00:05:23”.")
    heartbeat_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: ImportJob) -> dict[str, Any]:
        view = view_of(instance)
        return {
            **counters_of(view),
            **{
                name: getattr(instance, name)
                for name in ("number", "kind", "trigger", "status", "mode", "options", "error_code", "error_message")
            },
            "id": str(instance.pk),
            "source_kind": instance.source_kind,
            "profile_id": str(instance.profile_id) if instance.profile_id else None,
            "profile_name": instance.source_name,
            "current_operation": instance.current_operation,
            "has_failures": view.failed > 0,
            "retry_of": str(instance.retry_of_id) if instance.retry_of_id else None,
            "created_by": (
                {"id": str(instance.created_by_id), "name": str(instance.created_by)} if instance.created_by else None
            ),
            "started_at": instance.started_at,
            "completed_at": instance.completed_at,
            **_told(view),
            "heartbeat_at": instance.heartbeat_at,
            "created_at": instance.created_at,
        }


class Job(JobSummary):
    """A job with its queries and its first errors; failed rows only where the context says `rows`."""

    queries = QueryProgress(many=True)
    requires_approval = serializers.BooleanField()
    approval = ApprovalShape(allow_null=True, help_text="The newest request for a second person's consent.")
    findings = serializers.ListField(
        child=serializers.DictField(), help_text="What was noticed before the first write (X16)."
    )
    errors = serializers.ListField(child=serializers.DictField())

    def to_representation(self, instance: ImportJob) -> dict[str, Any]:
        cut = Chunk.objects.filter(run__job=instance).values("run_id")
        checkpoints = {
            found.pop("run_id"): found
            for found in cut.annotate(ranges=Count("pk"), ranges_done=Count("pk", filter=Q(done=True)))
        }
        queries = [
            {
                "key": run.key,
                "target_type": run.target_type,
                "status": run.status,
                "counters": {"read": run.read, **{name: getattr(run, name) for name in COUNTED}},
                "checkpoint": checkpoints.get(run.pk),
                "error_message": run.error_message,
            }
            for run in instance.runs.all()
        ]
        approval = approvals.of_job(instance.pk)
        return {
            **super().to_representation(instance),
            "queries": queries,
            "requires_approval": approval is not None,
            "approval": ApprovalShape(approval).data if approval is not None else None,
            "findings": [item for run in instance.runs.all() for item in run.plan.get("findings", ())],
            "errors": operations.job_errors(instance, rows=bool(self.context.get("rows"))),
        }


class JobStats(serializers.Serializer[Any]):
    """What jobs sum up to (J9)."""

    total = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    records_imported = serializers.IntegerField()
    records_failed = serializers.IntegerField()
    average_duration = serializers.FloatField(allow_null=True, help_text="In seconds, of the jobs that ended.")
    success_rate = serializers.FloatField(allow_null=True, help_text="In percent, of the jobs that ended.")
    recent = JobSummary(many=True, help_text="The ten newest.")


class JobStatus(serializers.Serializer[Any]):
    """Where a job is, as its live frames say it; no counter falls while it runs (J4)."""

    job_id = serializers.UUIDField()
    status = serializers.CharField()
    progress = serializers.IntegerField(allow_null=True)
    progress_percentage = serializers.IntegerField(allow_null=True)
    current_operation = serializers.CharField(allow_blank=True)
    records_total = serializers.IntegerField(allow_null=True)
    records_processed = serializers.IntegerField()
    records_imported = serializers.IntegerField()
    records_created = serializers.IntegerField()
    records_updated = serializers.IntegerField()
    records_unchanged = serializers.IntegerField()
    records_skipped = serializers.IntegerField()
    records_failed = serializers.IntegerField()
    records_review = serializers.IntegerField()
    records_replanned = serializers.IntegerField(help_text="Rows that are not as the plan of the job says.")
    buckets = serializers.DictField(
        child=serializers.IntegerField(),
        required=False,
        help_text="Of a rollback and its undo alone: reversed (told as updated too), kept_edited (skipped), blocked "
        "(review) and error (failed).",
    )
    average_confidence = serializers.FloatField(allow_null=True)
    rows_per_second = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    progress_text = serializers.CharField(help_text="As “1,500 / 2,000 records”, in the reader's language.")
    duration = serializers.FloatField(allow_null=True, help_text="Seconds.")
    duration_text = serializers.CharField(allow_blank=True, help_text="As “00:05:23”.")
    estimated_seconds_left = serializers.IntegerField(allow_null=True)
    estimated_completion = serializers.DateTimeField(allow_null=True)
    timestamp = serializers.DateTimeField()
    sequence = serializers.IntegerField(help_text="Rises with each live frame of the job.")

    def to_representation(self, instance: ImportJob) -> dict[str, Any]:
        view = view_of(instance)
        return {
            **progress_of(instance),
            "started_at": instance.started_at,
            **_told(view),
            "estimated_seconds_left": _whole_seconds(view.remaining),
        }


def _told(view: JobView) -> dict[str, Any]:
    """How far the job is and how long it took, for programs and as a person reads it (J10)."""
    return {
        "progress_text": view.progress_text,
        "duration": _seconds(view.elapsed),
        "duration_text": clock(view.elapsed),
    }


def _seconds(duration: timedelta | None) -> float | None:
    return round(duration.total_seconds(), 3) if duration is not None else None


def _whole_seconds(duration: timedelta | None) -> int | None:
    return round(duration.total_seconds()) if duration is not None else None
