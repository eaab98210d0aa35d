"""`manage.py import_profile` with a template: whole desks, counted by hand-written SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from importer import gateway
from importer.models import ExternalRef, ImportQuery, ImportRecord, QueryRun
from importer.query.dumping import dump_spec
from importer.query.parsing import parse_spec
from importer.sources.introspection import introspect
from servicevault.demo import database, people, rows
from servicevault.models import Account, Ticket, TimeEntry, User
from templates_registry import apply
from templates_registry.definition import parse_definition
from templates_registry.detection import detect
from templates_registry.models import Template
from tests.importer.desk import Desk, loads, reader_url
from tests.importer.freescout import create_tables, let_reader_in

COUNTS = {
    "accounts": "SELECT count(DISTINCT left(lower(btrim(regexp_replace(company, '\\s+', ' ', 'g'))), 255)) FROM customers"
    " WHERE btrim(regexp_replace(company, '\\s+', ' ', 'g')) <> ''",
    "agents": "SELECT count(*) FROM users WHERE type = 1",
    "customers": "SELECT count(*) FROM customers",
    "tickets": "SELECT count(*) FROM conversations WHERE state = 2 AND left(status::text, 1) <> '4'",
    "comments": "SELECT count(*) FROM threads t JOIN conversations c ON c.id = t.conversation_id WHERE c.state = 2"
    " AND left(c.status::text, 1) <> '4' AND t.type IN (1, 2, 3) AND t.state = 2 AND t.id <> (SELECT min(x.id) FROM threads x"
    " WHERE x.conversation_id = c.id AND x.type IN (1, 2, 3) AND x.state = 2)",
    # The demo merges at most twice in a row.
    "time_entries": "WITH m AS (SELECT DISTINCT ON (t.conversation_id) t.conversation_id AS old, (t.meta::json ->> 'mic')::int"
    " AS new FROM threads t JOIN conversations c ON c.id = t.conversation_id AND c.state = 3 WHERE t.action_type = 4"
    " AND t.meta LIKE '%mic%' ORDER BY t.conversation_id, t.id DESC) SELECT count(*) FROM timelogs l"
    " LEFT JOIN m m1 ON m1.old = l.conversation_id LEFT JOIN m m2 ON m2.old = m1.new JOIN conversations c"
    " ON c.id = coalesce(m2.new, m1.new, l.conversation_id) WHERE l.finished AND c.state = 2 AND left(c.status::text, 1) <> '4'",
}

GUIDE_TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, first_name text, last_name text, company text, phone text,
  created_at timestamp, updated_at timestamp);
CREATE TABLE emails (id int PRIMARY KEY, customer_id int, email text, type {type});
CREATE TABLE users (id int PRIMARY KEY, first_name text, last_name text, email text);
CREATE TABLE conversations (id int PRIMARY KEY, subject text, body text, status int, customer_id int, user_id int,
  created_at timestamp, updated_at timestamp);
CREATE TABLE time_logs (id int PRIMARY KEY, description text, time_spent int, date timestamp, user_id int,
  conversation_id int, billable boolean, rate_amount numeric(8,2), created_at timestamp, updated_at timestamp);
INSERT INTO customers VALUES
  (1, 'Ann', 'Lee', 'ACME', '+49 1', '2024-01-01', '2024-01-02'), (2, 'Bob', NULL, 'acme ', NULL, '2024-01-01', NULL),
  (3, '', '', NULL, NULL, '2024-01-01', NULL);
INSERT INTO emails VALUES (1, 1, 'home@x.com', {home}), (2, 1, 'ann@x.com', {work}), (3, 1, 'ann2@x.com', {work}),
  (4, 2, 'bob@home.com', {home}), (5, 3, 'jo@x.com', {work});
INSERT INTO users VALUES (7, 'Tom', 'Ray', 'tom@desk.com');
INSERT INTO conversations VALUES (1, 'One', 'Body', 1, 1, 7, '2024-01-01 10:00', '2024-01-02'),
  (2, 'Two', NULL, 2, 2, NULL, '2024-01-01', NULL), (3, NULL, 'B', 3, 99, 99, '2024-01-01', NULL),
  (4, 'Four', 'B', 4, 3, 7, '2024-01-01', NULL);
INSERT INTO time_logs VALUES (1, 'Work', 150, '2024-03-01 09:00', 7, 1, NULL, 12.50, '2024-03-01', NULL),
  (2, NULL, 3600, '2024-03-02 09:00', 7, 2, false, NULL, '2024-03-02', NULL);
"""
GUIDE_SQL = {
    "customers": (
        "customer_users",
        "SELECT customers.id as external_id, CONCAT(customers.first_name, ' ', customers.last_name) as name, emails.email,"
        " customers.company, customers.phone, customers.created_at, customers.updated_at FROM customers"
        " LEFT JOIN emails ON emails.customer_id = customers.id WHERE emails.type = 'work'",
    ),
    "conversations": (
        "tickets",
        "SELECT conversations.id as external_id, conversations.subject as title, conversations.body as description,"
        " CASE WHEN conversations.status = 1 THEN 'open' WHEN conversations.status = 2 THEN 'pending'"
        " WHEN conversations.status = 3 THEN 'closed' ELSE 'open' END as status, customers.id as customer_external_id,"
        " users.id as assigned_user_external_id, conversations.created_at, conversations.updated_at FROM conversations"
        " LEFT JOIN customers ON customers.id = conversations.customer_id LEFT JOIN users ON users.id = conversations.user_id",
    ),
    "time_logs": (
        "time_entries",
        "SELECT time_logs.id as external_id, time_logs.description, ROUND(time_logs.time_spent / 60) as duration,"
        " time_logs.date as started_at, time_logs.user_id as user_external_id,"
        " time_logs.conversation_id as ticket_external_id, COALESCE(time_logs.billable, true) as billable,"
        " time_logs.rate_amount as rate_override, time_logs.created_at, time_logs.updated_at FROM time_logs"
        " LEFT JOIN conversations ON conversations.id = time_logs.conversation_id"
        " LEFT JOIN users ON users.id = time_logs.user_id",
    ),
}


