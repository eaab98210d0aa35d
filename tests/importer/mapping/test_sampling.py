"""A sample's cells are what the run stores, and sampling leaves nothing behind (X3, X5, U23)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from importer import gateway, planning
from importer.errors import QueryError
from importer.mapping.sampling import Impact, Sample, SampledRow, impact, sample
from importer.models import ImportRecord, MappingMemory, MappingVersion, SourceEntity
from importer.modes import Outcome
from importer.query.parsing import parse_spec
from importer.runner import connect_target
from servicevault.models import Account, Ticket, User
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


def sampled(desk: Desk, name: str, /, *, limit: int = 200, mode: str = "", **change: Any) -> Sample:
    query = desk.profile.queries.get(key=name)
    spec = parse_spec({**query.spec, "value_maps": query.value_maps, **change})
    with gateway.open_source(desk.profile, purpose="test") as session:
        schema = planning.read_schema(session, desk.profile)
        plan = planning.plan_draft(desk.profile, spec, session, schema, mode=mode)
        return sample(session, plan, connect=connect_target, limit=limit)


@pytest.fixture
def tickets(desk: Desk) -> Desk:
    desk.profile.source_timezone = "Europe/Berlin"
    desk.profile.save()
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text)")
    desk.execute("INSERT INTO p VALUES (1, 'Ann', 'Ann@X.de'), (2, 'Bob', 'bob@x.de')")
    desk.execute(
        "CREATE TABLE t (id int PRIMARY KEY, subject text, body text, state int, made timestamp, due text, hours text, "
        "who int, labels text[], extra int)"
    )
    desk.execute(
        "INSERT INTO t VALUES "
        "(1, ' One ', '<p>Hi <b>you</b></p>', 1, '2024-07-01 12:00', '31.12.2024', '1,5', 1, '{a,b}', 7), "
        "(2, NULL, 'plain', 2, '2024-01-01 12:00', NULL, NULL, NULL, NULL, NULL), "
        "(3, 'Three', '', 3, '2024-01-01', 'soon', '2', 2, '{}', 1), "
        "(4, 'Four', '', 9, '2024-01-01', NULL, NULL, 99, NULL, 1)"
    )
    desk.query("customer_users", "p", {"external_id": "id", "name": "name", "email": "mail"})
    desk.query(
        "tickets", "t",
        {
            "external_id": "id",
            "title": {"source": "t.subject", "transformation": "trim"},
            "description": {"source": "t.body", "transformation": ["html_to_text", "trim"]},
            "status": "state", "created_at": "made", "tags": "labels",
            "due_at": {"source": "t.due", "transformation": {"name": "datetime", "params": {"format": "DD.MM.YYYY"}}},
            "estimated_hours": {"source": "t.hours", "transformation": {"name": "number", "params": {"decimal": ","}}},
            "customer_external_id": "who",
            "custom_fields.extra": "extra",
        },
        value_maps={"status": {"1": "open", "2": "pending", "3": "closed"}},
    )  # fmt: skip
    return desk


def row_of(found: Sample, identifier: str) -> SampledRow:
    return next(row for row in found.rows if row.identifier == identifier)


@pytest.mark.req("X3", "U23")
def test_each_cell_of_the_sample_is_what_the_run_stores(tickets: Desk, target: psycopg.Connection) -> None:
    tickets.run(options={"selected_queries": ["customer_users"]})
    found = sampled(tickets, "tickets")
    job = tickets.run()
    assert [(row.identifier, row.outcome, row.code) for row in found.rows] == [
        (identifier, tickets.record(job, identifier, "tickets").action, tickets.record(job, identifier, "tickets").code)
        for identifier in "1234"
    ]
    for row in found.rows[:2]:
        [(image,)] = target.execute(
            "SELECT row_to_json(t) FROM tickets t WHERE id = %s", (tickets.target_of("tickets", row.identifier),)
        ).fetchall()
        columns = {"customer_external_id": "customer_id"}
        for name, value in row.target.items():
            if name.startswith("custom_fields."):
                assert value == image["custom_fields"].get("extra")
            elif name != "external_id":
                assert value == image[columns.get(name, name)], name
    assert row_of(found, "1").source["description"] == "<p>Hi <b>you</b></p>"
    assert row_of(found, "1").target["description"] == "Hi you"
    assert row_of(found, "2").target["title"] == "(no subject)"
    assert row_of(found, "2").warnings[0]["code"] == "empty_replaced"


@pytest.mark.req("X3", "U23")
def test_a_row_that_would_fail_or_wait_says_why(tickets: Desk) -> None:
    found = sampled(tickets, "tickets")
    bad, held = row_of(found, "3"), row_of(found, "4")
    assert (bad.outcome, bad.code, bad.problems[0]["field"], bad.problems[0]["value"]) == (
        Outcome.FAILED, "bad_date", "due_at", "soon",
    )  # fmt: skip
    assert bad.target["title"] == "Three"
    assert (held.outcome, held.code, held.problems[0]["value"]) == (Outcome.REVIEW, "unmapped_value", "9")


@pytest.mark.req("X3", "X7")
def test_sampling_leaves_nothing_behind(tickets: Desk) -> None:
    sampled(tickets, "tickets")
    sampled(tickets, "customer_users")
    for model in (Ticket, Account, ImportRecord, SourceEntity, MappingVersion, MappingMemory):
        assert not model.objects.exists(), model
    assert not User.objects.filter(user_type="account_user").exists()


@pytest.mark.req("X5")
def test_the_impact_tells_new_changed_and_equal_rows_apart(tickets: Desk) -> None:
    tickets.execute("UPDATE t SET due = NULL, state = 1")
    tickets.run()
    tickets.execute("UPDATE t SET subject = 'New' WHERE id = 1; DELETE FROM t WHERE id = 4")
    tickets.execute(
        "INSERT INTO t (id, subject, state, made) VALUES (5, 'Five', 1, '2024-01-01'), (6, 'Six', 8, '2024-01-01')"
    )
    before = Ticket.objects.get(pk=tickets.target_of("tickets", "1"))
    found = sampled(tickets, "tickets")
    assert impact(found, 5) == Impact(created=1, updated=1, unchanged=2, skipped=0, failed=0, review=1, sample_size=5)
    assert impact(found, 1000) == Impact(200, 200, 400, 0, 0, 200, sample_size=5)
    changed = row_of(found, "1")
    assert (changed.target["title"], list(changed.changed), changed.target_id) == ("New", ["title"], before.pk)
    assert Ticket.objects.get(pk=before.pk).title == before.title
    assert sampled(tickets, "tickets", mode="create").outcomes == {"skipped": 3, "created": 1, "review": 1}


@pytest.mark.req("X5")
def test_extrapolated_figures_add_up() -> None:
    rows = tuple(SampledRow(str(n), Outcome.CREATED if n else Outcome.FAILED, {}, {}) for n in range(3))
    found = impact(Sample((), rows, {Outcome.CREATED: 2, Outcome.FAILED: 1}), 100)
    assert (found.created, found.failed, found.basis) == (67, 33, "sample")
    assert impact(Sample((), (), {}), 0) == Impact(0, 0, 0, 0, 0, 0, sample_size=0)


@pytest.mark.req("X7")
def test_a_query_that_was_never_saved_can_be_sampled(tickets: Desk) -> None:
    fields = [
        {"source": "p.id", "target": "external_id"},
        {"source": "p.name", "target": "name", "transformation": "upper"},
    ]
    found = sampled(
        tickets, "customer_users", limit=1, base_table="p", fields=fields, target_type="accounts", key="draft"
    )
    assert [(row.target["name"], row.outcome) for row in found.rows] == [("ANN", "created")]


def test_a_query_that_cannot_be_loaded_says_so(tickets: Desk) -> None:
    with pytest.raises(QueryError, match="need the field"):
        sampled(tickets, "tickets", fields=[{"source": "t.id", "target": "external_id"}])


def test_a_grouped_query_is_sampled_too(tickets: Desk) -> None:
    fields = [{"source": "t.who", "target": "external_id"}, {"source": "MIN(t.subject)", "target": "name"}]
    found = sampled(
        tickets, "tickets", fields=fields, target_type="accounts", group_by=["t.who"], key="grouped", value_maps={}
    )
    assert {row.identifier: row.outcome for row in found.rows if row.identifier.isdigit()} == {
        "1": "created", "2": "created", "99": "created",
    }  # fmt: skip
    assert [row.code for row in found.rows if not row.identifier.isdigit()] == ["required_empty"]
