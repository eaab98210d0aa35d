"""`/api/import/records`: what became of each row (R1, R3, R9)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Func, IntegerField, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api import record_shapes
from importer.api.jobs import JobApi
from importer.hiding import shown
from importer.models import ImportJob, ImportRecord
from importer.modes import Outcome
from importer.operations.decisions import target_versions
from importer.reversing import rolled_back
from permissions import policy
from servicevault.api.documents import page_of
from servicevault.api.views import PageParameters, listed

MANAGE = "import.records.manage"
FILTERS = {
    "job_id": "run__job_id", "profile_id": "run__job__profile_id", "import_action": "action",
    "target_type": "run__target_type", "target_id": "target_id", "source_identifier": "source_identifier",
    "error_code": "code", "skip_reason": "code", "confidence_min": "confidence__gte", "confidence_max": "confidence__lte",
}  # fmt: skip


class RecordParameters(PageParameters):
    job_id = serializers.UUIDField(required=False)
    profile_id = serializers.UUIDField(required=False)
    import_action = serializers.ChoiceField(Outcome.values, required=False)
    target_type = serializers.CharField(required=False, max_length=128)
    target_id = serializers.UUIDField(required=False)
    source_identifier = serializers.CharField(required=False, max_length=255)
    error_code = serializers.CharField(required=False, max_length=64)
    skip_reason = serializers.CharField(required=False, max_length=64)
    confidence_min = serializers.FloatField(required=False, min_value=0, max_value=100)
    confidence_max = serializers.FloatField(required=False, min_value=0, max_value=100)
    replanned = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Whether the row is not as the job's plan says."
    )
    rolled_back = serializers.BooleanField(required=False, allow_null=True, default=None)


class Records(JobApi):
    @extend_schema(
        operation_id="list_records",
        parameters=[RecordParameters],
        responses=page_of("RecordPage", record_shapes.Record),
        tags=["records"],
    )
    def get(self, request: Request) -> Response:
        """Audit entries of rows, of one job or of one target (R3, R9)."""
        given = self.query(RecordParameters)
        found = records_of(request.user, given).order_by("run_id", "id")
        if (wanted := given.get("rolled_back")) is not None:
            reversed_ones = rolled_back(found)
            found = reversed_ones if wanted else found.exclude(pk__in=reversed_ones.values("pk"))
        if (wanted := given.get("replanned")) is not None:
            found = found.filter(replanned_from__isnull=not wanted)
        return listed(found, given, lambda record: record_shapes.Record(record).data)


class OneRecord(JobApi):
    @extend_schema(operation_id="get_record", responses=record_shapes.RecordShown, tags=["records"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One audit entry with the original row, its way through the mapping, what was there before and after (R1, R2)."""
        size = Func(Cast("source_data", TextField()), function="octet_length", output_field=IntegerField())
        record = records_of(request.user, {}).filter(pk=pk).annotate(source_bytes=size).first()
        if record is None:
            raise Http404
        context = {"monitors": policy.has(request.user, "import.jobs.monitor"), "versions": candidate_versions(record)}
        return Response(record_shapes.RecordShown(record, context=context).data)


def candidate_versions(record: ImportRecord) -> dict[UUID, str]:
    """What the candidates of a row that waits look like now (R14)."""
    candidates = [UUID(str(found["id"])) for found in (record.matching or {}).get("candidates") or []]
    return target_versions((record.run.target_type, candidate) for candidate in candidates)


def records_of(user: Any, given: dict[str, Any]) -> QuerySet[ImportRecord]:
    """The records the person may see and nobody hid: those of own jobs, and of all visible ones for monitors."""
    jobs = policy.restrict(ImportJob.objects.all(), user)
    if not policy.has(user, "import.jobs.monitor"):
        jobs = jobs.filter(created_by=user)
    narrowed = {FILTERS[name]: value for name, value in given.items() if name in FILTERS}
    found = ImportRecord.objects.filter(run__job__in=jobs.values("pk"), **narrowed)
    return shown(found).select_related("run__job", "verdict__decided_by")
