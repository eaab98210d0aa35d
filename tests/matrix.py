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


MANAGERS: Statuses = (302, 403, 403, 200, 200)
SAVERS: Statuses = (302, 403, 403, 422, 422)  # an empty form comes back
DOERS: Statuses = (302, 403, 403, 302, 302)
_OF = {"pk": "profile"}  # its source cannot be reached: the page says so
_TICKET = {"pk": "ticket"}
_JOB = {"pk": "job"}

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
    "import_review": Address(IMPORTERS, NO_SUCH_METHOD),
    "import_templates": Address(IMPORTERS, NO_SUCH_METHOD),
    "profile_new": Address(MANAGERS, SAVERS),
    "profile": Address(IMPORTERS, NO_SUCH_METHOD, _OF),
    "profile_source": Address(MANAGERS, NO_SUCH_METHOD, _OF),
    "profile_switch": Address(NO_SUCH_METHOD, (302, 403, 403, 404, 404), _OF),
    "profile_edit": Address(MANAGERS, SAVERS, _OF),
    "profile_template": Address(MANAGERS, (302, 403, 403, 404, 404), _OF),
    "profile_template_remove": Address(NO_SUCH_METHOD, DOERS, _OF),
    "profile_template_upgrade": Address(DOERS, DOERS, _OF),  # no template, nothing to upgrade: back to the profile
    "profile_value_maps": Address(MANAGERS, DOERS, _OF),
    "profile_matching": Address(MANAGERS, MANAGERS, _OF),
    "profile_preview": Address(IMPORTERS, (302, 403, 403, 403, 200), _OF),
    "profile_duplicate": Address(MANAGERS, SAVERS, _OF),
    "profile_access": Address(MANAGERS, SAVERS, _OF),
    "profile_delete": Address(MANAGERS, SAVERS, _OF),
    "tokens": Address(EVERYBODY_IN, (302, 422, 422, 422, 422)),
    "token_revoke": Address(NO_SUCH_METHOD, (302, 404, 404, 404, 404), {"pk": "number"}),
    "profile_start": Address(NO_SUCH_METHOD, STARTERS, {"pk": "profile"}),
    "job": Address(IMPORTERS, NO_SUCH_METHOD, _JOB),
    "job_records": Address((302, 403, 403, 200, 200), NO_SUCH_METHOD, _JOB),
    "job_cancel": Address(NO_SUCH_METHOD, STARTERS, _JOB),
    "job_resume": Address(NO_SUCH_METHOD, STARTERS, _JOB),
    "api_schema": Address((200, 200, 200, 200, 200), (405, 405, 405, 405, 405)),
    "docs": Address((200, 200, 200, 200, 200), (405, 405, 405, 405, 405)),
    "api_docs": Address((302, 302, 302, 302, 302), (302, 302, 302, 302, 302)),
}
ADMIN: Statuses = (302, 302, 302, 302, 200)  # GET /admin/: everybody else is asked to log in as somebody else
