"""A file's job: validate, start, watch, correct, decide (F-028 to F-039, F-061, F-089)."""

from __future__ import annotations

import tempfile
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.access import sees_records
from importer.api import record_shapes
from importer.api.approvals import DecisionBody
from importer.api.files import shapes
from importer.hiding import shown
from importer.models import ImportJob, ImportRecord
from importer.operations import files
from importer.tasks import announce
from permissions import approvals, policy
from servicevault.api.documents import Failure, envelope
from servicevault.api.idempotency import once
from servicevault.api.slices import slice_of, sliced
from servicevault.api.views import ApiView

STARTED = envelope(
    "FileStarted",
    id=serializers.IntegerField(),
    job_id=serializers.UUIDField(),
    status=serializers.CharField(),
    progress_percent=serializers.FloatField(),
)
MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}


class JobApi(ApiView):
    rate = "monitoring"

    def job(self, pk: UUID, action: str = "view") -> ImportJob:
        """The file's job, if the caller may do this with it: else 404 or 403."""
        found = ImportJob.objects.filter(file__isnull=False).select_related("file", "created_by")
        return policy.fetch(found, self.request.user, action, pk)

    def job_or_rehearsal(self, pk: UUID, action: str = "view") -> ImportJob:
        """The same, also of a job that rehearses a file."""
        found = ImportJob.objects.filter(Q(file__isnull=False) | Q(rehearses__isnull=False))
        return policy.fetch(
            found.select_related("file", "rehearses__file", "created_by"), self.request.user, action, pk
        )

    def own(self, pk: UUID) -> ImportJob:
        """The job, of whoever uploaded it only: its file was read by their permissions."""
        job = self.job(pk)
        if job.created_by_id != self.request.user.pk and not self.request.user.is_superuser:
            raise policy.Denied("import.jobs.monitor")
        return job

    def started(self, job: ImportJob, status: int = 202) -> Response:
        job.refresh_from_db()
        body = {"id": job.number, "job_id": str(job.pk), "status": job.status, "progress_percent": files.percent(job)}
        return Response(body, status=status)


class Jobs(JobApi):
    @extend_schema(
        operation_id="list_file_jobs",
        parameters=[shapes.JobParameters],
        responses=slice_of("FileJobSlice", "jobs", shapes.UploadedJob),
        tags=["file imports"],
    )
    def get(self, request: Request) -> Response:
        """Your files, and everybody's for who may watch all jobs; newest first."""
        given = self.query(shapes.JobParameters)
        found = files.jobs(
            request.user, status=given.get("status_filter", ""), table_name=given.get("table_name", "")
        ).prefetch_related("runs")
        return sliced(found, given, "jobs", files.described)