def guide_tables(desk: Desk, *, as_text: bool = True) -> None:
    kinds = (
        {"type": "text", "home": "'home'", "work": "'work'"} if as_text else {"type": "smallint", "home": 2, "work": 1}
    )
    desk.execute(GUIDE_TABLES.format(**kinds))


@pytest.fixture
def full_desk(desk: Desk) -> Desk:
    """The product's own schema, where it is at hand, with rows as of the demo: every trap, often."""
    create_tables(desk.url, real=True)
    with psycopg.connect(desk.url) as connection:
        connection.execute("SET search_path = public")
        database.copy_rows(connection, rows.make(date(2026, 6, 1), conversations=1500))
    let_reader_in(desk)
    return desk


def run(desk: Desk, *arguments: str) -> dict[str, Any]:
    finished = desk.command("--name", desk.profile.name, "--url", reader_url(desk), "--json", *arguments)
    assert finished.returncode == 0, finished.stderr + finished.stdout
    return loads(finished.stdout)


@pytest.mark.slow
@pytest.mark.req("T30", "T26", "T32", "E28")
def test_it_imports_what_hand_written_sql_counts_and_writes_nothing_the_second_time(full_desk: Desk) -> None:
    options = ("--template", "freescout", "--timezone", "Europe/Berlin", "--workers", "2")
    first = {query["key"]: query for query in run(full_desk, *options)["queries"]}
    with psycopg.connect(full_desk.url) as source:
        source.execute("SET search_path = public")
        expected = {key: source.execute(statement).fetchone()[0] for key, statement in COUNTS.items()}  # type: ignore[index]
    assert {key: first[key]["read"] for key in COUNTS} == expected
    held = {"customers": people.CASE_PAIRS}
    assert {key: first[key]["created"] for key in COUNTS} == {key: n - held.get(key, 0) for key, n in expected.items()}
    codes = ImportRecord.objects.filter(run__key="customers", action="review").values_list("code", flat=True)
    assert list(codes) == ["unique_conflict"] * people.CASE_PAIRS

    ways = dict(QueryRun.objects.filter(status="done").values_list("key", "plan__how"))
    assert {key for key, way in ways.items() if way == "ranges"} == set(COUNTS) - {"accounts"}

    second = {query["key"]: query for query in run(full_desk, *options)["queries"]}
    assert {key: second[key]["unchanged"] for key in COUNTS} == {key: first[key]["created"] for key in COUNTS}
    assert sum(query["created"] + query["updated"] + query["failed"] for query in second.values()) == 0


@pytest.mark.req("T2")
def test_it_names_the_templates_there_are(desk: Desk) -> None:
    finished = desk.command("--name", desk.profile.name, "--url", reader_url(desk), "--template", "freshdesk")
    assert finished.returncode == 1
    assert "There is no template for “freshdesk”. Known: chatwoot, custom, freescout" in finished.stderr


