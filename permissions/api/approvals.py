"""`/api/v1/data/approvals`: what waits for a second person, and what became of it (G20)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from permissions import approvals
from permissions.models import Approval, Decision
from permissions.models.approvals import Kind
from servicevault.api.slices import SliceParameters, slice_of, sliced
from servicevault.api.views import ApiView


class Parameters(SliceParameters):
    status = serializers.ChoiceField(Decision.choices, required=False)
    kind = serializers.ChoiceField(Kind.choices, required=False)


class Person(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="pk")
    name = serializers.CharField()


class ApprovalShape(serializers.ModelSerializer[Approval]):
    requested_by = Person(allow_null=True)
    decided_by = Person(allow_null=True)

    class Meta:
        model = Approval
        fields = (
            "id", "kind", "job_id", "requested_by", "requested_at", "table_name", "profile", "profile_id", "summary",
            "risk_flags", "status", "decided_by", "decided_at", "notes",
        )  # fmt: skip


class Approvals(ApiView):
    rate = "monitoring"

    @extend_schema(
        operation_id="list_approvals",
        parameters=[Parameters],
        responses=slice_of("ApprovalSlice", "approvals", ApprovalShape),
        tags=["approvals"],
    )
    def get(self, request: Request) -> Response:
        """Your own requests, and those of others that you may see; newest first."""
        given = self.query(Parameters)
        found = approvals.visible(request.user).select_related("requested_by", "decided_by")
        exact = {name: given[name] for name in ("status", "kind") if name in given}
        return sliced(found.filter(**exact), given, "approvals", lambda row: ApprovalShape(row).data)
