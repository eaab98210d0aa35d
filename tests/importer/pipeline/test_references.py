"""Rows that name other rows: resolved, defaulted, held back, linked late (E25-E37)."""

from __future__ import annotations

import pytest

from importer.models import ImportRecord, PendingReference
from servicevault.models import Account, Ticket, TicketComment, TimeEntry, User
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")

PERSON = {"external_id": "id", "name": "name", "email": "mail"}
TICKET = {
    "external_id": "id", "title": "title", "description": "title", "customer_external_id": "customer",
    "assigned_user_external_id": "agent", "ticket_number": "number", "updated_at": "changed",
}  # fmt: skip
COMMENT = {
    "external_id": "id", "ticket_external_id": "ticket", "content": "body", "author_kind": "kind",
    "author_external_id": "author", "parent_external_id": "parent",
}  # fmt: skip
ENTRY = {
    "external_id": "id", "description": {"source": "''"}, "duration": "minutes", "started_at": "began",
    "user_external_id": "agent", "ticket_external_id": "ticket",
}  # fmt: skip


@pytest.fixture
def full(desk: Desk) -> Desk:
    """One of everything: two companies, an agent, three customers, tickets, comments, time."""
    desk.execute(
        """
        CREATE TABLE customers (id int PRIMARY KEY, name text, mail text, company text);
        INSERT INTO customers VALUES (1, 'Ann', 'ann@acme.de', ' Acme  GmbH '), (2, 'Bob', 'bob@acme.de', 'ACME GmbH'), (3, 'Cy', NULL, NULL);
        CREATE TABLE agents (id int PRIMARY KEY, name text, mail text);
        INSERT INTO agents VALUES (1, 'Zoe', 'zoe@desk.de'), (2, 'Yan', 'yan@desk.de');
        CREATE TABLE tickets (id int PRIMARY KEY, title text, customer int, agent int, number text, changed timestamptz DEFAULT '2020-02-02');
        INSERT INTO tickets VALUES (1, 'One', 1, 1, '100'), (2, 'Two', 3, NULL, '101'), (3, 'Three', NULL, 2, '102'), (4, 'Four', 99, 98, '103');
        CREATE TABLE comments (id int PRIMARY KEY, ticket int, body text, kind text, author int, parent int);
        INSERT INTO comments VALUES (1, 1, 'hello', 'customer', 1, NULL), (2, 1, 'hi', 'agent', 1, 1), (3, 2, 'note', NULL, NULL, 77), (4, 88, 'lost', 'customer', 1, NULL);
        CREATE TABLE logs (id int PRIMARY KEY, ticket int, agent int, minutes int, began timestamptz DEFAULT '2024-05-01');
        INSERT INTO logs VALUES (1, 1, 1, 30), (2, NULL, 2, 45), (3, 1, 55, 10), (4, 88, 1, 20);
        """
    )
    desk.query("agents", "agents", PERSON)
    desk.query("customer_users", "customers", {**PERSON, "company": "company"})
    desk.query("tickets", "tickets", TICKET)
    desk.query("ticket_comments", "comments", COMMENT)
    desk.query("time_entries", "logs", ENTRY)
    return desk


@pytest.mark.req("E34", "E35", "E36", "E37", "E26", "E28", "T7", "E12")
def test_a_whole_desk_arrives_linked(full: Desk) -> None:
    job = full.run()

    assert job.status == "completed"
    acme = Account.objects.get(name__iexact="acme gmbh")
    default = Account.objects.get(name="Imported from Old desk")
    assert {user.name: user.account for user in User.objects.filter(user_type="account_user")} == {
        "Ann": acme, "Bob": acme, "Cy": default,
    }  # fmt: skip
    system = User.objects.get(username="service-vault-import")
    tickets = {
        ticket.title: ticket for ticket in Ticket.objects.select_related("account", "customer", "agent", "created_by")
    }
    assert [(tickets[t].account, tickets[t].created_by.name) for t in ("One", "Two", "Three", "Four")] == [
        (acme, "Ann"), (default, "Cy"), (default, "Yan"), (default, system.name),
    ]  # fmt: skip
    assert (tickets["One"].agent.name, tickets["Four"].customer, tickets["Four"].agent) == ("Zoe", None, None)
    assert {ticket.updated_at.year for ticket in tickets.values()} == {2020}
    assert full.outcomes(job, "__default__") == {"read": 1, "created": 1}


