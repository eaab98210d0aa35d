"""A template and a source through the operations: detection, answers, variants, parting, upgrading."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from importer.errors import ImporterError, PackError
from templates_registry import operations
from templates_registry.models import Application, Template
from tests.importer.desk import Desk

Pack = dict[str, Any]


@pytest.fixture
def people(desk: Desk) -> Desk:
    desk.execute(
        "CREATE TABLE users (id int PRIMARY KEY, name text, email text, tenant int, state text);"
        "INSERT INTO users VALUES (1, 'Ann', 'ann@x.example', 7, 'on'), (2, 'Bob', 'bob@x.example', 8, 'odd')"
    )
    return desk


@pytest.fixture
def tenants(pack: Pack) -> Pack:
    """The guide's example, with a parameter that its probe offers."""
    pack["fingerprint"] = [{"column": "users.tenant"}]
    pack["probes"] = [
        {"name": "tenants", "type": "list", "sql": "SELECT u.tenant, min(u.name) FROM users u GROUP BY 1 ORDER BY 1"}
    ]
    pack["parameters"] = [{"name": "tenant", "type": "number", "question": "Which tenant?", "probe": "tenants"}]
    pack["configuration"]["queries"]["users"]["filters"] = [{"field": "tenant", "operator": "=", "value": "{tenant}"}]
    return pack


@pytest.mark.req("T20", "N-010")
def test_it_ranks_without_choosing_and_suggests_the_custom_one_when_nothing_is_likely(
    people: Desk, tenants: Pack
) -> None:
    assert operations.detect(people.profile).as_dict()["suggestion"] == "custom"
    made = operations.create(tenants)
    found = operations.detect(people.profile)
    assert found.best == made
    (first, *_) = found.as_dict()["candidates"]
    assert (first["template_id"], first["score"], first["evidence"]) == (
        str(made.pk), 100, [{"rule": "users.tenant", "matched": True}],
    )  # fmt: skip
    people.profile.refresh_from_db()
    assert people.profile.template is None


@pytest.mark.req("T22")
def test_it_asks_with_what_the_probe_found_and_takes_the_only_answer_there_is(people: Desk, tenants: Pack) -> None:
    made = operations.create(tenants)
    report = operations.fit(people.profile, made)
    assert (report.queries[0].status, report.queries[0].reason) == (
        "missing",
        "needs an answer (tenant): Which tenant?",
    )
    assert [(choice.value, choice.label) for choice in report.parameters[0].choices] == [(7, "Ann"), (8, "Bob")]
    off = operations.apply(people.profile, made)
    assert (off.queries[0].enabled, off.queries[0].disabled_reason) == (
        False,
        "needs an answer (tenant): Which tenant?",
    )

    on = operations.apply(people.profile, made, strategy="replace", parameters={"tenant": "8"})
    assert on.queries[0].enabled
    with pytest.raises(PackError, match="It asks for: tenant"):
        operations.apply(people.profile, made, strategy="replace", parameters={"tennant": "8"})
    people.profile.refresh_from_db()
    assert people.profile.parameters == {"tenant": 8}
    assert people.outcomes(people.run(), "users") == {"read": 1, "created": 1}
    people.execute("DELETE FROM users WHERE tenant = 8")
    people.profile.parameters = {}
    operations.apply(people.profile, made, strategy="replace")
    people.profile.refresh_from_db()
    assert (operations.fit(people.profile, made).parameters[0].value, people.profile.parameters) == (7, {})


@pytest.mark.req("T23", "T3")
def test_it_takes_the_variant_a_person_chose(people: Desk, pack: Pack) -> None:
    pack["configuration"]["queries"]["users"]["variants"] = [
        {"name": "all"}, {"name": "on", "filters": "state = 'on'"},
    ]  # fmt: skip
    made = operations.create(pack)
    assert operations.apply(people.profile, made, variant="on").queries[0].variant == "on"
    with pytest.raises(PackError, match="no such variant"):
        operations.apply(people.profile, made, strategy="replace", variant="off")
    with pytest.raises(operations.TemplateConflict) as caught:
        operations.apply(people.profile, made)
    assert caught.value.queries == ("users",)


