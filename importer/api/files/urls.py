"""Addresses of file imports under /api/v1/data (guide B)."""

from __future__ import annotations

from django.urls import path

from importer.api.files import events, jobs, parts, rehearsing, sending, templates

_OF = "import/<uuid:pk>"

urlpatterns = [
    path("import/upload", sending.Upload.as_view(), name="api_file_upload"),
    path("import/parse", sending.Parse.as_view(), name="api_file_parse"),
    path("import/validate-file", sending.ValidateFile.as_view(), name="api_file_validate_only"),
    path("import/upload-zip", parts.Bundle.as_view(), name="api_file_bundle"),
    path("import/uploads", parts.Uploads.as_view(), name="api_file_uploads"),
    path("import/uploads/<uuid:pk>", parts.OneUpload.as_view(), name="api_file_part"),
    path("import/templates", templates.Templates.as_view(), name="api_import_templates"),
    path("import/templates/<uuid:pk>", templates.OneTemplate.as_view(), name="api_import_template"),
    path("import/jobs", jobs.Jobs.as_view(), name="api_file_jobs"),
    path(_OF, jobs.OneJob.as_view(), name="api_file_job"),
    path(f"{_OF}/validate", jobs.Validate.as_view(), name="api_file_validate"),
    path(f"{_OF}/template", templates.Apply.as_view(), name="api_file_template"),
    path(f"{_OF}/rehearse", rehearsing.Rehearse.as_view(), name="api_file_rehearse"),
    path(f"{_OF}/plan", rehearsing.Plan.as_view(), name="api_file_plan"),
    path(f"{_OF}/start", jobs.Start.as_view(), name="api_file_start"),
    path(f"{_OF}/status", jobs.Status.as_view(), name="api_file_status"),
    path(f"{_OF}/progress", jobs.Progress.as_view(), name="api_file_progress"),
    path(f"{_OF}/events", events.Events.as_view(), name="api_job_events"),
    path(f"{_OF}/cancel", jobs.Cancel.as_view(), name="api_file_cancel"),
    path(f"{_OF}/retry", jobs.Retry.as_view(), name="api_file_retry"),
    path(f"{_OF}/approve", jobs.Approve.as_view(), name="api_file_approve"),
    path(f"{_OF}/reject", jobs.Reject.as_view(), name="api_file_reject"),
    path(f"{_OF}/errors", jobs.Errors.as_view(), name="api_file_errors"),
    path(f"{_OF}/errors/download", jobs.ErrorFile.as_view(), name="api_file_errors_download"),
    path(f"{_OF}/errors/upload", jobs.CorrectedFile.as_view(), name="api_file_errors_upload"),
    path(f"{_OF}/records", jobs.Records.as_view(), name="api_file_records"),
    path("tables/<path:table_name>/suggest-mapping", sending.SuggestMapping.as_view(), name="api_suggest_mapping"),
]
