"""Rules of the domain that the database itself keeps, whoever writes: tested with plain SQL (E1-E11)."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from servicevault.models import (
    Account,
    BillingRate,
    Ticket,
    TicketCategory,
    TicketPriority,
    TicketStatus,
    TimeEntry,
    User,
    rate_for,
)

pytestmark = pytest.mark.django_db


def run(statement: str, *params: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def refused(rule: str, statement: str, *params: object) -> None:
    """The database refuses the statement, naming the rule."""
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        run(statement, *params)


def person(name: str = "Ann", **fields: object) -> uuid.UUID:
    columns = {"id": uuid.uuid4(), "name": name} | fields
    run(
        f"INSERT INTO users ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
        *columns.values(),
    )
    return columns["id"]


@pytest.fixture
def account() -> uuid.UUID:
    return an_account("Acme")


def an_account(name: str) -> uuid.UUID:
    key = uuid.uuid4()
    run("INSERT INTO accounts (id, name) VALUES (%s, %s)", key, name)
    return key


def a_ticket(account: uuid.UUID, number: str = "T-1", **fields: object) -> uuid.UUID:
    creator = User.objects.get(username="service-vault-import").pk
    columns = {
        "id": uuid.uuid4(), "ticket_number": number, "title": "t", "account_id": account, "created_by_id": creator,
    } | fields  # fmt: skip
    run(
        f"INSERT INTO tickets ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
        *columns.values(),
    )
    return columns["id"]


def an_entry(account: uuid.UUID, ticket: uuid.UUID | None) -> uuid.UUID:
    key, agent = uuid.uuid4(), person("Agent", user_type="agent")
    run(
        "INSERT INTO time_entries (id, user_id, account_id, ticket_id, duration, started_at) VALUES (%s, %s, %s, %s, 5, now())",
        key,
        agent,
        account,
        ticket,
    )
    return key


# -- accounts (E1)


@pytest.mark.req("E1")
def test_an_account_needs_a_name_and_nothing_else(account: uuid.UUID) -> None:
    found = Account.objects.get(pk=account)
    assert (found.account_type, found.timezone, found.is_active, found.custom_fields) == ("customer", "UTC", True, {})
    assert abs((timezone.now() - found.created_at).total_seconds()) < 60
    an_account("Acme")  # names are not unique


@pytest.mark.req("E1")
@pytest.mark.parametrize(
    ("rule", "column", "value"),
    [
        ("accounts_name_not_empty", "name", ""),
        ("accounts_type_known", "account_type", "friend"),
        ("accounts_domain_lower", "domain", "Acme.COM"),
        ("name", "name", None),
    ],
)
def test_an_account_that_breaks_a_rule_is_refused(account: uuid.UUID, rule: str, column: str, value: object) -> None:
    refused(rule, f"UPDATE accounts SET {column} = %s WHERE id = %s", value, account)


@pytest.mark.req("E1", "E2")
@pytest.mark.parametrize("value", ["[1, 2]", '"text"', "5", "null"])
def test_custom_fields_are_an_object(account: uuid.UUID, value: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        run("UPDATE accounts SET custom_fields = %s::jsonb WHERE id = %s", value, account)


# -- people (E2, E3)


@pytest.mark.req("E3")
@pytest.mark.parametrize("kind", ["agent", "account_user"])
def test_an_address_belongs_to_one_person_of_a_kind(kind: str) -> None:
    person(email="a@x.com", user_type=kind)
    with pytest.raises(IntegrityError, match="users_email_per_type"), transaction.atomic():
        person("Other", email="a@x.com", user_type=kind)


@pytest.mark.req("E3")
def test_an_address_may_belong_to_an_agent_and_a_customer() -> None:
    person(email="a@x.com", user_type="agent")
    person(email="a@x.com", user_type="account_user")
    assert User.objects.filter(email="a@x.com").count() == 2


@pytest.mark.req("E3")
def test_moving_a_person_to_the_other_kind_meets_the_same_rule() -> None:
    person(email="a@x.com", user_type="agent")
    customer = person(email="a@x.com", user_type="account_user")
    refused("users_email_per_type", "UPDATE users SET user_type = 'agent' WHERE id = %s", customer)


@pytest.mark.req("E2", "E3")
def test_addresses_are_stored_in_small_letters_so_case_makes_no_second_person() -> None:
    with pytest.raises(IntegrityError, match="users_email_lower"), transaction.atomic():
        person(email="A@x.com")


@pytest.mark.req("E3")
def test_many_people_have_no_address() -> None:
    for number in range(3):
        person(f"Nobody {number}")
    assert User.objects.filter(email=None, user_type="account_user").count() == 3


@pytest.mark.req("E2")
def test_a_person_is_a_customer_without_password_until_told_otherwise() -> None:
    found = User.objects.get(pk=person())
    assert (found.user_type, found.is_superuser, found.role, found.locale) == ("account_user", False, None, "en")
    assert not found.has_usable_password()


@pytest.mark.req("E2")
@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("users_type_known", {"user_type": "root"}),
        ("users_email_lower", {"email": ""}),
        ("users_name_not_empty", {"name": ""}),
    ],
)
def test_a_person_who_breaks_a_rule_is_refused(rule: str, fields: dict[str, str]) -> None:
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        person(**{"name": "Ann", **fields})


@pytest.mark.req("E2")
def test_people_outlive_their_account(account: uuid.UUID) -> None:
    ann = person(account_id=account)
    Account.objects.get(pk=account).delete()
    assert User.objects.get(pk=ann).account is None


# -- tickets and comments (E6, E7)


@pytest.mark.req("E6")
def test_a_ticket_is_open_and_normal_until_told_otherwise(account: uuid.UUID) -> None:
    found = Ticket.objects.get(pk=a_ticket(account))
    assert (found.status, found.priority, found.description_format, found.tags) == ("open", "normal", "text", [])
    assert (found.custom_fields, found.metadata, found.deleted_at) == ({}, {}, None)


@pytest.mark.req("E6")
@pytest.mark.parametrize(
    ("rule", "column", "value"),
    [
        ("tickets_status_known", "status", "parked"),
        ("tickets_priority_known", "priority", "medium"),
        ("tickets_channel_known", "channel", "pigeon"),
        ("tickets_format_known", "description_format", "rtf"),
        ("tickets_named", "title", ""),
        ("tickets_named", "ticket_number", ""),
        ("account_id", "account_id", None),
        ("created_by_id", "created_by_id", None),
    ],
)
def test_a_ticket_that_breaks_a_rule_is_refused(account: uuid.UUID, rule: str, column: str, value: object) -> None:
    refused(rule, f"UPDATE tickets SET {column} = %s WHERE id = %s", value, a_ticket(account))


@pytest.mark.req("E6")
def test_a_ticket_number_is_given_once(account: uuid.UUID) -> None:
    a_ticket(account, "T-1")
    with pytest.raises(IntegrityError, match="tickets_number_unique"), transaction.atomic():
        a_ticket(account, "T-1")


@pytest.mark.req("E6")
def test_a_deleted_ticket_keeps_its_number(account: uuid.UUID) -> None:
    run("UPDATE tickets SET deleted_at = now() WHERE id = %s", a_ticket(account, "T-1"))
    with pytest.raises(IntegrityError, match="tickets_number_unique"), transaction.atomic():
        a_ticket(account, "T-1")


@pytest.mark.req("E6")
def test_account_and_creator_of_a_ticket_cannot_be_deleted(account: uuid.UUID) -> None:
    creator = person("Creator")
    ticket = a_ticket(account, created_by_id=creator)
    run("SET CONSTRAINTS ALL IMMEDIATE")
    refused("tickets", "DELETE FROM accounts WHERE id = %s", account)
    refused("tickets", "DELETE FROM users WHERE id = %s", creator)
    assert Ticket.objects.filter(pk=ticket).exists()


@pytest.mark.req("E7")
@pytest.mark.parametrize(
    ("rule", "column", "value"),
    [
        ("comments_author_known", "author_kind", "robot"),
        ("comments_format_known", "body_format", "rtf"),
        ("comments_not_empty", "content", ""),
        ("ticket_id", "ticket_id", None),
    ],
)
def test_a_comment_that_breaks_a_rule_is_refused(account: uuid.UUID, rule: str, column: str, value: object) -> None:
    key = uuid.uuid4()
    run("INSERT INTO ticket_comments (id, ticket_id, content) VALUES (%s, %s, 'x')", key, a_ticket(account))
    refused(rule, f"UPDATE ticket_comments SET {column} = %s WHERE id = %s", value, key)


# -- time entries (E8, E9)


@pytest.mark.req("E8")
def test_an_entry_is_billable_and_pending_until_told_otherwise(account: uuid.UUID) -> None:
    found = TimeEntry.objects.get(pk=an_entry(account, None))
    assert (found.billable, found.status, found.description, found.rate_override) == (True, "pending", "", None)


@pytest.mark.req("E8")
@pytest.mark.parametrize(
    ("rule", "column", "value"),
    [
        ("time_entries_status_known", "status", "paid"),
        ("duration", "duration", None),
        ("user_id", "user_id", None),
        ("account_id", "account_id", None),
        ("started_at", "started_at", None),
    ],
)
def test_an_entry_that_breaks_a_rule_is_refused(account: uuid.UUID, rule: str, column: str, value: object) -> None:
    refused(rule, f"UPDATE time_entries SET {column} = %s WHERE id = %s", value, an_entry(account, None))


@pytest.mark.req("E9")
def test_an_entry_has_the_account_of_its_ticket(account: uuid.UUID) -> None:
    other = an_account("Other")
    ticket = a_ticket(account)
    entry = an_entry(account, ticket)
    free = an_entry(other, None)
    rule = "account differs from its ticket"
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        an_entry(other, ticket)
    refused(rule, "UPDATE time_entries SET account_id = %s WHERE id = %s", other, entry)
    refused(rule, "UPDATE time_entries SET ticket_id = %s WHERE id = %s", ticket, free)
    run("UPDATE time_entries SET ticket_id = NULL, account_id = %s WHERE id = %s", other, entry)


@pytest.mark.req("E9")
def test_entries_follow_a_ticket_that_changes_its_account(account: uuid.UUID) -> None:
    other, ticket = an_account("Other"), a_ticket(account)
    entries = [an_entry(account, ticket), an_entry(account, ticket)]
    free = an_entry(account, None)
    run("UPDATE tickets SET account_id = %s WHERE id = %s", other, ticket)
    assert set(TimeEntry.objects.filter(pk__in=entries).values_list("account_id", flat=True)) == {other}
    assert TimeEntry.objects.get(pk=free).account_id == account


@pytest.mark.req("E9")
def test_one_statement_may_move_many_tickets(account: uuid.UUID) -> None:
    other = an_account("Other")
    for number in range(5):
        an_entry(account, a_ticket(account, f"T-{number}"))
    run("UPDATE tickets SET account_id = %s", other)
    assert set(TimeEntry.objects.values_list("account_id", flat=True)) == {other}


# -- rates (E10)


def rate(name: str, value: int, **fields: object) -> BillingRate:
    return BillingRate.objects.create(name=name, rate=value, **fields)


@pytest.mark.req("E10")
def test_the_accounts_default_wins_over_the_global_one_and_that_over_the_first_by_name(account: uuid.UUID) -> None:
    entry = TimeEntry.objects.get(pk=an_entry(account, None))
    home = Account.objects.get(pk=account)
    special = rate("Special", 150, account=home, is_default=True)
    assert rate_for(entry) == special
    special.is_active = False
    special.save()
    assert rate_for(entry).rate == Decimal(90)
    BillingRate.objects.filter(name="Standard").update(is_default=False)
    assert rate_for(entry).name == "Remote"
    BillingRate.objects.all().delete()
    assert rate_for(entry) is None


@pytest.mark.req("E10")
def test_rates_of_other_accounts_and_of_people_price_nobody_else(account: uuid.UUID) -> None:
    entry = TimeEntry.objects.get(pk=an_entry(account, None))
    rate("A", 1, account_id=an_account("Other"), is_default=True)
    rate("A", 2, user_id=person("Somebody"), is_default=True)
    assert rate_for(entry).name == "Standard"


@pytest.mark.req("E10")
def test_there_is_one_global_default() -> None:
    with pytest.raises(IntegrityError, match="one_global_default"), transaction.atomic():
        rate("Second", 1, is_default=True)


# -- seeds (E10, E11, E37)


@pytest.mark.req("E10")
def test_the_rates_every_installation_starts_with() -> None:
    found = BillingRate.objects.order_by("name").values_list("name", "rate", "is_default")
    assert sorted(int(value) for _, value, _ in found) == [40, 65, 90, 130]
    assert [int(value) for _, value, default in found if default] == [90]


@pytest.mark.req("E11")
def test_the_lookups_every_installation_starts_with() -> None:
    assert set(TicketStatus.objects.values_list("key", flat=True)) == {
        "open", "in_progress", "waiting_customer", "on_hold", "resolved", "closed", "cancelled",
    }  # fmt: skip
    assert set(TicketStatus.objects.values_list("type", flat=True)) <= {
        "open", "pending", "in_progress", "resolved", "closed",
    }  # fmt: skip
    assert list(TicketPriority.objects.order_by("level").values_list("key", flat=True)) == [
        "low", "normal", "high", "urgent", "emergency",
    ]  # fmt: skip
    assert TicketCategory.objects.count() == 7


@pytest.mark.req("E11")
@pytest.mark.parametrize("table", ["ticket_statuses", "ticket_priorities", "ticket_categories"])
def test_the_key_of_a_lookup_is_given_once(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT key FROM {table} ORDER BY key LIMIT 2")
        first, second = (key for (key,) in cursor.fetchall())
    refused("key", f"UPDATE {table} SET key = %s WHERE key = %s", first, second)


@pytest.mark.req("E11")
def test_the_type_of_a_status_is_one_of_the_five() -> None:
    refused("type", "UPDATE ticket_statuses SET type = 'parked' WHERE key = 'on_hold'")


@pytest.mark.req("E37", "E38")
def test_the_system_user_can_never_log_in() -> None:
    system = User.objects.get(username="service-vault-import")
    assert (system.user_type, system.is_active, system.is_visible, system.is_superuser) == (
        "agent",
        False,
        False,
        False,
    )
    assert not system.has_usable_password()
