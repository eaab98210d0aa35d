"""What the source holds, what it likely means here, and who the people are (E33a, E33c, U25)."""

from __future__ import annotations

import pytest

from importer import gateway, planning
from importer.errors import QueryError
from importer.mapping.people import Person, match_people
from importer.mapping.value_maps import Observed, observe, suggest, unmapped
from importer.query.parsing import parse_spec
from importer.runner import connect_target
from servicevault import catalog
from servicevault.models import User
from tests.importer.desk import Desk

TICKET = catalog.get("tickets").field


@pytest.mark.req("E33a", "E33c")
@pytest.mark.parametrize(
    ("field", "value", "target"),
    [
        ("status", "new", "open"), ("status", "Active", "open"), ("status", "waiting", "pending"), ("status", "On Hold", "pending"),
        ("status", "snoozed", "pending"), ("status", "in progress", "in_progress"), ("status", "InProgress", "in_progress"),
        ("status", "solved", "resolved"), ("status", "done", "closed"), ("status", "geschlossen", "closed"), ("status", "Closed", "closed"),
        ("status", "pending reminder", "pending"), ("status", "waiting for customer", "pending"), ("status", "closd", "closed"),
        ("priority", "medium", "normal"), ("priority", "critical", "urgent"), ("priority", "emergency", "urgent"),
        ("priority", "Immediate", "urgent"), ("priority", "2 normal", "normal"), ("priority", "hoch", "high"), ("channel", "E-Mail", "email"),
    ],
)  # fmt: skip
def test_it_suggests_what_a_value_means(field: str, value: str, target: str) -> None:
    found = TICKET(field)
    assert found is not None
    [suggestion] = suggest([value], found)
    assert (suggestion.value, suggestion.target) == (value, target)
    assert suggestion.reason
    assert 0.5 < suggestion.confidence <= 1


@pytest.mark.parametrize("value", ["1", "banana", "", "???"])
def test_it_says_nothing_about_what_it_does_not_know(value: str) -> None:
    found = TICKET("status")
    assert found is not None
    assert suggest([value], found) == []


def test_a_code_is_judged_by_the_sources_own_word_for_it() -> None:
    found = TICKET("priority")
    assert found is not None
    assert [(item.value, item.target) for item in suggest(["7"], found, labels={"7": "Urgent"})] == [("7", "urgent")]


@pytest.mark.req("E33c", "U25")
@pytest.mark.usefixtures("committed_db")
def test_it_counts_the_values_of_a_mapped_column(desk: Desk) -> None:
    desk.execute("CREATE TABLE t (id int PRIMARY KEY, title text, state text, many int)")
    desk.execute(
        "INSERT INTO t SELECT i, 'x', (ARRAY['Open', ' open', 'parked', NULL, ''])[i % 5 + 1], i FROM generate_series(1, 600) i"
    )
    fields = {"external_id": "id", "title": "title", "description": "title", "status": "state", "queue": "many"}
    spec = parse_spec(desk.query("tickets", "t", fields, filters=["t.id <= 590"]).spec)
    with gateway.open_source(desk.profile, purpose="test") as session:
        schema = planning.read_schema(session, desk.profile)
        found = observe(session, spec, schema, "status")
        many = observe(session, spec, schema, "queue")
        written = {"kind": "sql", "target_type": "tickets", "sql": "SELECT id AS external_id, state AS status FROM t"}
        as_sql = observe(session, parse_spec(written), schema, "status")
        with pytest.raises(QueryError, match="feeds"):
            observe(session, spec, schema, "priority")
    assert {item.value: item.count for item in found.values} == {"open": 236, None: 236, "parked": 118}
    assert {item.value: item.count for item in as_sql.values} == {"open": 240, None: 240, "parked": 120}
    assert (found.cut, found.rows, found.complete) == (False, 590, True)
    assert next(item for item in found.values if item.value == "parked").sample.isdigit()
    assert (len(many.values), many.cut) == (500, True)
    field = TICKET("status")
    assert field is not None
    assert [item.value for item in unmapped(found, {}, field)] == ["parked"]
    assert unmapped(found, {" Parked ": "pending"}, field) == []
    assert [item.value for item in unmapped(found, {"parked": {"hold": True}}, field)] == ["parked"]


def test_observed_values_are_plain() -> None:
    assert Observed("1", 2) == Observed("1", 2, "")


@pytest.mark.req("U25", "E4")
@pytest.mark.usefixtures("committed_db")
def test_people_are_found_by_address_then_by_a_name_only_one_has() -> None:
    def agent(name: str, email: str | None, kind: str = "agent") -> User:
        return User.objects.create(name=name, email=email, user_type=kind, username=f"{name}-{email}-{kind}")

    ann, _, _ = agent("Ann Lee", "ann@x.de"), agent("Bob", "bob@x.de"), agent("Bob", "bob2@x.de")
    agent("Cid", "cid@x.de", "account_user")
    eve = agent("Eve", None)
    people = [
        Person("1", "Somebody", " ANN@x.de "), Person("2", "bob", ""), Person("3", "Cid", "cid@x.de"), Person("4", " eve ", "new@x.de"), Person("5"),
    ]  # fmt: skip
    with connect_target() as connection:
        found = match_people(connection, "agents", people)
    assert [(item.person.external_id, item.target_id, item.confidence) for item in found] == [
        ("1", ann.pk, 100.0), ("2", None, 0.0), ("3", None, 0.0), ("4", eve.pk, 60.0), ("5", None, 0.0),
    ]  # fmt: skip
    assert found[3].reason
