"""Which permission each address asks for, by method: tests/permissions/test_gates.py calls it without exactly that one (G2)."""

from __future__ import annotations

from permissions import roles


def of(method: str, names: str) -> list[str]:
    return [f"{method} {name}" for name in names.split()]


# A person who holds everything but these is refused at "method address". Of a pair either suffices.
NEEDS: dict[tuple[str, ...], list[str]] = {
    ("pages.import.manage",): [
        *of("get", "import import_jobs import_review import_templates profile_new profile profile_source profile_edit"),
        *of("get", "profile_template profile_template_upgrade profile_value_maps profile_matching profile_preview"),
        *of(
            "get", "profile_duplicate profile_access profile_delete builder builder_tables builder_table builder_query"
        ),
        *of(
            "get",
            "builder_result builder_offers job job_records job_record job_review job_plan job_plan_download job_report",
        ),
        *of("post", "profile_new profile_switch profile_edit profile_template profile_template_remove"),
        *of("post", "profile_template_upgrade profile_value_maps profile_matching profile_preview profile_duplicate"),
        *of("post", "profile_access profile_delete profile_start builder builder_change builder_save builder_discard"),
        *of(
            "post",
            "builder_restore builder_list builder_sql job_cancel job_resume job_release_held job_plan_run job_delete",
        ),
        *of("get", "template_import template_export template_delete profile_template_save"),
        *of("post", "template_import template_copy template_delete profile_template_save"),
        *of("get", "profile_agents profile_agent_people job_progress job_rollback"),
        *of("post", "profile_agents job_rollback"),
    ],
    ("import.rollback",): [
        "get job_rollback",
        *of("post", "job_rollback api_job_rollback api_rollback_undo"),
    ],
    ("system.import",): [
        *of("get", "api_rollback_status api_rollback_rows"),
        *of("post", "api_job_rollback api_rollback_undo"),
        *of("post", "api_query_to_sql"),
        *of("get", "api_profile_sync api_profile_agents"),
        *of("put", "api_profile_agents"),
        *of("post", "api_execute_query"),
        *of("get", "template_export template_delete"),
        *of("post", "template_copy template_delete api_job_release_held"),
        *of("get", "import_templates api_profiles api_profile api_profile_access api_schema_of api_introspect"),
        *of(
            "get", "api_introspect_emails api_introspect_time api_queries api_query api_query_draft api_query_versions"
        ),
        *of(
            "get", "api_builder_tables api_value_maps api_profile_preview api_mappings api_expressions api_target_types"
        ),
        *of("get", "api_transformations api_jobs api_job api_job_status api_job_errors api_job_report api_records"),
        *of(
            "get",
            "api_record api_job_plan api_templates api_template api_template_export api_profile_upgrade api_detect api_fit",
        ),
        *of(
            "post", "api_profiles api_test_connection api_parse_url api_profile_test api_profile_duplicate api_queries"
        ),
        *of("post", "api_queries_reorder api_query_restore api_builder_validate api_builder_analyze_joins"),
        *of("post", "api_builder_suggest_joins api_builder_suggest_filters api_builder_auto_map api_builder_parse"),
        *of(
            "post", "api_preview_query api_preview_table api_simulate api_profile_import api_profile_rehearse api_jobs"
        ),
        *of("post", "api_job_cancel api_job_resume api_job_approve api_job_reject api_job_retry api_records_retry"),
        *of("post", "api_records_approve api_templates api_template_import api_template_lint api_profile_upgrade"),
        *of("post", "api_save_as_template"),
        *of("put", "api_profile api_profile_access api_query api_value_maps api_profile_template"),
        *of("delete", "api_profile api_query api_profile_template api_job"),
    ],
    roles.CONFIGURE: [
        "post job_delete",
        "delete api_job",
        *of("get", "profile_agents profile_agent_people api_profile_agents"),
        "post profile_agents",
        "put api_profile_agents",
        *of("get", "profile_template_save"),
        *of("post", "profile_template_save"),
        *of(
            "get",
            "profile_new profile_source profile_edit profile_template profile_template_upgrade profile_value_maps",
        ),
        *of("get", "profile_matching profile_duplicate profile_access profile_delete builder builder_tables"),
        *of("get", "builder_table builder_query builder_result builder_offers api_profile_access api_schema_of"),
        *of("get", "api_introspect api_introspect_emails api_introspect_time api_query_draft api_builder_tables"),
        *of("get", "api_value_maps api_profile_upgrade api_detect api_fit"),
        *of("post", "profile_new profile_switch profile_edit profile_template profile_template_remove"),
        *of("post", "profile_template_upgrade profile_value_maps profile_matching profile_duplicate profile_access"),
        *of("post", "profile_delete builder builder_change builder_save builder_discard builder_restore builder_list"),
        *of(
            "post", "api_profiles api_test_connection api_parse_url api_profile_test api_profile_duplicate api_queries"
        ),
        *of("post", "api_queries_reorder api_query_restore api_builder_validate api_builder_analyze_joins"),
        *of("post", "api_builder_suggest_joins api_builder_suggest_filters api_builder_auto_map api_builder_parse"),
        *of("post", "api_profile_upgrade api_save_as_template"),
        *of("put", "api_profile api_profile_access api_query api_value_maps api_profile_template"),
        *of("delete", "api_profile api_query api_profile_template"),
    ],
    ("import.pii.reveal",): [
        *of("post", "profile_preview"),
    ],
    roles.EXECUTE: [
        *of("post", "api_execute_query"),
        *of("post", "profile_start job_resume api_profile_import api_profile_rehearse api_job_resume api_job_retry"),
        *of("post", "job_plan_run"),
    ],
    ("import.raw_sql",): [
        *of("post", "builder_sql api_query_to_sql"),
    ],
    ("import.jobs.monitor",): [
        *of("get", "job_records job_record job_review job_plan job_plan_download api_job_errors api_job_plan"),
        *of("get", "api_job_stats api_rollback_rows"),
        *of("post", "job_cancel job_plan_run api_job_cancel"),
    ],
    ("pages.settings.data_export",): [
        *of("get", "data_export export_progress"),
        *of("post", "data_export_start data_export_save data_export_component_preview data_export_component_start"),
    ],
    ("pages.exports",): [
        "get exports",
        *of("post", "export_cancel export_delete export_again export_link export_template_run export_template_delete"),
        *of("post", "export_template_schedule export_schedule_switch export_schedule_run export_schedule_delete"),
    ],
    ("import.approve",): [
        *of("post", "api_job_approve api_job_reject api_file_approve api_file_reject"),
    ],
    ("pages.approvals",): [*of("get", "approval_list approval"), "post approval"],
    ("pages.settings.import",): [*of("get", "settings_import"), "post settings_import"],
    ("pages.settings.data_import",): [
        *of("get", "data_import data_import_history data_import_read data_import_map data_import_check"),
        *of("get", "data_import_findings data_import_job data_import_correct data_import_component_progress"),
        *of("post", "data_import_component_upload data_import_component_check data_import_component_start"),
        *of("post", "data_import_upload data_import_read data_import_map data_import_check data_import_template"),
        *of("get", "data_import_rehearsal"),
        *of("post", "data_import_start data_import_rehearsal data_import_cancel data_import_retry data_import_correct"),
    ],
    ("pages.audit",): ["get audit"],
    ("data.permissions.manage",): [
        *of("get", "table_permissions table_grant"),
        *of("post", "table_grant table_revoke"),
        *of("get", "api_import_permissions api_import_permission api_export_permissions api_export_permission"),
        *of("post", "api_import_permissions api_export_permissions"),
        *of("put", "api_import_permission api_export_permission"),
        *of("delete", "api_import_permission api_export_permission"),
    ],
    ("system.metrics",): [
        *of("get", "api_metrics metrics"),
    ],
    ("import.records.manage",): [
        "post job_review",
        *of("post", "api_records_retry api_records_approve api_job_release_held job_release_held"),
    ],
    ("system.configure",): [
        *of("get", "template_import template_delete profile_template_save"),
        *of("post", "template_import template_copy template_delete profile_template_save"),
        *of("post", "api_templates api_template_import api_template_lint api_save_as_template"),
    ],
}

# Refused by the row of a table, which has no name of its own (F-125).
BY_TABLE = [
    *of("get", "api_table_schema api_table_data"),
    *of("post", "api_file_validate api_file_rehearse api_file_start api_export_template_run"),
]
