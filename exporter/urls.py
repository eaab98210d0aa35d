"""Addresses of the export pages (DEC-12)."""

from __future__ import annotations

from django.urls import path

from exporter.web import component, data_export, exports

_JOB = "exports/<uuid:pk>"
_TEMPLATE = "exports/templates/<uuid:pk>"
_SCHEDULE = "exports/schedules/<uuid:pk>"

urlpatterns = [
    path("settings/data-export", data_export.data_export, name="data_export"),
    path("settings/data-export/start", data_export.start, name="data_export_start"),
    path("settings/data-export/save", data_export.save, name="data_export_save"),
    path("settings/data-export/component/preview", component.preview, name="data_export_component_preview"),
    path("settings/data-export/component/start", component.start, name="data_export_component_start"),
    path("exports", exports.exports, name="exports"),
    path(f"{_JOB}/progress", component.progress, name="export_progress"),
    path(f"{_JOB}/cancel", exports.cancel, name="export_cancel"),
    path(f"{_JOB}/delete", exports.delete, name="export_delete"),
    path(f"{_JOB}/again", exports.again, name="export_again"),
    path(f"{_JOB}/link", exports.link, name="export_link"),
    path(f"{_TEMPLATE}/run", exports.run_template, name="export_template_run"),
    path(f"{_TEMPLATE}/delete", exports.delete_template, name="export_template_delete"),
    path(f"{_TEMPLATE}/schedule", exports.schedule, name="export_template_schedule"),
    path(f"{_SCHEDULE}/switch", exports.switch_schedule, name="export_schedule_switch"),
    path(f"{_SCHEDULE}/run", exports.run_schedule, name="export_schedule_run"),
    path(f"{_SCHEDULE}/delete", exports.delete_schedule, name="export_schedule_delete"),
]
