"""A bad row is one failed or held row with column, value and reason; every other row goes in."""

from __future__ import annotations

import pytest

from importer.models import ImportRecord
from importer.pipeline.staging import read_rows
from servicevault.models import Account, Ticket, TimeEntry, User
from tests.importer.desk import Desk
from tests.triggers import trigger

pytestmark = pytest.mark.usefixtures("committed_db")

TICKETS = {
    "external_id": "id",
    "title": "title",
    "description": "body",
    "status": "status",
    "created_at": "made",
    "due_at": "due",
    "estimated_hours": "hours",
}


@pytest.fixture
def tickets(desk: Desk) -> Desk:
    desk.execute(
        "CREATE TABLE t (id int PRIMARY KEY, title text, body text, status text, made timestamp, due text, hours text)"
    )
    desk.execute(
        "INSERT INTO t SELECT i, 'Ticket ' || i, 'body', 'open', '2024-01-01', NULL, '1.5' FROM generate_series(1, 200) i"
    )
    desk.query("tickets", "t", TICKETS)
    return desk


def problem(desk: Desk, job, identifier: str) -> tuple[str, str, str, str]:
    record = desk.record(job, identifier)
    first = record.problems[0]
    assert first["message"]
    return record.action, record.code, first["field"], first["value"]


@pytest.mark.req("E18", "J25", "N-131", "X24", "N-117")
def test_each_kind_of_bad_value_fails_only_its_row(tickets: Desk) -> None:
    tickets.execute("UPDATE t SET due = '31.02.2024' WHERE id = 10")
    tickets.execute("UPDATE t SET hours = 'many' WHERE id = 20")
    tickets.execute("UPDATE t SET title = repeat('x', 999) WHERE id = 30")
    tickets.execute("UPDATE t SET hours = '123456789.5' WHERE id = 40")
    job = tickets.run()

    assert job.status == "completed"
    assert job.has_failures
    assert tickets.outcomes(job) == {"read": 200, "created": 196, "failed": 4}
    assert problem(tickets, job, "10") == ("failed", "bad_date", "due_at", "31.02.2024")
    assert problem(tickets, job, "20") == ("failed", "not_a_number", "estimated_hours", "many")
    assert problem(tickets, job, "30")[:3] == ("failed", "too_long", "title")
    assert problem(tickets, job, "40") == ("failed", "not_a_number", "estimated_hours", "123456789.5")


@pytest.mark.req("E33", "E33b")
def test_an_unknown_status_is_held_until_the_value_map_knows_it(tickets: Desk) -> None:
    tickets.execute("UPDATE t SET status = 'parked' WHERE id = 7; UPDATE t SET status = ' CLOSED ' WHERE id = 8")
    job = tickets.run()
    assert problem(tickets, job, "7") == ("review", "unmapped_value", "status", "parked")
    assert tickets.outcomes(job) == {"read": 200, "created": 199, "review": 1}
    assert Ticket.objects.filter(status="closed").count() == 1

    tickets.query("tickets", "t", TICKETS, value_maps={"status": {"Parked": "pending"}})
    later = tickets.run()
    assert tickets.outcomes(later)["created"] == 1
    assert Ticket.objects.get(pk=tickets.target_of("tickets", "7")).status == "pending"


@pytest.mark.req("E32")
def test_value_maps_compare_numbers_by_value_and_texts_by_case(desk: Desk) -> None:
    desk.execute("CREATE TABLE t (id int PRIMARY KEY, title text, status numeric)")
    desk.execute("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1.0), (3, 'c', 2.50), (4, 'd', 3)")
    fields = {"external_id": "id", "title": "title", "description": "title", "status": "status"}
    desk.query("tickets", "t", fields, value_maps={"status": {"1": "open", "2.5": "closed", "3": {"hold": True}}})
    job = desk.run()
    assert desk.outcomes(job) == {"read": 4, "created": 3, "review": 1}
    assert sorted(Ticket.objects.values_list("title", "status")) == [("a", "open"), ("b", "open"), ("c", "closed")]


@pytest.mark.req("E41")
def test_a_nul_byte_fails_its_row(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, raw json)")
    desk.execute(r"""INSERT INTO c VALUES (1, 'Acme', '{"a": "x\u0000y"}'), (2, 'Beta', '{"a": "C:\\u0000"}')""")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "custom_fields.raw": "raw"})
    job = desk.run()
    assert desk.outcomes(job) == {"read": 2, "created": 1, "failed": 1}
    assert desk.record(job, "1").code == "nul_byte"
    assert Account.objects.get(name="Beta").custom_fields == {"raw": {"a": "C:\\u0000"}}


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    rows = list(read_rows([(b"1", rb'{"a":"\u0000"}'), (b"2", rb'{"a":"\\u0000"}'), (b"3", rb'{"a":"\\\u0000"}')]))
    assert [row.problem for row in rows] == ["nul_byte", "", "nul_byte"]


