"""`/api/import/profiles/{id}/sync-config`: when a profile shall be imported by the clock (S1, S7)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api.profiles import ImportApi
from importer.operations.sync import FREQUENCIES, NOT_STARTED, OPTIONS, Sync, set_sync, sync_of
from servicevault.api.documents import envelope
from servicevault.wording import say


class SyncOptions(serializers.Serializer[Any]):
    update_existing = serializers.BooleanField(required=False)
    skip_existing = serializers.BooleanField(required=False)
    batch_size = serializers.JSONField(required=False, help_text="auto, or 10 to 50,000 rows.")
    timeout_minutes = serializers.IntegerField(required=False, min_value=1, max_value=1440)
    max_records_per_run = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, allow_null=True)
    error_threshold = serializers.IntegerField(required=False, min_value=0, max_value=100, help_text="Percent.")
    notification_on_failure = serializers.BooleanField(required=False)
    missed_run = serializers.ChoiceField(["run_once", "skip"], required=False)
    incremental = serializers.BooleanField(required=False)
    propagate_deletes = serializers.ChoiceField(["never", "report", "deactivate"], required=False)

    def validate_batch_size(self, value: Any) -> Any:
        if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 10 <= value <= 50_000):
            return value
        raise serializers.ValidationError(say("Use auto, or 10 to 50,000."))

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(OPTIONS)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({str(unknown[0])[:100]: [say("This is not an option of a sync.")]})
        return super().to_internal_value(data)


class SyncBody(serializers.Serializer[Any]):
    """Members that are absent stay as they are."""

    sync_enabled = serializers.BooleanField(required=False)
    sync_frequency = serializers.ChoiceField(FREQUENCIES, required=False)
    sync_time = serializers.RegexField(r"^([01]\d|2[0-3]):[0-5]\d\Z", required=False, help_text="HH:MM")
    sync_timezone = serializers.CharField(required=False, max_length=64)
    sync_weekday = serializers.CharField(required=False, max_length=16)
    sync_day_of_month = serializers.JSONField(required=False, help_text="1 to 28, or last.")
    cron_expression = serializers.CharField(required=False, max_length=100, allow_null=True)
    sync_options = SyncOptions(required=False)

    def validate_sync_day_of_month(self, value: Any) -> Any:
        if value == "last" or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise serializers.ValidationError(say("Use 1 to 28, or last."))


SYNC = envelope(
    "SyncStored",
    message=serializers.CharField(),
    sync=serializers.DictField(),
    next_sync_at=serializers.DateTimeField(allow_null=True),
    next_runs=serializers.ListField(child=serializers.DateTimeField()),
)


class SyncConfig(ImportApi):
    @extend_schema(operation_id="get_sync_config", responses={200: SYNC}, tags=["profiles"])
    def get(self, request: Request, pk: UUID) -> Response:
        """When the profile shall be imported by the clock."""
        return _answer(sync_of(self.profile(pk)))

    @extend_schema(operation_id="set_sync_config", request=SyncBody, responses={200: SYNC}, tags=["profiles"])
    def put(self, request: Request, pk: UUID) -> Response:
        """Store when the profile shall be imported by the clock.

        Nothing starts imports by it yet: `next_sync_at` is null, `next_runs` says when they would be.
        """
        profile = self.profile(pk, "change")
        return _answer(set_sync(profile, self.body(SyncBody), by=request.user))


def _answer(found: Sync) -> Response:
    return Response(
        {"message": NOT_STARTED, "sync": found.settings, "next_sync_at": None, "next_runs": found.next_runs}
    )
