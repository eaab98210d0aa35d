"""Templates for programs: list, apply to a source, save, exchange (T1-T17)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from importer.models import ImportProfile
from templates_registry.models import Template
from tests.api.conftest import Program

pytestmark = pytest.mark.django_db

GUIDE_TEMPLATE = {
    "name": "Custom Platform",
    "platform": "custom_platform",
    "database_type": "postgresql",
    "configuration": {
        "queries": {
            "users": {
                "name": "Platform Users",
                "base_table": "people",
                "fields": ["id", "full_name", "email"],
                "target_type": "customer_users",
            }
        },
        "priority_order": ["users", "tickets"],
        "suggested_filters": {"users": {"active_only": "active = true"}},
    },
}


@pytest.mark.req("T1", "T2", "T4", "T5")
def test_shipped_templates_are_listed_and_shown(api: Program) -> None:
    listed = api.get("/templates?per_page=50").json()
    platforms = {item["platform"] for item in listed["data"]}
    assert {"freescout", "zammad", "chatwoot", "redmine", "request_tracker", "znuny", "custom"} <= platforms
    assert listed["meta"]["filters_applied"] == {"active": True}
    one = next(item for item in listed["data"] if item["platform"] == "freescout")
    assert {"key", "name", "target_type"} == set(one["queries"][0])
    shown = api.get(f"/templates/{one['id']}").json()
    assert shown["configuration"]["queries"]
    assert shown["changelog"]


@pytest.mark.req("T9", "T3", "T6", "T10", "T11", "T15")
def test_the_guides_template_is_stored_applied_saved_and_exchanged(
    program: Callable[[Any], Program], shop: ImportProfile, root: Any
) -> None:
    hers = program(root)
    created = hers.post("/templates", GUIDE_TEMPLATE)
    assert created.status_code == 201, created.json()
    template = created.json()["template"]["id"]
    place = f"/profiles/{shop.pk}"
    applied = hers.put(f"{place}/template", {"template_id": template})
    assert applied.status_code == 200, applied.json()
    assert applied.json()["profile"]["configuration_type"] == "template"
    assert [query["key"] for query in applied.json()["queries"]] == ["users"]
    again = hers.put(f"{place}/template", {"template_id": template})
    assert (again.status_code, again.json()["queries"]) == (409, ["users"])
    assert hers.put(f"{place}/template", {"template_id": template, "strategy": "replace"}).status_code == 200
    assert hers.get(f"{place}/fit?template_id={template}").json()["score"] == 100
    assert hers.get(f"{place}/detect").json()["suggestion"] == "custom"
    assert hers.get(f"{place}/template/upgrade").json()["is_needed"] is False
    saved = hers.post(f"{place}/save-as-template", {"name": "Ours"})
    assert saved.status_code == 201, saved.json()
    exported = hers.get(f"/templates/{saved.json()['template']['id']}/export?format=yaml")
    assert exported["Content-Type"] == "application/yaml"
    upload = SimpleUploadedFile("ours.yaml", exported.content)
    answer = hers.client.post(
        "/api/import/templates/import", {"file": upload}, headers={"Authorization": f"Bearer {hers.token}"}
    )
    assert answer.status_code == 201, answer.json()
    twice = hers.get(f"/templates/{answer.json()['template']['id']}/export?format=yaml")
    assert twice.content == exported.content
    assert hers.delete(f"/templates/{template}").status_code == 200
    assert shop.queries.count() == 1
    assert hers.delete(f"{place}/template").status_code == 200


@pytest.mark.req("T9")
def test_templates_are_changed_by_super_admins_only_and_shipped_ones_by_nobody(
    api: Program, program: Callable[[Any], Program], root: Any
) -> None:
    refused = api.post("/templates", GUIDE_TEMPLATE)
    assert (refused.status_code, refused.json()["required_permission"]) == (403, "system.configure")
    shipped = Template.objects.get(platform="freescout", is_system=True)
    hers = program(root)
    assert hers.put(f"/templates/{shipped.pk}", GUIDE_TEMPLATE).status_code == 403
    assert hers.delete(f"/templates/{shipped.pk}").status_code == 403


def test_a_faulty_definition_is_told_line_by_line(program: Callable[[Any], Program], root: Any) -> None:
    hers = program(root)
    faulty = GUIDE_TEMPLATE | {"configuration": {"queries": {"users": {"base_tabel": "people"}}}}
    linted = hers.post("/templates/lint", faulty).json()
    assert linted["valid"] is False
    assert {"file", "line", "column", "message"} == set(linted["errors"][0])
    refused = hers.post("/templates", faulty)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_error")
    assert refused.json()["lint"]["errors"] == linted["errors"] or refused.json()["lint"]["errors"]


@pytest.mark.req("C15", "T3")
@pytest.mark.parametrize("variant", [5, ["users"], {"users": ["new"]}, {"users": 1}, True])
def test_a_variant_that_is_no_name_is_refused(api: Program, shop: ImportProfile, variant: Any) -> None:
    template = Template.objects.get(platform="freescout", is_system=True)
    answer = api.put(f"/profiles/{shop.pk}/template", {"template_id": str(template.pk), "variant": variant})
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["variant"])


@pytest.mark.req("T9", "Q24")
def test_sql_in_a_template_needs_the_right_to_write_sql(
    api: Program, program: Callable[[Any], Program], alice: Any, root: Any
) -> None:
    alice.grants.create(permission="system.configure")
    sql = {"kind": "sql", "sql": "SELECT id AS external_id, full_name AS name, email FROM people"}
    queries = {"users": {"name": "Users", "target_type": "customer_users", **sql}}
    written = GUIDE_TEMPLATE | {"configuration": {"queries": queries}}
    plain = api.post("/templates", GUIDE_TEMPLATE).json()["template"]["id"]
    upload = SimpleUploadedFile("ours.json", json.dumps(written | {"name": "Ours"}).encode())
    token = {"Authorization": f"Bearer {api.token}"}
    for answer in (
        api.post("/templates", written),
        api.put(f"/templates/{plain}", written),
        api.client.post("/api/import/templates/import", {"file": upload}, headers=token),
    ):
        assert (answer.status_code, answer.json().get("required_permission")) == (403, "import.raw_sql"), answer.content
    hers = program(root).post("/templates", written)
    assert hers.status_code == 201, hers.json()
    place = f"/templates/{hers.json()['template']['id']}"
    assert api.put(place, written | {"description": "The same SQL"}).status_code == 200
