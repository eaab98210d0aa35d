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
from importer.api.profiles import shown as shown_profiles
from importer.api.queries import QueryApi
from importer.api.source import plain, printable, reveals_personal_data
from importer.mapping.sampling import Sample
from importer.models import ImportProfile
from importer.operations.previews import Previewed
from importer.operations.profile_preview import ProfilePreview, QueryPreview, Simulated, preview_profile, simulate
from servicevault.api.documents import envelope
from servicevault.wording import say
from templates_registry import operations as packs


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
            raise serializers.ValidationError({"limit": [say("A whole number from 1 to 100 is expected.")]})
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


class ProfilePreviewParameters(Reveal):
    query = serializers.CharField(max_length=64, required=False)
    query_type = serializers.CharField(max_length=128, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=100, default=10)


LIST = serializers.ListField(child=serializers.DictField())


class PreviewedTemplate(serializers.Serializer[Any]):
    """The template that the profile has, and how it fits the source."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    version = serializers.CharField(allow_blank=True)
    fit = serializers.DictField(allow_null=True, help_text="Null where it cannot be told.")
    fit_reason = serializers.CharField(allow_blank=True, help_text="Why the fit cannot be told; else empty.")


class PreviewProfile(QueryApi):
    @extend_schema(
        operation_id="preview_profile",
        parameters=[ProfilePreviewParameters],
        responses={
            200: envelope(
                "ProfilePreviewed",
                type=serializers.ChoiceField(["query", "template"]),
                profile=serializers.DictField(),
                configuration=serializers.DictField(),
                template=PreviewedTemplate(allow_null=True),
                queries=LIST,
                impact=serializers.DictField(),
                import_options=serializers.DictField(),
                masked=serializers.BooleanField(),
            )
        },
        tags=["builder"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """What the profile would import: each query with mapped rows and SQL, and the expected outcome (X6)."""
        profile = self.profile(pk)
        given = self.query(ProfilePreviewParameters)
        found = preview_profile(
            profile,
            by=request.user,
            keys=[given["query"]] if given.get("query") else (),
            target_type=given.get("query_type", ""),
            limit=given["limit"],
            reveal=reveals_personal_data(request, given["reveal"]),
        )
        wanted = [
            item
            for item in found.queries
            if given.get("query", item.query.key) == item.query.key
            and given.get("query_type", item.query.target_type) == item.query.target_type
        ]
        shows_raw = found.type == "template"
        return Response(
            {
                "type": found.type,
                "profile": shown_profiles([profile], request.user)[0],
                "configuration": {
                    "import_mode": profile.import_mode,
                    "matching": profile.matching,
                    "source_timezone": profile.source_timezone,
                    "account_strategy": profile.account_strategy,
                    "agent_strategy": profile.agent_strategy,
                },
                "template": _template(profile),
                "queries": [_query(item) | ({"raw_rows": _raw(item)} if shows_raw else {}) for item in wanted],
                "impact": _impact(found),
                "import_options": {"mode": profile.import_mode, "batch_size": "auto", "records": found.rows},
                "masked": found.masked,
            }
        )


def _template(profile: ImportProfile) -> dict[str, Any] | None:
    """The applied template and how it fits the source; `fit` is null where `fit_reason` says why it cannot be told."""
    found = packs.fit_of(profile)
    if found is None:
        return None
    return {
        "id": str(found.template.pk),
        "name": found.template.name,
        "version": profile.template_version,
        "fit": found.report.as_dict() if found.report is not None else None,
        "fit_reason": found.reason,
    }


def _raw(item: QueryPreview) -> list[dict[str, Any]]:
    """The sampled rows as the source has them, by the field each value feeds; masked as the mapped ones are."""
    return [dict(row.source) for row in item.sampled.sample.rows] if item.sampled else []


def _query(item: QueryPreview) -> dict[str, Any]:
    body = shapes.without_trees(operations.dumped(item.spec)) if item.spec else {}
    return {
        "key": item.query.key,
        "name": item.query.name,
        "target_type": item.query.target_type,
        "base_table": body.get("base"),
        "joins": body.get("joins", []),
        "filters": body.get("filters"),
        "fields": body.get("fields", []),
        "generated_sql": shapes.readable(item.compiled) if item.compiled else None,
        "parameters": shapes.parameters_of(item.compiled) if item.compiled else {},
        "sql_hash": item.compiled.sql_hash if item.compiled else None,
        "columns": list(item.compiled.columns) if item.compiled else [],
        "sample_data": _pairs(item.sampled.sample) if item.sampled else [],
        "estimated_records": item.expected.rows if item.expected else None,
        "estimate_exact": bool(item.expected and item.expected.exact),
        "warnings": item.warnings,
        "errors": [{"code": item.error.code, "message": str(item.error), "member": item.error.where}] if item.error else [],
    }  # fmt: skip


def _pairs(sample: Sample) -> list[dict[str, Any]]:
    """Each row as it was read and as it would be stored."""
    return [
        {
            "external_id": row.identifier,
            "outcome": str(row.outcome),
            "source": {name: plain(value) for name, value in row.source.items()},
            "target": {name: plain(value) for name, value in row.target.items()},
        }
        for row in sample.rows
    ]


def _impact(found: ProfilePreview) -> dict[str, Any]:
    impact = found.impact
    return {
        **impact.counts,
        "basis": impact.basis,
        "waiting_for_other_queries": impact.waiting,  # of the failed ones
        "sample_size": impact.sample_size,
        "rehearsed_at": impact.rehearsed_at,
    }


class SimulateBody(serializers.Serializer[Any]):
    configuration = serializers.DictField()
    limit = serializers.IntegerField(min_value=1, max_value=100, default=10)


class Simulate(QueryApi):
    @extend_schema(
        operation_id="simulate",
        request=SimulateBody,
        parameters=[Reveal],
        responses={
            200: envelope(
                "SimulatedImport",
                sql=serializers.CharField(),
                results=serializers.DictField(),
            )
        },
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """What an unsaved configuration would import; nothing is written (X7)."""
        profile = self.profile(pk)
        given = self.body(SimulateBody)
        reveals = reveals_personal_data(request, self.query(Reveal)["reveal"])
        found = simulate(profile, given["configuration"], by=request.user, limit=given["limit"], reveal=reveals)
        return Response(
            {
                "sql": "\n\n".join(shapes.readable(item.compiled) for item in found),
                "results": {
                    "estimated_records": sum(item.rows.rows for item in found),
                    "sample_data": [pair for item in found for pair in _pairs(item.sampled.sample)],
                    "mapped_fields": sum(len(item.spec.fields) for item in found),
                    "target_entities": _targets(found),
                    "warnings": [text for item in found for text in item.warnings],
                },
            }
        )


def _targets(found: list[Simulated]) -> list[str]:
    return list(dict.fromkeys(item.spec.target_type for item in found))
