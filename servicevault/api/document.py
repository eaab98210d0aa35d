"""The OpenAPI document, made once per process: it takes seconds, and only a new version of the code changes it."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request


class Document(SchemaGenerator):
    """The generator that the views ask; the same for everybody."""

    def get_schema(self, request: Request | None = None, public: bool = False) -> dict[str, Any]:
        return _document()


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return document
