"""`{% data_import %}` on the list of tickets, in a browser: by keyboard, at two widths, and without scripts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from importer.models import FileImport, ImportJob
from permissions.models import ImportPermission
from tests.exporter.test_pages import check

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]
ROWS = "external_id,title,description,status,colour\n{0}1,Printer,It smokes,open,red\n{0}2,Scanner,Hums,weird,blue\n"
HEARD = """
window.heard = [];
for (const kind of ["previewed", "validated", "imported"]) {
  document.addEventListener(`data-import:${kind}`, (event) => heard.push([kind, event.detail.target_type]));
}
"""


@pytest.mark.req("F-163", "U1", "U3", "U5", "U6")
def test_tickets_come_in_by_keyboard_and_without_scripts_and_the_page_hears_of_it(
    alice: Any,
    worker: Callable[[], ImportJob],
    live_server: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    for table in ("tickets", "accounts"):
        ImportPermission.objects.create(user=alice, table_name=table)
    browser = Client()
    browser.force_login(alice, backend="permissions.backends.EmailBackend")
    chrome = request.getfixturevalue("chromium")
    pictures = os.environ.get("PICTURES")
    faults: list[str] = []
    session = {"name": "sessionid", "value": browser.cookies["sessionid"].value, "url": live_server.url}
    file = tmp_path / "tickets.csv"
    for width in (1440, 390):
        file.write_text(ROWS.format(width))
        context = chrome.new_context(base_url=live_server.url, viewport={"width": width, "height": 900})
        context.add_cookies([session])
        context.add_init_script(HEARD)
        tab = context.new_page()
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        tab.goto("/tickets")
        tab.locator("#ticket-import summary").focus()
        tab.keyboard.press("Enter")
        tab.get_by_label("File", exact=True).set_input_files(file)
        check(tab, pictures, f"tickets-import-{width}")
        tab.get_by_role("button", name="Upload").press("Enter")
        tab.get_by_role("heading", name="tickets.csv: 2 rows").wait_for()
        tab.wait_for_function(
            "() => document.activeElement.textContent.includes('2 rows')"
        )  # the focus goes to what is new
        check(tab, pictures, f"tickets-import-file-{width}")
        tab.get_by_role("button", name="Check all rows").press("Enter")
        tab.get_by_role("heading", name="1 of 2 rows has errors").wait_for()
        check(tab, pictures, f"tickets-import-check-{width}")
        tab.get_by_role("button", name="Import 1 valid row").press("Enter")
        tab.locator(".sv-part-job").get_by_text("Pending").wait_for()
        worker()
        tab.get_by_role("link", name="Look at the result").wait_for()
        tab.locator("#ticket-rows").get_by_text("Printer").first.wait_for()  # the list is shown anew
        check(tab, pictures, f"tickets-import-done-{width}")
        assert tab.evaluate("heard") == [[kind, "tickets"] for kind in ("previewed", "validated", "imported")]
        assert faults == []
        context.close()
    plain = chrome.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies([session])
    tab = plain.new_page()
    tab.goto("/tickets")
    tab.locator("#ticket-import summary").click()
    file.write_text(ROWS.format("plain"))
    tab.get_by_label("File", exact=True).set_input_files(file)
    tab.get_by_role("button", name="Upload").click()
    tab.get_by_role("heading", name="The first 2 rows of 2").wait_for()
    assert FileImport.objects.latest("job__number").bounds.require_validation
    plain.close()
