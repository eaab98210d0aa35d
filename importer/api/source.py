"""What the source contains: schema, samples, e-mail and time columns, the builder's table list (I1-I12)."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api.profiles import ImportApi
from importer.models import ImportProfile
from importer.operations import schema
from importer.operations.previews import masked_rows
from importer.sources.relations import declared_relations
from importer.sources.schema import Column, Table
from permissions import policy
from servicevault.api.documents import envelope, page_of
from servicevault.api.views import PageParameters, listed
from servicevault.wording import say

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


class SourceApi(ImportApi):
    rate = "builder"
    reads_source = True


class ColumnShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField()
    nullable = serializers.BooleanField()
    default = serializers.CharField(allow_null=True)
    primary_key = serializers.BooleanField()
    foreign_key = serializers.DictField(allow_null=True)
    comment = serializers.CharField(allow_null=True)
    role = serializers.CharField(allow_null=True)


class TableShape(serializers.Serializer[Any]):
    schema = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()
    table_comment = serializers.CharField(allow_null=True)
    row_count = serializers.IntegerField(allow_null=True)
    row_count_exact = serializers.BooleanField()
    size_bytes = serializers.IntegerField(allow_null=True)
    size_pretty = serializers.CharField(allow_blank=True)
    primary_key = serializers.ListField(child=serializers.CharField())
    columns = ColumnShape(many=True)
    foreign_keys = serializers.ListField(child=serializers.DictField())
    unique_keys = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
    indexes = serializers.ListField(child=serializers.DictField())


class SchemaShape(serializers.Serializer[Any]):
    tables = TableShape(many=True)
    relationships = serializers.ListField(child=serializers.DictField())


class SchemaParameters(serializers.Serializer[Any]):
    refresh = serializers.BooleanField(default=False)
    schema = serializers.CharField(required=False, max_length=63)
    search = serializers.CharField(required=False, max_length=255)


class Schema(SourceApi):
    @extend_schema(
        operation_id="get_schema",
        parameters=[SchemaParameters],
        responses=envelope(
            "SchemaRead",
            schema=SchemaShape(),
            server_info=serializers.DictField(),
            read_at=serializers.DateTimeField(),
            hint=serializers.CharField(allow_blank=True),
        ),
        tags=["source"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """Tables, columns and keys the login may read; estimates of rows, never a count (I1, I4)."""
        profile = self.profile(pk, "change")
        given = self.query(SchemaParameters)
        found = operations.source_map(profile, refresh=given["refresh"])
        hits = schema.search_tables(found.schema, given.get("search", ""), in_schema=given.get("schema", ""))
        shown = {(hit.table.schema, hit.table.name) for hit in hits}
        relations = [
            {
                "table": f"{item.schema}.{item.table}",
                "columns": list(item.columns),
                "ref_table": f"{item.ref_schema}.{item.ref_table}",
                "ref_columns": list(item.ref_columns),
                "source": item.source,
            }
            for item in declared_relations(found.schema)
            if (item.schema, item.table) in shown
        ]
        return Response(
            {
                "schema": {"tables": [table_json(hit.table) for hit in hits], "relationships": relations},
                "server_info": {"version": found.server_version, "database": found.database},
                "read_at": found.read_at,
                "hint": found.hint,
            }
        )


def table_json(table: Table) -> dict[str, Any]:
    """A table as the API tells it."""
    return {
        "schema": table.schema,
        "name": table.name,
        "kind": table.kind,
        "table_comment": table.comment,
        "row_count": table.row_estimate,
        "row_count_exact": False,
        "size_bytes": table.size_bytes,
        "size_pretty": pretty_size(table.size_bytes),
        "primary_key": list(table.primary_key),
        "columns": [column_json(table, column) for column in table.columns],
        "foreign_keys": [
            {
                "columns": list(key.columns),
                "ref_schema": key.ref_schema,
                "ref_table": key.ref_table,
                "ref_columns": list(key.ref_columns),
            }
            for key in table.foreign_keys
        ],
        "unique_keys": [list(key) for key in table.unique_keys],
        "indexes": [
            {"name": index.name, "columns": list(index.columns), "unique": index.unique} for index in table.indexes
        ],
    }


def column_json(table: Table, column: Column) -> dict[str, Any]:
    foreign = next((key for key in table.foreign_keys if key.columns == (column.name,)), None)
    return {
        "name": column.name,
        "type": column.type,
        "nullable": column.nullable,
        "default": column.default,
        "primary_key": column.name in table.primary_key,
        "foreign_key": (
            {"schema": foreign.ref_schema, "table": foreign.ref_table, "column": foreign.ref_columns[0]}
            if foreign
            else None
        ),
        "comment": column.comment,
        "role": column.role,
    }


def pretty_size(size: int | None) -> str:
    """A size as people read it: "8,192 bytes", "1.2 GB"."""
    if size is None:
        return ""
    value, unit = float(size), 0
    while value >= 10_240 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:,.0f} {UNITS[unit]}"


class IntrospectParameters(serializers.Serializer[Any]):
    tables = serializers.CharField(max_length=2000, help_text="Names with commas, at most 20.")
    reveal = serializers.BooleanField(default=False)


class Introspect(SourceApi):
    @extend_schema(
        operation_id="introspect_tables",
        parameters=[IntrospectParameters],
        responses=envelope("TablesIntrospected", tables=serializers.ListField(child=serializers.DictField())),
        tags=["source"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """Columns, estimated rows and three sample rows of at most 20 tables (I5)."""
        profile = self.profile(pk, "change")
        given = self.query(IntrospectParameters)
        names = [name.strip() for name in given["tables"].split(",") if name.strip()]
        reveals = reveals_personal_data(request, given["reveal"])
        found = schema.table_samples(profile, names, by=request.user)
        return Response(
            {
                "tables": [
                    {**table_json(table), "sample_data": printable(rows if reveals else masked_rows(table, rows))}
                    for table, rows in found
                ]
            }
        )


class ColumnsFound(serializers.Serializer[Any]):
    schema = serializers.CharField()
    table = serializers.CharField()
    column = serializers.CharField()
    role = serializers.CharField()
    evidence = serializers.CharField()


COLUMNS = envelope("ColumnsWithRole", columns=ColumnsFound(many=True))


class EmailColumns(SourceApi):
    @extend_schema(operation_id="find_email_columns", responses=COLUMNS, tags=["source"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Columns that look as if they held e-mail addresses, by name and type (I6, I12)."""
        return _columns(self.profile(pk, "change"), schema.EMAIL_ROLES)


