"""The agents of a source on their page and through the API, without scripts (U25)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.urls import reverse

from importer.models import AgentChoice, ImportProfile
from permissions.models import AuditEntry
from servicevault.models import User
from tests.importer.desk import READER, Desk, make_desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture(scope="module")
def staff_url(source_database: Callable[..., str]) -> str:
    """The owner's URL of a source with sixty agents, of whom two are here."""
    url = source_database("staff")
    with psycopg.connect(url, autocommit=True) as source:
        source.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text)")
        source.execute(
            "INSERT INTO p SELECT i, 'Agent ' || i, 'a' || i || '@old.example' FROM generate_series(1, 58) i"
        )
        source.execute("INSERT INTO p VALUES (70, 'Ada', 'ADA@x.de'), (71, 'Charlie Brown', NULL)")
    return url


@pytest.fixture
def staff(staff_url: str, alice: Any, here: Callable[..., Any]) -> Desk:
    desk = make_desk(staff_url, created_by=alice)
    desk.query("agents", "p", {"external_id": "id", "name": "name", "email": "mail"})
    desk.execute(f"GRANT SELECT ON p TO {READER}")
    here("Ada Ng", "ada@x.de", "agent")
    here("Charlie Brown", "brown@desk.example", "agent")
    return desk


@pytest.fixture
def browser(logged_in: Callable[[Any], Any], alice: Any) -> Any:
    return logged_in(alice)


def address(profile: ImportProfile) -> str:
    return reverse("profile_agents", args=[profile.pk])


def brown() -> str:
    return str(User.objects.get(name="Charlie Brown").pk)


def choices() -> list[tuple[str, str, str | None]]:
    return list(AgentChoice.objects.order_by("external_id").values_list("external_id", "action", "person__name"))


@pytest.mark.req("U25", "U1", "X17")
def test_it_lists_agents_and_stores_what_becomes_of_each(browser: Any, staff: Desk) -> None:
    url = address(staff.profile)
    assert 'id="agents"' in browser.get(reverse("profile_value_maps", args=[staff.profile.pk])).content.decode()
    text = browser.get(url).content.decode()
    assert text.index("Ada") < text.index("Agent 1")  # who needs a decision comes first
    for words in ("60 in the source", "Ada Ng here has the address of Ada (id 70)", "Accept all 1 suggestion<"):
        assert words in text
    assert "Charlie Brown</b>, 60 %, the only one with this name" in browser.get(f"{url}?q=charlie").content.decode()
    assert AuditEntry.objects.filter(operation="pii_revealed").exists()
    assert browser.get(f"{url}?page=2").content.decode().count('name="agent-') == 10

    form = {
        "action": "save", "q": "a", "agent-0": "agents|70", "choice-0": "match", "who-0": "",
        "agent-1": "agents|71", "choice-1": "match", "who-1": "brown@desk.example",
        "agent-2": "agents|1", "choice-2": "placeholder", "who-2": "", "agent-3": "agents|2", "choice-3": "create",
        "agent-4": "agents|3", "choice-4": "",
    }  # fmt: skip
    answer = browser.post(url, form)
    assert (answer.status_code, answer["Location"]) == (302, f"{url}?q=a")
    assert choices() == [
        ("1", "placeholder", None), ("2", "create", None), ("70", "match", "Ada Ng"), ("71", "match", "Charlie Brown"),
    ]  # fmt: skip
    assert "Nothing was changed." in browser.post(url, form, follow=True).content.decode()
    text = browser.get(f"{url}?state=chosen").content.decode()
    assert text.count('name="agent-') == 4
    assert "Service Vault Import</b> stand in" in text
    assert "Take 4 choices back" in text
    browser.post(url, {"action": "forget"})
    assert choices() == []
    browser.post(url, {"action": "accept"})
    assert choices() == [("70", "match", "Ada Ng")]


@pytest.mark.req("U25", "U4")
def test_it_says_who_is_meant_and_keeps_what_was_typed(browser: Any, staff: Desk) -> None:
    form = {
        "agent-0": "agents|71", "choice-0": "match", "who-0": "nobody of ours",
        "agent-1": "agents|70", "choice-1": "create", "action": "save",
    }  # fmt: skip
    answer = browser.post(address(staff.profile), form)
    text = answer.content.decode()
    assert answer.status_code == 422
    assert "No agent here is called “nobody of ours”" in text
    shown = " ".join(browser.post(f"{address(staff.profile)}?q=71", form | {"q": "71"}).content.decode().split())
    assert 'value="nobody of ours"' in shown
    assert 'aria-invalid="true" aria-describedby="agent-' in shown
    assert choices() == []
    offered = browser.get(
        reverse("profile_agent_people", args=[staff.profile.pk]) + "?who-3=charlie+b"
    ).content.decode()
    assert "Charlie Brown &lt;brown@desk.example&gt;" in offered
    assert "Ada" not in offered


@pytest.mark.req("U25", "C5", "C10", "C11")
def test_programs_read_and_say_the_same(browser: Any, staff: Desk) -> None:
    url = f"/api/import/profiles/{staff.profile.pk}/agents"
    found = browser.get(f"{url}?search=ada&per_page=1").json()
    assert (found["meta"]["total"], found["meta"]["counts"]["suggested"]) == (1, 1)
    ada = found["data"][0]
    assert (ada["external_id"], ada["state"], ada["suggestion"]["name"], ada["choice"]) == (
        "70",
        "trouble",
        "Ada Ng",
        None,
    )

    def put(**body: Any) -> Any:
        return browser.put(url, body, content_type="application/json")

    said = {"external_id": "71", "action": "match", "user_id": brown()}
    assert put(choices=[said], accept_suggestions=True).json()["changed"] == 2
    assert choices() == [("70", "match", "Ada Ng"), ("71", "match", "Charlie Brown")]
    refused = put(choices=[{"external_id": "5", "action": "match", "user_id": brown()}])
    assert refused.status_code == 422
    assert "Agent 5 (id 5) cannot both be Charlie Brown" in refused.json()["errors"]["choices.0"][0]
    assert put(choices=[{"external_id": "71", "action": "strategy"}], version=1).status_code == 409
    assert (
        put(choices=[{"external_id": "71", "action": "strategy"}], agent_strategy="match_only").json()["changed"] == 1
    )
    staff.profile.refresh_from_db()
    assert (staff.profile.agent_strategy, choices()) == ("match_only", [("70", "match", "Ada Ng")])
    assert browser.get(f"{url}?state=left_out").json()["meta"]["total"] == 59
