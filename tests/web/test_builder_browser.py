"""The builder in a real browser: a help desk without foreign keys becomes a saved query; keys; hostile names; no scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from importer import operations
from importer.models import ImportJob, ImportProfile
from tests.web.builder_desk import HOSTILE
from tests.web.test_axe import look
from tests.web.test_browser import log_in

CASES = {"id": "external_id", "title": "title", "description": "description"}
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]


def asked(tab: Any) -> list[str]:
    """The requests the tab makes from now on, pictures and styles left out."""
    found: list[str] = []
    tab.on("request", lambda request: found.append(request.method) if "/static/" not in request.url else None)
    return found


def settled(tab: Any, action: Callable[[], Any]) -> None:
    """Do something that changes the draft, and wait for the preview that follows."""
    with tab.expect_response(lambda answer: answer.url.endswith("/result")):
        action()


def begin(tab: Any, profile: ImportProfile, target: str) -> None:
    tab.goto(reverse("builder", args=[profile.pk]))
    tab.get_by_label("The rows become").select_option(target)
    settled(tab, tab.get_by_role("button", name="Begin the query").click)


@pytest.mark.req("U20", "U22", "U23", "U21d", "Q33", "Q34")
def test_it_builds_saves_reopens_and_runs_a_query(
    alice: Any, shop: ImportProfile, tab: Any, worker: Callable[[], ImportJob]
) -> None:
    log_in(tab, "alice")
    begin(tab, shop, "tickets")
    tab.get_by_label("Table to start with").fill("cases")
    settled(tab, lambda: tab.keyboard.press("Enter"))
    seen = asked(tab)
    settled(tab, tab.get_by_role("button", name="people", exact=True).click)
    tab.locator("#b-count-joins-0").get_by_text("30 rows").wait_for()
    assert seen == ["POST", "GET"]  # one save, one preview
    settled(tab, tab.get_by_role("button", name="Auto Map").click)
    field = tab.get_by_label("Customer email")
    tab.get_by_text("more fields of tickets").click()
    field.click()
    tab.keyboard.type("email")
    settled(tab, lambda: (tab.keyboard.press("ArrowDown"), tab.keyboard.press("Enter")))
    assert field.input_value() == "people.email"
    assert tab.evaluate("document.activeElement.name") == "source"  # the focus stays where it was
    settled(tab, tab.locator("#b-filters").get_by_role("button", name="Add a condition").click)
    tab.keyboard.type("cases.state")  # the new condition has the focus
    tab.locator("#b-filters-v-0").fill("1")
    tab.locator("#b-count-filters").get_by_text("15 of 30 rows").wait_for()
    tab.get_by_role("tab", name="SQL").click()
    tab.get_by_text("LEFT JOIN", exact=False).first.wait_for()
    tab.keyboard.press("Control+Enter")
    tab.locator("#b-saved").get_by_text("Saved").wait_for()
    opened = asked(tab)
    settled(tab, tab.reload)
    assert len(opened) <= 6
    assert tab.locator("#b-filters-v-0").input_value() == "1"
    opened.clear()
    tab.wait_for_timeout(1_000)
    assert opened == []  # nothing polls
    assert shop.queries.get().spec["fields"]
    tab.get_by_role("link", name="Preview import").click()
    tab.get_by_role("button", name="Execute Import").wait_for()
    tab.goto(reverse("profile_value_maps", args=[shop.pk]))
    tab.get_by_label("status 1 becomes").select_option("open")
    tab.get_by_role("button", name="Save value maps").click()
    tab.get_by_role("link", name="Preview and rehearse").click()
    tab.get_by_role("button", name="Execute Import").click()
    tab.get_by_role("dialog").get_by_role("progressbar").wait_for()
    job = worker()
    tickets = job.runs.get(key="tickets")
    assert (job.status, tickets.read, tickets.created) == ("completed", 15, 15)
    tab.goto("/tickets")
    tab.get_by_role("link", name="Case 2", exact=True).wait_for()
    assert tab.misdeeds == []


@pytest.mark.req("U2", "F9")
def test_it_loses_nothing_that_is_typed_meanwhile(alice: Any, shop: ImportProfile, tab: Any) -> None:
    log_in(tab, "alice")
    begin(tab, shop, "tickets")
    tab.get_by_label("Table to start with").fill("cases")
    settled(tab, lambda: tab.keyboard.press("Enter"))
    tab.route("**/change", lambda route: (tab.wait_for_timeout(300), route.continue_()))  # a slow line
    tab.locator("#b-s-title").fill("UPPER(cases.title)")
    tab.locator("#b-s-external-95id").fill("cases.id")
    tab.locator("#b-s-description").click()
    tab.keyboard.type("cases.descriptio", delay=40)
    tab.wait_for_timeout(450)  # the first answers arrive while the last letter is typed
    tab.keyboard.type("n")
    wanted = {"title": "UPPER(cases.title)", "external_id": "cases.id", "description": "cases.description"}
    saved: dict[str, Any] = {}
    for _ in range(50):
        tab.wait_for_timeout(200)
        draft = shop.drafts.get()
        saved = {item["target"]: item["source"] for item in draft.steps[draft.place]["fields"]}
        if saved == wanted:
            break
    assert saved == wanted
    assert tab.locator("#b-s-description").input_value() == "cases.description"
    assert tab.misdeeds == []


@pytest.mark.req("U3", "U6", "I10")
def test_it_is_worked_with_the_keyboard(alice: Any, shop: ImportProfile, tab: Any) -> None:
    log_in(tab, "alice")
    begin(tab, shop, "customer_users")
    tab.keyboard.press("?")
    tab.get_by_role("heading", name="Keys").wait_for()
    tab.keyboard.press("Escape")
    tab.keyboard.press("/")
    with tab.expect_response(lambda answer: "builder-tables" in answer.url):
        tab.keyboard.type("peop")
    tab.get_by_role("link", name="people").focus()
    tab.keyboard.press("i")
    details = tab.get_by_role("region", name="Table details")
    details.get_by_role("row", name="email").wait_for()
    box = details.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= tab.viewport_size["height"]
    tab.keyboard.press("Escape")
    assert not details.is_visible()
    assert tab.evaluate("document.activeElement.className") == "b-table"
    tab.keyboard.press("Tab")
    settled(tab, lambda: tab.keyboard.press("Enter"))
    source = tab.locator("#b-s-name")
    source.focus()
    tab.keyboard.type("full")
    settled(tab, lambda: (tab.keyboard.press("ArrowDown"), tab.keyboard.press("Enter")))
    assert source.input_value() == "people.full_name"
    tab.locator("#b-target").focus()
    tab.locator("#b-target").select_option("tickets")
    question = tab.get_by_role("dialog")
    question.get_by_text("people.full_name → name").wait_for()
    tab.keyboard.press("Escape")
    tab.locator("#b-question").wait_for(state="detached")
    assert tab.locator("#b-target").input_value() == "customer_users"
    tab.get_by_role("tab", name="Preview").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.get_by_role("tab", name="SQL").get_attribute("aria-selected") == "true"
    assert tab.misdeeds == []


@pytest.mark.req("Q25", "U21b", "U6", "U5")
def test_it_goes_on_as_sql_by_keyboard(alice: Any, shop: ImportProfile, tab: Any, picture: Callable[..., None]) -> None:
    alice.grants.create(permission="import.raw_sql")
    fields = [{"source": f"cases.{name}", "target": target} for name, target in CASES.items()]
    body = {"key": "cases", "base_table": "cases", "target_type": "tickets", "fields": fields}
    operations.save_query(shop, body, by=alice)
    log_in(tab, "alice")
    settled(tab, lambda: tab.goto(reverse("builder_query", args=[shop.pk, "cases"])))
    tab.get_by_role("tab", name="Preview").focus()
    tab.keyboard.press("ArrowRight")
    tab.locator("#b-to-sql summary").focus()
    tab.keyboard.press("Enter")
    tab.get_by_text("There is no way back to blocks but the history").wait_for()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    text = tab.get_by_label("One SELECT, or WITH")
    text.wait_for()
    assert "FROM " in text.input_value()
    picture(tab, "builder-sql")
    text.focus()
    settled(tab, lambda: text.fill("SELECT id AS external_id,\n  titel AS title, description FROM cases"))
    tab.get_by_role("tab", name="Problems").focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("link", name="Line 2, column 3").focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate("[document.activeElement.id, document.activeElement.selectionStart]") == ["b-sql-edit", 28]
    assert look(tab, tab.url.split("#")[0], "builder in SQL") == {}
    assert tab.misdeeds == []


@pytest.mark.req("C9", "I3")
def test_it_runs_nothing_a_hostile_schema_says(alice: Any, shop: ImportProfile, tab: Any) -> None:
    log_in(tab, "alice")
    begin(tab, shop, "tickets")
    link = tab.locator(f"[data-table={quoted(f'public.{HOSTILE}')}] a")
    link.hover()
    tab.get_by_role("region", name="Table details").get_by_role("row").nth(2).wait_for()
    settled(tab, tab.locator(f"button[value={quoted(f'public.{HOSTILE}')}]").click)
    tab.locator("#b-s-title").click()
    settled(
        tab, lambda: (tab.keyboard.press("ArrowDown"), tab.keyboard.press("ArrowDown"), tab.keyboard.press("Enter"))
    )
    for name in ("SQL", "Problems", "Preview"):
        tab.get_by_role("tab", name=name).click()
    tab.locator("#b-preview td").first.wait_for()
    settled(tab, tab.reload)
    assert tab.locator("main img").count() == 0
    assert tab.get_by_role("heading", name="Start with").is_visible()  # still here, still logged in
    assert tab.misdeeds == []


def quoted(text: str) -> str:
    """A text inside a CSS attribute selector."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.req("U1")
