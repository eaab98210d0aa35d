"""Applying a template: the profile gets queries of its own, fitted to its source; what people did stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from importer import gateway
from importer.errors import PackError
from importer.sources.introspection import introspect
from importer.sources.schema import SourceSchema
from templates_registry import apply
from templates_registry.models import Template
from tests.importer.desk import Desk
from tests.importer.freescout import create_tables, let_reader_in

Pack = dict[str, Any]


def schema_of(desk: Desk) -> SourceSchema:
    with gateway.open_source(desk.profile, purpose="test") as session:
        return introspect(session)


def template(pack: Pack, **fields: Any) -> Template:
    return Template.objects.create(name=pack["name"], platform=pack["platform"], definition=pack, **fields)


@pytest.fixture
def people(desk: Desk) -> Desk:
    desk.execute("CREATE TABLE users (id int PRIMARY KEY, name text, email text, status text, shoe_size int)")
    return desk


@pytest.mark.req("T3", "T15", "T13")
def test_it_maps_bare_names_and_reports_what_stays_over(people: Desk, pack: Pack) -> None:
    pack["configuration"]["queries"]["users"]["fields"] = ["id", "name", "email", "shoe_size"]
    applied = apply.apply_template(people.profile, template(pack), schema=schema_of(people))
    (query,) = applied.queries
    assert [field["target"] for field in query.spec["fields"]] == ["external_id", "name", "email"]
    assert query.spec["fields"][0]["source_tree"]
    assert applied.warnings == (
        "Platform Users: the column shoe_size is not mapped: Customer users have no field of that name.",
    )
    profile = people.profile
    profile.refresh_from_db()
    assert (profile.template_version, profile.priority_order) == ("1.0.0", ["users", "tickets"])
    assert profile.configuration_type == "template"


@pytest.mark.req("T3")
def test_it_asks_before_it_touches_queries_that_are_there(people: Desk, pack: Pack) -> None:
    people.query("customer_users", "users", {"external_id": "id", "name": "name", "email": "email"}, key="mine")
    made = template(pack)
    with pytest.raises(apply.TemplateConflict) as caught:
        apply.apply_template(people.profile, made, schema=schema_of(people))
    assert caught.value.queries == ("mine", "users")
    apply.apply_template(people.profile, made, schema=schema_of(people), strategy="merge")
    assert set(people.profile.queries.values_list("key", flat=True)) == {"mine", "users"}
    apply.apply_template(people.profile, made, schema=schema_of(people), strategy="replace")
    assert set(people.profile.queries.values_list("key", flat=True)) == {"users"}


@pytest.mark.req("T3", "T24")
def test_it_drops_optional_parts_and_switches_off_what_does_not_fit(people: Desk, pack: Pack) -> None:
    queries = pack["configuration"]["queries"]
    queries["users"]["fields"] = ["id", "name", "email", {"source": "mobile", "target": "phone", "optional": True}]
    queries["jobs"] = {
        "base_table": "jobs",
        "fields": ["id"],
        "target_type": "tickets",
        "missing_reason": "no jobs module",
    }
    queries["mail"] = {"base_table": "users", "fields": ["id", "e_mail"], "target_type": "agents"}
    applied = apply.apply_template(people.profile, template(pack), schema=schema_of(people))
    found = {query.key: (query.enabled, query.disabled_reason) for query in applied.queries}
    assert found == {
        "users": (True, ""),
        "jobs": (False, "no jobs module"),
        "mail": (False, "missing in the source: users.e_mail (closest: users.email)"),
    }
    assert "Platform Users: users.mobile is not in the source and stays empty." in applied.warnings


@pytest.mark.req("T12", "T17", "E33")
def test_it_follows_the_source_again_but_keeps_what_people_added(desk: Desk) -> None:
    create_tables(desk.url)
    desk.execute("ALTER TABLE timelogs RENAME TO old_logs")
    apply.ensure_template(desk.profile, "freescout")
    off = desk.profile.queries.get(key="time_entries")
    assert (off.enabled, off.disabled_reason) == (False, "time tracking module not found")
    tickets = desk.profile.queries.get(key="tickets")
    tickets.value_maps["status"]["5"] = "closed"
    tickets.save()
    desk.profile.queries.filter(key="comments").update(enabled=False)

    desk.execute("ALTER TABLE old_logs RENAME TO timelogs")
    let_reader_in(desk)
    apply.ensure_template(desk.profile, "freescout")
    assert desk.profile.queries.get(key="time_entries").enabled
    assert desk.profile.queries.get(key="tickets").value_maps["status"] == {
        "1": "open", "2": "pending", "3": "closed", "5": "closed",
    }  # fmt: skip
    assert not desk.profile.queries.get(key="comments").enabled


@pytest.mark.req("T12", "T3")
def test_it_leaves_queries_alone_that_a_person_wrote(desk: Desk, pack: Pack) -> None:
    create_tables(desk.url)
    let_reader_in(desk)
    apply.ensure_template(desk.profile, "freescout")
    desk.profile.has_custom_queries = True
    desk.profile.save()
    desk.profile.queries.filter(key="agents").update(name="My agents")
    apply.ensure_template(desk.profile, "freescout")
    assert desk.profile.queries.get(key="agents").name == "My agents"


@pytest.mark.req("T3")
def test_it_does_not_put_one_template_over_another_unasked(people: Desk, pack: Pack) -> None:
    template(pack)
    apply.ensure_template(people.profile, "custom_platform")
    with pytest.raises(apply.TemplateConflict):
        apply.ensure_template(people.profile, "freescout")


@pytest.mark.django_db
@pytest.mark.req("T2")
def test_it_names_the_platforms_it_knows() -> None:
    with pytest.raises(PackError, match="Known: chatwoot, custom, freescout"):
        apply.template_for("otrs")


@pytest.mark.req("T23")
def test_it_takes_the_first_variant_whose_needs_are_met(people: Desk, pack: Pack) -> None:
    query = pack["configuration"]["queries"]["users"]
    query["variants"] = [
        {"name": "new", "requires": ["users.mobile"]},
        {"name": "numbers", "requires": ["users.status:number"]},
        {"name": "texts", "requires": ["users.status:text"], "filters": "status = 'active'"},
        {"name": "any", "requires": ["users"]},
    ]
    applied = apply.apply_template(people.profile, template(copy.deepcopy(pack)), schema=schema_of(people))
    assert applied.queries[0].variant == "texts"
    assert applied.queries[0].spec["filters"]["items"]
