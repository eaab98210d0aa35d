"""The OpenAPI document: what every endpoint may answer besides its success (C13)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers


class Failure(serializers.Serializer[Any]):
    """The body of every failure; some kinds add members of their own."""

    message = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)
    request_id = serializers.CharField()


class Message(serializers.Serializer[Any]):
    message = serializers.CharField()


_ALWAYS = {
    "401": "Nobody is logged in: `authentication_required`.",
    "403": "A permission is missing, named in `required_permission`; or the host policy refuses an address.",
    "429": "Too many requests: `rate_limited`.",
}
_WITH_ID = {"404": "There is no such object, or it is not yours to see: `not_found`."}
_WITH_BODY = {
    "400": "The body cannot be read (`malformed_request`), or the source cannot be reached (`connection_failed`).",
    "409": "The object's state does not allow this: `conflict`, `profile_busy`, `profile_inactive`, `version_conflict`.",
    "415": "The body is of a type that is not read here.",
}
_CHECKED = {"422": "A value is not acceptable: `validation_error`, `query_invalid`, `expression_rejected`."}


class Document(AutoSchema):
    """Adds the failures that the conventions promise to each operation."""

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        failures = {**_ALWAYS, **_CHECKED}
        if "{" in self.path or self.method != "GET":  # a body may name objects too
            failures |= _WITH_ID
        if self.method != "GET" or getattr(self.view, "reads_source", False):
            failures |= _WITH_BODY
        for status, words in failures.items():
            if status not in bodies:
                told = OpenApiResponse(Failure, description=words)
                bodies[status] = self._get_response_for_code(told, status, direction=direction)
        return bodies


def envelope(name: str, **fields: Any) -> Any:
    """A named object of the document, such as `{message, profile}`."""
    return inline_serializer(name, fields)


def page_of(name: str, item: type[serializers.BaseSerializer[Any]]) -> Any:
    """A page of a list, as `listed` answers it."""
    from servicevault.api.views import Meta

    return inline_serializer(name, {"data": item(many=True), "meta": Meta()})
