"""Who gets what from the API; see tests/matrix.py. Without a session: 401. Bodies of POSTs are empty.

Alice owns the restricted profile, whose source cannot be reached (400); Bob may view it (403 where more is needed);
Charlie holds no permission (403).
"""

from __future__ import annotations

from tests.matrix import Address, Statuses

IN: Statuses = (401, 403, 200, 200, 200)
NO_METHOD: Statuses = (401, 403, 405, 405, 405)
CONFIGURE: Statuses = (401, 403, 403, 200, 200)  # Bob sees it and may not
SOURCE: Statuses = (401, 403, 403, 400, 400)  # asks the source, which is away
REFUSED: Statuses = (401, 403, 403, 422, 422)  # the empty body
CONFIGURED: Statuses = (401, 403, 403, 403, 422)  # needs system.configure
GRANTERS: Statuses = (401, 403, 403, 403, 200)
_OF = {"pk": "profile"}
_QUERY = _OF | {"key": "query"}
_JOB = {"pk": "job"}
_ROLLBACK = {"pk": "rollback"}  # a preview: nothing to undo
_FILE = {"pk": "file"}  # sent by Alice, waits for its start; its content is gone
NO_FILE_METHOD: Statuses = (401, 405, 405, 405, 405)
FILE: Statuses = (401, 404, 404, 200, 200)

