"""`/api/import/records/bulk`: many records at once: decide, retry, hide (R4-R6, R12-R14)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api import job_shapes as shapes
from importer.api.jobs import JobApi
from importer.api.records import MANAGE, records_of
from importer.models import Decision, ImportRecord
from importer.modes import Bucket, Mode, Outcome, mode_of
from importer.operations.decisions import MOST_TOLD, Approval, Done, Told, approve, hide, retry_records
from importer.operations.rollbacks import buckets_of, roll_back_records
from importer.tasks import announce
from permissions import policy
from servicevault.api.documents import envelope
from servicevault.api.idempotency import once
from servicevault.wording import say, say_count


class Criteria(serializers.Serializer[Any]):
    """Records that answer all of these."""

    job_id = serializers.UUIDField(required=False)
    import_action = serializers.ChoiceField(Outcome.values, required=False)
    target_type = serializers.CharField(required=False, max_length=128)
    skip_reason = serializers.CharField(required=False, max_length=64)
    confidence_min = serializers.FloatField(required=False, min_value=0, max_value=100)
    confidence_max = serializers.FloatField(required=False, min_value=0, max_value=100)


class Selection(serializers.Serializer[Any]):
    """Which records: ids, criteria, or both; both together narrow (R12)."""

    record_ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=10_000)
    criteria = Criteria(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("record_ids") and not attrs.get("criteria"):
            raise serializers.ValidationError(say("Choose records by record_ids or criteria."))
        return attrs


class ApproveOptions(serializers.Serializer[Any]):
    create_missing_targets = serializers.BooleanField(default=True)
    update_existing_targets = serializers.BooleanField(default=True)


class ApproveBody(Selection):
    """`decision` is about rows that wait: they are the candidate, somebody new, or left out."""

    decision = serializers.ChoiceField([Decision.MATCH, Decision.NEW, Decision.SKIP], default=Decision.MATCH)
    target_id = serializers.UUIDField(required=False, help_text="The match, instead of the best candidate; one record.")
    target_version = serializers.CharField(
        required=False,
        max_length=64,
        help_text="Of the candidate as it was shown; the record is stale when it changed.",
    )
    options = ApproveOptions(required=False)


class RetryOptions(serializers.Serializer[Any]):
    mode = serializers.CharField(required=False, max_length=16)
    import_mode = serializers.CharField(required=False, max_length=16)
    skip_duplicates = serializers.BooleanField(default=False)
    batch_size = serializers.IntegerField(required=False, min_value=10, max_value=50_000)
    data = serializers.ChoiceField(["fresh"], default="fresh", help_text="Rows are read from the source again.")


class RecordsRetryBody(Selection):
    retry_options = RetryOptions(required=False)


class RecordRollbackOptions(serializers.Serializer[Any]):
    preserve_relationships = serializers.ChoiceField([True], default=True)
    create_audit_log = serializers.ChoiceField([True], default=True)
    fields = serializers.ListField(
        child=serializers.CharField(max_length=255), required=False, min_length=1, max_length=200,
        help_text="Of updated targets: only these fields.",
    )  # fmt: skip


class DeleteBody(Selection):
    rollback_target = serializers.BooleanField(default=False)
    rollback_options = RecordRollbackOptions(required=False)


class Result(serializers.Serializer[Any]):
    """What became of one selected record."""

    record_id = serializers.UUIDField()
    result = serializers.ChoiceField(
        ["queued", "skipped", "hidden", "failed", "stale", "not_applicable", "not_found"],
    )
    import_action = serializers.CharField(allow_blank=True)
    target_id = serializers.UUIDField(allow_null=True)
    message = serializers.CharField(allow_blank=True)


AGAIN = envelope(
    "RecordsAgain",
    message=serializers.CharField(),
    job=shapes.JobSummary(allow_null=True),
    selected=serializers.IntegerField(),
    not_applicable=serializers.IntegerField(),
    not_found=serializers.IntegerField(),
)
BULK = envelope(
    "RecordsDone",
    message=serializers.CharField(),
    job=shapes.JobSummary(allow_null=True),
    selected=serializers.IntegerField(),
    succeeded=serializers.IntegerField(),
    failed=serializers.IntegerField(),
    not_applicable=serializers.IntegerField(),
    not_found=serializers.IntegerField(),
    results=Result(many=True),
    buckets=serializers.DictField(child=serializers.IntegerField(), required=False, help_text="Of a rollback: so far."),
)


class ReleaseHeld(JobApi):
    rate = "records_bulk"

    @extend_schema(operation_id="release_held_rows", request=None, responses={202: AGAIN, 200: AGAIN}, tags=["records"])
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Import exactly the rows that a job held for a value nobody had mapped, now that somebody has (E33)."""
        policy.require(request.user, MANAGE)
        job = self.job(pk)
        with transaction.atomic():
            done = operations.release_held(job, by=request.user)
            if done.job is not None:
                announce(done.job)
        return Response(
            {
                "message": say("The held rows are imported.")
                if done.job
                else say("None of these records can be put to work again."),
                "job": shapes.JobSummary(done.job).data if done.job else None,
                "selected": done.selected,
                "not_applicable": done.not_applicable,
                "not_found": 0,
            },
            status=202 if done.job else 200,
        )


