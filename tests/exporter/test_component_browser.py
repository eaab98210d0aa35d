"""`{% data_export %}` on the list of tickets, in a browser, by keyboard."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.test import Client

from exporter import run
from exporter.models import ExportJob
from servicevault.jobs.models import JobStatus
from tests.exporter.conftest import permit
from tests.exporter.test_pages import check
from tests.web.conftest import chromium

__all__ = ["chromium"]

HEARD = """
window.heard = [];
for (const kind of ["previewed", "created", "ready"]) {
  document.addEventListener(`data-export:${kind}`, (event) => heard.push([kind, event.detail.table_name]));
}
"""


@pytest.mark.browser
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.req("F-164", "U5", "U6")
def test_the_tickets_of_the_list_leave_by_keyboard_and_the_page_hears_of_it(
    ticket: Any, alice: Any, live_server: Any, request: pytest.FixtureRequest
) -> None:
    permit(alice, "tickets", allowed_columns=["ticket_number", "title", "status", "created_at"])
    browser = Client()
    browser.force_login(alice, backend="permissions.backends.EmailBackend")
    chrome = request.getfixturevalue("chromium")
    pictures = os.environ.get("PICTURES")
    faults: list[str] = []
    session = {"name": "sessionid", "value": browser.cookies["sessionid"].value, "url": live_server.url}
    for width in (1440, 390):
        context = chrome.new_context(base_url=live_server.url, viewport={"width": width, "height": 900})
        context.add_cookies([session])
        context.add_init_script(HEARD)
        tab = context.new_page()
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        tab.goto("/tickets?q=printer")
        tab.locator("#ticket-export summary").focus()
        tab.keyboard.press("Enter")
        tab.get_by_role("button", name="Preview").focus()
        tab.keyboard.press("Enter")
        tab.get_by_text("1 row, about").wait_for()
        check(tab, pictures, f"tickets-preview-{width}")
        tab.get_by_role("button", name="Export", exact=True).focus()
        tab.keyboard.press("Enter")
        tab.locator(".sv-part-job").get_by_text("Pending").wait_for()
        assert tab.evaluate("document.activeElement.textContent.trim()") == "Export"  # the focus stays
        check(tab, pictures, f"tickets-pending-{width}")
        assert run.work(ExportJob.objects.latest("number").pk) == JobStatus.COMPLETED
        tab.get_by_role("link", name="Download").wait_for()
        check(tab, pictures, f"tickets-ready-{width}")
        told = [["previewed", "tickets"], ["created", "tickets"], ["ready", "tickets"]]
        assert tab.evaluate("heard") == told
        assert "within" not in tab.url
        tab.get_by_role("button", name="More options").click()
        tab.get_by_text("Within what the page you came from shows").wait_for()
        check(tab, pictures, f"tickets-desk-{width}")
        assert faults == []
        context.close()
