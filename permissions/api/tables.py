"""`/api/v1/data/permissions/import` and `/export`: rights on tables (F-132)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from permissions import granting
from permissions.models import ExportPermission, ImportPermission, Role
from permissions.models.tables import COLUMN_CHARACTERS, FORMAT_CHARACTERS, TABLE_NAME_CHARACTERS
from servicevault.api.slices import SliceParameters, slice_of, sliced
from servicevault.api.views import ApiView
from servicevault.wording import say


class Parameters(SliceParameters):
    user_id = serializers.UUIDField(required=False)
    role_id = serializers.UUIDField(required=False)
    table_name = serializers.CharField(required=False, max_length=TABLE_NAME_CHARACTERS)


def _number(**options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=granting.LARGEST, required=False, **options)


class _Values(serializers.Serializer[Any]):
    can_preview = serializers.BooleanField(required=False)
    allowed_formats = serializers.ListField(child=serializers.CharField(max_length=FORMAT_CHARACTERS), required=False)
    allowed_columns = serializers.ListField(child=serializers.CharField(max_length=COLUMN_CHARACTERS), required=False)
    requires_approval = serializers.BooleanField(required=False)


class ImportValues(_Values):
    """What a permission to import allows; absent members keep their value or default."""

    can_import = serializers.BooleanField(required=False)
    can_validate = serializers.BooleanField(required=False)
    max_file_size_mb = _number()
    max_rows_per_import = _number()
    max_imports_per_hour = _number(allow_null=True)
    max_imports_per_day = _number(allow_null=True)


class ExportValues(_Values):
    """What a permission to export allows; absent members keep their value or default."""

    can_export = serializers.BooleanField(required=False)
    max_rows_per_export = _number()
    row_filter = serializers.DictField(required=False)
    file_retention_hours = _number(allow_null=True)
    max_exports_per_hour = _number(allow_null=True)
    max_exports_per_day = _number(allow_null=True)


class _For(serializers.Serializer[Any]):
    user_id = serializers.UUIDField(required=False, allow_null=True)
    role_id = serializers.UUIDField(required=False, allow_null=True)
    table_name = serializers.CharField(max_length=TABLE_NAME_CHARACTERS)


class ImportRightBody(_For, ImportValues):
    pass


class ExportRightBody(_For, ExportValues):
    pass


_OF = ("id", "user_id", "role_id", "table_name", "created_at", "updated_at")


class ImportRow(serializers.ModelSerializer[ImportPermission]):
    class Meta:
        model = ImportPermission
        fields = (*_OF, *granting.EDITABLE["import"])


class ExportRow(serializers.ModelSerializer[ExportPermission]):
    class Meta:
        model = ExportPermission
        fields = (*_OF, *granting.EDITABLE["export"])


class GrantingView(ApiView):
    rate = "profiles"
    needs = (granting.PERMISSION,)
    kind: str
    row: type[serializers.BaseSerializer[Any]]
    body_shape: type[serializers.Serializer[Any]]
    values_shape: type[serializers.Serializer[Any]]


class TablePermissions(GrantingView):
    def get(self, request: Request) -> Response:
        """The rows of everybody, or those of a person, a role, a table."""
        given = self.query(Parameters)
        exact = {name: given[name] for name in ("user_id", "role_id", "table_name") if name in given}
        found = granting.KINDS[self.kind].objects.filter(**exact)
        return sliced(found, given, "permissions", lambda row: self.row(row).data)

    def post(self, request: Request) -> Response:
        """Give a person or a role rights on one table. A second row for the same is refused (409)."""
        given = self.body(self.body_shape)
        user_id, role_id = given.pop("user_id", None), given.pop("role_id", None)
        user = get_user_model().objects.filter(pk=user_id).first() if user_id else None
        role = Role.objects.filter(pk=role_id).first() if role_id else None
        if user_id and user is None:
            raise granting.Refused({"user_id": say("There is no such person.")})
        if role_id and role is None:
            raise granting.Refused({"role_id": say("There is no such role.")})
        name = given.pop("table_name")
        row = granting.grant(self.kind, by=request.user, table_name=name, values=given, user=user, role=role)
        return Response(self.row(row).data, status=201)


class TablePermission(GrantingView):
    def get(self, request: Request, pk: UUID) -> Response:
        """What one row allows."""
        row = granting.KINDS[self.kind].objects.filter(pk=pk).first()
        if row is None:
            raise Http404
        return Response(self.row(row).data)

    def put(self, request: Request, pk: UUID) -> Response:
        """Change what a row allows; absent members stay as they are."""
        return Response(
            self.row(granting.change(self.kind, pk, by=request.user, values=self.body(self.values_shape))).data
        )

    def delete(self, request: Request, pk: UUID) -> Response:
        """Take the rights away."""
        granting.revoke(self.kind, pk, by=request.user)
        return Response(status=204)


def _documented(kind: str, row: type, body: type, values: type) -> tuple[type[ApiView], type[ApiView]]:
    """The two views of one kind, with their place in the document."""
    members = {"kind": kind, "row": row, "body_shape": body, "values_shape": values}
    many = type(f"{kind.capitalize()}Permissions", (TablePermissions,), members)
    one = type(f"{kind.capitalize()}Permission", (TablePermission,), members)
    return (
        extend_schema_view(
            get=extend_schema(
                operation_id=f"list_{kind}_permissions",
                parameters=[Parameters],
                responses=slice_of(f"{kind.capitalize()}PermissionSlice", "permissions", row),
                tags=["permissions"],
            ),
            post=extend_schema(operation_id=f"grant_{kind}", request=body, responses={201: row}, tags=["permissions"]),
        )(many),
        extend_schema_view(
            get=extend_schema(operation_id=f"get_{kind}_permission", responses=row, tags=["permissions"]),
            put=extend_schema(
                operation_id=f"change_{kind}_permission", request=values, responses=row, tags=["permissions"]
            ),
            delete=extend_schema(operation_id=f"revoke_{kind}", responses={204: None}, tags=["permissions"]),
        )(one),
    )


ImportPermissions, OneImportPermission = _documented("import", ImportRow, ImportRightBody, ImportValues)
ExportPermissions, OneExportPermission = _documented("export", ExportRow, ExportRightBody, ExportValues)
