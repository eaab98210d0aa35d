"""`/api/import/jobs/{id}/approve` and `/reject`: a second person decides (J22, G20)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api.jobs import STARTED, JobApi, shown
from permissions import approvals, policy
from servicevault.wording import say


class DecisionBody(serializers.Serializer[Any]):
    notes = serializers.CharField(
        required=False, allow_blank=True, max_length=approvals.NOTES_CHARACTERS[1], default=""
    )


class Decide(JobApi):
    def decided(self, request: Request, pk: UUID, *, approve: bool, words: str) -> Response:
        policy.require(request.user, approvals.PERMISSION)
        job = self.job(pk)
        notes = self.body(DecisionBody)["notes"]
        approvals.decide_job(job.pk, by=request.user, approve=approve, notes=notes)
        return Response({"message": words, "job": shown(self.job(pk), request.user)})


class Approve(Decide):
    @extend_schema(operation_id="approve_job", request=DecisionBody, responses={200: STARTED}, tags=["approvals"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Let the job run; it is queued at once. Nobody approves what they asked for themselves."""
        return self.decided(request, pk, approve=True, words=say("The job is approved and queued."))


class Reject(Decide):
    @extend_schema(operation_id="reject_job", request=DecisionBody, responses={200: STARTED}, tags=["approvals"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Cancel the job; the notes say why."""
        return self.decided(request, pk, approve=False, words=say("The job is rejected and cancelled."))
