"""The domain in Django's admin: people and lookups to edit, the rest is seen in the site's own pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from import_export import resources
from import_export.admin import ExportActionModelAdmin, ImportExportModelAdmin

from permissions import audit
from servicevault.models import (
    Account,
    BillingRate,
    Ticket,
    TicketCategory,
    TicketComment,
    TicketPriority,
    TicketStatus,
    TimeEntry,
    User,
)
from servicevault.wording import say

admin.site.site_header = admin.site.site_title = "Service Vault"


class PersonForm(forms.ModelForm):
    """A person; a password is only ever set, never shown, not even as its hash."""

    new_password = forms.CharField(
        label=say("New password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text=say("Leave it empty to keep the present one. People without a password cannot log in."),
    )

    class Meta:
        model = User
        fields = (
            *("user_type", "username", "name", "email", "account", "role", "phone", "job_title", "timezone", "locale"),
            *("is_active", "is_visible", "is_superuser"),
        )

    def clean_username(self) -> str | None:
        return self.cleaned_data["username"] or None  # two people without a username are not the same

    def clean_email(self) -> str | None:
        return (self.cleaned_data["email"] or "").lower() or None

    def save(self, commit: bool = True) -> User:
        if self.cleaned_data["new_password"]:
            self.instance.set_password(self.cleaned_data["new_password"])
        return super().save(commit)


class PersonResource(resources.ModelResource):
    """People as a file: what identifies them, never their password or their rights."""

    class Meta:
        model = User
        fields = (
            *("id", "user_type", "name", "email", "account", "phone", "job_title", "timezone", "locale"),
            *("is_active", "created_at"),
        )
        export_order = fields


@admin.register(User)
class UserAdmin(ExportActionModelAdmin):
    resource_classes = [PersonResource]
    form = PersonForm
    list_display = ("name", "email", "username", "user_type", "role", "account", "is_active", "is_superuser")
    list_filter = ("user_type", "role", "is_active", "is_superuser")
    list_select_related = ("role", "account")
    search_fields = ("name", "email", "username")
    raw_id_fields = ("account",)
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if changed := sorted({"role", "is_superuser", "is_active"} & set(form.changed_data)):
            details = {"fields": changed, "role": str(obj.role or ""), "is_superuser": obj.is_superuser}
            audit.record("role_changed", user=request.user, obj=obj, details=details)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # records name people; switching one off is enough


@admin.register(Account)
class AccountAdmin(ImportExportModelAdmin):
    list_display = ("name", "account_type", "domain", "is_active")
    list_filter = ("account_type", "is_active")
    search_fields = ("name", "domain")
    show_full_result_count = False


@admin.register(TicketStatus, TicketPriority, TicketCategory)
class LookupAdmin(ImportExportModelAdmin):
    list_display = ("name", "key", "sort_order", "is_active")
    list_filter = ("is_active",)
    search_fields = ("name", "key")


@admin.register(BillingRate)
class BillingRateAdmin(ImportExportModelAdmin):
    list_display = ("name", "rate", "account", "user", "is_default", "is_active")
    list_select_related = ("account", "user")
    raw_id_fields = ("account", "user")


@admin.register(Ticket)
class TicketAdmin(ImportExportModelAdmin):
    list_display = ("ticket_number", "title", "status", "account", "agent", "created_at")
    list_filter = ("status",)
    list_select_related = ("account", "agent")
    search_fields = ("ticket_number", "title")
    raw_id_fields = ("account", "customer", "agent", "created_by")
    show_full_result_count = False


@admin.register(TicketComment)
class TicketCommentAdmin(ImportExportModelAdmin):
    list_display = ("ticket", "author_kind", "author", "is_internal", "created_at")
    list_filter = ("author_kind", "is_internal")
    list_select_related = ("ticket", "author")
    search_fields = ("ticket__ticket_number",)
    raw_id_fields = ("ticket", "author")
    show_full_result_count = False


@admin.register(TimeEntry)
class TimeEntryAdmin(ImportExportModelAdmin):
    list_display = ("description", "user", "ticket", "duration", "started_at", "status")
    list_filter = ("status", "billable")
    list_select_related = ("user", "ticket")
    search_fields = ("description",)
    raw_id_fields = ("user", "ticket", "account")
    show_full_result_count = False