@pytest.mark.req("T27", "T29", "T23", "E34")
@pytest.mark.parametrize("as_text", [True, False])
def test_it_takes_the_variant_of_the_guide_on_its_shape(desk: Desk, as_text: bool) -> None:
    guide_tables(desk, as_text=as_text)
    applied = apply.ensure_template(desk.profile, "freescout")
    variants = {query.key: query.variant for query in applied.queries if query.enabled}
    assert variants == {"agents": "guide", "customers": "guide", "tickets": "guide", "time_entries": "guide"}

    outputs = {query.key: [field["target"] for field in query.spec["fields"]] for query in applied.queries}
    times = ["created_at", "updated_at"]
    assert outputs["customers"] == ["external_id", "name", "email", "company", "phone", *times]
    assert outputs["tickets"] == [
        "external_id", "title", "description", "status", "customer_external_id", "assigned_user_external_id", *times,
    ]  # fmt: skip
    assert outputs["time_entries"] == [
        "external_id", "description", "duration", "started_at", "user_external_id", "ticket_external_id", "billable",
        "rate_override", *times,
    ]  # fmt: skip

    job = desk.run()
    assert job.status == "completed", job.error_message
    people = User.objects.filter(user_type="account_user").order_by("name")
    assert list(people.values_list("name", "email", "phone", "account__name")) == [
        ("Ann Lee", "ann@x.com", "+49 1", "ACME"),
        ("Bob", None, None, "ACME"),
        ("jo@x.com", "jo@x.com", None, f"Imported from {desk.profile.name}"),
    ]
    assert list(Ticket.objects.order_by("title").values_list("title", "description", "status", "customer__name", "agent__name")) == [
        ("(no subject)", "B", "closed", None, None),
        ("One", "Body", "open", "Ann Lee", "Tom Ray"),
        ("Two", None, "pending", "Bob", None),
    ]  # fmt: skip
    held = desk.record(job, "4", "tickets")
    assert (held.action, held.code) == ("review", "unmapped_value")
    entries = TimeEntry.objects.order_by("duration")
    assert list(entries.values_list("description", "duration", "billable", "rate_override", "ticket__title")) == [
        ("Work", 3, True, pytest.approx(12.5), "One"),
        ("", 60, False, None, "Two"),
    ]
    assert entries[0].started_at == datetime(2024, 3, 1, 9, tzinfo=UTC)
    assert Account.objects.filter(name__iexact="acme").count() == 1


@pytest.mark.req("T28", "E33b")
def test_it_runs_the_guides_three_statements_as_they_stand(desk: Desk) -> None:
    guide_tables(desk)
    for position, (key, (target_type, text)) in enumerate(GUIDE_SQL.items()):
        spec = parse_spec({"key": key, "kind": "sql", "sql": text, "target_type": target_type})
        ImportQuery.objects.create(
            profile=desk.profile,
            key=key,
            name=key,
            entity=key,
            target_type=target_type,
            spec=dump_spec(spec),
            position=position,
        )
    desk.query("agents", "users", {"external_id": "id", "name": "first_name", "email": "email"})
    job = desk.run()
    assert job.status == "completed", job.error_message
    assert desk.outcomes(job, "customers") == {"read": 3, "created": 2, "skipped": 1}
    assert desk.outcomes(job, "conversations") == {"read": 4, "created": 4}
    assert Ticket.objects.get(title="Four").status == "open"
    assert sorted(TimeEntry.objects.values_list("duration", flat=True)) == [2, 60]


@pytest.mark.req("T18", "T20")
def test_it_recognises_both_shapes_and_no_other_desk(desk: Desk, full_desk: Desk) -> None:
    definitions = [parse_definition(template.definition) for template in Template.objects.all()]
    with gateway.open_source(full_desk.profile, purpose="test") as session:
        best = detect(introspect(session), definitions, session=session)[0]
    assert (best.platform, best.score) == ("freescout", 100)
    full_desk.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    guide_tables(desk)
    with gateway.open_source(desk.profile, purpose="test") as session:
        assert detect(introspect(session), definitions, session=session)[0].is_likely
    desk.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    desk.execute(
        "CREATE TABLE users (id int, name text); CREATE TABLE contacts (id int, email text);"
        "CREATE TABLE conversations (id int, contact_id int, display_id int, status int); CREATE TABLE messages (id int)"
    )
    with gateway.open_source(desk.profile, purpose="test") as session:
        assert not any(found.is_likely for found in detect(introspect(session), definitions, session=session))


@pytest.mark.req("E24")
def test_it_keeps_ids_of_different_tables_apart(desk: Desk) -> None:
    guide_tables(desk)
    apply.ensure_template(desk.profile, "freescout")
    desk.run()
    assert desk.target_of("customers", "1") != desk.target_of("tickets", "1")
    assert ExternalRef.objects.filter(external_id="1").count() == 3
