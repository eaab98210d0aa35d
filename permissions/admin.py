"""Roles and direct grants, for super admins."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from permissions import roles
from permissions.models import Grant, Role


class RoleForm(forms.ModelForm):
    permissions = forms.MultipleChoiceField(
        choices=[
            ("Functions", list(roles.FUNCTIONAL.items())),
            ("Pages", list(roles.PAGES.items())),
            ("Widgets", list(roles.WIDGETS.items())),
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

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Roles we ship stay: imports give one of them to agents by name."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_system)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name",) if obj is not None and obj.is_system else ()


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