class TimeColumns(SourceApi):
    @extend_schema(operation_id="find_time_columns", responses=COLUMNS, tags=["source"])
    def get(self, request: Request, pk: UUID) -> Response:
        """Columns that look as if they held worked time, its start or its end (I6, I12)."""
        return _columns(self.profile(pk, "change"), schema.TIME_ROLES)


def _columns(profile: ImportProfile, roles: tuple[str, ...]) -> Response:
    known = operations.source_map(profile).schema
    found = [
        {
            "schema": table.schema,
            "table": table.name,
            "column": column.name,
            "role": column.role,
            "evidence": say("Its name and its type {type}.", type=column.type),
        }
        for table, column in schema.columns_with_role(known, roles)
    ]
    return Response({"columns": found})


class TableParameters(PageParameters):
    search = serializers.CharField(required=False, max_length=255)
    schema = serializers.CharField(required=False, max_length=63)
    hide_empty = serializers.BooleanField(default=False)


class TableListed(serializers.Serializer[Any]):
    schema = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()
    table_comment = serializers.CharField(allow_null=True)
    row_count = serializers.IntegerField(allow_null=True)
    matched = serializers.ListField(child=serializers.CharField())


class Tables(SourceApi):
    @extend_schema(
        operation_id="list_builder_tables",
        parameters=[TableParameters],
        responses=page_of("TablePage", TableListed),
        tags=["builder"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """The tables without their columns; a search says what matched (I7, I8)."""
        profile = self.profile(pk, "change")
        given = self.query(TableParameters)
        known = operations.source_map(profile).schema
        found = schema.search_tables(
            known, given.get("search", ""), in_schema=given.get("schema", ""), hide_empty=given["hide_empty"]
        )
        return listed(
            found,
            given,
            lambda hit: {
                "schema": hit.table.schema,
                "name": hit.table.name,
                "kind": hit.table.kind,
                "table_comment": hit.table.comment,
                "row_count": hit.table.row_estimate,
                "matched": list(hit.matched),
            },
        )


def reveals_personal_data(request: Request, asked: bool) -> bool:
    """Whether rows are shown unmasked: on request, with the permission and a purpose (X17)."""
    if not asked:
        return False
    policy.require(request.user, "import.pii.reveal")
    purpose = str(request.query_params.get("purpose") or request.headers.get("X-Purpose", "")).strip()
    if len(purpose) < 3:
        raise serializers.ValidationError({"purpose": [say("Say what you need the unmasked data for.")]})
    return True


def printable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with values JSON has no form for as texts."""
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def plain(value: Any) -> Any:
    """A value of the source as JSON has it; whatever else there is as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes | memoryview):
        return "\\x" + bytes(value).hex()
    return str(value)