@pytest.mark.req("E26a")
def test_an_id_that_two_queries_gave_is_ambiguous_until_the_mapping_decides(full: Desk) -> None:
    full.execute(
        "CREATE TABLE guests (id int PRIMARY KEY, name text, mail text); INSERT INTO guests VALUES (1, 'Gus', 'g@x.de')"
    )
    full.query("customer_users", "guests", PERSON, key="guests")
    job = full.run()
    record = full.record(job, "1", "tickets")
    assert [problem["code"] for problem in record.warnings or []] == ["ambiguous_reference"]
    assert Ticket.objects.get(title="One").customer is None
    assert Ticket.objects.get(title="Two").customer.name == "Cy"  # that id only one query gave

    sure = {"source": "customer", "reference": {"entity": "guests"}}
    full.query("tickets", "tickets", {**TICKET, "customer_external_id": sure})
    full.run()
    assert Ticket.objects.get(title="One").customer.name == "Gus"


@pytest.mark.req("E26", "E30")
def test_comments_and_time_of_missing_tickets_wait_for_their_parent(full: Desk) -> None:
    full.execute("INSERT INTO tickets VALUES (88, repeat('x', 2000), 1, 1, '188')")
    job = full.run()

    assert full.outcomes(job, "ticket_comments") == {"read": 4, "created": 3, "failed": 1}
    assert full.outcomes(job, "time_entries") == {"read": 4, "created": 2, "failed": 2}
    parent = full.record(job, "88", "tickets")
    lost = full.record(job, "4", "ticket_comments")
    assert (lost.code, lost.problems[1]["parent_record"]) == ("blocked_by_parent", str(parent.pk))
    assert full.record(job, "3", "time_entries").code == "unresolved_reference"

    full.execute("UPDATE tickets SET title = 'short' WHERE id = 88")
    later = full.run()
    assert full.outcomes(later, "ticket_comments")["created"] == 1
    assert full.outcomes(later, "time_entries") == {"read": 4, "created": 1, "unchanged": 2, "failed": 1}


@pytest.mark.req("E26", "E7")
def test_authors_are_searched_where_their_kind_says(full: Desk) -> None:
    full.run()
    authors = {c.content: (c.author.name if c.author else None, c.author_kind) for c in TicketComment.objects.all()}
    assert authors == {"hello": ("Ann", "customer"), "hi": ("Zoe", "agent"), "note": (None, "system")}
    assert TicketComment.objects.get(content="hi").parent.content == "hello"


@pytest.mark.req("E9")
def test_an_entry_takes_the_account_of_its_ticket(full: Desk) -> None:
    full.execute("ALTER TABLE logs ADD account text; UPDATE logs SET account = 'nowhere' WHERE id = 1")
    full.query(
        "accounts",
        "customers",
        {"external_id": "id", "name": "name"},
        filters=[{"field": "customers.id", "operator": "=", "value": 3}],
    )
    full.execute("UPDATE logs SET account = '3' WHERE id = 1")
    full.query("time_entries", "logs", {**ENTRY, "account_external_id": "account"})
    job = full.run()
    entry = TimeEntry.objects.get(duration=30)
    assert entry.account == entry.ticket.account
    assert full.record(job, "1", "time_entries").warnings[0]["code"] == "account_taken_from_ticket"


