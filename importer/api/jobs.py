"""`/api/import/jobs` and `/records`: start, watch, cancel, resume, and what became of each row (J15)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import hiding, operations
from importer.access import sees_records
from importer.api import job_shapes as shapes
from importer.api import record_shapes
from importer.api.profiles import ImportApi
from importer.models import ImportJob, ImportProfile, ImportRecord
from importer.modes import Outcome
from importer.operations import rollbacks
from importer.operations.job_reports import MEDIA
from importer.tasks import announce
from permissions import policy
from servicevault.api.documents import envelope, page_of
from servicevault.api.idempotency import once
from servicevault.api.views import PageParameters, listed
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

STARTED = envelope("JobStarted", message=serializers.CharField(), job=shapes.Job())


class JobApi(ImportApi):
    rate = "monitoring"

    def job(self, pk: UUID, action: str = "view") -> ImportJob:
        return policy.fetch(
            ImportJob.objects.select_related("profile", "file", "created_by").prefetch_related("runs"),
            self.request.user,
            action,
            pk,
        )


def shown(job: ImportJob, user: Any) -> dict[str, Any]:
    """A job as JSON; its failed rows only for those who may see records."""
    return dict(shapes.Job(job, context={"rows": sees_records(user, job)}).data)


def begin(request: Request, profile: ImportProfile, options: dict[str, Any], *, rehearse: bool = False) -> Response:
    """Make the job and tell a worker once it is stored; the request itself imports nothing (X8)."""
    options = dict(options)
    rehearse = rehearse or bool(options.pop("dry_run", False))
    with transaction.atomic():
        job = operations.start_import(profile, by=request.user, options=options, dry_run=rehearse, trigger="api")
        announce(job)
    job.refresh_from_db()
    words = say("The rehearsal is queued.") if rehearse else say("The import is queued.")
    return Response({"message": words, "job": shown(job, request.user)}, status=202 if rehearse else 201)


class Jobs(JobApi):
    @extend_schema(
        operation_id="list_jobs",
        parameters=[shapes.JobParameters],
        responses=page_of("JobPage", shapes.JobSummary),
        tags=["jobs"],
    )
    def get(self, request: Request) -> Response:
        """The jobs you may see, newest first."""
        given = self.query(shapes.JobParameters)
        page = {name: given.pop(name) for name in ("page", "per_page")}
        given.pop("status", None)  # repeated, it is there once only
        states = [state for text in request.query_params.getlist("status") for state in text.split(",") if state]
        if unknown := [state for state in states if state not in JobStatus.values]:
            raise serializers.ValidationError({"status": [say("“{unknown}” is not a state.", unknown=unknown[0])]})
        found = operations.found_jobs(request.user, operations.JobFilter(statuses=states, **given))
        return listed(found, page, lambda job: shapes.JobSummary(job).data)

    @extend_schema(operation_id="start_job", request=shapes.StartBody, responses={201: STARTED}, tags=["jobs"])
    @once
    def post(self, request: Request) -> Response:
        """Queue an import of a profile; a worker takes it from there."""
        given = self.body(shapes.StartBody)
        profile = self.profile(given["profile_id"], "execute")
        return begin(request, profile, given.get("options", {}))


class StartProfile(JobApi):
    rate = "import_start"

    @extend_schema(operation_id="import_profile", request=shapes.Options, responses={201: STARTED}, tags=["jobs"])
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Queue an import of this profile."""
        profile = self.profile(pk, "execute")
        return begin(request, profile, self.body(shapes.Options).get("options", {}))


class ExecuteQuery(JobApi):
    rate = "import_start"

    @extend_schema(operation_id="execute_query", request=shapes.OnceBody, responses={201: STARTED}, tags=["jobs"])
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Queue an import of one query as it is sent; it is not saved (X10)."""
        profile = self.profile(pk, "execute")
        given = self.body(shapes.OnceBody)
        with transaction.atomic():
            options = given.get("import_options", {})
            job = operations.import_once(profile, given["query_config"], by=request.user, options=options)
            announce(job)
        job.refresh_from_db()
        return Response({"message": say("The import is queued."), "job": shown(job, request.user)}, status=201)


class Rehearse(JobApi):
    rate = "import_start"

    @extend_schema(operation_id="rehearse_profile", request=shapes.Options, responses={202: STARTED}, tags=["jobs"])
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Queue a rehearsal: every step of an import, and nothing is written (X18)."""
        profile = self.profile(pk, "execute")
        return begin(request, profile, self.body(shapes.Options).get("options", {}), rehearse=True)


