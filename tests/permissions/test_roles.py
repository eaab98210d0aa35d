"""The roles that a new installation has."""

from __future__ import annotations

from typing import Any

import pytest

from permissions import policy, roles
from permissions.models import Role
from tests.conftest import person

WIDGETS = {"widget.import.jobs", "widget.import.review", "widget.import.sync", "widget.export.jobs"}
OPERATOR = {"system.import", "import.jobs.monitor", "import.records.manage", "pages.import.manage", "pages.analytics"}
EITHER = {"system.import.execute", "import.jobs.execute"}  # G1 names two for one right
HELD = {
    "Import Operator": OPERATOR | EITHER | WIDGETS,
    "Approver": {"system.import", "import.approve", "import.jobs.monitor", "pages.import.manage", "pages.approvals"},
    "Auditor": {"audit.view", "import.jobs.monitor", "system.import", "pages.audit", "pages.analytics"},
    "Agent": set(),
    "Account User": set(),
}


@pytest.mark.req("G4")
def test_a_new_installation_has_the_roles_of_the_specification(db: None) -> None:
    held = {role.name: set(role.permissions) for role in Role.objects.filter(is_system=True)}
    assert held == HELD | {
        "Super Admin": set(roles.ALL),
        "Admin": set(roles.ALL) - {"system.configure", "import.raw_sql"},
    }


@pytest.mark.req("G4")
@pytest.mark.parametrize("name", HELD)
def test_a_person_may_what_the_role_holds_and_nothing_else(db: None, name: str) -> None:
    who: Any = person("someone", role=name)
    assert {permission for permission in roles.ALL if policy.has(who, permission)} == HELD[name]
