"""Addresses of templates under /api/import (T14)."""

from __future__ import annotations

from django.urls import path

from templates_registry.api import views

_OF = "profiles/<uuid:pk>"

urlpatterns = [
    path("templates", views.Templates.as_view(), name="api_templates"),
    path("templates/import", views.Import.as_view(), name="api_template_import"),
    path("templates/lint", views.Lint.as_view(), name="api_template_lint"),
    path("templates/<uuid:pk>", views.OneTemplate.as_view(), name="api_template"),
    path("templates/<uuid:pk>/export", views.Export.as_view(), name="api_template_export"),
    path(f"{_OF}/template", views.ProfileTemplate.as_view(), name="api_profile_template"),
    path(f"{_OF}/template/upgrade", views.Upgrading.as_view(), name="api_profile_upgrade"),
    path(f"{_OF}/detect", views.Detect.as_view(), name="api_detect"),
    path(f"{_OF}/fit", views.Fit.as_view(), name="api_fit"),
    path(f"{_OF}/save-as-template", views.SaveAsTemplate.as_view(), name="api_save_as_template"),
]
