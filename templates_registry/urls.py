"""Addresses of the pages about templates."""

from __future__ import annotations

from django.urls import path

from templates_registry import web

_OF = "import/profiles/<uuid:pk>/template"

urlpatterns = [
    path("import/templates", web.template_list, name="import_templates"),
    path(_OF, web.profile_template, name="profile_template"),
    path(f"{_OF}/remove", web.remove_template, name="profile_template_remove"),
    path(f"{_OF}/upgrade", web.upgrade_template, name="profile_template_upgrade"),
]