class OneJob(JobApi):
    @extend_schema(operation_id="get_file_job", responses=shapes.WholeJob, tags=["file imports"])
    def get(self, request: Request, pk: UUID) -> Response:
        """One file's job: what was uploaded, where it stands, and who agreed (F-045)."""
        return Response(files.whole(self.job(pk)))

    @extend_schema(
        operation_id="configure_file_job",
        request=shapes.ConfigureBody,
        responses=shapes.UploadedJob,
        tags=["file imports"],
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Read or map an uploaded file in another way; it must be validated again."""
        given = self.body(shapes.ConfigureBody)
        job = files.configure(
            self.own(pk),
            request.user,
            options=given.get("import_options"),
            mappings=given.get("field_mappings"),
            part=given.get("part", ""),
        )
        return Response(files.described(job))


class Validate(JobApi):
    rate = "parse_validate"

    @extend_schema(
        operation_id="validate_file_job",
        parameters=[shapes.ReportParameters],
        request=None,
        responses=shapes.REPORT,
        tags=["file imports"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Judge every row; what was found stays to be asked for under errors."""
        limit = self.query(shapes.ReportParameters)["errors_limit"]
        return Response(files.validate(self.own(pk), request.user, limit=limit))


class Start(JobApi):
    rate = "import_start"

    @extend_schema(
        operation_id="start_file_job", request=shapes.FileStartBody, responses={202: STARTED}, tags=["file imports"]
    )
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """Import the validated file, or ask for the approval it needs."""
        job, given = self.own(pk), self.body(shapes.FileStartBody)
        with transaction.atomic():
            if "plan_id" in given or given["strict"]:
                job = files.start_beside(job, request.user, plan_id=given.get("plan_id"), strict=given["strict"])
            else:
                job = files.start(job, request.user, accept_errors=given["accept_errors"])
            announce(job)
        return self.started(job)


class Status(JobApi):
    @extend_schema(operation_id="get_file_status", responses=shapes.Status, tags=["file imports"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Where the job stands, or the rehearsal of a file."""
        return Response(files.status(self.job_or_rehearsal(pk)))


class Progress(JobApi):
    @extend_schema(operation_id="get_file_progress", responses=shapes.Progress, tags=["file imports"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Where the job stands, its stage, its speed and what was done so far."""
        return Response(files.progress(self.job_or_rehearsal(pk)))


class Cancel(JobApi):
    @extend_schema(operation_id="cancel_file_job", request=None, responses={200: STARTED}, tags=["file imports"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Stop the job after the slice it is in; what is written stays."""
        return self.started(operations.cancel(self.job_or_rehearsal(pk, "cancel")), status=200)


class Retry(JobApi):
    rate = "import_start"

    @extend_schema(
        operation_id="retry_file_job",
        request=shapes.FileRetryBody,
        responses={201: shapes.UploadedJob},
        tags=["file imports"],
    )
    @once
    def post(self, request: Request, pk: UUID) -> Response:
        """A new waiting job for the rows that failed, as they are in the file: map or read them otherwise, start it."""
        job = files.retry(self.own(pk), request.user, scope=self.body(shapes.FileRetryBody)["scope"])
        return Response(files.described(job), status=201)


class Approve(JobApi):
    @extend_schema(
        operation_id="approve_file_job", request=DecisionBody, responses={200: STARTED}, tags=["file imports"]
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Let the import run; nobody approves what they asked for themselves."""
        return self._decided(request, pk, approve=True)

    def _decided(self, request: Request, pk: UUID, *, approve: bool) -> Response:
        policy.require(request.user, approvals.PERMISSION)
        job = self.job(pk)
        approvals.decide_job(job.pk, by=request.user, approve=approve, notes=self.body(DecisionBody)["notes"])
        return self.started(job, status=200)


class Reject(Approve):
    @extend_schema(
        operation_id="reject_file_job", request=DecisionBody, responses={200: STARTED}, tags=["file imports"]
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Cancel the import; the notes say why."""
        return self._decided(request, pk, approve=False)


class RowsApi(JobApi):
    """What shows rows of the file needs the right to see them."""

    def seen(self, pk: UUID) -> ImportJob:
        job = self.job(pk)
        if not sees_records(self.request.user, job):
            raise policy.Denied("import.jobs.monitor")
        return job


class Errors(RowsApi):
    @extend_schema(
        operation_id="list_file_errors",
        parameters=[shapes.ErrorParameters],
        responses=slice_of("FileErrorSlice", "errors", shapes.FileProblem),
        tags=["file imports"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """Errors by row and column: of the validation, and of the import once it ran."""
        job, given = self.seen(pk), self.query(shapes.ErrorParameters)
        wanted: dict[str, Any] = {name: given[name] for name in ("skip", "limit", "severity")}
        found, total = files.errors(job, field=given.get("field", ""), code=given.get("code", ""), **wanted)
        return Response({"errors": found, "total_count": total, "skip": given["skip"], "limit": given["limit"]})


class ErrorFile(RowsApi):
    rate = "download"

    @extend_schema(
        operation_id="download_file_errors",
        parameters=[shapes.FormatParameter],
        responses={
            **{(200, media): OpenApiTypes.BINARY for media in ("text/csv", MEDIA["xlsx"], MEDIA["json"])},
            409: Failure,
        },
        tags=["file imports"],
    )
    def get(self, request: Request, pk: UUID) -> FileResponse:
        """The failed rows as a file to correct, with `_row`, `_errors` and `_key`."""
        job, name = self.seen(pk), self.query(shapes.FormatParameter)["format"]
        content = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it
        try:
            files.error_file(job, name, content)
        except BaseException:
            content.close()
            raise
        content.seek(0)
        return FileResponse(
            content, as_attachment=True, filename=f"errors-of-job-{job.number}.{name}", content_type=MEDIA[name]
        )

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return self.get_renderers()[0], "application/json"  # `format` names the file's form, not the answer's


class CorrectedFile(JobApi):
    rate = "upload"
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="upload_corrected_rows",
        request={
            "multipart/form-data": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        },
        responses={
            201: envelope(
                "CorrectedFile",
                job=shapes.UploadedJob(),
                refused=serializers.ListField(child=serializers.DictField()),
            )
        },
        tags=["file imports"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """A new job for the corrected rows; rows that are imported already are refused one by one."""
        job = self.own(pk)
        given = self.body(shapes.FormBody)
        content, name = shapes.content_of(given)
        retry, refused = files.retry_from_file(job, request.user, content, name)
        return Response({"job": files.described(retry), "refused": refused}, status=201)


class Records(RowsApi):
    @extend_schema(
        operation_id="list_file_records",
        parameters=[shapes.SliceParameters],
        responses=slice_of("FileRecordSlice", "records", record_shapes.Record),
        tags=["file imports"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """What became of each recorded row."""
        found = shown(ImportRecord.objects.filter(run__job=self.seen(pk)))
        found = found.select_related("run__job").order_by("source_row", "id")
        return sliced(
            found, self.query(shapes.SliceParameters), "records", lambda record: record_shapes.Record(record).data
        )