@pytest.mark.req("E29", "E28")
def test_a_row_that_comes_later_is_linked_then(full: Desk) -> None:
    first = full.run()
    assert PendingReference.objects.count() == 3  # customer 99, agent 98, parent 77
    full.execute(
        "INSERT INTO customers VALUES (99, 'Late', 'late@x.de', NULL); INSERT INTO agents VALUES (98, 'Lou', 'lou@x.de')"
    )
    Ticket.objects.filter(title="Four").update(agent=User.objects.get(name="Zoe"))
    second = full.run()

    four = Ticket.objects.get(title="Four")
    assert (four.customer.name, four.agent.name) == ("Late", "Zoe")
    record = ImportRecord.objects.get(run__job=second, code="late_link")
    assert (record.source_identifier, record.changed_fields) == ("4", ["customer_id"])
    assert full.outcomes(first, "tickets") == {"read": 4, "created": 4}
    assert sum(second.runs.values_list("late_linked", flat=True)) == 1
    assert list(PendingReference.objects.values_list("column", flat=True)) == ["parent_id"]


@pytest.mark.req("E13")
def test_a_number_that_is_taken_is_replaced_and_kept_with_the_reference(full: Desk, target) -> None:
    full.execute("INSERT INTO tickets VALUES (5, 'Five', 1, 1, '100'), (6, 'Six', 1, 1, NULL), (7, 'Seven', 1, 1, '')")
    job = full.run()
    five = Ticket.objects.get(title="Five")
    assert five.ticket_number.startswith("TKT-")
    assert full.record(job, "5", "tickets").warnings[0]["code"] == "number_taken"
    assert target.execute("SELECT source_number FROM external_refs WHERE target_id = %s", [five.pk]).fetchone() == (
        "100",
    )
    assert Ticket.objects.filter(ticket_number__startswith="TKT-").count() == 3
    assert full.outcomes(full.run(), "tickets") == {"read": 7, "unchanged": 7}


@pytest.mark.req("E13")
def test_a_prefix_keeps_numbers_of_two_desks_apart(full: Desk) -> None:
    full.profile.number_prefix = "OLD-"
    full.profile.save()
    full.run()
    assert set(Ticket.objects.values_list("ticket_number", flat=True)) == {"OLD-100", "OLD-101", "OLD-102", "OLD-103"}


@pytest.mark.req("E25")
def test_a_reference_may_be_found_by_address(full: Desk) -> None:
    User.objects.create(name="Here", email="here@x.de", user_type="agent")
    full.execute("ALTER TABLE tickets ADD owner text; UPDATE tickets SET owner = 'HERE@x.de'")
    owner = {"source": "tickets.owner", "reference": {"by": "email"}}
    full.query("tickets", "tickets", {**TICKET, "assigned_user_external_id": owner})
    full.run()
    assert set(Ticket.objects.values_list("agent__name", flat=True)) == {"Here"}


@pytest.mark.req("E27")
def test_the_action_for_unresolved_references_can_be_chosen(full: Desk) -> None:
    customer = {"source": "tickets.customer", "reference": {"unresolved": "fail"}}
    full.query("tickets", "tickets", {**TICKET, "customer_external_id": customer})
    job = full.run()
    assert full.record(job, "4", "tickets").code == "unresolved_reference"
    assert full.outcomes(job, "tickets") == {"read": 4, "created": 3, "failed": 1}


@pytest.mark.req("E34")
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("single", {"Ann": "Imported from Old desk", "Bob": "Imported from Old desk"}),
        ("domain", {"Ann": "acme.de", "Bob": "acme.de"}),
        (
            "company_or_domain",
            {"Ann": "Acme GmbH", "Bob": "Acme GmbH", "Dee": "dee.org", "Eve": "Imported from Old desk"},
        ),
    ],
)
def test_accounts_come_from_where_the_profile_says(full: Desk, strategy: str, expected: dict[str, str]) -> None:
    full.execute("UPDATE customers SET company = 'Acme  GmbH' WHERE id < 3")
    full.execute("INSERT INTO customers VALUES (5, 'Dee', 'dee@dee.org', ''), (6, 'Eve', 'eve@gmail.com', NULL)")
    full.profile.account_strategy = strategy
    full.profile.save()
    full.run()
    found = dict(User.objects.filter(user_type="account_user").values_list("name", "account__name"))
    assert {name: found[name] for name in expected} == expected
