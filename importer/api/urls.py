"""Addresses of the API under /api/import (guide A)."""

from __future__ import annotations

from django.urls import path

from importer.api import approvals, bulk, help, jobs, mapping, plans, previews, profiles, queries, records, source, sync

_OF = "profiles/<uuid:pk>"


urlpatterns = [
    path("profiles", profiles.Profiles.as_view(), name="api_profiles"),
    path("profiles/test-connection", profiles.TestConnection.as_view(), name="api_test_connection"),
    path("profiles/parse-url", profiles.ParseUrl.as_view(), name="api_parse_url"),
    path(_OF, profiles.OneProfile.as_view(), name="api_profile"),
    path(f"{_OF}/test-connection", profiles.TestProfile.as_view(), name="api_profile_test"),
    path(f"{_OF}/access", profiles.ProfileAccess.as_view(), name="api_profile_access"),
    path(f"{_OF}/duplicate", profiles.Duplicate.as_view(), name="api_profile_duplicate"),
    path(f"{_OF}/sync-config", sync.SyncConfig.as_view(), name="api_profile_sync"),
    path(f"{_OF}/schema", source.Schema.as_view(), name="api_schema_of"),
    path(f"{_OF}/introspect", source.Introspect.as_view(), name="api_introspect"),
    path(f"{_OF}/introspect-emails", source.EmailColumns.as_view(), name="api_introspect_emails"),
    path(f"{_OF}/introspect-time-tracking", source.TimeColumns.as_view(), name="api_introspect_time"),
    path(f"{_OF}/queries", queries.Queries.as_view(), name="api_queries"),
    path(f"{_OF}/queries/reorder", queries.Reorder.as_view(), name="api_queries_reorder"),
    path(f"{_OF}/queries/<slug:key>", queries.OneQuery.as_view(), name="api_query"),
    path(f"{_OF}/queries/<slug:key>/draft", queries.Draft.as_view(), name="api_query_draft"),
    path(f"{_OF}/queries/<slug:key>/versions", queries.Versions.as_view(), name="api_query_versions"),
    path(
        f"{_OF}/queries/<slug:key>/versions/<int:number>/restore",
        queries.RestoreVersion.as_view(),
        name="api_query_restore",
    ),
    path(f"{_OF}/queries/<slug:key>/convert-to-sql", queries.ConvertToSql.as_view(), name="api_query_to_sql"),
    path(f"{_OF}/builder/tables", source.Tables.as_view(), name="api_builder_tables"),
    path(f"{_OF}/builder/validate", queries.Validate.as_view(), name="api_builder_validate"),
    path(f"{_OF}/builder/analyze-joins", queries.AnalyzeJoins.as_view(), name="api_builder_analyze_joins"),
    path(f"{_OF}/builder/suggest-joins", queries.SuggestJoins.as_view(), name="api_builder_suggest_joins"),
    path(f"{_OF}/builder/suggest-filters", queries.SuggestFilters.as_view(), name="api_builder_suggest_filters"),
    path(f"{_OF}/builder/auto-map", mapping.AutoMap.as_view(), name="api_builder_auto_map"),
    path(f"{_OF}/builder/parse", mapping.ParseSql.as_view(), name="api_builder_parse"),
    path(f"{_OF}/queries/<slug:key>/value-maps", mapping.ValueMaps.as_view(), name="api_value_maps"),
    path(f"{_OF}/preview-query", previews.PreviewQuery.as_view(), name="api_preview_query"),
    path(f"{_OF}/preview-table", previews.PreviewTable.as_view(), name="api_preview_table"),
    path(f"{_OF}/preview", previews.PreviewProfile.as_view(), name="api_profile_preview"),
    path(f"{_OF}/simulate", previews.Simulate.as_view(), name="api_simulate"),
    path(f"{_OF}/mappings", profiles.Mappings.as_view(), name="api_mappings"),
    path(f"{_OF}/import", jobs.StartProfile.as_view(), name="api_profile_import"),
    path(f"{_OF}/rehearse", jobs.Rehearse.as_view(), name="api_profile_rehearse"),
    path("expressions", help.Expressions.as_view(), name="api_expressions"),
    path("target-types", help.TargetTypes.as_view(), name="api_target_types"),
    path("transformations", help.Transformations.as_view(), name="api_transformations"),
    path("jobs", jobs.Jobs.as_view(), name="api_jobs"),
    path("jobs/<uuid:pk>", jobs.OneJob.as_view(), name="api_job"),
    path("jobs/<uuid:pk>/status", jobs.Status.as_view(), name="api_job_status"),
    path("jobs/<uuid:pk>/errors", jobs.Errors.as_view(), name="api_job_errors"),
    path("jobs/<uuid:pk>/plan", plans.Plan.as_view(), name="api_job_plan"),
    path("jobs/<uuid:pk>/report", jobs.Report.as_view(), name="api_job_report"),
    path("jobs/<uuid:pk>/cancel", jobs.Cancel.as_view(), name="api_job_cancel"),
    path("jobs/<uuid:pk>/approve", approvals.Approve.as_view(), name="api_job_approve"),
    path("jobs/<uuid:pk>/reject", approvals.Reject.as_view(), name="api_job_reject"),
    path("jobs/<uuid:pk>/resume", jobs.Resume.as_view(), name="api_job_resume"),
    path("jobs/<uuid:pk>/retry", jobs.Retry.as_view(), name="api_job_retry"),
    path("jobs/<uuid:pk>/release-held", bulk.ReleaseHeld.as_view(), name="api_job_release_held"),
    path("records", records.Records.as_view(), name="api_records"),
    path("records/bulk", bulk.BulkDelete.as_view(), name="api_records_bulk"),
    path("records/bulk/retry", bulk.BulkRetry.as_view(), name="api_records_retry"),
    path("records/bulk/approve", bulk.BulkApprove.as_view(), name="api_records_approve"),
    path("records/<uuid:pk>", records.OneRecord.as_view(), name="api_record"),
]
