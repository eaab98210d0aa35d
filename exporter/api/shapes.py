"""Exports as JSON: what is accepted, what is answered (F-090 to F-109)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from exporter.models import ExportJob, ExportSchedule, ExportTemplate, ScheduledRun
from exporter.models.templates import Frequency
from exporter.operations import missing
from exporter.wanted import Wanted
from servicevault.api.slices import SliceParameters
from servicevault.jobs.models import JobStatus

NAME = 127
MOST_COLUMNS = 2_000
MISSED = ("run_once", "skip")  # what becomes of runs that nobody was there for


@extend_schema_field(OpenApiTypes.ANY)
class AnyField(serializers.JSONField):
    """JSON of any shape; what it may be is judged by the exporter."""


def _names(**more: Any) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=63, trim_whitespace=False), max_length=MOST_COLUMNS, default=list, **more
    )


class ExportBody(serializers.Serializer[Any]):
    """What to export; only table_name and export_format are needed."""

    table_name = serializers.CharField(max_length=NAME, trim_whitespace=False)
    export_format = serializers.CharField(max_length=16)
    selected_columns = _names(help_text="none: every permitted column; the order is the file's")
    filters = AnyField(default=list, help_text="a list of {column, operator, value, value2}; groups {op, items}")
    search = serializers.CharField(max_length=255, default="", allow_blank=True)
    search_columns = _names()
    sort = serializers.ListField(child=serializers.DictField(), max_length=50, default=list)
    export_options = serializers.DictField(default=dict)


def wanted_of(given: dict[str, Any]) -> Wanted:
    names = ("table_name", "export_format", "selected_columns", "filters", "search", "search_columns", "sort")
    return Wanted(**{name: given[name] for name in names}, export_options=given["export_options"])


class ExportPreviewBody(ExportBody):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)
    offset = serializers.IntegerField(min_value=0, max_value=2**31, default=0)


class PreviewColumn(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField()
    data_type = serializers.CharField()


class ExportPreview(serializers.Serializer[Any]):
    columns = PreviewColumn(many=True)
    sample_data = serializers.ListField(child=serializers.DictField())
    total_rows = serializers.IntegerField()
    total_rows_exact = serializers.BooleanField()
    estimated_size = serializers.IntegerField(help_text="bytes")
    warnings = serializers.ListField(child=serializers.CharField())


class ExportJobShape(serializers.ModelSerializer[ExportJob]):
    """An export; the path of its file never leaves."""

    id = serializers.IntegerField(source="number")
    job_id = serializers.UUIDField(source="pk")
    progress_percent = serializers.FloatField()
    download_url = serializers.CharField(allow_null=True)
    expires_at = serializers.SerializerMethodField()
    sha256 = serializers.SerializerMethodField()

    class Meta:
        model = ExportJob
        fields = (
            "id", "job_id", "status", "table_name", "export_format", "selected_columns", "filters", "export_options",
            "estimated_rows", "processed_rows", "progress_percent", "filename", "file_size", "download_url", "expires_at",
            "sha256", "error_code", "error_message", "created_at", "started_at", "completed_at", "current_operation",
        )  # fmt: skip

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_expires_at(self, job: ExportJob) -> Any:
        is_done = job.status == JobStatus.COMPLETED and job.expires_at is not None
        return serializers.DateTimeField().to_representation(job.expires_at) if is_done else None

    def get_sha256(self, job: ExportJob) -> str | None:
        return job.sha256 or None


class JobParameters(SliceParameters):
    status_filter = serializers.ChoiceField(JobStatus.choices, required=False)
    table_name = serializers.CharField(max_length=NAME, required=False)


class ExportLinkBody(serializers.Serializer[Any]):
    expires_in = serializers.IntegerField(
        min_value=1, max_value=10**8, required=False, help_text="seconds; at most what the file is kept"
    )
    single_use = serializers.BooleanField(default=False)


class ExportLinkShape(serializers.Serializer[Any]):
    url = serializers.CharField()
    expires_at = serializers.DateTimeField()
    single_use = serializers.BooleanField()


# -- templates and schedules


class ExportTemplateBody(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=10_000, allow_blank=True, required=False)
    table_name = serializers.CharField(max_length=NAME, trim_whitespace=False)
    columns = serializers.ListField(
        child=serializers.CharField(max_length=63, trim_whitespace=False), max_length=MOST_COLUMNS, required=False
    )
    filters = AnyField(required=False)
    search = serializers.CharField(max_length=255, required=False, allow_blank=True)
    sort = serializers.ListField(child=serializers.DictField(), max_length=50, required=False)
    export_format = serializers.CharField(max_length=16)
    options = serializers.DictField(required=False)
    is_public = serializers.BooleanField(required=False)


class Change(serializers.Serializer[Any]):
    """Members that are absent stay as they are (C10)."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            field.required = False
        return fields


