"""Addresses of tables and exports under /api/v1/data (guide B)."""

from __future__ import annotations

from django.urls import path

from exporter.api import downloads, exports, tables, templates

_OF = "export/<uuid:pk>"

urlpatterns = [
    path("tables/available", tables.Available.as_view(), name="api_tables"),
    path("tables/<path:table_name>/schema", tables.Schema.as_view(), name="api_table_schema"),
    path("tables/<path:table_name>/permissions", tables.Permissions.as_view(), name="api_table_permissions"),
    path("tables/<path:table_name>/data", tables.Data.as_view(), name="api_table_data"),
    path("export/create", exports.Create.as_view(), name="api_export_create"),
    path("export/preview", exports.Preview.as_view(), name="api_export_preview"),
    path("export/jobs", exports.Jobs.as_view(), name="api_exports"),
    path("export/links/<str:secret>", downloads.Linked.as_view(), name="api_export_link"),
    path("export/templates", templates.Templates.as_view(), name="api_export_templates"),
    path("export/templates/<uuid:pk>", templates.OneTemplate.as_view(), name="api_export_template"),
    path("export/templates/<uuid:pk>/run", templates.RunTemplate.as_view(), name="api_export_template_run"),
    path("export/schedules", templates.Schedules.as_view(), name="api_export_schedules"),
    path("export/schedules/<uuid:pk>", templates.OneSchedule.as_view(), name="api_export_schedule"),
    path("export/schedules/<uuid:pk>/run-now", templates.RunNow.as_view(), name="api_export_schedule_run"),
    path(_OF, exports.One.as_view(), name="api_export"),
    path(f"{_OF}/status", exports.Status.as_view(), name="api_export_status"),
    path(f"{_OF}/download", downloads.Download.as_view(), name="api_export_download"),
    path(f"{_OF}/cancel", exports.Cancel.as_view(), name="api_export_cancel"),
    path(f"{_OF}/link", exports.MakeLink.as_view(), name="api_export_link_make"),
]
