"""`/api/v1/data/export`: make, preview, watch, stop, remove and link exports (F-103)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from exporter import operations
from exporter.api import shapes
from exporter.models import ExportJob
from exporter.tasks import announce
from permissions import policy
from servicevault.api.documents import Message
from servicevault.api.idempotency import once
from servicevault.api.slices import slice_of, sliced
from servicevault.api.views import ApiView
from servicevault.wording import say


class ExportApi(ApiView):
    rate = "monitoring"

    def job(self, pk: UUID) -> ExportJob:
        """The export, 404 unless it is the caller's own (F-096)."""
        return policy.fetch(ExportJob.objects.select_related("created_by"), self.request.user, "view", pk)


class Create(ExportApi):
    rate = "export_create"

    @extend_schema(
        operation_id="create_export",
        request=shapes.ExportBody,
        responses={201: shapes.ExportJobShape},
        tags=["exports"],
    )
    @once
    def post(self, request: Request) -> Response:
        """Queue an export; a worker writes the file."""
        wanted = shapes.wanted_of(self.body(shapes.ExportBody))
        with transaction.atomic():
            job = operations.create_export(wanted, by=request.user, trigger="api")
            announce(job)
        return Response(shapes.ExportJobShape(job).data, status=201)


class Preview(ExportApi):
    rate = "table_read"

    @extend_schema(
        operation_id="preview_export",
        request=shapes.ExportPreviewBody,
        responses=shapes.ExportPreview,
        tags=["exports"],
    )
    def post(self, request: Request) -> Response:
        """The first rows as the file would have them, how many there are, and how large the file becomes."""
        given = self.body(shapes.ExportPreviewBody)
        found = operations.preview_export(
            shapes.wanted_of(given), by=request.user, limit=given["limit"], offset=given["offset"]
        )
        columns = [found.plan.table.by_name[name] for name in found.plan.selection.columns]
        return Response(
            {
                "columns": [
                    {"name": column.name, "type": column.type, "data_type": column.data_type} for column in columns
                ],
                "sample_data": found.shown,
                "total_rows": found.total_rows,
                "total_rows_exact": found.is_exact,
                "estimated_size": found.estimated_size,
                "warnings": found.warnings,
            }
        )


class Jobs(ExportApi):
    @extend_schema(
        operation_id="list_exports",
        parameters=[shapes.JobParameters],
        responses=slice_of("ExportSlice", "jobs", shapes.ExportJobShape),
        tags=["exports"],
    )
    def get(self, request: Request) -> Response:
        """Your exports, newest first."""
        given = self.query(shapes.JobParameters)
        found = ExportJob.objects.filter(created_by=request.user)
        if "status_filter" in given:
            found = found.filter(status=given["status_filter"])
        if "table_name" in given:
            found = found.filter(table_name=given["table_name"])
        return sliced(found, given, "jobs", lambda job: shapes.ExportJobShape(job).data)


class Status(ExportApi):
    @extend_schema(operation_id="get_export_status", responses=shapes.ExportJobShape, tags=["exports"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Where the export is; the address of its file once there is one."""
        return Response(shapes.ExportJobShape(self.job(pk)).data)


class Cancel(ExportApi):
    @extend_schema(operation_id="cancel_export", request=None, responses=shapes.ExportJobShape, tags=["exports"])
    def post(self, request: Request, pk: UUID) -> Response:
        """Stop the export; its partial file is removed (F-100)."""
        return Response(shapes.ExportJobShape(operations.cancel_export(self.job(pk), by=request.user)).data)


class One(ExportApi):
    @extend_schema(operation_id="delete_export", responses={200: Message}, tags=["exports"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove the export and its file; the audit log keeps that there was one."""
        job = self.job(pk)
        operations.delete_export(job, by=request.user)
        return Response({"message": say("Export {job} and its file are removed.", job=job.number)})


class MakeLink(ExportApi):
    rate = "download"

    @extend_schema(
        operation_id="link_export",
        request=shapes.ExportLinkBody,
        responses={201: shapes.ExportLinkShape},
        tags=["exports"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """A link that downloads the file without a session, once or until it expires; needs `export.links` (F-105)."""
        given = self.body(shapes.ExportLinkBody)
        link, secret = operations.make_link(
            self.job(pk), by=request.user, expires_in=given.get("expires_in"), single_use=given["single_use"]
        )
        body: dict[str, Any] = {
            "url": request.build_absolute_uri(reverse("api_export_link", args=[secret])),
            "expires_at": link.expires_at,
            "single_use": link.is_single_use,
        }
        return Response(shapes.ExportLinkShape(body).data, status=201)
