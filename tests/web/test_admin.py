"""Django's admin: looks, never edits what imports write; shows no secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from importer.models import ImportProfile, ImportRecord
from permissions.models import AuditEntry
from servicevault.models import User
from templates_registry.models import Template


@pytest.fixture
def browser(logged_in: Callable[[Any], Any], root: Any) -> Any:
    return logged_in(root)


@pytest.mark.req("U56")
def test_it_opens_every_list(browser: Any, ticket: Any) -> None:
    for model in admin.site._registry:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert browser.get(url).status_code == 200, url


@pytest.mark.req("U56")
@pytest.mark.parametrize("action", ["add", "change", "delete"])
def test_it_changes_nothing_an_import_wrote(browser: Any, finished_job: Any, action: str) -> None:
    record = ImportRecord.objects.first()
    arguments = [] if action == "add" else [record.pk]
    answer = browser.post(reverse(f"admin:importer_importrecord_{action}", args=arguments), {"post": "yes"})
    assert answer.status_code == 403


def test_it_shows_no_secret(browser: Any, profile: Any, alice: Any) -> None:
    ImportProfile.objects.update(secret=b"sealed-secret")
    text = browser.get(reverse("admin:importer_importprofile_change", args=[profile.pk])).content.decode()
    assert profile.host in text
    assert "secret" not in text
    text = browser.get(reverse("admin:servicevault_user_change", args=[alice.pk])).content.decode()
    assert alice.password not in text
    assert "scrypt" not in text


def test_it_keeps_a_password_that_is_not_replaced(browser: Any, alice: Any) -> None:
    form = {
        "user_type": "agent",
        "username": "alice",
        "name": "Alice",
        "email": "ALICE@desk.example",
        "timezone": "UTC",
        "locale": "en",
    }
    answer = browser.post(reverse("admin:servicevault_user_change", args=[alice.pk]), form)
    assert answer.status_code == 302
    found = User.objects.get(pk=alice.pk)
    assert (found.password, found.email) == (alice.password, "alice@desk.example")


@pytest.mark.req("T6")
def test_it_reads_a_template_before_it_saves_it(browser: Any) -> None:
    form = {"source": "name: Mine\nplatform: mine\nnonsense: 1\n", "is_active": "on"}
    text = browser.post(reverse("admin:templates_registry_template_add"), form).content.decode()
    assert "Line 3, column 11: nonsense: Unknown member" in text
    assert not Template.objects.filter(platform="mine").exists()


TEMPLATE = """\
name: Mine
platform: mine
database_type: postgresql
configuration: {queries: {}}
"""


@pytest.mark.req("T9", "T11")
def test_it_keeps_a_template_as_it_was_written_and_changes_it(browser: Any) -> None:
    browser.post(reverse("admin:templates_registry_template_add"), {"source": TEMPLATE, "is_active": "on"})
    made = Template.objects.get(platform="mine")
    assert (made.name, made.source, made.is_active) == ("Mine", TEMPLATE, True)
    address = reverse("admin:templates_registry_template_change", args=[made.pk])
    browser.post(address, {"source": TEMPLATE + "version: 1.1.0\n"})
    made.refresh_from_db()
    assert (made.version, made.is_active) == ("1.1.0", False)
    shipped = Template.objects.get(platform="zammad", is_system=True)
    address = reverse("admin:templates_registry_template_change", args=[shipped.pk])
    assert browser.post(address, {"source": TEMPLATE}).status_code == 403


@pytest.mark.req("T11", "N-154")
def test_it_exports_a_template_and_imports_it_again(browser: Any) -> None:
    shipped = Template.objects.get(platform="zammad", is_system=True)
    chosen = {"action": "export_zip", "_selected_action": [str(shipped.pk)]}
    answer = browser.post(reverse("admin:templates_registry_template_changelist"), chosen)
    assert answer["Content-Disposition"] == 'attachment; filename="zammad-1.0.0.zip"'
    address = reverse("admin:templates_registry_template_import")
    assert browser.get(address).status_code == 200
    answer = browser.post(address, {"file": SimpleUploadedFile("zammad.zip", answer.content)}, follow=True)
    assert "not signed; Root Admin installed it" in answer.content.decode()
    assert Template.objects.filter(platform="zammad").count() == 2
    answer = browser.post(address, {"file": SimpleUploadedFile("x.zip", b"no zip")})
    assert "This is not a zip file." in answer.content.decode()


@pytest.mark.req("T9", "G1")
def test_it_lets_nobody_else_import(logged_in: Callable[[Any], Any], alice: Any) -> None:
    assert logged_in(alice).get(reverse("admin:templates_registry_template_import")).status_code in (302, 403)


@pytest.mark.req("G6", "G25", "F-132")
def test_it_puts_changed_rights_on_record(browser: Any, charlie: Any) -> None:
    role = charlie.role
    form = {"name": role.name, "permissions": ["system.import"]}
    assert browser.post(reverse("admin:permissions_role_change", args=[role.pk]), form).status_code == 302
    form = {"user": charlie.pk, "permission": "audit.view"}
    assert browser.post(reverse("admin:permissions_grant_add"), form).status_code == 302
    found = AuditEntry.objects.filter(user__username="root").exclude(operation="login").order_by("timestamp")
    assert [entry.operation for entry in found] == ["role_changed", "permission_granted"]
    assert found[0].details == {"role": "Agent", "given": ["system.import"], "taken": []}


@pytest.mark.req("U56")
@pytest.mark.parametrize("model", ["auditentry", "approval"])
def test_it_only_shows_what_was_done_and_decided(browser: Any, model: str) -> None:
    assert browser.get(reverse(f"admin:permissions_{model}_add")).status_code == 403


@pytest.mark.req("U56", "G15")
def test_the_domain_leaves_and_enters_as_files(browser: Any, ticket: Any) -> None:
    address = reverse("admin:servicevault_user_export")
    names = ["id", "name", "email", "password", "is_superuser"]
    chosen = {"format": "0", "resource": "0"} | {f"personresource_{name}": "on" for name in names}
    text = browser.post(address, chosen).getvalue().decode()
    assert text.splitlines()[0] == "id,name,email"
    assert "Cora Customer,cora@acme.example" in text
    file = SimpleUploadedFile("accounts.csv", b"id,name\n,Umbrella\n")
    text = browser.post(reverse("admin:servicevault_account_import"), {"format": "0", "import_file": file}).content
    assert b"Umbrella" in text
