"""`/api/import/profiles/{id}/queries` and the builder's questions (Q20)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api import query_shapes as shapes
from importer.api.failures import shown
from importer.api.profiles import ImportApi
from importer.models import ImportProfile, ImportQuery
from importer.operations import drafts, schema
from importer.operations.queries import SavedQuery
from importer.sources.schema import Relation
from servicevault.api.documents import Message, envelope, page_of
from servicevault.api.views import PageParameters, listed
from servicevault.wording import say

SAVED = envelope(
    "QuerySaved",
    message=serializers.CharField(),
    query=shapes.Query(),
    generated_sql=serializers.CharField(),
    warnings=shapes.Finding(many=True),
)


class QueryApi(ImportApi):
    rate = "builder"
    reads_source = True

    def sent(self) -> dict[str, Any]:
        """The body as it came: the query language reads it member by member. Raises ValidationError for no object."""
        if not isinstance(self.request.data, dict):
            raise serializers.ValidationError({"": [say("An object is expected.")]})
        return self.request.data

    def stored(self, profile: ImportProfile, key: str) -> ImportQuery:
        query = ImportQuery.objects.filter(profile=profile, key=key).first()
        if query is None:
            raise Http404
        return query

    def save(self, profile: ImportProfile, *, key: str = "") -> Response:
        body = self.sent()
        version = body.get("version") if key and isinstance(body.get("version"), int) else None
        saved = operations.save_query(profile, body, by=self.request.user, key=key, version=version)
        return self.answer(saved, say("The query is stored.") if saved.is_new else say("The query is replaced."))

    def answer(self, saved: SavedQuery, message: str) -> Response:
        assert saved.judged.compiled is not None
        return Response(
            {
                "message": message,
                "query": shapes.Query(saved.query).data,
                "generated_sql": shapes.readable(saved.judged.compiled),
                "warnings": [shown(problem) for problem in saved.judged.warnings],
            },
            status=201 if saved.is_new else 200,
        )


class Queries(QueryApi):
    @extend_schema(
        operation_id="list_queries",
        parameters=[PageParameters],
        responses=page_of("QueryPage", shapes.Query),
        tags=["queries"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """The profile's queries in run order."""
        found = operations.profile_queries(self.profile(pk))
        return listed(found, self.query(PageParameters), lambda query: shapes.Query(query).data)

    @extend_schema(
        operation_id="save_query", request=shapes.QueryBody, responses={201: SAVED, 200: SAVED}, tags=["queries"]
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Store a query that has no error; one with the same key is replaced."""
        return self.save(self.profile(pk, "change"))


class OneQuery(QueryApi):
    @extend_schema(operation_id="get_query", responses=shapes.Query, tags=["queries"])
    def get(self, request: Request, pk: UUID, key: str) -> Response:
        """One query as it is stored."""
        return Response(shapes.Query(self.stored(self.profile(pk), key)).data)

    @extend_schema(operation_id="replace_query", request=shapes.QueryBody, responses={200: SAVED}, tags=["queries"])
    def put(self, request: Request, pk: UUID, key: str) -> Response:
        """Replace a query; with `version`, only when nobody saved it since."""
        profile = self.profile(pk, "change")
        query = self.stored(profile, key)
        body = {**operations.body_of(query), **self.sent()}
        self.request._full_data = body
        return self.save(profile, key=key)

    @extend_schema(operation_id="delete_query", responses={200: Message}, tags=["queries"])
    def delete(self, request: Request, pk: UUID, key: str) -> Response:
        """Take the query out of the profile; what it imported stays."""
        operations.delete_query(self.stored(self.profile(pk, "change"), key))
        return Response({"message": say("The query is deleted.")})


class Keys(serializers.Serializer[Any]):
    keys_ = serializers.ListField(child=serializers.CharField(max_length=64), max_length=200)

    def get_fields(self) -> dict[str, Any]:
        return {"keys": super().get_fields()["keys_"]}


class Reorder(QueryApi):
    @extend_schema(
        operation_id="reorder_queries",
        request=Keys,
        responses={200: envelope("Reordered", priority_order=serializers.ListField(child=serializers.CharField()))},
        tags=["queries"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Set the order in which queries run."""
        profile = self.profile(pk, "change")
        return Response({"priority_order": operations.reorder_queries(profile, self.body(Keys)["keys"])})


class Versions(QueryApi):
    @extend_schema(
        operation_id="list_query_versions",
        responses=envelope("Versions", data=serializers.ListField(child=serializers.DictField())),
        tags=["queries"],
    )
    def get(self, request: Request, pk: UUID, key: str) -> Response:
        """The forms the query was saved in, newest first (Q26)."""
        query = self.stored(self.profile(pk), key)
        rows = query.versions.select_related("saved_by")
        return Response(
            {
                "data": [
                    {
                        "number": row.number,
                        "saved_at": row.saved_at,
                        "saved_by": str(row.saved_by or ""),
                        "query": shapes.without_trees(row.spec),
                    }
                    for row in rows
                ]
            }
        )


class RestoreVersion(QueryApi):
    @extend_schema(operation_id="restore_query_version", request=None, responses={200: SAVED}, tags=["queries"])
    def post(self, request: Request, pk: UUID, key: str, number: int) -> Response:
        """Save an earlier form again, as the newest."""
        query = self.stored(self.profile(pk, "change"), key)
        saved = operations.restore_version(query, number, by=request.user)
        return self.answer(saved, say("Version {number} is restored.", number=number))


class Expected(serializers.Serializer[Any]):
    version = serializers.IntegerField(required=False, min_value=1)


class ConvertToSql(QueryApi):
    @extend_schema(operation_id="convert_query_to_sql", request=Expected, responses={200: SAVED}, tags=["queries"])
    def post(self, request: Request, pk: UUID, key: str) -> Response:
        """Make a built query the SQL it stands for (Q25). There is no way back but an earlier version.

        Its fields and value maps stay; tables, joins, filters and groups become text, relative dates the days they
        mean now. With `version`, only when nobody saved it since.
        """
        profile = self.profile(pk, "change")
        query = self.stored(profile, key)
        saved = operations.convert_to_sql(
            profile, operations.body_of(query), by=request.user, key=key, version=self.body(Expected).get("version")
        )
        return self.answer(
            saved, say("The query is SQL now; its blocks are version {version}.", version=saved.query.version - 1)
        )


class Draft(QueryApi):
    @extend_schema(
        operation_id="get_query_draft",
        responses=envelope(
            "Draft",
            query=serializers.DictField(),
            is_changed=serializers.BooleanField(),
            updated_at=serializers.DateTimeField(),
        ),
        tags=["queries"],
    )
    def get(self, request: Request, pk: UUID, key: str) -> Response:
        """Your unsaved work on the query; what is saved when there is none (Q3)."""
        profile = self.profile(pk, "change")
        draft = profile.drafts.filter(user=request.user, key=key).first()
        if draft is None:
            query = self.stored(profile, key)
            body, changed, at = operations.body_of(query), False, query.updated_at
        else:
            body, changed, at = drafts.body_in(draft), drafts.is_changed(draft), draft.updated_at
        return Response({"query": shapes.without_trees(body), "is_changed": changed, "updated_at": at})


# -- the builder's questions -------------------------------------------------------------------------------------


class Validate(QueryApi):
    @extend_schema(
        operation_id="validate_query", request=shapes.QueryBody, responses={200: shapes.Validated}, tags=["builder"]
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Everything that is wrong with a query, its SQL and its number of rows; 200 also when it is not valid."""
        judged = operations.validate_query(self.profile(pk, "change"), self.sent(), by=request.user)
        return Response(shapes.judged_json(judged))


class AnalyzeJoins(QueryApi):
    @extend_schema(
        operation_id="analyze_joins",
        request=shapes.QueryBody,
        responses={200: envelope("JoinsAnalyzed", joins=serializers.ListField(child=serializers.DictField()))},
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """What each join does to the rows before it (Q16)."""
        found = operations.analyze_joins(self.profile(pk, "change"), self.sent(), by=request.user)
        return Response(
            {
                "joins": [
                    {
                        "table": join.table,
                        "alias": join.alias,
                        "matched_records": join.matched_records,
                        "unmatched_records": join.unmatched_records,
                        "multiplicity": join.multiplicity,
                        "fan_out": join.fan_out,
                        "impact": join.impact,
                    }
                    for join in found
                ]
            }
        )


class JoinTables(serializers.Serializer[Any]):
    base_table = serializers.CharField(required=False, max_length=130)
    tables = serializers.ListField(child=serializers.CharField(max_length=130), required=False, max_length=20)
    refresh = serializers.BooleanField(default=False)


class SuggestJoins(QueryApi):
    @extend_schema(
        operation_id="suggest_joins",
        request=JoinTables,
        responses={200: envelope("JoinsSuggested", suggestions=serializers.ListField(child=serializers.DictField()))},
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Joins worth offering from these tables, with their evidence; nothing is joined by asking (Q8, N-001)."""
        profile = self.profile(pk, "change")
        given = self.body(JoinTables)
        names = [*([given["base_table"]] if given.get("base_table") else []), *given.get("tables", [])]
        if not names:
            raise serializers.ValidationError({"base_table": [say("Name at least one table.")]})
        known = schema.source_map(profile).schema
        tables = [schema.table_of(known, name) for name in names]
        found = schema.suggest_joins(profile, [table.full_name for table in tables], refresh=given["refresh"])
        return Response({"suggestions": [_suggestion(relation, tables) for relation in found]})


def _suggestion(relation: Relation, tables: list[Any]) -> dict[str, Any]:
    """A relation as a join to add: the table that is not there yet on the right."""
    present = {(table.schema, table.name) for table in tables}
    outward = (relation.schema, relation.table) in present
    here, there = (relation.table, relation.ref_table) if outward else (relation.ref_table, relation.table)
    pairs = zip(relation.columns, relation.ref_columns, strict=False)
    conditions = [
        {
            "left": f"{here}.{mine if outward else theirs}",
            "operator": "=",
            "right": f"{there}.{theirs if outward else mine}",
        }
        for mine, theirs in pairs
    ]
    return {
        "table": there,
        "schema": relation.ref_schema if outward else relation.schema,
        "alias": there,
        "conditions": conditions,
        "type": "LEFT",
        "confidence": relation.confidence,
        "source": relation.source,
        "evidence": list(relation.evidence),
        "multiplicity": relation.multiplicity if outward else _turned(relation.multiplicity),
        "polymorphic": relation.polymorphic,
        "type_column": relation.type_column,
        "type_values": list(relation.type_values),
    }


def _turned(multiplicity: str) -> str:
    return {"n:1": "1:n"}.get(multiplicity, multiplicity)


class SuggestFilters(QueryApi):
    @extend_schema(
        operation_id="suggest_filters",
        request=shapes.QueryBody,
        responses={200: envelope("FiltersSuggested", suggestions=serializers.ListField(child=serializers.DictField()))},
        tags=["builder"],
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Filters worth offering for the query, each with the rows it would leave (F8)."""
        profile = self.profile(pk, "change")
        offered = operations.offer_filters(profile, {"fields": ["id"], **self.sent()}, by=request.user)
        return Response(
            {
                "suggestions": [
                    {
                        "label": item.suggestion.label,
                        "filter": shapes.without_trees(item.suggestion.condition),
                        "reason": item.suggestion.reason,
                        "records": item.rows.rows if item.rows else None,
                        "exact": bool(item.rows and item.rows.exact),
                    }
                    for item in offered
                ]
            }
        )
