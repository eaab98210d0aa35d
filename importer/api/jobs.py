"""`/api/import/jobs` and `/records`: start, watch, cancel, resume, and what became of each row (J15)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.access import sees_records
from importer.api import job_shapes as shapes
from importer.api.profiles import ImportApi
from importer.models import ImportJob, ImportProfile, ImportRecord
from importer.modes import Outcome
from importer.tasks import announce
from permissions import policy
from servicevault.api.documents import envelope, page_of
from servicevault.api.idempotency import once
from servicevault.api.views import PageParameters, listed
from servicevault.jobs.models import JobStatus

STARTED = envelope("JobStarted", message=serializers.CharField(), job=shapes.Job())


class JobApi(ImportApi):
    rate = "monitoring"

    def job(self, pk: UUID, action: str = "view") -> ImportJob:
        return policy.fetch(
            ImportJob.objects.select_related("profile", "created_by").prefetch_related("runs"),
            self.request.user,
            action,
            pk,
        )


def begin(request: Request, profile: ImportProfile, options: dict[str, Any], *, rehearse: bool = False) -> Response:
    """Make the job and tell a worker once it is stored; the request itself imports nothing (X8)."""
    options = dict(options)
    rehearse = rehearse or bool(options.pop("dry_run", False))
    with transaction.atomic():
        job = operations.start_import(profile, by=request.user, options=options, dry_run=rehearse, trigger="api")
        announce(job)
    job.refresh_from_db()
    words = "The rehearsal is queued." if rehearse else "The import is queued."
    return Response({"message": words, "job": shapes.Job(job).data}, status=202 if rehearse else 201)


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
        found = policy.restrict(ImportJob.objects.all(), request.user)
        if states := [state for state in given.get("status", "").split(",") if state]:
            if unknown := [state for state in states if state not in JobStatus.values]:
                raise serializers.ValidationError({"status": [f"“{unknown[0]}” is not a state."]})
            found = found.filter(status__in=states)
        exact = {"profile_id": "profile_id", "kind": "kind", "created_by": "created_by_id"}
        found = found.filter(**{column: given[name] for name, column in exact.items() if name in given})
        if "date_from" in given:
            found = found.filter(created_at__date__gte=given["date_from"])
        if "date_to" in given:
            found = found.filter(created_at__date__lte=given["date_to"])
        if text := given.get("search"):
            found = found.filter(profile__name__icontains=text)
        found = found.select_related("profile", "created_by").prefetch_related("runs")
        return listed(found, given, lambda job: shapes.JobSummary(job).data)

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
        return Response(shapes.Job(self.job(pk)).data)


class Status(JobApi):
    @extend_schema(operation_id="get_job_status", responses=shapes.JobStatus, tags=["jobs"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Where the job is."""
        return Response(shapes.JobStatus(self.job(pk)).data)


class Cancel(JobApi):
    @extend_schema(operation_id="cancel_job", request=None, responses={200: STARTED}, tags=["jobs"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Stop the job after the slice it is in; what is written stays (J5)."""
        job = operations.cancel(self.job(pk, "cancel"))
        return Response({"message": "The job is being cancelled.", "job": shapes.Job(job).data})


class Resume(JobApi):
    @extend_schema(operation_id="resume_job", request=None, responses={200: STARTED}, tags=["jobs"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Continue a failed or cancelled job behind its checkpoint (J13)."""
        with transaction.atomic():
            job = operations.resume(self.job(pk, "resume"))
            announce(job)
        return Response({"message": "The job continues.", "job": shapes.Job(job).data})


class ErrorParameters(PageParameters):
    query = serializers.CharField(required=False, max_length=64)
    code = serializers.CharField(required=False, max_length=64)


class Errors(JobApi):
    @extend_schema(
        operation_id="list_job_errors",
        parameters=[ErrorParameters],
        responses=envelope(
            "JobErrors",
            data=shapes.Record(many=True),
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
        rows = ImportRecord.objects.filter(run__job=job, action=Outcome.FAILED).select_related("run")
        if "query" in given:
            rows = rows.filter(run__key=given["query"])
        groups = rows.values("run__key", "code").annotate(count=Count("pk")).order_by("-count", "code")
        named = [{"query": row["run__key"], "code": row["code"], "count": row["count"]} for row in groups[:100]]
        if "code" in given:
            rows = rows.filter(code=given["code"])
        answer = listed(rows.order_by("run_id", "id"), given, lambda record: shapes.Record(record).data)
        answer.data["groups"] = named
        return answer


class Report(JobApi):
    @extend_schema(operation_id="get_job_report", responses=OpenApiTypes.OBJECT, tags=["jobs"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Counters of each query, speed and the first errors, as the command prints them."""
        return Response(operations.job_report(self.job(pk)))


class RecordParameters(PageParameters):
    job_id = serializers.UUIDField(required=False)
    profile_id = serializers.UUIDField(required=False)
    import_action = serializers.ChoiceField(Outcome.values, required=False)
    target_type = serializers.CharField(required=False, max_length=128)
    target_id = serializers.UUIDField(required=False)
    source_identifier = serializers.CharField(required=False, max_length=255)
    error_code = serializers.CharField(required=False, max_length=64)


class Records(JobApi):
    @extend_schema(
        operation_id="list_records",
        parameters=[RecordParameters],
        responses=page_of("RecordPage", shapes.Record),
        tags=["records"],
    )
    def get(self, request: Request) -> Response:
        """Audit entries of rows, of one job or of one target (R3, R9)."""
        given = self.query(RecordParameters)
        return listed(records_of(request.user, given), given, lambda record: shapes.Record(record).data)


class OneRecord(JobApi):
    @extend_schema(operation_id="get_record", responses=shapes.Record, tags=["records"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One audit entry."""
        record = records_of(request.user, {}).filter(pk=pk).first()
        if record is None:
            raise operations.Conflict("There is no such record.", code="not_found")
        return Response(shapes.Record(record).data)


def records_of(user: Any, given: dict[str, Any]) -> QuerySet[ImportRecord]:
    """The records the person may see: those of own jobs, and of all visible ones for monitors."""
    jobs = policy.restrict(ImportJob.objects.all(), user)
    if not policy.has(user, "import.jobs.monitor"):
        jobs = jobs.filter(created_by=user)
    columns = {
        "job_id": "run__job_id", "profile_id": "run__job__profile_id", "import_action": "action",
        "target_type": "run__target_type", "target_id": "target_id", "source_identifier": "source_identifier",
        "error_code": "code",
    }  # fmt: skip
    narrowed = {columns[name]: value for name, value in given.items() if name in columns}
    found = ImportRecord.objects.filter(run__job__in=jobs.values("pk"), **narrowed)
    return found.select_related("run").order_by("run_id", "id")
