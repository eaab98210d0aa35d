"""Jobs as JSON: starting them, and what is told of them (J4, J17, X22)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from importer import operations
from importer.models import ImportJob
from importer.operations.frames import COUNTED, counters_of, progress_of
from importer.operations.progress import view_of


class StartBody(serializers.Serializer[Any]):
    """Start an import of a profile; `options` as in X22, an unknown one is refused."""

    profile_id = serializers.UUIDField()
    options = serializers.DictField(required=False)


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
    status = serializers.CharField(required=False, max_length=200, help_text="One state or several with commas.")
    kind = serializers.CharField(required=False, max_length=32)
    created_by = serializers.UUIDField(required=False)
    date_from = serializers.DateField(required=False)
    date_to = serializers.DateField(required=False)
    search = serializers.CharField(required=False, max_length=255)


class QueryProgress(serializers.Serializer[Any]):
    key = serializers.CharField()
    target_type = serializers.CharField()
    status = serializers.CharField()
    counters = serializers.DictField(child=serializers.IntegerField())
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
    buckets = serializers.DictField(
        child=serializers.IntegerField(),
        required=False,
        help_text="Of a rollback and its undo alone: reversed (told as updated too), kept_edited (skipped), blocked "
        "(review) and error (failed).",
    )
    rows_per_second = serializers.IntegerField(allow_null=True)
    has_failures = serializers.BooleanField()
    error_code = serializers.CharField(allow_blank=True)
    error_message = serializers.CharField(allow_blank=True)
    created_by = serializers.DictField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    duration = serializers.FloatField(allow_null=True)
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
            "created_by": (
                {"id": str(instance.created_by_id), "name": str(instance.created_by)} if instance.created_by else None
            ),
            "started_at": instance.started_at,
            "completed_at": instance.completed_at,
            "duration": _seconds(view.elapsed),
            "heartbeat_at": instance.heartbeat_at,
            "created_at": instance.created_at,
        }


class Job(JobSummary):
    """A job with its queries and its first errors; failed rows only where the context says `rows`."""

    queries = QueryProgress(many=True)
    findings = serializers.ListField(
        child=serializers.DictField(), help_text="What was noticed before the first write (X16)."
    )
    errors = serializers.ListField(child=serializers.DictField())

    def to_representation(self, instance: ImportJob) -> dict[str, Any]:
        queries = [
            {
                "key": run.key,
                "target_type": run.target_type,
                "status": run.status,
                "counters": {"read": run.read, **{name: getattr(run, name) for name in COUNTED}},
                "error_message": run.error_message,
            }
            for run in instance.runs.all()
        ]
        return {
            **super().to_representation(instance),
            "queries": queries,
            "findings": [item for run in instance.runs.all() for item in run.plan.get("findings", ())],
            "errors": operations.job_errors(instance, rows=bool(self.context.get("rows"))),
        }


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
    buckets = serializers.DictField(
        child=serializers.IntegerField(),
        required=False,
        help_text="Of a rollback and its undo alone: reversed (told as updated too), kept_edited (skipped), blocked "
        "(review) and error (failed).",
    )
    average_confidence = serializers.FloatField(allow_null=True)
    rows_per_second = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    duration = serializers.FloatField(allow_null=True)
    estimated_seconds_left = serializers.IntegerField(allow_null=True)
    estimated_completion = serializers.DateTimeField(allow_null=True)
    timestamp = serializers.DateTimeField()
    sequence = serializers.IntegerField(help_text="Rises with each live frame of the job.")

    def to_representation(self, instance: ImportJob) -> dict[str, Any]:
        view = view_of(instance)
        return {
            **progress_of(instance),
            "started_at": instance.started_at,
            "duration": _seconds(view.elapsed),
            "estimated_seconds_left": _whole_seconds(view.remaining),
        }


def _seconds(duration: timedelta | None) -> float | None:
    return round(duration.total_seconds(), 3) if duration is not None else None


def _whole_seconds(duration: timedelta | None) -> int | None:
    return round(duration.total_seconds()) if duration is not None else None
