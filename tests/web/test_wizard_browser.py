"""The whole way in a real browser: from an address to imported tickets; by keyboard; and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from importer.models import ImportJob, ImportProfile
from importer.sources.params import ConnectionParams
from tests.web.test_axe import look
from tests.web.test_browser import log_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]


def address_of(params: ConnectionParams) -> str:
    return f"postgresql://{params.username}:{params.password}@{params.host}:{params.port}/{params.database}"


def connect(page: Any, params: ConnectionParams) -> None:
    """Fill the form of a new profile from an address and save it."""
    page.goto("/import/profiles/new")
    page.get_by_label("Paste an address").fill(address_of(params))
    page.get_by_role("button", name="Fill in").click()
    page.get_by_label("Profile name").fill("Green desk")


@pytest.mark.req("U1", "U16", "U17", "U18", "U24", "U25", "U26", "U27", "X12")
def test_it_leads_from_an_address_to_imported_tickets(
    alice: Any, source_params: ConnectionParams, worker: Callable[[], ImportJob], tab: Any, picture: Callable[..., None]
) -> None:  # fmt: skip
    log_in(tab, "alice")
    connect(tab, source_params)
    assert tab.get_by_label("Password").input_value() == source_params.password
    tab.get_by_role("button", name="Test connection").click()
    tab.get_by_role("heading", name="The connection works").wait_for()
    picture(tab, "import-1-connect")
    assert tab.get_by_label("Password").input_value() == source_params.password  # survives the swap
    tab.get_by_role("button", name="Test and save").click()
    tab.get_by_text("Detected FreeScout Platform").wait_for()
    picture(tab, "import-2-template")
    tab.get_by_role("button", name="Apply FreeScout Platform").click()
    tab.get_by_text("is applied").wait_for()
    profile = ImportProfile.objects.get()
    move_the_limits(tab, profile)
    for name, place in (("import-3-overview", ""), ("import-5-matching", "/matching"), ("builder", "/builder/tickets")):
        tab.goto(f"/import/profiles/{profile.pk}{place}")
        tab.wait_for_load_state("networkidle")
        picture(tab, name)
    tab.goto(f"/import/profiles/{profile.pk}/value-maps")
    picture(tab, "import-4-value-maps")
    tab.get_by_label("status 9 becomes").select_option("closed")
    tab.get_by_role("button", name="Save value maps").click()
    tab.get_by_text("Every value has a meaning.").wait_for()
    tab.get_by_role("link", name="Preview and rehearse").click()
    tab.get_by_role("link", name="Tickets 3").click()
    tab.get_by_text("template FreeScout Platform").first.wait_for()
    picture(tab, "import-6-preview")
    tab.get_by_role("button", name="Rehearse").click()
    watch_the_dialog(tab, worker)
    tab.locator("#job-live").get_by_text("nothing was written").first.wait_for()
    picture(tab, "import-7-rehearsal")
    tab.get_by_role("link", name="Plan").click()
    tab.get_by_role("button", name=re.compile(r"^Import \d+ rows")).wait_for()
    tab.locator(".sv-plan-rows summary").first.click()
    picture(tab, "import-8-plan")
    tab.goto(f"/import/profiles/{profile.pk}/preview")
    tab.get_by_text("from rehearsal").wait_for()
    tab.get_by_role("button", name="Execute Import").click()
    tab.get_by_role("dialog").get_by_role("progressbar").wait_for()
    tab.goto("/import/jobs")
    tab.get_by_role("complementary", name="Your imports").get_by_text("1 active import").wait_for()
    picture(tab, "import-9-monitor")
    assert look(tab, "/import/jobs", "monitor") == {}
    tab.get_by_role("complementary", name="Your imports").get_by_role("link", name="Details of job").first.click()
    assert worker().status == "completed"
    tab.get_by_text("Finished in").first.wait_for()
    picture(tab, "job-live")
    tab.goto("/tickets")
    tab.get_by_role("link", name="Printer 3").wait_for()
    assert tab.misdeeds == []


def move_the_limits(tab: Any, profile: ImportProfile) -> None:
    """A slider and its number are one value."""
    tab.goto(f"/import/profiles/{profile.pk}/matching")
    tab.get_by_label(re.compile("^Write from")).fill("60")
    assert tab.get_by_label("Slide: Write from").input_value() == "60"
    tab.get_by_label("Slide: Ask a person from").fill("40")
    assert tab.get_by_label("Ask a person from", exact=True).input_value() == "40"


def watch_the_dialog(tab: Any, worker: Callable[[], ImportJob]) -> None:
    """It follows the job to its end; closed, it leaves the reader at the heading of the page beneath."""
    dialog = tab.get_by_role("dialog")
    dialog.get_by_role("progressbar").wait_for()
    assert worker().status == "completed"
    dialog.get_by_role("link", name="View import jobs").wait_for()
    tab.keyboard.press("Escape")
    tab.wait_for_function("() => document.activeElement.tagName === 'H1'")


@pytest.mark.req("U6", "U5")
def test_it_can_be_configured_by_keyboard_alone(
    alice: Any, desk_profile: ImportProfile, tab: Any
) -> None:  # fmt: skip
    log_in(tab, "alice")
    tab.goto("/import")
    press_until(tab, "Menu of Green desk")
    tab.keyboard.press("Enter")
    press_until(tab, "Apply template")
    tab.keyboard.press("Enter")
    tab.get_by_text("Detected FreeScout Platform").wait_for()
    press_until(tab, "Apply FreeScout Platform")
    tab.keyboard.press("Enter")
    tab.get_by_text("is applied").wait_for()
    assert desk_profile.queries.count() == 6
    tab.goto(f"/import/profiles/{desk_profile.pk}/preview")
    press_until(tab, "Rehearse")
    assert tab.misdeeds == []


@pytest.fixture
def plain_tab(chromium: Any, live_server: Any) -> Iterator[Any]:
    """A tab that runs no scripts."""
    context = chromium.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


@pytest.mark.whole
@pytest.mark.req("U1")
def test_it_works_without_scripts(
    alice: Any, source_params: ConnectionParams, worker: Callable[[], ImportJob], plain_tab: Any
) -> None:
    log_in(plain_tab, "alice")
    connect(plain_tab, source_params)
    assert plain_tab.get_by_label("Host").input_value() == source_params.host
    plain_tab.get_by_label("Password").fill(source_params.password)
    plain_tab.get_by_role("button", name="Test and save").click()
    plain_tab.get_by_role("button", name="Apply FreeScout Platform").click()
    plain_tab.get_by_text("is applied").wait_for()
    profile = ImportProfile.objects.get()
    plain_tab.goto(f"/import/profiles/{profile.pk}/value-maps")
    plain_tab.get_by_label("status 9 becomes").select_option("closed")
    plain_tab.get_by_role("button", name="Save value maps").click()
    plain_tab.goto(f"/import/profiles/{profile.pk}/matching")
    plain_tab.get_by_label("Create only").check()
    plain_tab.get_by_role("button", name="Save").click()
    plain_tab.get_by_text("Saved how rows are recognised").wait_for()
    plain_tab.goto(f"/import/profiles/{profile.pk}/preview")
    plain_tab.get_by_role("button", name="Execute Import").click()
    plain_tab.get_by_role("dialog").get_by_role("link", name="Go to the job").click()
    plain_tab.get_by_text("Waiting for a worker").first.wait_for()
    job = worker()
    assert (job.status, job.mode) == ("completed", "create")
    plain_tab.goto("/tickets")
    plain_tab.get_by_role("link", name="Printer 1").wait_for()


def press_until(page: Any, name: str) -> None:
    """Tab until the focus is on the control with these words."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if name in page.evaluate("document.activeElement.innerText.trim()"):
            return
    raise AssertionError(f"Tab never reaches {name}.")
