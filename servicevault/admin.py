"""The domain in Django's admin: people and lookups to edit, the rest is seen in the site's own pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from servicevault.models import Account, BillingRate, TicketCategory, TicketPriority, TicketStatus, User

admin.site.site_header = admin.site.site_title = "Service Vault"


class PersonForm(forms.ModelForm):
    """A person; a password is only ever set, never shown, not even as its hash."""

    new_password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Leave it empty to keep the present one. People without a password cannot log in.",
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


@admin.register(User)
class UserAdmin(admin.ModelAdmin):
    form = PersonForm
    list_display = ("name", "email", "username", "user_type", "role", "account", "is_active", "is_superuser")
    list_filter = ("user_type", "role", "is_active", "is_superuser")
    list_select_related = ("role", "account")
    search_fields = ("name", "email", "username")
    raw_id_fields = ("account",)
    show_full_result_count = False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # records name people; switching one off is enough


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):
    list_display = ("name", "account_type", "domain", "is_active")
    list_filter = ("account_type", "is_active")
    search_fields = ("name", "domain")
    show_full_result_count = False


@admin.register(TicketStatus, TicketPriority, TicketCategory)
class LookupAdmin(admin.ModelAdmin):
    list_display = ("name", "key", "sort_order", "is_active")
    list_filter = ("is_active",)
    search_fields = ("name", "key")


@admin.register(BillingRate)
class BillingRateAdmin(admin.ModelAdmin):
    list_display = ("name", "rate", "account", "user", "is_default", "is_active")
    list_select_related = ("account", "user")
    raw_id_fields = ("account", "user")
