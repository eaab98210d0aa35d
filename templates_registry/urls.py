"""Addresses of the pages about templates."""

from __future__ import annotations

from django.urls import path

from templates_registry.web import choosing, library

_OF = "import/profiles/<uuid:pk>/template"

urlpatterns = [
    path("import/templates", library.template_list, name="import_templates"),
    path("import/templates/import", library.import_template, name="template_import"),
    path("import/templates/<uuid:pk>/export", library.export_template, name="template_export"),
    path("import/templates/<uuid:pk>/copy", library.copy_template, name="template_copy"),
    path("import/templates/<uuid:pk>/delete", library.delete_template, name="template_delete"),
    path(f"{_OF}/save", library.save_as_template, name="profile_template_save"),
    path(_OF, choosing.profile_template, name="profile_template"),
    path(f"{_OF}/remove", choosing.remove_template, name="profile_template_remove"),
    path(f"{_OF}/upgrade", choosing.upgrade_template, name="profile_template_upgrade"),
]
