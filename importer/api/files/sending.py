"""Files: sent, looked at, judged, mapped (F-020 to F-027, F-033, F-043)."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api.files import shapes
from importer.operations import files
from importer.operations.files import parts
from servicevault.api.parsing import StrictJSONParser
from servicevault.api.views import ApiView


class FileApi(ApiView):
    """An endpoint that takes a file; who may do what with which table is asked by the operation."""

    rate = "upload"
    parser_classes = [MultiPartParser]


class Upload(FileApi):
    @extend_schema(
        operation_id="upload_file",
        request=shapes.form(requires_approval={"type": "boolean"}),
        responses={201: shapes.UploadedJob},
        tags=["file imports"],
    )
    def post(self, request: Request) -> Response:
        """Keep a file for a table or a target type. Nothing is imported before it is validated and started."""
        given = self.body(shapes.TargetForm)
        content, name = shapes.content_of(given)
        sent = parts.find(request.user, given["upload_id"]) if given.get("upload_id") else None
        if sent is not None:
            content, name = parts.content_of(sent), sent.filename
        job = files.upload(
            request.user,
            content,
            name,
            **shapes.goes_to(given),
            options=given["import_options"],
            mappings=given["field_mappings"],
            requires_approval=given["requires_approval"],
            trigger="api",
        )
        if sent is not None:
            parts.discard(sent)
        job.refresh_from_db()
        return Response(files.described(job) | files.proposed(job, request.user), status=201)


class Parse(FileApi):
    rate = "parse_validate"

    @extend_schema(operation_id="parse_file", request=shapes.form(), responses=shapes.PARSED, tags=["file imports"])
    def post(self, request: Request) -> Response:
        """What a file is, and its first ten rows; nothing stays stored."""
        given = self.body(shapes.FormBody)
        content, _ = shapes.content_of(given)
        return Response(files.parse(request.user, content, options=given["import_options"], **shapes.goes_to(given)))


class ValidateFile(FileApi):
    rate = "parse_validate"

    @extend_schema(
        operation_id="validate_file",
        parameters=[shapes.ReportParameters],
        request=shapes.form(),
        responses=shapes.REPORT,
        tags=["file imports"],
    )
    def post(self, request: Request) -> Response:
        """Judge every row of a file without keeping it."""
        limit = self.query(shapes.ReportParameters)["errors_limit"]
        given = self.body(shapes.TargetForm)
        content, name = shapes.content_of(given)
        report = files.validate_file(
            request.user,
            content,
            name,
            **shapes.goes_to(given),
            options=given["import_options"],
            mappings=given["field_mappings"],
            limit=limit,
        )
        return Response(report)


class SuggestMapping(ApiView):
    rate = "parse_validate"
    parser_classes = [StrictJSONParser]

    @extend_schema(
        operation_id="suggest_mapping",
        request=shapes.SuggestBody,
        responses=shapes.SUGGESTED,
        tags=["file imports"],
    )
    def post(self, request: Request, table_name: str) -> Response:
        """Which column of a file belongs to which of the table, with confidence and reason."""
        given = self.body(shapes.SuggestBody)
        kind = given.get("target_type", "")
        goes_to = {"target_type": kind} if kind else {"table_name": table_name}
        return Response(files.suggest_mapping(given["headers"], given["sample_rows"], request.user, **goes_to))
