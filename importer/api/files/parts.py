"""Files that come in parts, and several in one zip (F-040, F-041)."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api.files import shapes
from importer.models import FileUpload
from importer.operations import files
from importer.operations.files import parts
from servicevault.api.documents import Failure, envelope
from servicevault.api.views import ApiView
from servicevault.wording import say

OFFSET = "Upload-Offset"
_HEADER = OpenApiParameter(OFFSET, int, OpenApiParameter.HEADER, required=True, description="first byte of the part")
_UPLOAD = envelope(
    "PartialUpload",
    upload_id=serializers.UUIDField(),
    chunk_size=serializers.IntegerField(),
    offset=serializers.IntegerField(),
    size=serializers.IntegerField(),
    expires_at=serializers.DateTimeField(),
)


class BytesParser(BaseParser):
    """A part as it is; one that is larger than a part may be is read no further."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> bytes:
        return bytes(stream.read(parts.PART_BYTES + 1))


class BeginBody(serializers.Serializer[Any]):
    filename = serializers.CharField(max_length=shapes.NAME)
    size = serializers.IntegerField(min_value=1, max_value=2**53)
    sha256 = serializers.CharField(required=False, allow_blank=True, max_length=64, default="")


def told(upload: FileUpload) -> dict[str, Any]:
    return {
        "upload_id": str(upload.pk),
        "chunk_size": parts.PART_BYTES,
        "offset": upload.offset,
        "size": upload.size,
        "expires_at": upload.expires_at,
    }


class Uploads(ApiView):
    rate = "upload"

    @extend_schema(
        operation_id="begin_upload",
        request=BeginBody,
        responses={201: _UPLOAD, 413: Failure},
        tags=["file imports"],
    )
    def post(self, request: Request) -> Response:
        """Announce a file that comes in parts of 5 MiB; name the upload's id as upload_id when it is complete."""
        given = self.body(BeginBody)
        return Response(told(parts.begin(request.user, given["filename"], given["size"], given["sha256"])), status=201)


class OneUpload(ApiView):
    rate = "upload_part"
    parser_classes = [BytesParser]

    @extend_schema(operation_id="get_upload", responses={200: _UPLOAD, 410: Failure}, tags=["file imports"])
    def get(self, request: Request, pk: UUID) -> Response:
        """How far the upload is; HEAD tells it in the header Upload-Offset alone."""
        upload = parts.find(request.user, pk)
        return Response(told(upload), headers={OFFSET: str(upload.offset)})

    @extend_schema(
        operation_id="append_to_upload",
        parameters=[_HEADER],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={204: None, 410: Failure, 413: Failure},
        tags=["file imports"],
    )
    def patch(self, request: Request, pk: UUID) -> Response:
        """Send the part that begins at Upload-Offset; a wrong offset is answered with the right one."""
        text = request.headers.get(OFFSET, "")
        if not text.isdecimal() or len(text) > 16:
            raise ValidationError({OFFSET: [say("Name the first byte of the part as a whole number.")]})
        upload = parts.append(request.user, pk, int(text), io.BytesIO(request.data or b""))
        return Response(status=204, headers={OFFSET: str(upload.offset)})

    @extend_schema(operation_id="discard_upload", responses={204: None, 410: Failure}, tags=["file imports"])
    def delete(self, request: Request, pk: UUID) -> Response:
        """Remove what was sent."""
        parts.discard(parts.find(request.user, pk))
        return Response(status=204)


class Bundle(ApiView):
    rate = "upload"
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="upload_zip",
        request={
            "multipart/form-data": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        },
        responses={201: envelope("FileBundle", jobs=shapes.UploadedJob(many=True)), 413: Failure},
        tags=["file imports"],
    )
    def post(self, request: Request) -> Response:
        """Several files in one zip, each named as its table: a waiting job each, parents first."""
        content, _ = shapes.content_of(self.body(shapes.FormBody))
        return Response({"jobs": [files.described(job) for job in files.upload_zip(request.user, content)]}, status=201)