API: dict[str, Address] = {
    "api_profiles": Address(IN, REFUSED),
    "api_test_connection": Address(NO_METHOD, REFUSED),
    "api_parse_url": Address(NO_METHOD, REFUSED),
    "api_profile": Address(IN, NO_METHOD, _OF),
    "api_profile_test": Address(NO_METHOD, SOURCE, _OF),
    "api_profile_access": Address(CONFIGURE, NO_METHOD, _OF),
    "api_profile_duplicate": Address(NO_METHOD, REFUSED, _OF),
    "api_profile_agents": Address(CONFIGURE, NO_METHOD, _OF),
    "api_profile_sync": Address(IN, NO_METHOD, _OF),
    "api_schema_of": Address(SOURCE, NO_METHOD, _OF),
    "api_introspect": Address((401, 403, 403, 422, 422), NO_METHOD, _OF),
    "api_introspect_emails": Address(SOURCE, NO_METHOD, _OF),
    "api_introspect_time": Address(SOURCE, NO_METHOD, _OF),
    "api_queries": Address(IN, SOURCE, _OF),
    "api_queries_reorder": Address(NO_METHOD, REFUSED, _OF),
    "api_query": Address(IN, NO_METHOD, _QUERY),
    "api_query_draft": Address(CONFIGURE, NO_METHOD, _QUERY),
    "api_query_versions": Address(IN, NO_METHOD, _QUERY),
    "api_query_restore": Address(NO_METHOD, (401, 403, 403, 404, 404), _QUERY | {"number": "number"}),
    "api_query_to_sql": Address(NO_METHOD, (401, 403, 403, 403, 400), _QUERY),  # Alice may not write SQL
    "api_builder_tables": Address(SOURCE, NO_METHOD, _OF),
    "api_builder_validate": Address(NO_METHOD, SOURCE, _OF),
    "api_builder_analyze_joins": Address(NO_METHOD, SOURCE, _OF),
    "api_builder_suggest_joins": Address(NO_METHOD, REFUSED, _OF),
    "api_builder_suggest_filters": Address(NO_METHOD, SOURCE, _OF),
    "api_builder_auto_map": Address(NO_METHOD, REFUSED, _OF),
    "api_builder_parse": Address(NO_METHOD, REFUSED, _OF),
    "api_value_maps": Address(SOURCE, NO_METHOD, _QUERY),
    "api_preview_query": Address(NO_METHOD, (401, 403, 400, 400, 400), _OF),
    "api_preview_table": Address(NO_METHOD, (401, 403, 422, 422, 422), _OF),
    "api_profile_preview": Address((401, 403, 400, 400, 400), NO_METHOD, _OF),
    "api_simulate": Address(NO_METHOD, (401, 403, 422, 422, 422), _OF),
    "api_mappings": Address(IN, NO_METHOD, _OF),
    "api_profile_import": Address(NO_METHOD, (401, 403, 403, 201, 201), _OF),
    "api_execute_query": Address(NO_METHOD, REFUSED, _OF),
    "api_profile_rehearse": Address(NO_METHOD, (401, 403, 403, 202, 202), _OF),
    "api_expressions": Address(IN, NO_METHOD),
    "api_target_types": Address(IN, NO_METHOD),
    "api_transformations": Address(IN, NO_METHOD),
    "api_jobs": Address(IN, (401, 403, 422, 422, 422)),
    "api_job": Address(IN, NO_METHOD, _JOB),
    "api_job_stats": Address((401, 403, 403, 200, 200), (401, 403, 403, 405, 405)),  # of those who monitor
    "api_job_status": Address(IN, NO_METHOD, _JOB),
    "api_job_errors": Address((401, 403, 403, 200, 200), NO_METHOD, _JOB),
    "api_job_report": Address(IN, NO_METHOD, _JOB),
    "api_job_cancel": Address(NO_METHOD, (401, 403, 403, 409, 409), _JOB),
    "api_job_rollback": Address(NO_METHOD, (401, 403, 403, 403, 422), _JOB),  # Root does not say that it is understood
    "api_rollback_status": Address(IN, NO_METHOD, _ROLLBACK),
    "api_rollback_rows": Address((401, 403, 403, 200, 200), NO_METHOD, _ROLLBACK),
    "api_rollback_undo": Address(NO_METHOD, (401, 403, 403, 403, 409), _ROLLBACK),
    "api_job_resume": Address(NO_METHOD, (401, 403, 403, 409, 409), _JOB),
    "api_job_approve": Address((401, 403, 405, 405, 405), (401, 403, 403, 403, 409), _JOB),
    "api_job_reject": Address((401, 403, 405, 405, 405), (401, 403, 403, 403, 409), _JOB),
    "api_approvals": Address((401, 200, 200, 200, 200), (401, 405, 405, 405, 405)),
    "api_job_release_held": Address(NO_METHOD, (401, 403, 403, 200, 200), _JOB),
    "api_audit": Address((401, 200, 200, 200, 200), (401, 405, 405, 405, 405)),
    "api_audit_export": Address((401, 200, 200, 200, 200), (401, 405, 405, 405, 405)),
    "api_import_permissions": Address(GRANTERS, (401, 403, 403, 403, 422)),
    "api_import_permission": Address((401, 403, 403, 403, 404), (401, 403, 403, 403, 405), {"pk": "nobody"}),
    "api_export_permissions": Address(GRANTERS, (401, 403, 403, 403, 422)),
    "api_export_permission": Address((401, 403, 403, 403, 404), (401, 403, 403, 403, 405), {"pk": "nobody"}),
    "api_health": Address((401, 200, 200, 200, 200), (401, 405, 405, 405, 405)),
    "api_metrics": Address((401, 403, 403, 403, 200), (401, 405, 405, 405, 405)),
    "health": Address((200, 200, 200, 200, 200), (405, 405, 405, 405, 405)),
    "metrics": Address((401, 403, 403, 403, 200), (405, 405, 405, 405, 405)),
    "api_job_plan": Address((401, 403, 403, 200, 200), NO_METHOD, {"pk": "rehearsal"}),
    "api_job_retry": Address(NO_METHOD, (401, 403, 403, 201, 201), _JOB),
    "api_records_retry": Address(NO_METHOD, REFUSED),
    "api_records_bulk": Address((401, 403, 405, 405, 405), (401, 403, 405, 405, 405)),  # DELETE alone
    "api_records_approve": Address(NO_METHOD, REFUSED),
    "api_records": Address(IN, NO_METHOD),
    "api_record": Address((401, 403, 404, 200, 200), NO_METHOD, {"pk": "record"}),
    "api_file_upload": Address(NO_FILE_METHOD, (401, 415, 415, 415, 415)),
    "api_file_parse": Address(NO_FILE_METHOD, (401, 415, 415, 415, 415)),
    "api_file_validate_only": Address(NO_FILE_METHOD, (401, 415, 415, 415, 415)),
    "api_file_jobs": Address((401, 200, 200, 200, 200), NO_FILE_METHOD),
    "api_file_job": Address(FILE, NO_FILE_METHOD, _FILE),
    "api_file_validate": Address(NO_FILE_METHOD, (401, 404, 404, 403, 422), _FILE),
    "api_file_template": Address(NO_FILE_METHOD, (401, 404, 404, 422, 422), _FILE),
    "api_file_rehearse": Address(NO_FILE_METHOD, (401, 404, 404, 403, 202), _FILE),
    "api_file_plan": Address((401, 404, 404, 409, 409), NO_FILE_METHOD, _FILE),  # nobody rehearsed it
    "api_file_start": Address(NO_FILE_METHOD, (401, 404, 404, 403, 422), _FILE),
    "api_file_status": Address(FILE, NO_FILE_METHOD, _FILE),
    "api_file_progress": Address(FILE, NO_FILE_METHOD, _FILE),
    "api_job_events": Address(FILE, NO_FILE_METHOD, _FILE),
    "api_file_cancel": Address(NO_FILE_METHOD, (401, 404, 404, 200, 200), _FILE),
    "api_file_retry": Address(NO_FILE_METHOD, (401, 404, 404, 409, 409), _FILE),
    "api_file_approve": Address(NO_FILE_METHOD, (401, 403, 403, 403, 409), _FILE),
    "api_file_reject": Address(NO_FILE_METHOD, (401, 403, 403, 403, 409), _FILE),
    "api_file_errors": Address(FILE, NO_FILE_METHOD, _FILE),
    "api_file_errors_download": Address((401, 404, 404, 409, 409), NO_FILE_METHOD, _FILE),
    "api_file_errors_upload": Address(NO_FILE_METHOD, (401, 404, 404, 415, 415), _FILE),
    "api_file_records": Address(FILE, NO_FILE_METHOD, _FILE),
    "api_file_bundle": Address(NO_FILE_METHOD, (401, 415, 415, 415, 415)),
    "api_file_uploads": Address(NO_FILE_METHOD, (401, 422, 422, 422, 422)),
    "api_file_part": Address((401, 404, 404, 404, 404), NO_FILE_METHOD, {"pk": "nobody"}),
    "api_import_templates": Address((401, 200, 200, 200, 200), (401, 422, 422, 422, 422)),
    "api_import_template": Address((401, 404, 404, 404, 404), NO_FILE_METHOD, {"pk": "nobody"}),
    "api_suggest_mapping": Address(NO_FILE_METHOD, (401, 422, 422, 422, 422), {"table_name": "table"}),
    "api_templates": Address(IN, CONFIGURED),
    "api_template_import": Address(NO_METHOD, (401, 403, 403, 403, 415)),
    "api_template_lint": Address(NO_METHOD, (401, 403, 403, 403, 200)),
    "api_template": Address(IN, NO_METHOD, {"pk": "template"}),
    "api_template_export": Address(IN, NO_METHOD, {"pk": "template"}),
    "api_profile_template": Address(NO_METHOD, NO_METHOD, _OF),
    "api_profile_upgrade": Address((401, 403, 403, 409, 409), (401, 403, 403, 409, 409), _OF),
    "api_detect": Address(SOURCE, NO_METHOD, _OF),
    "api_fit": Address((401, 403, 403, 422, 422), NO_METHOD, _OF),
    "api_save_as_template": Address(NO_METHOD, (401, 403, 403, 403, 422), _OF),
}