def test_it_works_without_scripts(alice: Any, shop: ImportProfile, chromium: Any, live_server: Any) -> None:
    context = chromium.new_context(base_url=live_server.url, java_script_enabled=False)
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    log_in(tab, "alice")
    tab.goto(reverse("builder", args=[shop.pk]))
    tab.get_by_label("The rows become").select_option("accounts")
    tab.get_by_role("button", name="Begin the query").click()
    tab.get_by_label("Table to start with").fill("orgs")
    tab.get_by_role("button", name="Start with it").click()
    tab.get_by_role("button", name="Auto Map").click()
    tab.get_by_text("First 3 rows").wait_for()
    tab.locator("#b-s-name").fill("UPPER(orgs.name)")
    tab.locator("#b-s-name").press("Enter")
    tab.locator("#b-sql-text").get_by_text("UPPER(").wait_for()
    tab.get_by_role("button", name="Save query").click()
    tab.get_by_text("is saved.").wait_for()
    context.close()
    assert shop.queries.get().spec["fields"][1]["source"] == "UPPER(orgs.name)"


@pytest.mark.req("U5")
def test_it_fits_small_screens(alice: Any, shop: ImportProfile, tab: Any) -> None:
    tab.set_viewport_size({"width": 390, "height": 800})
    log_in(tab, "alice")
    begin(tab, shop, "customer_users")
    tab.get_by_label("Table to start with").fill("people")
    settled(tab, lambda: tab.keyboard.press("Enter"))
    settled(tab, tab.get_by_role("button", name="orgs", exact=True).click)
    settled(tab, tab.get_by_role("button", name="Auto Map").click)
    settled(tab, tab.locator("#b-filters").get_by_role("button", name="Add a condition").click)
    for width in (390, 320):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