@pytest.mark.req("T14", "T16")
def test_it_parts_from_a_template_and_keeps_the_queries(people: Desk, pack: Pack) -> None:
    made = operations.create(pack)
    operations.apply(people.profile, made)
    operations.remove(people.profile)
    people.profile.refresh_from_db()
    assert (people.profile.template, people.profile.configuration_type) == (None, "custom")
    assert people.profile.queries.count() == 1

    operations.apply(people.profile, made, strategy="replace")
    operations.delete(made)
    people.profile.refresh_from_db()
    assert (people.profile.template, people.profile.queries.count()) == (None, 1)
    assert Application.objects.get(profile=people.profile).name == "Custom Platform"
    with pytest.raises(ImporterError, match="no template to upgrade"):
        operations.upgrade(people.profile)


@pytest.fixture
def applied(people: Desk, pack: Pack) -> Template:
    query = pack["configuration"]["queries"]["users"]
    query["fields"] = ["id", "name", "email", {"source": "state", "target": "custom_fields.state"}]
    query["value_maps"] = {"locale": {"1": "en"}}
    made = operations.create(pack)
    operations.apply(people.profile, made)
    return made


def newer(made: Template, **fields: str) -> Template:
    """The next version: other sources for these fields, a new value-map entry and a new query."""
    data = copy.deepcopy(made.definition)
    data["version"] = "2.0.0"
    queries = data["configuration"]["queries"]
    queries["users"]["fields"] = ["id", *({"source": source, "target": target} for target, source in fields.items()),
                                  {"source": "state", "target": "custom_fields.state"}]  # fmt: skip
    queries["users"]["value_maps"] = {"locale": {"1": "en", "2": "de"}}
    queries["staff"] = {
        "name": "Staff",
        "base_table": "users",
        "fields": ["id", "name", "email"],
        "target_type": "agents",
    }
    return operations.update(made, data)


@pytest.mark.req("T17")
def test_it_takes_over_what_is_new_and_keeps_what_a_person_changed(people: Desk, applied: Template) -> None:
    query = people.profile.queries.get()
    query.spec["filters"] = {"op": "and", "items": [{"field": "state", "operator": "=", "value": "on"}]}
    query.value_maps["locale"]["9"] = "fr"
    query.save()
    newer(applied, name="UPPER(name)", email="email")
    found = operations.upgrade(people.profile)
    assert {change.path for change in found.changes} == {"users.fields.name", "users.value_maps.locale.2", "staff"}
    assert (found.conflicts, found.from_version, found.to_version) == ((), "1.0.0", "2.0.0")

    operations.accept_upgrade(people.profile)
    query.refresh_from_db()
    assert {field["target"]: field["source"] for field in query.spec["fields"]}["name"] == "UPPER(name)"
    assert query.value_maps["locale"] == {"1": "en", "2": "de", "9": "fr"}
    assert query.spec["filters"]["items"][0]["value"] == "on"
    assert people.profile.queries.get(key="staff").enabled
    people.profile.refresh_from_db()
    assert people.profile.template_version == "2.0.0"
    assert not operations.upgrade(people.profile).is_needed
    assert people.run().status == "completed"


@pytest.mark.req("T17")
@pytest.mark.parametrize(("decision", "kept"), [("mine", "LOWER(name)"), ("theirs", "UPPER(name)")])
def test_it_lets_a_person_decide_where_both_changed(people: Desk, applied: Template, decision: Any, kept: str) -> None:
    query = people.profile.queries.get()
    query.spec["fields"] = [
        {"source": "LOWER(name)", "target": "name"} if field["target"] == "name" else field
        for field in query.spec["fields"]
    ]
    query.save()
    newer(applied, name="UPPER(name)", email="email")
    with pytest.raises(operations.Undecided) as caught:
        operations.accept_upgrade(people.profile)
    assert [change.path for change in caught.value.conflicts] == ["users.fields.name"]
    operations.accept_upgrade(people.profile, {"users.fields.name": decision})
    query.refresh_from_db()
    assert {field["target"]: field["source"] for field in query.spec["fields"]}["name"] == kept
