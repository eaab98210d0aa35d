"""`/api/import/records`: what became of each row, and putting rows to work again (R3-R5, R12)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Func, IntegerField, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api import job_shapes as shapes
from importer.api import record_shapes
from importer.api.jobs import JobApi
from importer.models import ImportJob, ImportRecord
from importer.modes import Mode, Outcome, mode_of
from importer.tasks import announce
from permissions import policy
from servicevault.api.documents import envelope, page_of
from servicevault.api.idempotency import once
from servicevault.api.views import PageParameters, listed

MANAGE = "import.records.manage"
FILTERS = {
    "job_id": "run__job_id", "profile_id": "run__job__profile_id", "import_action": "action",
    "target_type": "run__target_type", "target_id": "target_id", "source_identifier": "source_identifier",
    "error_code": "code", "skip_reason": "code",
}  # fmt: skip


class RecordParameters(PageParameters):
    job_id = serializers.UUIDField(required=False)
    profile_id = serializers.UUIDField(required=False)
    import_action = serializers.ChoiceField(Outcome.values, required=False)
    target_type = serializers.CharField(required=False, max_length=128)
    target_id = serializers.UUIDField(required=False)
    source_identifier = serializers.CharField(required=False, max_length=255)
    error_code = serializers.CharField(required=False, max_length=64)


class Criteria(serializers.Serializer[Any]):
    """Records that answer all of these."""

    job_id = serializers.UUIDField(required=False)
    import_action = serializers.ChoiceField(Outcome.values, required=False)
    target_type = serializers.CharField(required=False, max_length=128)
    skip_reason = serializers.CharField(required=False, max_length=64)


class Selection(serializers.Serializer[Any]):
    """Which records: ids, criteria, or both; both together narrow (R12)."""

    record_ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=10_000)
    criteria = Criteria(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("record_ids") and not attrs.get("criteria"):
            raise serializers.ValidationError("Choose records by record_ids or criteria.")
        return attrs


class RetryOptions(serializers.Serializer[Any]):
    mode = serializers.CharField(required=False, max_length=16)
    skip_duplicates = serializers.BooleanField(default=False)


class RetryBody(Selection):
    retry_options = RetryOptions(required=False)


BULK = envelope(
    "RecordsAgain",
    message=serializers.CharField(),
    job=shapes.JobSummary(allow_null=True),
    selected=serializers.IntegerField(),
    not_applicable=serializers.IntegerField(),
    not_found=serializers.IntegerField(),
)


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
        return listed(found, given, lambda record: record_shapes.Record(record).data)


class OneRecord(JobApi):
    @extend_schema(operation_id="get_record", responses=record_shapes.RecordShown, tags=["records"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One audit entry with the original row, its way through the mapping, what was there before and after (R1, R2)."""
        size = Func(Cast("source_data", TextField()), function="octet_length", output_field=IntegerField())
        record = records_of(request.user, {}).filter(pk=pk).annotate(source_bytes=size).first()
        if record is None:
            raise Http404
        context = {"monitors": policy.has(request.user, "import.jobs.monitor")}
        return Response(record_shapes.RecordShown(record, context=context).data)


class BulkApi(JobApi):
    rate = "records_bulk"

    def chosen(self, given: dict[str, Any]) -> tuple[QuerySet[ImportRecord], int]:
        """The selected records the caller may see, and how many of the named ones there are not."""
        found = records_of(self.request.user, given.get("criteria") or {})
        ids = given.get("record_ids") or []
        if not ids:
            return found, 0
        found = found.filter(pk__in=ids)
        return found, len(set(ids)) - found.count()

    def begin(self, given: dict[str, Any], *, applicable: dict[str, Any], mode: str, words: str) -> Response:
        records, not_found = self.chosen(given)
        with transaction.atomic():
            done = operations.again(records, by=self.request.user, applicable=applicable, mode=mode)
            if done.job is not None:
                announce(done.job)
        return _answer(done, not_found, words)


def _answer(done: operations.Again, not_found: int, words: str) -> Response:
    return Response(
        {
            "message": words if done.job else "None of these records can be put to work again.",
            "job": shapes.JobSummary(done.job).data if done.job else None,
            "selected": done.selected,
            "not_applicable": done.not_applicable,
            "not_found": not_found,
        },
        status=202 if done.job else 200,
    )


class ReleaseHeld(BulkApi):
    @extend_schema(operation_id="release_held_rows", request=None, responses={202: BULK, 200: BULK}, tags=["records"])
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Import exactly the rows that a job held for a value nobody had mapped, now that somebody has (E33)."""
        policy.require(request.user, MANAGE)
        job = self.job(pk)
        with transaction.atomic():
            done = operations.release_held(job, by=request.user)
            if done.job is not None:
                announce(done.job)
        return _answer(done, 0, "The held rows are imported.")


class BulkRetry(BulkApi):
    @extend_schema(operation_id="retry_records", request=RetryBody, responses={202: BULK, 200: BULK}, tags=["records"])
    @once
    def post(self, request: Request) -> Response:
        """Read failed rows from the source again and import them, in a job of their own (R5)."""
        policy.require(request.user, MANAGE)
        given = self.body(RetryBody)
        options = given.get("retry_options") or {}
        mode = Mode.CREATE if options.get("skip_duplicates") else options.get("mode") or Mode.UPSERT
        try:
            mode = mode_of(str(mode))
        except ValueError:
            raise serializers.ValidationError({"retry_options.mode": ["Use create, update or upsert."]}) from None
        return self.begin(given, applicable={Outcome.FAILED: None}, mode=mode, words="The rows are tried again.")


class BulkApprove(BulkApi):
    @extend_schema(
        operation_id="approve_records", request=Selection, responses={202: BULK, 200: BULK}, tags=["records"]
    )
    @once
    def post(self, request: Request) -> Response:
        """Import rows that the mode skipped: existing ones are updated, unknown ones created (R4, DEC-21).

        Rows that wait for a person are not decided here and count as not applicable.
        """
        policy.require(request.user, MANAGE)
        return self.begin(
            self.body(Selection),
            applicable={Outcome.SKIPPED: ("exists", "not_found")},
            mode=Mode.UPSERT,
            words="The skipped rows are imported.",
        )


def records_of(user: Any, given: dict[str, Any]) -> QuerySet[ImportRecord]:
    """The records the person may see: those of own jobs, and of all visible ones for monitors."""
    jobs = policy.restrict(ImportJob.objects.all(), user)
    if not policy.has(user, "import.jobs.monitor"):
        jobs = jobs.filter(created_by=user)
    narrowed = {FILTERS[name]: value for name, value in given.items() if name in FILTERS}
    return ImportRecord.objects.filter(run__job__in=jobs.values("pk"), **narrowed).select_related("run__job")