class ExportTemplateChange(Change, ExportTemplateBody):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)


class ExportTemplateShape(serializers.ModelSerializer[ExportTemplate]):
    missing = serializers.SerializerMethodField(help_text="what vanished since it was saved")
    owner = serializers.CharField(source="created_by.name", default="")

    class Meta:
        model = ExportTemplate
        fields = (
            "id", "name", "description", "table_name", "columns", "filters", "search", "sort", "export_format", "options",
            "is_public", "is_system_template", "usage_count", "last_used_at", "version", "owner", "missing", "created_at",
            "updated_at",
        )  # fmt: skip

    def get_missing(self, template: ExportTemplate) -> list[str]:
        return missing(template)


class ExportScheduleBody(serializers.Serializer[Any]):
    template_id = serializers.UUIDField()
    is_enabled = serializers.BooleanField(required=False)
    frequency = serializers.ChoiceField(Frequency.choices, required=False)
    at_time = serializers.TimeField(required=False)
    weekdays = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=6), required=False, help_text="0 is Monday"
    )
    month_day = serializers.IntegerField(min_value=1, max_value=31, required=False)
    cron = serializers.CharField(max_length=100, required=False, allow_blank=True)
    timezone = serializers.CharField(max_length=64, required=False)
    on_missed = serializers.ChoiceField(MISSED, required=False)
    recipients = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=100)
    keep_last = serializers.IntegerField(min_value=1, max_value=1000, required=False, allow_null=True)
    changed_since_column = serializers.CharField(max_length=63, required=False, allow_blank=True)


class ExportScheduleChange(Change, ExportScheduleBody):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)


class ScheduledRunShape(serializers.ModelSerializer[ScheduledRun]):
    job_id = serializers.UUIDField(allow_null=True)
    status = serializers.SerializerMethodField()

    class Meta:
        model = ScheduledRun
        fields = ("planned_at", "status", "job_id", "error_message")

    def get_status(self, run: ScheduledRun) -> str:
        return run.outcome


@extend_schema_field(OpenApiTypes.STR)
class LocalTime(serializers.TimeField):
    """A time of day in the schedule's own zone; OpenAPI's `time` has an offset."""


class ExportScheduleShape(serializers.ModelSerializer[ExportSchedule]):
    at_time = LocalTime(format="%H:%M")
    on_missed = serializers.ChoiceField(MISSED)
    template_id = serializers.UUIDField()
    template_name = serializers.CharField(source="template.name")
    recipients = serializers.SerializerMethodField()
    history = serializers.SerializerMethodField()

    class Meta:
        model = ExportSchedule
        fields = (
            "id", "template_id", "template_name", "is_enabled", "frequency", "at_time", "weekdays", "month_day", "cron",
            "timezone", "on_missed", "recipients", "keep_last", "changed_since_column", "last_position", "next_run_at",
            "version", "history", "created_at", "updated_at",
        )  # fmt: skip

    def get_recipients(self, schedule: ExportSchedule) -> list[str]:
        return [str(person.pk) for person in schedule.recipients.all()]

    @extend_schema_field(ScheduledRunShape(many=True))
    def get_history(self, schedule: ExportSchedule) -> Any:
        return ScheduledRunShape(schedule.runs.select_related("job")[:20], many=True).data
