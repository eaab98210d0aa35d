"""`/api/v1/data/import/{id}/events`: a job's live frames for clients without WebSocket (L16)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from importer.models import ImportJob
from permissions import policy
from servicevault.api.views import ApiView
from servicevault.live.identity import of_request
from servicevault.live.stream import EventStream, stream_of


class LiveEvent(serializers.Serializer[Any]):
    """One event of the stream; docs/live.md says what its data hold."""

    id = serializers.CharField(help_text="The frame's sequence number.")
    event = serializers.CharField(help_text="import.progress.updated or import.job.status.changed.")
    data = serializers.CharField(help_text="The frame as JSON: {channel, event, data}.")


class Events(ApiView):
    rate = "monitoring"
    renderer_classes = [JSONRenderer, EventStream]

    @extend_schema(
        operation_id="stream_job_events",
        responses={
            (200, "text/event-stream"): LiveEvent,
            204: OpenApiResponse(description="The job ended, and you have seen its end."),
        },
        tags=["file imports"],
    )
    def get(self, request: Request, pk: UUID) -> Any:
        """The frames of `import.job.{id}` as Server-Sent Events, beginning with how things stand, until the job ends."""
        job = policy.fetch(ImportJob.objects.all(), request.user, "view", pk)
        return stream_of(request, of_request(request), f"import.job.{job.pk}", is_over=job.is_finished)

    def handle_exception(self, exc: Exception) -> Any:
        """A failure is JSON as everywhere, whatever was asked for."""
        answer = super().handle_exception(exc)
        self.request.accepted_renderer, self.request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return answer
