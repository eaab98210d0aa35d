"""Rows before they are imported: of a query, of a table, of a whole profile (Q13, Q15, X6)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api import query_shapes as shapes
from importer.api.failures import shown
from importer.api.queries import QueryApi
from importer.api.source import plain, printable, reveals_personal_data
from importer.operations.previews import Previewed
from servicevault.api.documents import envelope


class Reveal(serializers.Serializer[Any]):
    reveal = serializers.BooleanField(default=False)


class PreviewQuery(QueryApi):
    @extend_schema(
        operation_id="preview_query",
        request=shapes.PreviewBody,
        parameters=[Reveal],
        responses={200: shapes.Previewed},
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """The first rows of a query under their target names, with its SQL and its number of rows."""
        profile = self.profile(pk)
        body = dict(self.sent())
        limit, steps = body.pop("limit", 10), bool(body.pop("steps", False))
        if not isinstance(limit, int) or isinstance(limit, bool):
            raise serializers.ValidationError({"limit": ["A whole number from 1 to 100 is expected."]})
        reveals = reveals_personal_data(request, self.query(Reveal)["reveal"])
        found = operations.preview_query(profile, body, by=request.user, limit=limit, steps=steps, reveal=reveals)
        return Response(previewed_json(found))


def previewed_json(found: Previewed) -> dict[str, Any]:
    """A preview as `Previewed` describes it."""
    spec, compiled = found.judged.accepted()
    sources = {
        field["target"]: field.get("source")
        for field in shapes.without_trees(operations.dumped(spec)["fields"])
        if field.get("source")
    }
    rows = found.judged.rows
    return {
        "sample_data": printable(found.records()),
        "estimated_records": rows.rows if rows else None,
        "estimate_exact": bool(rows and rows.exact),
        "generated_query": shapes.readable(compiled),
        "parameters": shapes.parameters_of(compiled),
        "sql_hash": compiled.sql_hash,
        "columns": [
            {"name": name, "type": type_name, "source": sources.get(name)} for name, type_name in found.sample.columns
        ],
        "counts": list(found.steps),
        "warnings": [shown(problem) for problem in found.judged.warnings],
        "query_ms": found.sample.query_ms,
        "masked": found.masked,
    }


class TableBody(serializers.Serializer[Any]):
    table_name = serializers.CharField(max_length=130)
    schema = serializers.CharField(max_length=63, required=False, allow_blank=True)
    limit = serializers.IntegerField(min_value=1, max_value=100, default=10)


class PreviewTable(QueryApi):
    @extend_schema(
        operation_id="preview_table",
        request=TableBody,
        parameters=[Reveal],
        responses={
            200: envelope(
                "TablePreviewed",
                columns=shapes.OutputColumn(many=True),
                sample_data=serializers.ListField(child=serializers.DictField()),
                row_count=serializers.IntegerField(allow_null=True),
            )
        },
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """The first rows of a table (Q15)."""
        profile = self.profile(pk)
        given = self.body(TableBody)
        reveals = reveals_personal_data(request, self.query(Reveal)["reveal"])
        found = operations.preview_table(
            profile,
            given["table_name"],
            by=request.user,
            schema=given.get("schema", ""),
            limit=given["limit"],
            reveal=reveals,
        )
        return Response(
            {
                "columns": [
                    {"name": column.name, "type": column.type, "source": None} for column in found.table.columns
                ],
                "sample_data": [{name: plain(value) for name, value in row.items()} for row in found.rows],
                "row_count": found.table.row_estimate,
            }
        )
