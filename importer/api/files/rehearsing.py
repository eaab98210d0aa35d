"""A file's rehearsal: asked for, and its plan row by row (F-042, X18, X19, X21)."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.access import sees_records
from importer.api import job_shapes, plans
from importer.api.files import shapes
from importer.api.files.jobs import JobApi
from importer.api.jobs import shown
from importer.modes import Outcome
from importer.operations import files
from importer.operations.failures import Conflict
from importer.operations.plans import rows_of
from importer.tasks import announce
from permissions import policy
from servicevault.api.documents import Failure, envelope
from servicevault.api.idempotency import once
from servicevault.api.slices import sliced
from servicevault.wording import say


class PlanParameters(shapes.SliceParameters):
    action = serializers.ChoiceField(Outcome.values, required=False)
    query = serializers.CharField(required=False, max_length=64, help_text="The key of a part.")
    reason = serializers.CharField(required=False, max_length=64)
    search = serializers.CharField(required=False, max_length=100)


PLAN = envelope(
    "FilePlan",
    rows=plans.Row(many=True),
    total_count=serializers.IntegerField(),
    skip=serializers.IntegerField(),
    limit=serializers.IntegerField(),
    rehearsal=job_shapes.JobSummary(),
    summary=serializers.DictField(),
)


class Rehearse(JobApi):
    rate = "import_start"

    @extend_schema(
        operation_id="rehearse_file_job",
        request=None,
        responses={202: envelope("FileRehearsal", job=job_shapes.Job())},
        tags=["file imports"],
    )
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Run the import of a waiting file and take everything back; what would become of each row is its plan."""
        job = self.own(pk)
        with transaction.atomic():
            rehearsal = files.rehearse(job, request.user, trigger="api")
            announce(rehearsal)
        return Response({"job": shown(rehearsal, request.user)}, status=202)


class Plan(JobApi):
    @extend_schema(
        operation_id="get_file_plan",
        parameters=[PlanParameters],
        responses={200: PLAN, 409: OpenApiResponse(Failure, description="The file was not rehearsed: `conflict`.")},
        tags=["file imports"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """The plan of a rehearsal, or of the newest one of a file; 409 for a file that was not rehearsed."""
        job = self.job_or_rehearsal(pk)
        if not sees_records(request.user, job):
            raise policy.Denied("import.jobs.monitor")
        rehearsal = job if job.rehearses_id is not None else files.last_rehearsal(job)
        if rehearsal is None:
            raise Conflict(say("Job {job} was not rehearsed.", job=job.number), hint=say("Rehearse it first."))
        given = self.query(PlanParameters)
        answer = sliced(rows_of(rehearsal, given), given, "rows", plans.row_shown)
        answer.data |= {
            "rehearsal": job_shapes.JobSummary(rehearsal).data,
            "summary": plans.summary_of(rehearsal),
        }
        return answer
