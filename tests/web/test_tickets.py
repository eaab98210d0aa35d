"""`/tickets`: found by what people remember, shown in order, with where each came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from importer.models import ExternalRef
from servicevault.models import Ticket, User, UserType

Browser = Callable[[Any], Any]


@pytest.fixture
def browser(logged_in: Browser, charlie: Any) -> Any:
    return logged_in(charlie)


def page(browser: Any, ticket: Any, query: str = "") -> str:
    return browser.get(reverse("ticket", args=[ticket.pk]) + query).content.decode()


def copies(ticket: Ticket, count: int) -> None:
    Ticket.objects.bulk_create(
        Ticket(ticket_number=f"N{n}", title=f"Copy {n}", account=ticket.account, created_by=ticket.created_by,
               customer=ticket.customer, agent=ticket.agent, status="closed")
        for n in range(count)
    )  # fmt: skip


@pytest.mark.req("E31")
@pytest.mark.parametrize(
    "words",
    ["printer", "PRINTS IN", "TKT-2024-0007", "#tkt-2024-0007", "Cora", "cora@acme", "Acme", "4711", "OLD-4711"],
)
def test_it_finds_a_ticket_by_what_people_remember(browser: Any, ticket: Any, words: str) -> None:
    copies(ticket, 2)
    Ticket.objects.exclude(pk=ticket.pk).update(
        customer=None, account=ticket.account.__class__.objects.create(name="Other")
    )
    text = browser.get("/tickets", {"q": words}).content.decode()
    assert ticket.title in text
    assert "Copy 1" not in text


@pytest.mark.parametrize("words", ["%", "_", "\x00", "'; DROP TABLE tickets; --", "x" * 5000])
def test_it_takes_any_words(browser: Any, ticket: Any, words: str) -> None:
    assert browser.get("/tickets", {"q": words}).status_code == 200


def test_it_filters_by_status_and_pages(browser: Any, ticket: Any) -> None:
    copies(ticket, 30)
    text = browser.get("/tickets?status=closed&page=2").content.decode()
    assert "of 30<" in text
    assert "?status=closed&amp;page=1" in text
    assert ticket.title not in text


def test_it_answers_the_search_with_the_rows_alone(browser: Any, ticket: Any) -> None:
    text = browser.get("/tickets?q=printer", headers={"hx-request": "true"}).content.decode()
    assert text.lstrip().startswith('<div id="ticket-rows"')
    assert 'data-announce="1 ticket found"' in text


def test_it_says_what_to_do_when_nothing_matches(browser: Any, ticket: Any) -> None:
    assert "No ticket matches" in browser.get("/tickets?q=zzz").content.decode()


@pytest.mark.django_db
def test_it_invites_to_import_when_there_is_nothing(logged_in: Browser, alice: Any) -> None:
    assert "Import your old help desk" in logged_in(alice).get("/tickets").content.decode()


@pytest.mark.req("E7")
def test_it_shows_the_conversation_in_the_order_of_the_source(browser: Any, ticket: Any) -> None:
    text = page(browser, ticket)
    places = [text.index(words) for words in ("It is green.", "Change the ink.", "Odd one.")]
    assert places == sorted(places)
    assert text.count("Internal note") == 1
    assert "<b>Change the ink.</b>" in text


@pytest.mark.req("E23")
def test_it_says_where_the_ticket_and_each_comment_came_from(
    logged_in: Browser, alice: Any, ticket: Any, finished_job: Any
) -> None:
    text = page(logged_in(alice), ticket)
    for words in ("Old desk", "4711", "OLD-4711", reverse("job", args=[finished_job.pk]), "n1", "n2", "n3"):
        assert words in text


@pytest.mark.req("G11")
def test_it_keeps_profile_and_job_from_agents_who_may_not_see_them(
    browser: Any, ticket: Any, finished_job: Any
) -> None:
    text = page(browser, ticket)
    assert "4711" in text
    assert "Old desk" not in text
    assert str(finished_job.pk) not in text


@pytest.mark.req("E31")
@pytest.mark.parametrize(("entity", "external_id"), [("tickets", "4711"), ("notes", "n2")])
def test_it_leads_from_an_old_number_to_the_record(browser: Any, ticket: Any, entity: str, external_id: str) -> None:
    place = browser.get(f"/from/old-desk/{entity}/{external_id}")["Location"]
    assert place.startswith(reverse("ticket", args=[ticket.pk]))
    assert ("#comment-" in place) == (entity == "notes")


@pytest.mark.parametrize(
    "path", ["old-desk/tickets/1", "old-desk/nothing/4711", "elsewhere/tickets/4711", "old-desk/tickets/a/b"]
)
def test_it_answers_404_to_unknown_numbers(browser: Any, ticket: Any, path: str) -> None:
    assert browser.get(f"/from/{path}").status_code == 404


def test_it_takes_external_ids_with_slashes(browser: Any, ticket: Any) -> None:
    ref = ExternalRef.objects.get(external_id="4711")
    ExternalRef.objects.create(entity=ref.entity, external_id="desk/2024/7?a b", target_id=ticket.pk)
    url = reverse("from_source", args=["old-desk", "tickets", "desk/2024/7?a b"])
    assert browser.get(url).status_code == 302
    assert url in page(browser, ticket)


def test_it_shows_customers_nothing_yet(logged_in: Browser, ticket: Any) -> None:
    customer = User.objects.create(name="Cleo", email="cleo@acme.example", user_type=UserType.ACCOUNT_USER)
    browser = logged_in(customer)
    assert browser.get("/").status_code == 200
    assert ticket.title not in browser.get("/tickets").content.decode()
    assert browser.get(reverse("ticket", args=[ticket.pk])).status_code == 404
    assert browser.get("/from/old-desk/tickets/4711").status_code == 404


def test_it_shows_nobody_a_deleted_ticket(logged_in: Browser, root: Any, ticket: Any) -> None:
    Ticket.objects.update(deleted_at=timezone.now())
    browser = logged_in(root)
    assert browser.get(reverse("ticket", args=[ticket.pk])).status_code == 404
    assert ticket.title not in browser.get("/tickets").content.decode()
    assert browser.get("/from/old-desk/tickets/4711").status_code == 404


def test_it_collapses_a_very_long_text_and_loads_the_whole_on_demand(browser: Any, ticket: Any) -> None:
    comment = ticket.comments.first()
    ticket.comments.filter(pk=comment.pk).update(content="line\n" * 5_000 + "the very end")
    assert "the very end" not in page(browser, ticket)
    assert "Show all 25,012 characters" in page(browser, ticket)
    url = reverse("comment_body", args=[ticket.pk, comment.pk])
    assert "the very end" in browser.get(url, headers={"hx-request": "true"}).content.decode()
    assert "<html" in browser.get(url).content.decode()


def test_it_shows_a_comment_under_its_own_ticket_only(browser: Any, ticket: Any) -> None:
    copies(ticket, 1)
    other = Ticket.objects.exclude(pk=ticket.pk).get()
    assert browser.get(reverse("comment_body", args=[other.pk, ticket.comments.first().pk])).status_code == 404


@pytest.mark.req("G5")
def test_it_bounds_the_queries_of_the_list(browser: Any, ticket: Any, django_assert_max_num_queries: Any) -> None:
    copies(ticket, 60)
    with django_assert_max_num_queries(8):
        browser.get("/tickets?q=Copy&status=closed")


def test_it_bounds_the_queries_of_a_long_conversation(
    browser: Any, ticket: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(130):
        ticket.comments.create(author=ticket.agent, author_kind="agent", content=f"Reply {number}")
    with django_assert_max_num_queries(14):
        text = page(browser, ticket)
    assert "of 133<" in text
    assert "Reply 129" in page(browser, ticket, "?comments=2")


@pytest.mark.django_db
def test_it_welcomes_to_an_empty_help_desk(logged_in: Browser, alice: Any, charlie: Any) -> None:
    assert "Import your old help desk" in logged_in(alice).get("/").content.decode()
    assert "/import" not in logged_in(charlie).get("/").content.decode()


@pytest.mark.req("U39")
def test_it_counts_what_is_here(logged_in: Browser, alice: Any, ticket: Any) -> None:
    text = logged_in(alice).get("/").content.decode()
    for words in ("Accounts", "Tickets", "Comments", "Minutes worked", ">25<", "Last imports"):
        assert words in text
