"""Every address answers each person as tests/matrix.py says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from exporter.models import ExportJob, ExportTemplate
from servicevault.notifications import telling
from servicevault.notifications.models import Kind
from servicevault.notifications.telling import News
from templates_registry.models import Template
from tests.matrix import ADMIN, PEOPLE
from tests.matrix import MATRIX as PAGES
from tests.matrix_api import API

MATRIX = PAGES | API
SHARES = 10  # who is who and what is where is made once for each

# Said aloud because people are asked for by name: pytest must know to run these before the tests that empty tables.
pytestmark = pytest.mark.django_db


@pytest.fixture
def browsers(request: pytest.FixtureRequest, logged_in: Callable[[Any], Any], client: Any) -> Callable[[str], Any]:
    return lambda name: client if name == "anonymous" else logged_in(request.getfixturevalue(name))


@pytest.fixture
def places(
    *,
    ticket: Any,
    finished_job: Any,
    rehearsed_job: Any,
    profile: Any,
    previewed_rollback: Any,
    waiting_file: Any,
    sent_file: Any,
    root: Any,
    alice: Any,
) -> dict[str, str]:
    type(profile).objects.filter(pk=profile.pk).update(host="127.0.0.1", port=1)  # refuses at once
    saved = ExportTemplate.objects.create(
        name="Tickets", table_name="tickets", export_format="csv", is_public=True, created_by=root
    )
    export = ExportJob.objects.create(
        table_name="tickets", export_format="csv", filename="tickets.csv", selected_columns=["id"], created_by=root
    )
    telling.tell([alice], News(Kind.JOB_COMPLETED, "Import of “Old desk”: completed", "/"))
    return {
        "notification": str(alice.notifications.get().pk),
        "table": "tickets",
        "export": str(export.pk),
        "export_template": str(saved.pk),
        "export_schedule": str(saved.schedules.create(created_by=root).pk),
        "query": "tickets",
        "ticket": str(ticket.pk),
        "comment": str(ticket.comments.first().pk),
        "job": str(finished_job.pk),
        "rehearsal": str(rehearsed_job.pk),
        "rollback": str(previewed_rollback.pk),
        "profile": str(profile.pk),
        "source_key": "old-desk",
        "entity": "tickets",
        "external_id": "4711",
        "template": str(Template.objects.get(platform="freescout", is_system=True).pk),
        "number": "1",
        "file": str(waiting_file.pk),
        "sent": str(sent_file.pk),
        "form": "csv",
        "kind": "import",
        "nobody": "00000000-0000-0000-0000-000000000000",
        "record": str(finished_job.runs.get().records.first().pk),
    }


def address(name: str, places: dict[str, str]) -> str:
    return reverse(name, kwargs={key: places[place] for key, place in MATRIX[name].arguments.items()})


@pytest.mark.req("G2", "C11")
@pytest.mark.parametrize("share", range(SHARES))
def test_they_answer_each_person_as_the_matrix_says(
    share: int, browsers: Callable[[str], Any], places: dict[str, str]
) -> None:
    people = [browsers(person) for person in PEOPLE]
    wrong = {}
    for name in [*MATRIX][share::SHARES]:
        answers = [answers_to(browser, name, address(name, places)) for browser in people]
        get, post = (tuple(statuses) for statuses in zip(*answers, strict=True))
        if (get, post) != (MATRIX[name].get, MATRIX[name].post):
            wrong[name] = {"get": get, "post": post}
    assert wrong == {}


def answers_to(browser: Any, name: str, url: str) -> tuple[int, int]:
    """The statuses of GET and POST. What was done is undone, or the next one would find it done."""
    sent = {"data": "{}", "content_type": "application/json"} if name in API else {}
    cookies = deepcopy(browser.cookies)
    with transaction.atomic():
        statuses = browser.get(url).status_code, browser.post(url, **sent).status_code
        transaction.set_rollback(True)
    browser.cookies = cookies
    return statuses


@pytest.mark.parametrize("person", PEOPLE)
def test_it_opens_the_admin_to_super_admins_only(person: str, browsers: Callable[[str], Any]) -> None:
    assert browsers(person).get(reverse("admin:index")).status_code == ADMIN[PEOPLE.index(person)]


def names_of(resolver: URLResolver) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                yield from names_of(pattern)
        elif isinstance(pattern, URLPattern):
            yield pattern.name or f"unnamed {pattern.pattern}"


def test_it_knows_every_address() -> None:
    assert sorted(names_of(get_resolver())) == sorted(MATRIX)


def test_it_ends_no_address_in_a_slash(places: dict[str, str]) -> None:
    assert [name for name in MATRIX if name != "home" and address(name, places).endswith("/")] == []


def test_it_leads_strangers_back_to_where_they_wanted_to_go(client: Any) -> None:
    answer = client.get("/tickets?q=ink")
    assert answer["Location"] == "/login?next=%2Ftickets%3Fq%3Dink"
