"""The pages about rights, approvals and the audit log, without and with a browser (U55, G20-G28, F-126 to F-128)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from importer import operations
from permissions import audit
from permissions.models import Approval, AuditEntry, ImportPermission
from servicevault.jobs.models import JobStatus
from tests.conftest import person
from tests.web.accessibility import COLOURS, WCAG, violations

ENTRIES = "/audit"
RIGHTS = "/settings/permissions"


@pytest.fixture
def asked(profile: Any, alice: Any) -> Approval:
    """Alice's import, which waits for Dora."""
    person("dora", name="Dora Diaz", role="Approver")
    profile.requires_approval, profile.visibility = True, "all"
    profile.save()
    job = operations.start_import(profile, by=alice)
    return Approval.objects.get(job_id=job.pk)


@pytest.fixture
def dora(asked: Approval) -> Any:
    return type(asked.requested_by).objects.get(username="dora")


@pytest.mark.django_db
@pytest.mark.req("G21", "G24")
def test_an_approver_decides_with_a_reason(asked: Approval, dora: Any, logged_in: Any) -> None:
    browser = logged_in(dora)
    assert "Old desk" in browser.get("/approvals").content.decode()
    place = f"/approvals/{asked.pk}"
    assert "Personal data" in browser.get(place).content.decode()
    silent = browser.post(place, {"decision": "reject", "notes": ""})
    assert (silent.status_code, "needs notes" in silent.content.decode()) == (422, True)
    assert browser.post(place, {"decision": "reject", "notes": "Wrong source."}).status_code == 302
    asked.refresh_from_db()
    assert (asked.status, asked.notes) == ("rejected", "Wrong source.")
    assert "already rejected" in browser.post(place, {"decision": "approve"}, follow=True).content.decode()


@pytest.mark.django_db
@pytest.mark.req("J22")
def test_the_page_does_not_let_people_decide_their_own(asked: Approval, alice: Any, root: Any, logged_in: Any) -> None:
    alice.grants.create(permission="pages.approvals")
    browser = logged_in(alice)
    assert "Somebody else has to decide" in browser.get(f"/approvals/{asked.pk}").content.decode()
    assert browser.post(f"/approvals/{asked.pk}", {"decision": "approve"}).status_code == 403
    Approval.objects.update(requested_by=root)
    assert logged_in(root).post(f"/approvals/{asked.pk}", {"decision": "approve"}).status_code == 422
    assert type(asked).objects.get().status == "pending"


@pytest.mark.django_db
@pytest.mark.req("G28")
def test_the_log_is_narrowed_by_its_filters(alice: Any, root: Any, logged_in: Any, profile: Any) -> None:
    audit.record("query_saved", user=alice, profile_id=profile.pk, details={"key": "customers"})
    browser = logged_in(root)
    text = browser.get(f"{ENTRIES}?operation=query_saved&person=alice").content.decode()
    assert "1 entry" in text
    assert "customers" in text
    assert "No entry matches" in browser.get(f"{ENTRIES}?operation=query_saved&own=1").content.decode()
    place = re.search(r'href="(/api/v1/data/audit/export[^"]*)"', text)
    assert place
    assert b"customers" in browser.get(place[1]).getvalue()
    part = browser.get(ENTRIES, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part


@pytest.mark.django_db
@pytest.mark.req("U55", "F-127", "F-128", "F-126")
def test_rights_are_given_seen_changed_and_taken(charlie: Any, root: Any, logged_in: Any) -> None:
    browser = logged_in(root)
    grant = f"{RIGHTS}/import?user={charlie.pk}"
    text = browser.get(f"{grant}&preset=user").content.decode()
    assert 'name="requires_approval"' in text
    values = {"max_file_size_mb": 10, "max_rows_per_import": 10_000, "allowed_formats": ["csv", "excel"]}
    sent = {**values, "tables": ["tickets", "accounts"], "can_import": "on", "requires_approval": "on"}
    assert browser.post(grant, sent).status_code == 302
    assert ImportPermission.objects.filter(user=charlie, requires_approval=True).count() == 2
    seen = browser.get(f"{RIGHTS}?user={charlie.pk}").content.decode()
    assert "Import: yes" in seen
    assert "(own row)" in seen
    assert "Charlie Day" in browser.get(f"{RIGHTS}?table=tickets").content.decode()
    one = f"{grant}&table=tickets"
    assert browser.post(one, {**values, "max_rows_per_import": -1}).status_code == 422
    assert browser.post(one, {**values, "allowed_columns": ["title"]}).status_code == 302
    row = ImportPermission.objects.get(user=charlie, table_name="tickets")
    assert (row.can_import, row.allowed_columns) == (False, ["title"])
    assert browser.post(f"{RIGHTS}/import/{row.pk}/revoke").status_code == 302
    assert not ImportPermission.objects.filter(pk=row.pk).exists()
    assert AuditEntry.objects.filter(operation="permission_revoked", user=root).exists()


@pytest.mark.django_db
@pytest.mark.req("F-132")
def test_the_page_does_not_let_people_grant_themselves(bob: Any, logged_in: Any) -> None:
    bob.grants.create(permission="data.permissions.manage")
    browser = logged_in(bob)
    place = f"{RIGHTS}/import?user={bob.pk}&table=tickets"
    assert "disabled" in browser.get(place).content.decode()
    sent = {"max_file_size_mb": 1, "max_rows_per_import": 1, "allowed_formats": ["csv"], "can_import": "on"}
    assert browser.post(place, sent).status_code == 422
    assert not ImportPermission.objects.exists()


@pytest.mark.whole
@pytest.mark.browser
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.req("U5", "U55")
def test_the_pages_are_accessible(asked: Approval, root: Any, charlie: Any, chromium: Any, live_server: Any) -> None:
    from django.test import Client

    ImportPermission.objects.create(user=charlie, table_name="tickets")
    reader = Client()
    reader.force_login(root, backend="permissions.backends.EmailBackend")
    cookie = {"name": "sessionid", "value": reader.cookies["sessionid"].value, "url": live_server.url}
    pages = [
        "/approvals",
        f"/approvals/{asked.pk}",
        ENTRIES,
        RIGHTS,
        f"{RIGHTS}?user={charlie.pk}",
        f"{RIGHTS}?table=tickets",
        f"{RIGHTS}/import?user={charlie.pk}&table=tickets",
        f"{RIGHTS}/export?role={charlie.role_id}",
        "/settings/import",
    ]
    found = {}
    for scheme, width in (("light", 1440), ("dark", 390)):
        size = {"width": width, "height": 900}
        context = chromium.new_context(base_url=live_server.url, color_scheme=scheme, viewport=size)
        context.add_cookies([cookie])
        tab = context.new_page()
        for page in pages:
            tab.goto(page)
            problems = violations(tab, WCAG if scheme == "light" else COLOURS)
            if tab.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                problems.append(("wider than the window", []))
            if problems:
                found[f"{scheme} {page}"] = problems
        context.close()
    assert found == {}, json.dumps(found, indent=1)
    assert asked.status == JobStatus.PENDING
