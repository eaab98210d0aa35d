"""Templates in Django's admin, for super admins: edited as YAML, read as strictly as a pack from a file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from importer.errors import ImporterError
from servicevault.wording import say
from templates_registry import notation, operations
from templates_registry.lint import LintFailed, lint_text
from templates_registry.models import Template

PROBLEMS_SHOWN = 10


class TemplateForm(forms.ModelForm):
    source = forms.CharField(
        label=say("Definition (YAML)"),
        widget=forms.Textarea(attrs={"rows": 40, "cols": 120, "spellcheck": "false", "class": "vLargeTextField"}),
        strip=False,
    )

    class Meta:
        model = Template
        fields = ("source", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.definition and not self.instance.source:
            self.initial["source"] = notation.to_yaml(self.instance.definition)

    def clean_source(self) -> str:
        """Refuse what cannot be applied, naming line and column of each place."""
        text: str = self.cleaned_data["source"].replace("\r\n", "\n")
        report = lint_text(text)
        if not report.valid:
            raise ValidationError(
                [
                    say(
                        "Line {line}, column {column}: {finding}",
                        line=finding.line,
                        column=finding.column,
                        finding=finding.message,
                    )
                    for finding in report.errors[:PROBLEMS_SHOWN]
                ]
            )
        return text


class UploadForm(forms.Form):
    file = forms.FileField(label=say("Template (.json, .yaml or .zip)"))


@admin.register(Template)
class TemplateAdmin(admin.ModelAdmin):
    form = TemplateForm
    list_display = ("name", "platform", "version", "is_system", "is_active", "updated_at")
    list_filter = ("is_system", "is_active")
    search_fields = ("name", "platform")
    actions = ("export_zip", "make_copy")
    change_list_template = "admin/templates_registry/template/change_list.html"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Shipped templates are replaced by the next `manage.py import_templates sync`: a change would be lost."""
        return super().has_change_permission(request, obj) and not (obj is not None and obj.is_system)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_system)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        text = form.cleaned_data["source"]
        data = notation.read(text).data
        if not change:
            made = operations.create(data, by=request.user, source=text)
            Template.objects.filter(pk=made.pk).update(is_active=obj.is_active)
            obj.pk = made.pk
            obj.refresh_from_db()
        else:
            operations.update(obj, data, by=request.user, source=text)

    def get_urls(self) -> list[URLPattern]:
        upload = path(
            "import/", self.admin_site.admin_view(self.import_view), name="templates_registry_template_import"
        )
        return [upload, *super().get_urls()]

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Install a template from a file."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            upload = form.cleaned_data["file"]
            try:
                found = operations.import_template(upload.read(), upload.name, by=request.user)
            except LintFailed as error:
                for finding in error.report.errors[:PROBLEMS_SHOWN]:
                    form.add_error("file", str(finding))
            except ImporterError as error:
                form.add_error("file", str(error))
            else:
                for warning in found.warnings:
                    self.message_user(request, warning, messages.WARNING)
                self.message_user(
                    request,
                    say(
                        "{template} {version} is installed.",
                        template=found.template.name,
                        version=found.template.version,
                    ),
                )
                return HttpResponseRedirect(reverse("admin:templates_registry_template_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "form": form,
            "opts": self.model._meta,
            "title": say("Import a template"),
        }
        return TemplateResponse(request, "admin/templates_registry/template/import.html", context)

    @admin.action(description=say("Export as zip"))
    def export_zip(self, request: HttpRequest, queryset: QuerySet[Template]) -> HttpResponse | None:
        template = queryset.first()
        if template is None or queryset.count() > 1:
            self.message_user(request, say("Choose one template to export."), messages.WARNING)
            return None
        exported = operations.export_template(template, "zip")
        return HttpResponse(
            exported.content,
            content_type=exported.content_type,
            headers={"Content-Disposition": f'attachment; filename="{exported.filename}"'},
        )

    @admin.action(description=say("Copy, to change the copy"))
    def make_copy(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        for template in queryset:
            operations.copy(template, by=request.user)
        self.message_user(request, say("Copied."))
