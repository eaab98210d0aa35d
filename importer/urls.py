"""Addresses of the import pages (DEC-12)."""

from __future__ import annotations

from django.urls import include, path

from importer.web import (
    agents,
    connection,
    job_lists,
    jobs,
    matching,
    monitor,
    overview,
    ownership,
    plan,
    preview,
    profiles,
    records,
    review,
    value_maps,
)
from importer.web.files import checking, choosing, component, grid, mapping, reading, rehearsing, running

_FILE = "settings/data-import/<uuid:pk>"
_OF = "import/profiles/<uuid:pk>"

urlpatterns = [
    path("import", profiles.import_page, name="import"),
    path("import/jobs", job_lists.job_list, name="import_jobs"),
    path("import/monitor", monitor.monitor, name="import_monitor"),
    path("import/review", job_lists.review, name="import_review"),
    path("import/profiles/new", connection.new, name="profile_new"),
    path(_OF, overview.profile_page, name="profile"),
    path(f"{_OF}/source", overview.source_part, name="profile_source"),
    path(f"{_OF}/switch", overview.switch, name="profile_switch"),
    path(f"{_OF}/edit", connection.edit, name="profile_edit"),
    path(f"{_OF}/value-maps", value_maps.value_maps_page, name="profile_value_maps"),
    path(f"{_OF}/value-maps/agents", agents.agents_page, name="profile_agents"),
    path(f"{_OF}/value-maps/agents/people", agents.people_offered, name="profile_agent_people"),
    path(f"{_OF}/matching", matching.matching_page, name="profile_matching"),
    path(f"{_OF}/preview", preview.preview_page, name="profile_preview"),
    path(f"{_OF}/start", profiles.start, name="profile_start"),
    path(f"{_OF}/duplicate", ownership.duplicate, name="profile_duplicate"),
    path(f"{_OF}/access", ownership.access, name="profile_access"),
    path(f"{_OF}/delete", ownership.delete, name="profile_delete"),
    path(f"{_OF}/", include("importer.web.builder.urls")),
    path("import/jobs/<uuid:pk>", jobs.job_page, name="job"),
    path("import/jobs/<uuid:pk>/review", review.review_page, name="job_review"),
    path("import/jobs/<uuid:pk>/progress", jobs.job_progress, name="job_progress"),
    path("import/jobs/<uuid:pk>/records", jobs.job_records, name="job_records"),
    path("import/jobs/<uuid:pk>/records/<uuid:record>", records.record_page, name="job_record"),
    path("import/jobs/<uuid:pk>/plan", plan.plan_page, name="job_plan"),
    path("import/jobs/<uuid:pk>/plan.<str:form>", plan.plan_download, name="job_plan_download"),
    path("import/jobs/<uuid:pk>/plan/run", plan.run_plan, name="job_plan_run"),
    path("import/jobs/<uuid:pk>/cancel", jobs.cancel, name="job_cancel"),
    path("import/jobs/<uuid:pk>/resume", jobs.resume, name="job_resume"),
    path("import/jobs/<uuid:pk>/release-held", jobs.release_held, name="job_release_held"),
    path("settings/data-import", choosing.data_import, name="data_import"),
    path("settings/data-import/upload", choosing.upload, name="data_import_upload"),
    path("settings/data-import/component/upload", component.upload, name="data_import_component_upload"),
    path("settings/data-import/history", running.history, name="data_import_history"),
    path(_FILE, running.job_page, name="data_import_job"),
    path(f"{_FILE}/read", reading.read_page, name="data_import_read"),
    path(f"{_FILE}/map", mapping.map_page, name="data_import_map"),
    path(f"{_FILE}/check", checking.check_page, name="data_import_check"),
    path(f"{_FILE}/findings.<str:form>", checking.findings, name="data_import_findings"),
    path(f"{_FILE}/template", checking.keep_template, name="data_import_template"),
    path(f"{_FILE}/rehearsal", rehearsing.rehearsal, name="data_import_rehearsal"),
    path(f"{_FILE}/start", checking.start, name="data_import_start"),
    path(f"{_FILE}/cancel", running.cancel, name="data_import_cancel"),
    path(f"{_FILE}/retry", running.retry, name="data_import_retry"),
    path(f"{_FILE}/component", component.progress, name="data_import_component_progress"),
    path(f"{_FILE}/component/check", component.check, name="data_import_component_check"),
    path(f"{_FILE}/component/start", component.start, name="data_import_component_start"),
    path(f"{_FILE}/correct", grid.correct, name="data_import_correct"),
]