class OneJob(JobApi):
    @extend_schema(operation_id="get_job", responses=shapes.Job, tags=["jobs"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One job with its queries and its first errors."""
        return Response(shown(self.job(pk), request.user))

    @extend_schema(operation_id="delete_job", request=None, responses={200: STARTED}, tags=["jobs"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Cancel a job that is not finished; take one that is out of the lists (J6). Its records and history stay."""
        job = self.job(pk)
        job = operations.delete_job(self.job(pk, "delete" if job.is_finished else "cancel"), by=request.user)
        words = say("The job is out of the lists.") if job.hidden_at else say("The job is being cancelled.")
        return Response({"message": words, "job": shown(job, request.user)})


class Stats(JobApi):
    needs = ("import.jobs.monitor",)

    @extend_schema(operation_id="get_job_stats", responses=shapes.JobStats, tags=["jobs"])
    def get(self, request: Request) -> Response:
        """What the jobs you may see sum up to (J9)."""
        return Response(shapes.JobStats(operations.job_stats(request.user)).data)


class Status(JobApi):
    @extend_schema(operation_id="get_job_status", responses=shapes.JobStatus, tags=["jobs"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Where the job is."""
        return Response(shapes.JobStatus(self.job(pk)).data)


class CancelBody(serializers.Serializer[Any]):
    undo = serializers.BooleanField(default=False, help_text="Roll back what is written; needs import.rollback.")


CANCELLED = envelope(
    "JobCancelled",
    message=serializers.CharField(),
    job=shapes.Job(),
    rollback_id=serializers.UUIDField(allow_null=True),
)


class Cancel(JobApi):
    @extend_schema(operation_id="cancel_job", request=CancelBody, responses={200: CANCELLED}, tags=["jobs"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Stop the job after the slice it is in; what is written stays, or is rolled back with `undo` (J5)."""
        job, rollback = self.job(pk, "cancel"), None
        undo = self.body(CancelBody)["undo"]
        with transaction.atomic():
            if undo:
                rollback = rollbacks.cancel_and_roll_back(job, by=request.user, trigger="api")
                announce(rollback)
                job = self.job(pk)
            else:
                job = operations.cancel(job)
        words = say("The job is being cancelled.")
        rollback_id = str(rollback.pk) if rollback else None
        return Response({"message": words, "job": shown(job, request.user), "rollback_id": rollback_id})


class Resume(JobApi):
    @extend_schema(operation_id="resume_job", request=None, responses={200: STARTED}, tags=["jobs"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Continue a failed or cancelled job behind its checkpoint (J13)."""
        with transaction.atomic():
            job = operations.resume(self.job(pk, "resume"))
            announce(job)
        return Response({"message": say("The job continues."), "job": shown(job, request.user)})


class ErrorParameters(PageParameters):
    query = serializers.CharField(required=False, max_length=64)
    code = serializers.CharField(required=False, max_length=64)


class Errors(JobApi):
    @extend_schema(
        operation_id="list_job_errors",
        parameters=[ErrorParameters],
        responses=envelope(
            "JobErrors",
            data=record_shapes.Record(many=True),
            meta=serializers.DictField(),
            groups=serializers.ListField(child=serializers.DictField()),
        ),
        tags=["jobs"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """Failed rows, and how many there are of each kind (J8). Needs the right to see record data."""
        job = self.job(pk)
        if not sees_records(request.user, job):
            raise policy.Denied("import.jobs.monitor")
        given = self.query(ErrorParameters)
        failed = ImportRecord.objects.filter(run__job=job, action=Outcome.FAILED)
        rows = hiding.shown(failed).select_related("run__job")
        if "query" in given:
            rows = rows.filter(run__key=given["query"])
        groups = rows.values("run__key", "code").annotate(count=Count("pk")).order_by("-count", "code")
        named = [{"query": row["run__key"], "code": row["code"], "count": row["count"]} for row in groups[:100]]
        if "code" in given:
            rows = rows.filter(code=given["code"])
        answer = listed(rows.order_by("run_id", "id"), given, lambda record: record_shapes.Record(record).data)
        answer.data["groups"] = named
        return answer


class ReportParameters(serializers.Serializer[Any]):
    format = serializers.ChoiceField(list(MEDIA), default="json")


class Report(JobApi):
    @extend_schema(
        operation_id="get_job_report",
        parameters=[ReportParameters],
        responses={
            (200, MEDIA["json"]): OpenApiTypes.OBJECT,
            **{(200, MEDIA[form].partition(";")[0]): OpenApiTypes.BINARY for form in ("html", "csv", "xlsx")},
        },
        tags=["jobs"],
    )
    def get(self, request: Request, pk: UUID) -> HttpResponse:
        """Options, counters, the equation, times, warnings and the first errors, as a document to keep (J14)."""
        job, form = self.job(pk), self.query(ReportParameters)["format"]
        rows = sees_records(request.user, job)
        if form == "json":
            return Response(operations.job_report(job, rows=rows))
        return HttpResponse(operations.report_file(job, form, rows=rows), content_type=MEDIA[form])

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return self.get_renderers()[0], "application/json"  # `format` names the document's form, not the answer's


class RetryBody(serializers.Serializer[Any]):
    scope = serializers.ChoiceField(["failed", "all"], default="failed")


class Retry(JobApi):
    rate = "import_start"

    @extend_schema(
        operation_id="retry_job",
        request=RetryBody,
        responses={201: envelope("JobRetried", original_job_id=serializers.UUIDField(), new_job=shapes.Job())},
        tags=["jobs"],
    )
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """A new job with the same options for the failed rows of this one, or for all (J7)."""
        job = self.job(pk, "resume")
        scope = self.body(RetryBody)["scope"]
        with transaction.atomic():
            new = operations.retry(job, by=request.user, scope=scope)
            announce(new)
        new.refresh_from_db()
        return Response({"original_job_id": str(job.pk), "new_job": shown(new, request.user)}, status=201)
