"""The builder's help with mapping (M8, Q32, U25)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api.queries import QueryApi
from servicevault.api.documents import envelope
from servicevault.wording import say

LIST = serializers.ListField(child=serializers.DictField())
TEXTS = serializers.ListField(child=serializers.CharField())


class AutoMapBody(serializers.Serializer[Any]):
    """Either the query so far, or plain names of columns."""

    target_type = serializers.CharField(max_length=128)
    columns = serializers.ListField(child=serializers.CharField(max_length=255), required=False, max_length=2000)
    query = serializers.DictField(required=False)


class AutoMap(QueryApi):
    @extend_schema(
        operation_id="auto_map",
        request=AutoMapBody,
        responses={200: envelope("MappingsProposed", mappings=LIST, unmapped_targets=TEXTS, unused_sources=TEXTS)},
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Proposals with confidence and reason; what is mapped already stays as it is (M8, M17)."""
        profile = self.profile(pk, "change")
        given = self.body(AutoMapBody)
        if not given.get("query") and not given.get("columns"):
            raise serializers.ValidationError({"columns": [say("Send columns, or the query so far.")]})
        found = operations.auto_map(
            profile, given["target_type"], body=given.get("query"), columns=given.get("columns", ()), by=request.user
        )
        return Response(
            {
                "mappings": [
                    {
                        "source": item.source,
                        "target": item.target,
                        "transformation": [
                            {"name": name, "params": dict(params)} for name, params in item.transformation
                        ]
                        or None,
                        "confidence": round(item.confidence * 100),
                        "level": item.level,
                        "reason": item.reason,
                    }
                    for item in found.mappings
                ],
                "unmapped_targets": list(found.unmapped_targets),
                "unused_sources": list(found.unused_sources),
            }
        )


class SqlText(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=64 * 1024, trim_whitespace=False)


class ParseSql(QueryApi):
    @extend_schema(
        operation_id="parse_sql",
        request=SqlText,
        responses={200: envelope("SqlParsed", query=serializers.DictField(), unsupported=LIST)},
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """A pasted SELECT as parts of the builder, and what of it cannot be taken over (Q32). Nothing is run."""
        profile = self.profile(pk, "change")
        found = operations.parse_sql(profile, self.body(SqlText)["text"])
        return Response(
            {
                "query": found.query,
                "unsupported": [
                    {"text": item.text, "reason": item.reason, "position": item.position} for item in found.unsupported
                ],
            }
        )


class ValueMapBody(serializers.Serializer[Any]):
    field = serializers.CharField(max_length=128)
    entries = serializers.DictField(child=serializers.CharField(allow_null=True, allow_blank=True))


class ValueMaps(QueryApi):
    @extend_schema(
        operation_id="get_value_maps",
        responses=envelope("ValueMaps", fields=LIST),
        tags=["queries"],
    )
    def get(self, request: Request, pk: UUID, key: str) -> Response:
        """Mapped fields with fixed values: what the source has, what each becomes, what is still open."""
        profile = self.profile(pk, "change")
        found = operations.coded_fields(profile, self.stored(profile, key), by=request.user)
        return Response(
            {
                "fields": [
                    {
                        "field": item.field.name,
                        "allowed_values": list(item.field.choices),
                        "values": [{"value": seen.value, "count": seen.count} for seen in item.values],
                        "entries": dict(item.entries),
                        "unmapped": [seen.value for seen in item.unmapped],
                        "suggestions": [
                            {
                                "value": guess.value,
                                "target": guess.target,
                                "confidence": round(guess.confidence * 100),
                                "reason": guess.reason,
                            }
                            for guess in item.suggestions
                        ],
                        "complete": item.complete,
                    }
                    for item in found
                ]
            }
        )

    @extend_schema(
        operation_id="set_value_map",
        request=ValueMapBody,
        responses={200: envelope("ValueMapSet", value_maps=serializers.DictField())},
        tags=["queries"],
    )
    def put(self, request: Request, pk: UUID, key: str) -> Response:
        """Set what each source value of one field becomes; null leaves it empty."""
        profile = self.profile(pk, "change")
        query = self.stored(profile, key)
        given = self.body(ValueMapBody)
        changed = operations.set_value_map(query, given["field"], given["entries"], by=request.user)
        return Response({"value_maps": changed.value_maps})