def test_a_row_without_identifier_fails_and_the_rest_goes_in(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (code text, name text)")
    desk.execute("INSERT INTO c VALUES ('a', 'Acme'), (NULL, 'Nobody'), ('', 'Blank'), (NULL, 'Nobody 2')")
    desk.query("accounts", "c", {"external_id": "code", "name": "name"})
    job = desk.run()
    assert desk.outcomes(job) == {"read": 4, "created": 1, "failed": 3}
    assert set(ImportRecord.objects.filter(run__job=job, action="failed").values_list("code", flat=True)) == {
        "required_empty"
    }


def test_a_body_of_a_megabyte_goes_in(tickets: Desk) -> None:
    tickets.execute("UPDATE t SET body = repeat('<p>long</p>', 100000) WHERE id = 3")
    tickets.run()
    assert len(Ticket.objects.get(pk=tickets.target_of("tickets", "3")).description) == 1_100_000


def test_a_subject_may_hold_line_breaks_quotes_and_backslashes(tickets: Desk) -> None:
    odd = "Line\none\ttab \\N \\. \\x41 'quote' \"double\" %s {} ü 漢字 😀"
    tickets.execute("UPDATE t SET title = %s WHERE id = 3", [odd])
    tickets.run()
    assert Ticket.objects.get(pk=tickets.target_of("tickets", "3")).title == odd


@pytest.mark.req("E6")
def test_an_empty_title_gets_a_stand_in_and_a_warning(tickets: Desk) -> None:
    tickets.execute("UPDATE t SET title = '' WHERE id = 1; UPDATE t SET title = NULL WHERE id = 2")
    job = tickets.run()
    assert Ticket.objects.filter(title="(no subject)").count() == 2
    assert tickets.record(job, "1").warnings[0]["code"] == "empty_replaced"


@pytest.mark.alike
@pytest.mark.req("X24")
@pytest.mark.parametrize("bad", [[1], [200], [100], [57, 58], list(range(1, 201))])
def test_rows_that_the_database_refuses_are_found_by_halving(tickets: Desk, target, bad: list[int]) -> None:
    with trigger(
        target, "tickets", "IF NEW.title LIKE 'Poison%' THEN RAISE EXCEPTION 'poison is not allowed'; END IF;"
    ):
        tickets.execute("UPDATE t SET title = 'Poison ' || id WHERE id = ANY(%s)", [bad])
        job = tickets.run()
    expected = {"read": 200, "created": 200 - len(bad), "failed": len(bad)}
    assert tickets.outcomes(job) == {name: count for name, count in expected.items() if count}
    record = tickets.record(job, str(bad[0]))
    assert (record.code, record.problems[0]["message"]) == ("rejected", "poison is not allowed")
    assert record.source_data["title"] == f"Poison {bad[0]}"


@pytest.mark.req("E20", "E21")
def test_durations_are_read_as_people_write_them(desk: Desk) -> None:
    desk.execute("CREATE TABLE agents (id int PRIMARY KEY, name text, mail text)")
    desk.execute("INSERT INTO agents VALUES (1, 'Ann', 'ann@x.de')")
    desk.execute("CREATE TABLE logs (id int PRIMARY KEY, spent text, began timestamptz, agent int)")
    texts = ["90", "1h 30m", "1:30", "90m", "1.5h", "-15", "2000", "soon", "1 h"]
    for number, text in enumerate(texts, start=1):
        desk.execute("INSERT INTO logs VALUES (%s, %s, '2024-05-01 10:00+02', 1)", [number, text])
    desk.query("agents", "agents", {"external_id": "id", "name": "name", "email": "mail"})
    desk.query(
        "time_entries",
        "logs",
        {
            "external_id": "id",
            "description": {"source": "'work'"},
            "duration": "spent",
            "started_at": "began",
            "user_external_id": "agent",
        },
    )
    job = desk.run()
    assert desk.outcomes(job, "time_entries") == {"read": 9, "created": 8, "failed": 1}
    assert sorted(TimeEntry.objects.values_list("duration", flat=True)) == [-15, 60, 90, 90, 90, 90, 90, 2000]
    assert desk.record(job, "8", "time_entries").code == "bad_duration"
    assert desk.record(job, "6", "time_entries").warnings[0]["code"] == "unusual_duration"
    assert set(TimeEntry.objects.values_list("billable", "rate_override")) == {(True, None)}


@pytest.mark.req("E15")
def test_a_name_is_made_of_its_parts_else_of_the_address_else_the_row_fails(desk: Desk) -> None:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, first text, last text, mail text)")
    desk.execute(
        "INSERT INTO p VALUES (1, ' Ann ', 'Lee', 'a@x.de'), (2, NULL, ' ', 'b@x.de'), (3, '', NULL, NULL), (4, 'Cher', NULL, NULL)"
    )
    desk.query(
        "customer_users", "p", {"external_id": "id", "first_name": "first", "last_name": "last", "email": "mail"}
    )
    job = desk.run()
    assert set(User.objects.filter(user_type="account_user").values_list("name", "email")) == {
        ("Ann Lee", "a@x.de"), ("b@x.de", "b@x.de"), ("Cher", None),
    }  # fmt: skip
    assert desk.record(job, "3").code == "name_empty"
