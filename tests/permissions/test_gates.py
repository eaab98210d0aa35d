"""Every gate is on the server: without exactly its permission an address refuses, whoever asks (G2, G5)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from permissions import policy, roles
from permissions.models import Role
from tests.conftest import person
from tests.matrix_api import API
from tests.matrix_needs import NEEDS
from tests.web.test_matrix import MATRIX, address, places

__all__ = ["places"]
pytestmark = pytest.mark.django_db
EMPTY = {"data": "{}", "content_type": "application/json"}


def everything_but(missing: tuple[str, ...]) -> Any:
    held = [name for name in roles.ALL if name not in missing]
    Role.objects.create(name="Nearly everything", permissions=held)
    return person("nearly", name="Nora Nearly", role="Nearly everything")


@pytest.mark.req("G2", "C11")
@pytest.mark.parametrize("missing", NEEDS, ids=" or ".join)
def test_it_refuses_whoever_lacks_exactly_this(
    missing: tuple[str, ...], places: dict[str, str], profile: Any, logged_in: Any
) -> None:
    type(profile).objects.update(visibility="all")
    browser = logged_in(everything_but(missing))
    let_in = []
    for gate in NEEDS[missing]:
        method, name = gate.split()
        with transaction.atomic():
            sent = EMPTY if name in API and method != "get" else {}
            answer = getattr(browser, method)(address(name, places), **sent)
            transaction.set_rollback(True)
        told = answer.json()["required_permission"] if name in API and name != "metrics" else answer.content.decode()
        if answer.status_code != 403 or not any(permission in told for permission in missing):
            let_in.append((gate, answer.status_code))
    assert let_in == []


@pytest.mark.req("G2")
def test_every_address_that_refuses_somebody_is_among_them() -> None:
    known = {gate for gates in NEEDS.values() for gate in gates}
    refusing = {
        f"{method} {name}"
        for name, row in MATRIX.items()
        for method, statuses in (("get", row.get), ("post", row.post))
        if 403 in statuses and 405 not in statuses
    }
    assert sorted(refusing - known) == []


@pytest.mark.req("G5")
def test_the_permissions_of_a_request_take_two_queries_at_most(alice: Any) -> None:
    fresh = type(alice).objects.get(pk=alice.pk)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert policy.has(fresh, "system.import.configure")
        assert not policy.has(fresh, "audit.view", "import.approve")
    assert len(queries) <= 2


@pytest.mark.req("G5")
def test_a_change_takes_effect_with_the_next_request(charlie: Any, logged_in: Any) -> None:
    browser = logged_in(charlie)
    assert browser.get("/api/import/profiles").status_code == 403
    grant = charlie.grants.create(permission="system.import")
    assert browser.get("/api/import/profiles").status_code == 200
    grant.delete()
    assert browser.get("/api/import/profiles").status_code == 403