class BulkApi(JobApi):
    rate = "records_bulk"

    def chosen(self, given: dict[str, Any]) -> tuple[QuerySet[ImportRecord], list[UUID]]:
        """The selected records the caller may see, and those of the named ones there are not."""
        found = records_of(self.request.user, given.get("criteria") or {})
        ids = list(dict.fromkeys(given.get("record_ids") or []))
        if not ids:
            return found, []
        found = found.filter(pk__in=ids)
        known = set(found.values_list("pk", flat=True))
        return found, [pk for pk in ids if pk not in known]

    def answer(self, done: Done, missing: list[UUID], words: str) -> Response:
        """Counts of everything selected, and what became of the first five hundred (R13)."""
        gone = [Told(pk, "not_found", message=say("There is no such record, or you may not see it.")) for pk in missing]
        results = [*done.results, *gone][:MOST_TOLD]
        return Response(
            {
                "message": words,
                "job": shapes.JobSummary(done.job).data if done.job else None,
                "selected": done.selected,
                "succeeded": done.count("queued", "skipped", "hidden"),
                "failed": done.count("failed", "stale"),
                "not_applicable": done.count("not_applicable"),
                "not_found": len(gone),
                "results": [
                    {
                        "record_id": str(told.record_id),
                        "result": told.result,
                        "import_action": told.import_action,
                        "target_id": str(told.target_id) if told.target_id else None,
                        "message": told.message,
                    }
                    for told in results
                ],
            },
            status=202 if done.job else 200,
        )


class BulkRetry(BulkApi):
    @extend_schema(
        operation_id="retry_records", request=RecordsRetryBody, responses={202: BULK, 200: BULK}, tags=["records"]
    )
    @once
    def post(self, request: Request) -> Response:
        """Read failed rows from the source again and import them, in a job of their own (R5)."""
        policy.require(request.user, MANAGE)
        given = self.body(RecordsRetryBody)
        options = given.get("retry_options") or {}
        wanted = options.get("mode") or options.get("import_mode") or Mode.UPSERT
        try:
            mode = mode_of(str(Mode.CREATE if options.get("skip_duplicates") else wanted))
        except ValueError:
            raise serializers.ValidationError({"retry_options.mode": [say("Use create, update or upsert.")]}) from None
        records, missing = self.chosen(given)
        more = {"batch_size": options["batch_size"]} if options.get("batch_size") else {}
        with transaction.atomic():
            done = retry_records(records, by=request.user, mode=mode, options=more)
            if done.job is not None:
                announce(done.job)
        words = say("The rows are tried again.") if done.job else say("None of these records can be put to work again.")
        return self.answer(done, missing, words)


class BulkApprove(BulkApi):
    @extend_schema(
        operation_id="approve_records", request=ApproveBody, responses={202: BULK, 200: BULK}, tags=["records"]
    )
    @once
    def post(self, request: Request) -> Response:
        """Decide rows that wait for a person, and import rows that the mode skipped (R4, DEC-21).

        A row that waits becomes its best candidate or `target_id` (match), somebody new (new), or is left out
        (skip); a skipped row whose target exists is updated, one that found none is created. What has to be written
        is written by the job of the answer; a repeated decision is not applicable.
        """
        policy.require(request.user, MANAGE)
        given = self.body(ApproveBody)
        options = given.get("options") or {}
        said = Approval(
            decision=Decision(given["decision"]),
            target_id=given.get("target_id"),
            target_version=given.get("target_version", ""),
            creates=options.get("create_missing_targets", True),
            updates=options.get("update_existing_targets", True),
        )
        records, missing = self.chosen(given)
        with transaction.atomic():
            done = approve(records, said, by=request.user)
            if done.job is not None:
                announce(done.job)
        words = say("The decisions are carried out by the job.") if done.job else say("The decisions are written down.")
        return self.answer(done, missing, words if done.count("queued", "skipped") else say("Nothing was decided."))


class BulkDelete(BulkApi):
    @extend_schema(
        operation_id="delete_records", request=DeleteBody, responses={200: BULK, 202: BULK}, tags=["records"]
    )
    @once
    def delete(self, request: Request) -> Response:
        """Take records out of the lists (R6): what was imported stays, as do counters and the audit log.

        With `rollback_target` the records stay and what they wrote is rolled back by the job of the answer, whose
        buckets are at `/rollback/{id}/status`; needs import.rollback and records of one import.
        """
        policy.require(request.user, MANAGE)
        given = self.body(DeleteBody)
        records, missing = self.chosen(given)
        if given["rollback_target"]:
            return self.rolled_back(records, missing, (given.get("rollback_options") or {}).get("fields"))
        done = hide(records, by=request.user)
        return self.answer(
            done,
            missing,
            say_count(
                "{count} record is hidden. What it imported stays.",
                "{count:,} records are hidden. What they imported stays.",
                done.selected,
            ),
        )

    def rolled_back(self, records: QuerySet[ImportRecord], missing: list[UUID], fields: list[str] | None) -> Response:
        with transaction.atomic():
            done = roll_back_records(records, by=self.request.user, fields=fields)
            if done.job is not None:
                announce(done.job)
        words = say("What they wrote is rolled back by the job.") if done.job else say("None of these wrote anything.")
        answer = self.answer(done, missing, words)
        answer.data["buckets"] = buckets_of(done.job) if done.job else dict.fromkeys(Bucket.values, 0)
        return answer
