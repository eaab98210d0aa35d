"""Roles and direct grants, for super admins."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from import_export.admin import ImportExportModelAdmin

from permissions import audit, granting, roles
from permissions.models import Approval, AuditEntry, ExportPermission, Grant, ImportPermission, Role
from servicevault.wording import say


class RoleForm(forms.ModelForm):
    permissions = forms.MultipleChoiceField(
        label=say("Permissions"),
        choices=[
            (say("Functions"), list(roles.FUNCTIONAL.items())),
            (say("Pages"), list(roles.PAGES.items())),
            (say("Widgets"), list(roles.WIDGETS.items())),
        ],
        required=False,
        widget=forms.SelectMultiple(attrs={"size": 28}),
    )

    class Meta:
        model = Role
        fields = ("name", "permissions")


@admin.register(Role)
class RoleAdmin(admin.ModelAdmin):
    form = RoleForm
    list_display = ("name", "is_system")
    search_fields = ("name",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = set(Role.objects.get(pk=obj.pk).permissions) if change else set()
        super().save_model(request, obj, form, change)
        given, taken = set(obj.permissions) - before, before - set(obj.permissions)
        details = {"role": obj.name, "given": sorted(given), "taken": sorted(taken)}
        audit.record("role_changed", user=request.user, obj=obj, details=details)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Roles we ship stay: imports give one of them to agents by name."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_system)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name",) if obj is not None and obj.is_system else ()


class ReadOnly(admin.ModelAdmin):
    """What nobody edits, for super admins to read."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly):
    list_display = ("timestamp", "operation", "user_id", "table_name", "result", "ip_address")
    list_filter = ("result", "operation")
    search_fields = ("table_name", "object_id", "request_id")
    date_hierarchy = "timestamp"


@admin.register(Approval)
class ApprovalAdmin(ReadOnly):
    list_display = ("requested_at", "kind", "profile", "table_name", "status", "requested_by", "decided_by")
    list_filter = ("status", "kind")
    list_select_related = ("requested_by", "decided_by")


class TablePermissionAdmin(ImportExportModelAdmin):
    """Rows for tables; given and taken through the same functions as everywhere, so that each change is on record."""

    kind: str
    list_display = ("table_name", "user", "role", "can_preview", "requires_approval")
    list_filter = ("role", "requires_approval")
    list_select_related = ("user", "role")
    search_fields = ("table_name", "user__name", "user__email")
    raw_id_fields = ("user",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        operation = "permission_changed" if change else "permission_granted"
        granting.record(operation, self.kind, obj, request.user, fields=sorted(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        granting.record("permission_revoked", self.kind, obj, request.user)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def has_import_permission(self, request: HttpRequest, **kwargs: Any) -> bool:
        """Rights come by the pages and the API, which check tables and columns; files would not."""
        return False


@admin.register(ImportPermission)
class ImportPermissionAdmin(TablePermissionAdmin):
    kind = "import"


@admin.register(ExportPermission)
class ExportPermissionAdmin(TablePermissionAdmin):
    kind = "export"


@admin.register(Grant)
class GrantAdmin(admin.ModelAdmin):
    list_display = ("user", "permission", "granted_by", "created_at")
    list_filter = ("permission",)
    list_select_related = ("user", "granted_by")
    search_fields = ("user__name", "user__email")
    fields = ("user", "permission")
    raw_id_fields = ("user",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.granted_by = request.user
        super().save_model(request, obj, form, change)
        self._record("permission_changed" if change else "permission_granted", request, obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._record("permission_revoked", request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for grant in queryset:
            self.delete_model(request, grant)

    def _record(self, operation: str, request: HttpRequest, grant: Grant) -> None:
        details = {"permission": grant.permission, "user_id": str(grant.user_id)}
        audit.record(operation, user=request.user, obj=grant, details=details)
