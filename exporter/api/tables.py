"""`/api/v1/data/tables`: which tables there are, how they are made, what is in them (F-001 to F-012)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from exporter import operations
from exporter.operations import Described
from permissions.tables import ExportAllowance, ImportAllowance
from servicevault.api.documents import Failure, envelope
from servicevault.api.views import ApiView
from servicevault.tables import Column
from servicevault.wording import say

_TEXTS = serializers.ListField(child=serializers.CharField())


class TableApi(ApiView):
    rate = "table_read"


class TableColumn(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField()
    nullable = serializers.BooleanField()
    primary_key = serializers.BooleanField()
    autoincrement = serializers.BooleanField(required=False)
    default = serializers.CharField(allow_null=True)
    max_length = serializers.IntegerField(allow_null=True)
    unique = serializers.BooleanField()
    data_type = serializers.CharField()
    comment = serializers.CharField(allow_blank=True)
    importable = serializers.BooleanField()
    exportable = serializers.BooleanField()


class TableDetail(serializers.Serializer[Any]):
    table_name = serializers.CharField()
    label = serializers.CharField()
    row_estimate = serializers.IntegerField()
    can_import = serializers.BooleanField()
    can_export = serializers.BooleanField()
    target_type = serializers.CharField()


class TableForeignKey(serializers.Serializer[Any]):
    columns = _TEXTS
    referred_table = serializers.CharField()
    referred_columns = _TEXTS


class TableIndex(serializers.Serializer[Any]):
    name = serializers.CharField()
    columns = _TEXTS
    unique = serializers.BooleanField()


class AvailableParameters(serializers.Serializer[Any]):
    detail = serializers.BooleanField(default=False, help_text="adds `details`")


class Available(TableApi):
    @extend_schema(
        operation_id="list_tables",
        parameters=[AvailableParameters],
        responses=envelope(
            "AvailableTables",
            tables=_TEXTS,
            total_count=serializers.IntegerField(),
            details=TableDetail(many=True, required=False),
        ),
        tags=["tables"],
    )
    def get(self, request: Request) -> Response:
        """Tables you may import or export, by name; one made a moment ago is among them."""
        given = self.query(AvailableParameters)
        found = operations.available(request.user)
        body: dict[str, Any] = {"tables": [table.table_name for table in found], "total_count": len(found)}
        if given["detail"]:
            body["details"] = [asdict(table) for table in found]
        return Response(body)


class Schema(TableApi):
    @extend_schema(
        operation_id="get_table_schema",
        responses=envelope(
            "TableSchema",
            table_name=serializers.CharField(),
            columns=TableColumn(many=True),
            primary_keys=_TEXTS,
            foreign_keys=TableForeignKey(many=True),
            indexes=TableIndex(many=True),
            sample_data=serializers.ListField(child=serializers.DictField()),
            row_estimate=serializers.IntegerField(),
        ),
        tags=["tables"],
    )
    def get(self, request: Request, table_name: str) -> Response:
        """Columns you may use, keys, indexes and three rows."""
        found = operations.describe(table_name, request.user)
        table, names = found.table, {column.name for column in found.columns}
        return Response(
            {
                "table_name": table.name,
                "columns": [_column(column, found) for column in found.columns],
                "primary_keys": [name for name in table.primary_key if name in names],
                "foreign_keys": [
                    {
                        "columns": list(key.columns),
                        "referred_table": key.referred_table,
                        "referred_columns": list(key.referred_columns),
                    }
                    for key in table.foreign_keys
                    if names.issuperset(key.columns)
                ],
                "indexes": [
                    {"name": index.name, "columns": list(index.columns), "unique": index.unique}
                    for index in table.indexes
                    if index.expressions or names.issuperset(index.columns)
                ],
                "sample_data": found.sample,
                "row_estimate": table.row_estimate,
            }
        )


def _column(column: Column, found: Described) -> dict[str, Any]:
    shown = {
        "name": column.name,
        "type": column.type,
        "nullable": column.nullable,
        "primary_key": column.name in found.table.primary_key,
        "default": column.default,
        "max_length": column.max_length,
        "unique": found.table.is_unique(column.name),
        "data_type": column.data_type,
        "comment": column.comment,
        "importable": column.name in found.importable,
        "exportable": column.name in found.exportable,
    }
    return {**shown, "autoincrement": True} if column.autoincrement else shown


class Permissions(TableApi):
    @extend_schema(
        operation_id="get_table_permissions",
        responses=envelope(
            "TablePermissions",
            table_name=serializers.CharField(),
            import_permission=serializers.DictField(),
            export_permission=serializers.DictField(),
        ),
        tags=["tables"],
    )
    def get(self, request: Request, table_name: str) -> Response:
        """What you may do with the table in both directions; without a row: nothing."""
        table, imports, exports = operations.allowances(table_name, request.user)
        return Response(
            {
                "table_name": table.name,
                "import_permission": _imports(imports),
                "export_permission": _exports(exports),
            }
        )


def _imports(allowance: ImportAllowance) -> dict[str, Any]:
    names = (
        "can_import", "can_validate", "can_preview", "max_file_size_mb", "max_rows_per_import", "allowed_formats",
        "requires_approval", "allowed_columns",
    )  # fmt: skip
    return {name: _plain(getattr(allowance, name)) for name in names}


def _exports(allowance: ExportAllowance) -> dict[str, Any]:
    names = (
        "can_export", "can_preview", "max_rows_per_export", "allowed_formats", "allowed_columns", "requires_approval",
    )  # fmt: skip
    return {name: _plain(getattr(allowance, name)) for name in names}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


class DataParameters(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=50)
    offset = serializers.IntegerField(min_value=0, max_value=2**31, default=0)
    search = serializers.CharField(max_length=255, default="", allow_blank=True)
    filters = serializers.CharField(max_length=100_000, default="", allow_blank=True, help_text="JSON")
    sort = serializers.CharField(max_length=10_000, default="", allow_blank=True, help_text="JSON, or -column,column")
    columns = serializers.CharField(
        max_length=100_000, default="", allow_blank=True, help_text="JSON, or column,column"
    )


class Data(TableApi):
    @extend_schema(
        operation_id="get_table_data",
        parameters=[DataParameters],
        responses={
            400: OpenApiResponse(Failure, description="A parameter is not JSON: `malformed_request`."),
            200: envelope(
                "TableData",
                table_name=serializers.CharField(),
                data=serializers.ListField(child=serializers.DictField()),
                total_rows=serializers.IntegerField(),
                returned_rows=serializers.IntegerField(),
                offset=serializers.IntegerField(),
                limit=serializers.IntegerField(),
                has_more=serializers.BooleanField(),
            ),
        },
        tags=["tables"],
    )
    def get(self, request: Request, table_name: str) -> Response:
        """Rows by page, searched, filtered and sorted; needs the right to preview exports."""
        given = self.query(DataParameters)
        found = operations.table_data(
            table_name,
            request.user,
            limit=given["limit"],
            offset=given["offset"],
            search=given["search"],
            filters=_json("filters", given["filters"]) or [],
            sort=_sort(given["sort"]),
            columns=_columns(given["columns"]),
        )
        return Response(
            {
                "table_name": found.table.name,
                "data": found.data,
                "total_rows": found.total_rows,
                "returned_rows": len(found.data),
                "offset": found.offset,
                "limit": found.limit,
                "has_more": found.has_more,
            }
        )


def _json(name: str, text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ParseError(say("`{name}` is not JSON.", name=name)) from None


def _sort(text: str) -> Any:
    if text.lstrip().startswith(("[", "{")):
        found = _json("sort", text)
        return [found] if isinstance(found, dict) else found
    names = [name for name in text.split(",") if name]
    return [
        {"column": name.removeprefix("-"), "direction": "desc" if name.startswith("-") else "asc"} for name in names
    ]


def _columns(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        found = _json("columns", text)
        if not all(isinstance(name, str) for name in found):
            raise serializers.ValidationError({"columns": [say("Columns are a list of names.")]})
        return list(found)
    return [name for name in text.split(",") if name]
