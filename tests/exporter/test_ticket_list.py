"""The list of tickets exports what it shows, whatever words were searched for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exporter import operations, run
from exporter.bounds import Bounds
from exporter.errors import InvalidColumns
from exporter.wanted import Wanted
from servicevault.models import Account, Ticket, User
from servicevault.web.ticket_filters import export_filters
from tests.conftest import person

pytestmark = pytest.mark.usefixtures("committed_db")
MANY = 40


@pytest.fixture
def tickets() -> Any:
    """A ticket of each of forty Meiers, one of somebody at Meier Ltd., one about a Meier, and one of nobody else."""
    root = person("root", is_superuser=True)
    acme, meiers = Account.objects.create(name="Acme"), Account.objects.create(name="100% Meier Ltd.")
    people = [User(name=f"Anna Meier {n}", email=f"meier{n}@x.example", account=acme) for n in range(MANY)]
    User.objects.bulk_create(people)
    others = [(acme, None, "Old printer of Meier"), (meiers, None, "Paper"), (acme, None, "Nobody's")]
    wanted = [(acme, customer, "Broken") for customer in people] + others
    Ticket.objects.bulk_create(
        Ticket(ticket_number=f"T-{n}", title=title, account=account, customer=customer, created_by=root)
        for n, (account, customer, title) in enumerate(wanted)
    )
    return root


@pytest.mark.req("F-164", "F-113")
@pytest.mark.parametrize(("text", "rows"), [("meier", MANY + 2), ("MEIER1", 11), ("100%", 1), ("nothing of this", 0)])
def test_words_that_match_many_people_are_exported_all_the_same(
    tickets: Any, logged_in: Callable[[Any], Any], text: str, rows: int
) -> None:
    shown = logged_in(tickets).get("/tickets", {"q": text})
    assert shown.context["page"].paginator.count == rows
    within = Bounds(filters=shown.context["export_filters"])
    wanted = Wanted("tickets", "csv", ["ticket_number"], within=within.stored)
    job = operations.create_export(wanted, by=tickets)
    assert run.work(job.pk) == "completed", job.error_message
    job.refresh_from_db()
    assert job.processed_rows == rows


@pytest.mark.req("F-092", "G15")
def test_people_cannot_look_through_keys_themselves(tickets: Any) -> None:
    for column in ("customer_id.name", "customer_id.password", "created_by_id.email"):
        asked = [{"column": column, "operator": "contains", "value": "x"}]
        with pytest.raises(InvalidColumns):
            operations.create_export(Wanted("tickets", "csv", ["id"], asked), by=tickets)
    closed = Bounds(filters=[{"column": "customer_id.password", "operator": "contains", "value": "!"}])
    with pytest.raises(InvalidColumns):  # not even a page may
        operations.create_export(Wanted("tickets", "csv", ["id"], within=closed.stored), by=tickets)
    assert export_filters("x", "open")
