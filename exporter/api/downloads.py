"""The file itself: whole, by range, not at all when the caller has it (F-096, F-097, F-118)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from exporter import operations
from exporter.api.exports import ExportApi
from exporter.models import ExportJob
from servicevault import stored_files
from servicevault.api import failures
from servicevault.api.documents import Failure
from servicevault.api.views import ApiView
from servicevault.wording import say

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_FILE = {
    (200, "application/octet-stream"): OpenApiTypes.BINARY,
    (206, "application/octet-stream"): OpenApiTypes.BINARY,
    304: OpenApiResponse(description="The caller has this file already (If-None-Match)."),
    409: OpenApiResponse(Failure, description="There is no file: the export is not completed."),
    410: OpenApiResponse(Failure, description="The file is not kept any more: `expired`."),
    416: OpenApiResponse(Failure, description="The file has no such bytes: `range_not_satisfiable`."),
}
_RANGE_HEADER = OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="bytes=0-999: one range")


class Download(ExportApi):
    rate = "download"

    @extend_schema(operation_id="download_export", parameters=[_RANGE_HEADER], responses=_FILE, tags=["exports"])
    def get(self, request: Request, pk: UUID) -> HttpResponseBase:
        """The file of your export; can be resumed. Each download is written into the audit log."""
        job = self.job(pk)
        operations.check_ready(job)
        return served(request, job, by=request.user)

    @extend_schema(operation_id="head_export", responses={200: None, 304: None}, tags=["exports"])
    def head(self, request: Request, pk: UUID) -> HttpResponseBase:
        """Size, digest and type of the file."""
        return self.get(request, pk)


class Linked(ApiView):
    """The file behind a link; whoever has the link has the right."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @extend_schema(operation_id="download_export_by_link", responses=_FILE, tags=["exports"], auth=[])
    def get(self, request: Request, secret: str) -> HttpResponseBase:
        """The file of an export, without a session."""
        link = operations.linked(secret)
        if request.method == "GET":
            operations.use_link(link)
        return served(request, link.job, by=link.created_by, link=str(link.pk))

    @extend_schema(operation_id="head_export_by_link", responses={200: None, 304: None}, tags=["exports"], auth=[])
    def head(self, request: Request, secret: str) -> HttpResponseBase:
        """Size, digest and type of the file; does not use up a link."""
        return self.get(request, secret)


def served(request: Request, job: ExportJob, *, by: Any, **details: Any) -> HttpResponseBase:
    """The file as the request wants it: 200, 206, 304 or 416."""
    size, etag = job.file_size or 0, f'"{job.sha256}"'
    if etag in _tags(request.headers.get("If-None-Match", "")):
        return _with_headers(HttpResponse(status=304), job, etag)
    wanted = _range(request, size, etag)
    if wanted is None:
        body = failures.failure_body(request, "range_not_satisfiable", say("The file has {size:,} bytes.", size=size))
        return Response(body, status=416, headers={"Content-Range": f"bytes */{size}"})
    start, stop = wanted
    is_part = (start, stop) != (0, size)
    if request.method == "HEAD":
        response: Any = HttpResponse(status=206 if is_part else 200)
    else:
        operations.tell_download(job, by=by, **details, **({"first": start, "last": stop - 1} if is_part else {}))
        response = StreamingHttpResponse(stored_files.read(job.stored, start, stop), status=206 if is_part else 200)
    response["Content-Length"] = str(stop - start)
    if is_part:
        response["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return _with_headers(response, job, etag)


def _tags(header: str) -> set[str]:
    return {part.strip().removeprefix("W/") for part in header.split(",")}


def _range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """First and behind-last byte; the whole file for no, several or outdated ranges; None for one it does not have."""
    header = request.headers.get("Range", "")
    if_range = request.headers.get("If-Range", "")
    found = _RANGE.fullmatch(header.strip())
    if not found or (if_range and if_range != etag) or not any(found.groups()):
        return 0, size
    first, last = found.groups()
    if len(first) > 18 or len(last) > 18:
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    return (start, stop) if start < stop else None


def _with_headers(response: Any, job: ExportJob, etag: str) -> Any:
    ascii_name = re.sub(r'[^\x20-\x7e]|["\\]', "_", job.filename)
    response["Content-Type"] = job.media_type
    response["Content-Disposition"] = (
        f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(job.filename, safe='')}"
    )
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = etag
    response["X-Export-Rows"] = str(job.processed_rows)
    response["X-Content-SHA256"] = job.sha256
    response["X-Content-Type-Options"] = "nosniff"
    return response
