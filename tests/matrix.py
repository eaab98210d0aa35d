"""Who gets what: the status of every named address, by person and method. tests/web/test_matrix.py walks it.

A new address without a row here fails the tests: nothing is open because nobody decided (STYLE 3.6).
302 of the anonymous person leads to the log-in page. 404: may not know of it; 403: may know, not do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PEOPLE = ("anonymous", "charlie", "bob", "alice", "root")
Statuses = tuple[int, int, int, int, int]  # in the order of PEOPLE

EVERYBODY_IN: Statuses = (302, 200, 200, 200, 200)
IMPORTERS: Statuses = (302, 403, 200, 200, 200)
STARTERS: Statuses = (302, 403, 403, 302, 302)  # then on to the job's page
NO_SUCH_METHOD: Statuses = (302, 405, 405, 405, 405)


@dataclass(frozen=True)
class Address:
    get: Statuses
    post: Statuses
    arguments: Mapping[str, str] = field(default_factory=dict)  # argument → key of the fixture `places`


BUILDERS: Statuses = (302, 403, 403, 200, 200)
BUILDERS_ON: Statuses = (302, 403, 403, 302, 302)  # back to the builder, as after every form
MANAGERS: Statuses = (302, 403, 403, 200, 200)
SAVERS: Statuses = (302, 403, 403, 422, 422)  # an empty form comes back
DOERS: Statuses = (302, 403, 403, 302, 302)
EXPORTERS: Statuses = (302, 403, 403, 200, 200)
ROOTS: Statuses = (302, 403, 403, 404, 302)  # an export of Root's
_EXPORT = {"pk": "export"}
_EXPORT_TEMPLATE = {"pk": "export_template"}
_EXPORT_SCHEDULE = {"pk": "export_schedule"}
FILERS: Statuses = (302, 403, 403, 200, 200)
_SENT = {"pk": "sent"}  # a file that is not kept any more: the pages say so, and take nothing
_TICKET = {"pk": "ticket"}
_JOB = {"pk": "job"}
_REHEARSAL = {"pk": "rehearsal"}
_PROFILE = {"pk": "profile"}  # its source cannot be reached: the page says so
_QUERY = _PROFILE | {"key": "query"}

MATRIX: dict[str, Address] = {
    "home": Address(EVERYBODY_IN, NO_SUCH_METHOD),
    # An empty form: 422 with the form again. Who is logged in already is sent home.
    "login": Address((200, 302, 302, 302, 302), (422, 302, 302, 302, 302)),
    "logout": Address((405, 405, 405, 405, 405), (302, 302, 302, 302, 302)),
    "ticket_list": Address(EVERYBODY_IN, NO_SUCH_METHOD),
    "ticket": Address(EVERYBODY_IN, NO_SUCH_METHOD, _TICKET),
    "ticket_body": Address(EVERYBODY_IN, NO_SUCH_METHOD, _TICKET),
    "comment_body": Address(EVERYBODY_IN, NO_SUCH_METHOD, _TICKET | {"comment": "comment"}),
    "from_source": Address(
        (302, 302, 302, 302, 302),
        NO_SUCH_METHOD,
        {"source_key": "source_key", "entity": "entity", "external_id": "external_id"},
    ),
    "import": Address(IMPORTERS, NO_SUCH_METHOD),
    "import_jobs": Address(IMPORTERS, NO_SUCH_METHOD),
    "import_monitor": Address(EVERYBODY_IN, (302, 302, 302, 302, 302)),
    "import_review": Address(IMPORTERS, NO_SUCH_METHOD),
    "import_templates": Address(IMPORTERS, NO_SUCH_METHOD),
    "template_import": Address((302, 403, 403, 403, 200), (302, 403, 403, 403, 422)),
    "template_export": Address(IMPORTERS, NO_SUCH_METHOD, {"pk": "template"}),
    "template_copy": Address(NO_SUCH_METHOD, (302, 403, 403, 403, 302), {"pk": "template"}),
    "template_delete": Address(
        (302, 403, 403, 403, 200), (302, 403, 403, 403, 422), {"pk": "template"}
    ),  # a shipped one
    "profile_template_save": Address((302, 403, 403, 403, 200), (302, 403, 403, 403, 422), _PROFILE),
    "profile_new": Address(MANAGERS, SAVERS),
    "profile": Address(IMPORTERS, NO_SUCH_METHOD, _PROFILE),
    "profile_source": Address(MANAGERS, NO_SUCH_METHOD, _PROFILE),
    "profile_switch": Address(NO_SUCH_METHOD, (302, 403, 403, 404, 404), _PROFILE),
    "profile_edit": Address(MANAGERS, SAVERS, _PROFILE),
    "profile_template": Address(MANAGERS, (302, 403, 403, 404, 404), _PROFILE),
    "profile_template_remove": Address(NO_SUCH_METHOD, DOERS, _PROFILE),
    "profile_template_upgrade": Address(DOERS, DOERS, _PROFILE),  # no template, nothing to upgrade: back to the profile
    "profile_value_maps": Address(MANAGERS, DOERS, _PROFILE),
    "profile_agents": Address(MANAGERS, DOERS, _PROFILE),
    "profile_agent_people": Address(MANAGERS, NO_SUCH_METHOD, _PROFILE),
    "profile_matching": Address(MANAGERS, MANAGERS, _PROFILE),
    "profile_preview": Address(IMPORTERS, (302, 403, 403, 403, 200), _PROFILE),
    "profile_duplicate": Address(MANAGERS, SAVERS, _PROFILE),
    "profile_access": Address(MANAGERS, SAVERS, _PROFILE),
    "profile_delete": Address(MANAGERS, SAVERS, _PROFILE),
    "notifications": Address(EVERYBODY_IN, NO_SUCH_METHOD),
    "notification": Address((302, 404, 404, 302, 404), NO_SUCH_METHOD, {"pk": "notification"}),  # Alice's
    "notifications_bell": Address(EVERYBODY_IN, NO_SUCH_METHOD),
    "notifications_read": Address(NO_SUCH_METHOD, (302, 302, 302, 302, 302)),
    "tokens": Address(EVERYBODY_IN, (302, 422, 422, 422, 422)),
    "token_revoke": Address(NO_SUCH_METHOD, (302, 404, 404, 404, 404), {"pk": "nobody"}),
    "profile_start": Address(NO_SUCH_METHOD, STARTERS, {"pk": "profile"}),
    # An empty form begins no query: 422 with the question again.
    "builder": Address(BUILDERS_ON, (302, 403, 403, 422, 422), _PROFILE),
    "builder_tables": Address((302, 403, 403, 404, 404), NO_SUCH_METHOD, _PROFILE),  # of which query?
    "builder_table": Address((302, 403, 403, 404, 404), NO_SUCH_METHOD, _PROFILE),
    "builder_query": Address(BUILDERS, NO_SUCH_METHOD, _QUERY),
    "builder_change": Address(NO_SUCH_METHOD, BUILDERS_ON, _QUERY),
    "builder_save": Address(NO_SUCH_METHOD, BUILDERS_ON, _QUERY),
    "builder_sql": Address(NO_SUCH_METHOD, (302, 403, 403, 403, 302), _QUERY),  # Alice may not write SQL
    "builder_discard": Address(NO_SUCH_METHOD, BUILDERS_ON, _QUERY),
    "builder_restore": Address(NO_SUCH_METHOD, BUILDERS_ON, _QUERY),
    "builder_result": Address(BUILDERS, NO_SUCH_METHOD, _QUERY),
    "builder_offers": Address(BUILDERS, NO_SUCH_METHOD, _QUERY),
    "builder_list": Address(NO_SUCH_METHOD, BUILDERS_ON, _QUERY),
    "approval_list": Address((302, 403, 403, 403, 200), NO_SUCH_METHOD),
    "approval": Address((302, 403, 403, 403, 404), (302, 403, 403, 403, 404), {"pk": "nobody"}),
    "audit": Address((302, 403, 403, 403, 200), NO_SUCH_METHOD),
    # An empty form is no change of settings: 422 with the settings again.
    "settings_import": Address((302, 403, 403, 403, 200), (302, 403, 403, 403, 200)),
    "table_permissions": Address((302, 403, 403, 403, 200), NO_SUCH_METHOD),
    "table_grant": Address((302, 403, 403, 403, 302), (302, 403, 403, 403, 302), {"kind": "kind"}),  # to whom?
    "table_revoke": Address(NO_SUCH_METHOD, (302, 403, 403, 403, 404), {"kind": "kind", "pk": "nobody"}),
    "job": Address(IMPORTERS, NO_SUCH_METHOD, _JOB),
    "job_review": Address((302, 403, 403, 200, 200), (302, 403, 403, 302, 302), _JOB),
    "job_progress": Address(IMPORTERS, NO_SUCH_METHOD, _JOB),
    "job_records": Address((302, 403, 403, 200, 200), NO_SUCH_METHOD, _JOB),
    "job_record": Address((302, 403, 403, 200, 200), NO_SUCH_METHOD, {"pk": "job", "record": "record"}),
    "job_plan": Address((302, 403, 403, 200, 200), NO_SUCH_METHOD, _REHEARSAL),
    "job_plan_download": Address((302, 403, 403, 200, 200), NO_SUCH_METHOD, _REHEARSAL | {"form": "form"}),
    "job_plan_run": Address(NO_SUCH_METHOD, STARTERS, _REHEARSAL),
    "job_report": Address(IMPORTERS, NO_SUCH_METHOD, _JOB | {"form": "form"}),
    "job_delete": Address(NO_SUCH_METHOD, STARTERS, _JOB),
    "job_cancel": Address(NO_SUCH_METHOD, STARTERS, _JOB),
    "job_resume": Address(NO_SUCH_METHOD, STARTERS, _JOB),
    "job_rollback": Address((302, 403, 403, 403, 200), (302, 403, 403, 403, 422), _JOB),  # unconfirmed: asked again
    "job_release_held": Address(NO_SUCH_METHOD, (302, 403, 403, 302, 302), _JOB),
    "data_export": Address(EXPORTERS, NO_SUCH_METHOD),
    "data_export_start": Address(NO_SUCH_METHOD, (302, 403, 403, 404, 404)),  # of which table?
    "data_export_save": Address(NO_SUCH_METHOD, (302, 403, 403, 404, 404)),
    "data_export_component_preview": Address(NO_SUCH_METHOD, (302, 403, 403, 400, 400)),  # within which bounds?
    "data_export_component_start": Address(NO_SUCH_METHOD, (302, 403, 403, 400, 400)),
    "exports": Address(EXPORTERS, NO_SUCH_METHOD),
    "export_progress": Address((302, 403, 403, 404, 200), NO_SUCH_METHOD, _EXPORT),
    "export_cancel": Address(NO_SUCH_METHOD, ROOTS, _EXPORT),
    "export_delete": Address(NO_SUCH_METHOD, ROOTS, _EXPORT),
    "export_again": Address(NO_SUCH_METHOD, ROOTS, _EXPORT),
    "export_link": Address(NO_SUCH_METHOD, ROOTS, _EXPORT),
    "export_template_run": Address(
        NO_SUCH_METHOD, (302, 403, 403, 302, 302), _EXPORT_TEMPLATE
    ),  # Alice is told why not
    "export_template_delete": Address(NO_SUCH_METHOD, (302, 403, 403, 403, 302), _EXPORT_TEMPLATE),
    "export_template_schedule": Address(NO_SUCH_METHOD, (302, 403, 403, 302, 302), _EXPORT_TEMPLATE),
    "export_schedule_switch": Address(NO_SUCH_METHOD, ROOTS, _EXPORT_SCHEDULE),
    "export_schedule_run": Address(NO_SUCH_METHOD, ROOTS, _EXPORT_SCHEDULE),
    "export_schedule_delete": Address(NO_SUCH_METHOD, ROOTS, _EXPORT_SCHEDULE),
    "data_import": Address(FILERS, NO_SUCH_METHOD),
    "data_import_history": Address(FILERS, NO_SUCH_METHOD),
    "data_import_upload": Address(NO_SUCH_METHOD, SAVERS),
    "data_import_component_upload": Address(NO_SUCH_METHOD, (302, 403, 403, 400, 400)),  # within which bounds?
    "data_import_component_progress": Address((302, 403, 403, 200, 200), NO_SUCH_METHOD, _SENT),
    "data_import_component_check": Address(NO_SUCH_METHOD, SAVERS, _SENT),
    "data_import_component_start": Address(NO_SUCH_METHOD, SAVERS, _SENT),
    "data_import_read": Address(FILERS, SAVERS, _SENT),
    "data_import_map": Address(FILERS, SAVERS, _SENT),
    "data_import_check": Address(FILERS, SAVERS, _SENT),
    "data_import_findings": Address(FILERS, NO_SUCH_METHOD, _SENT | {"form": "form"}),
    "data_import_template": Address(NO_SUCH_METHOD, DOERS, _SENT),
    "data_import_rehearsal": Address(DOERS, DOERS, _SENT),  # on to the check, which tells of it
    "data_import_start": Address(NO_SUCH_METHOD, SAVERS, _SENT),
    "data_import_job": Address(DOERS, NO_SUCH_METHOD, _SENT),  # on to the step it waits for
    "data_import_cancel": Address(NO_SUCH_METHOD, DOERS, _SENT),
    "data_import_retry": Address(NO_SUCH_METHOD, DOERS, _SENT),
    "data_import_correct": Address(DOERS, DOERS, _SENT),  # not finished: back to the job
    "api_schema": Address((200, 200, 200, 200, 200), (405, 405, 405, 405, 405)),
    "docs": Address((200, 200, 200, 200, 200), (405, 405, 405, 405, 405)),
    "api_docs": Address((302, 302, 302, 302, 302), (302, 302, 302, 302, 302)),
}
ADMIN: Statuses = (302, 302, 302, 302, 200)  # GET /admin/: everybody else is asked to log in as somebody else
