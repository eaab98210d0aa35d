"""`/api/import/jobs/{id}/plan`: what a rehearsal found out, row by row (X19, X21)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.access import sees_records
from importer.api.jobs import JobApi
from importer.models import ImportJob, ImportRecord
from importer.modes import Outcome
from importer.operations.masking import record_shown
from importer.operations.plans import check_plan, facets_of, groups_of, row_of, rows_of
from permissions import policy
from servicevault.api.documents import Failure, envelope
from servicevault.api.views import Meta, PageParameters, listed
from servicevault.wording import say


class PlanParameters(PageParameters):
    action = serializers.ChoiceField(Outcome.values, required=False)
    target_type = serializers.CharField(required=False, max_length=128)
    query = serializers.CharField(required=False, max_length=64)
    reason = serializers.CharField(required=False, max_length=64)
    search = serializers.CharField(required=False, max_length=100)


class Diff(serializers.Serializer[Any]):
    field = serializers.CharField()
    old = serializers.CharField(allow_null=True)
    new = serializers.CharField(allow_null=True)


class Row(serializers.Serializer[Any]):
    """What would become of one row of the source; personal data is hidden."""

    plan_row_id = serializers.UUIDField()
    query = serializers.CharField()
    source_identifier = serializers.CharField()
    action = serializers.CharField()
    target_id = serializers.UUIDField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    confidence = serializers.FloatField(allow_null=True)
    diff = Diff(many=True)
    errors = serializers.ListField(child=serializers.DictField())
    warnings = serializers.ListField(child=serializers.DictField())


PLAN = envelope("PlanPage", data=Row(many=True), meta=Meta(), summary=serializers.DictField())

NO_PLAN = OpenApiResponse(Failure, description="The job is no rehearsal: `conflict`.")


class Plan(JobApi):
    @extend_schema(
        operation_id="get_job_plan", parameters=[PlanParameters], responses={200: PLAN, 409: NO_PLAN}, tags=["jobs"]
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """The plan of a rehearsal by action, query, reason and text; 409 for a job that wrote."""
        job = self.job(pk)
        if not sees_records(request.user, job):
            raise policy.Denied("import.jobs.monitor")
        check_plan(job)
        given = self.query(PlanParameters)
        answer = listed(rows_of(job, given), given, row_shown)
        if job.profile is not None:
            rows = len(answer.data["data"])
            record_shown(job.profile, request.user, say("plan of job {job}", job=job.number), rows=rows, revealed=False)
        answer.data["summary"] = summary_of(job)
        return answer


def summary_of(job: ImportJob) -> dict[str, Any]:
    """The plan in figures: by action, query and reason, and what is wrong by kind."""
    facets = facets_of(job)
    return {
        **{str(name): count for name, count in job.counters().items() if name in Outcome.values},
        "queries": [{"key": key, "rows": rows} for key, _, rows in facets["query"]],
        "reasons": [{"reason": code, "rows": rows} for code, _, rows in facets["reason"]],
        "errors": [
            {"query": group.query, "code": group.code, "field": group.field, "count": group.count,
             "message": group.message}
            for group in groups_of(job)
        ],
    }  # fmt: skip


def row_shown(record: ImportRecord) -> dict[str, Any]:
    """A row of the plan as JSON."""
    row = row_of(record)
    return {
        "plan_row_id": str(record.pk),
        "query": record.run.key,
        "source_identifier": record.source_identifier,
        "action": record.action,
        # What would be created has no id yet: the rehearsal's own was rolled back with it.
        "target_id": str(record.target_id) if record.target_id and record.action != Outcome.CREATED else None,
        "reason": record.code,
        "confidence": float(record.confidence) if record.confidence is not None else None,
        "diff": [{"field": change.field, "old": change.old, "new": change.new} for change in row.changes],
        "errors": row.problems,
        "warnings": row.warnings,
    }
