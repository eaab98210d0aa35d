"""`/api/v1/data/audit`: what was done, by filter, as JSON and as CSV (G28)."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from permissions import audit, audit_log
from servicevault.api.slices import SliceParameters, slice_of, sliced
from servicevault.api.views import ApiView


class Filters(serializers.Serializer[Any]):
    user_id = serializers.UUIDField(required=False)
    operation = serializers.ChoiceField(sorted(audit.OPERATIONS), required=False)
    table_name = serializers.CharField(required=False, max_length=127)
    job_id = serializers.UUIDField(required=False)
    object_id = serializers.CharField(required=False, max_length=64)
    result = serializers.ChoiceField(["ok", "denied", "failed"], required=False)

    def get_fields(self) -> dict[str, Any]:
        """With `from`, which is no name in Python."""
        instants = {name: serializers.DateTimeField(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **instants}


class Parameters(SliceParameters, Filters):
    pass


class Entry(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    timestamp = serializers.DateTimeField()
    user_id = serializers.UUIDField(allow_null=True)
    user = serializers.CharField(allow_blank=True)
    operation = serializers.CharField()
    result = serializers.CharField()
    table_name = serializers.CharField(allow_blank=True)
    job_id = serializers.UUIDField(allow_null=True)
    profile_id = serializers.UUIDField(allow_null=True)
    object_type = serializers.CharField(allow_blank=True)
    object_id = serializers.CharField(allow_blank=True)
    details = serializers.DictField()
    ip_address = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField(allow_blank=True)
    request_id = serializers.CharField(allow_blank=True)


class Audit(ApiView):
    rate = "monitoring"

    @extend_schema(
        operation_id="list_audit_entries",
        parameters=[Parameters],
        responses=slice_of("AuditSlice", "entries", Entry),
        tags=["audit"],
    )
    def get(self, request: Request) -> Response:
        """Your own entries, everybody's with `audit.view`; newest first."""
        given = self.query(Parameters)
        found = audit_log.entries(request.user, given)
        return sliced(found, given, "entries", lambda entry: Entry(audit_log.shown(entry)).data)


class AuditExport(ApiView):
    rate = "download"

    @extend_schema(
        operation_id="export_audit_entries",
        parameters=[Filters],
        responses={(200, "text/csv"): OpenApiTypes.STR},
        tags=["audit"],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """The same entries as a CSV file, all of them."""
        found = audit_log.entries(request.user, self.query(Filters))
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
        return StreamingHttpResponse(audit_log.csv_lines(found), content_type="text/csv", headers=headers)