# Tables and exports ask for the rights of the table, not for a permission of the role: everybody may call them.
EVERYBODY: Statuses = (401, 200, 200, 200, 200)
NOT_SO: Statuses = (401, 405, 405, 405, 405)
EMPTY_BODY: Statuses = (401, 422, 422, 422, 422)
HIDDEN: Statuses = (401, 404, 404, 404, 200)  # Root's export
_TABLE = {"table_name": "table"}
_EXPORT = {"pk": "export"}
_TEMPLATE = {"pk": "export_template"}
_SCHEDULE = {"pk": "export_schedule"}

API |= {
    "api_tables": Address(EVERYBODY, NOT_SO),
    "api_table_schema": Address((401, 403, 403, 403, 200), NOT_SO, _TABLE),
    "api_table_permissions": Address(EVERYBODY, NOT_SO, _TABLE),
    "api_table_data": Address((401, 403, 403, 403, 200), NOT_SO, _TABLE),
    "api_export_create": Address(NOT_SO, EMPTY_BODY),
    "api_export_preview": Address(NOT_SO, EMPTY_BODY),
    "api_exports": Address(EVERYBODY, NOT_SO),
    "api_export": Address(NOT_SO, NOT_SO, _EXPORT),
    "api_export_status": Address(HIDDEN, NOT_SO, _EXPORT),
    "api_export_download": Address((401, 404, 404, 404, 409), NOT_SO, _EXPORT),
    "api_export_cancel": Address(NOT_SO, HIDDEN, _EXPORT),
    "api_export_link_make": Address(NOT_SO, (401, 404, 404, 404, 409), _EXPORT),
    "api_export_link": Address((404, 404, 404, 404, 404), (405, 405, 405, 405, 405), {"secret": "source_key"}),
    "api_export_templates": Address(EVERYBODY, EMPTY_BODY),
    "api_export_template": Address(EVERYBODY, NOT_SO, _TEMPLATE),  # it is public
    "api_export_template_run": Address(NOT_SO, (401, 403, 403, 403, 201), _TEMPLATE),
    "api_export_schedules": Address(EVERYBODY, EMPTY_BODY),
    "api_export_schedule": Address(HIDDEN, NOT_SO, _SCHEDULE),
    "api_export_schedule_run": Address(NOT_SO, (401, 404, 404, 404, 202), _SCHEDULE),
}
