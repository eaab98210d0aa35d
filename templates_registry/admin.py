"""Templates in Django's admin, for super admins: what is saved has been read as strictly as a pack from a file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from templates_registry.definition import PackProblems, parse_definition
from templates_registry.models import Template

PROBLEMS_SHOWN = 10


class TemplateForm(forms.ModelForm):
    class Meta:
        model = Template
        fields = ("name", "platform", "description", "version", "definition", "is_active")

    def clean_definition(self) -> Any:
        """Refuse what cannot be applied, naming each place."""
        definition = self.cleaned_data["definition"]
        try:
            parse_definition(definition)
        except PackProblems as error:
            raise ValidationError(
                [
                    f"{problem.path}: {problem.message} {problem.hint}".strip()
                    for problem in error.problems[:PROBLEMS_SHOWN]
                ]
            ) from error
        return definition


@admin.register(Template)
class TemplateAdmin(admin.ModelAdmin):
    form = TemplateForm
    list_display = ("name", "platform", "version", "is_system", "is_active", "updated_at")
    list_filter = ("is_system", "is_active")
    search_fields = ("name", "platform")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Shipped templates are replaced by the next `manage.py import_templates sync`: a change would be lost."""
        return super().has_change_permission(request, obj) and not (obj is not None and obj.is_system)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_system)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)
