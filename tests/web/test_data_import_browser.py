"""A file on its way in a real browser: by mouse to its result and its corrections; and without scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from importer.models import FileUpload, ImportJob
from permissions.models import ImportPermission
from tests.web.test_browser import log_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]
ROWS = "Full Name,E-Mail,age,department\n" + "".join(
    f"Person {number},person{number}@example.com,{20 + number},Support\n" for number in range(1, 13)
)
BAD = "Bad,no-address,young,Support\nOld,old@example.com,very,Sales\n"


@pytest.fixture
def people(alice: Any) -> Iterator[Any]:
    """A table that Alice may import into."""
    ImportPermission.objects.create(user=alice, table_name="people")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS people")
        cursor.execute(
            "CREATE TABLE people (id serial PRIMARY KEY, full_name text NOT NULL, email text NOT NULL UNIQUE, "
            "age integer, department text)"
        )
    yield alice
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS people")


@pytest.fixture
def users_csv(tmp_path: Path) -> str:
    path = tmp_path / "users.csv"
    path.write_text(ROWS + BAD)
    return str(path)


def count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM people")
        return int(cursor.fetchone()[0])


def arrive(tab: Any, role: str, name: str) -> None:
    """Wait for the page with this on it, and for its scripts: a change before they listen is heard by nobody."""
    tab.get_by_role(role, name=name).first.wait_for()
    tab.wait_for_load_state("load")


@pytest.mark.req("F-156", "F-157", "F-160", "U50", "U51", "U52", "U6", "F-153")
def test_it_leads_a_file_by_mouse_to_its_result_and_corrects_what_failed(
    people: Any, users_csv: str, worker: Callable[[], ImportJob], tab: Any
) -> None:  # fmt: skip
    log_in(tab, "alice")
    tab.get_by_role("link", name="Data import New").click()
    arrive(tab, "combobox", "Into")
    tab.get_by_label("Search").fill("peop")
    tab.get_by_label("Into", exact=True).select_option("people")
    arrive(tab, "heading", "Upload a file")
    tab.get_by_label("Choose a file").set_input_files(users_csv)
    tab.get_by_role("status").get_by_text("users.csv", exact=False).first.wait_for()
    tab.get_by_role("button", name="Upload").click()
    arrive(tab, "heading", "The first 14 rows of 14")
    tab.set_viewport_size({"width": 390, "height": 844})
    lines = "cell => { const text = new Range(); text.selectNodeContents(cell); return text.getClientRects().length }"
    assert tab.get_by_role("cell", name="person12@example.com").evaluate(lines) == 1  # the table scrolls instead
    tab.set_viewport_size({"width": 1280, "height": 720})
    tab.get_by_label("Words that mean empty").fill("very")
    tab.keyboard.press("Tab")
    tab.get_by_text("NULL").wait_for()  # the rows follow what was changed
    tab.get_by_role("button", name="Map the columns").click()
    arrive(tab, "combobox", "Column for E-Mail")
    tab.get_by_text("of the first 14 rows", exact=False).first.wait_for()
    tab.get_by_label("Column for E-Mail").select_option("")
    tab.get_by_text("Must be mapped: email").first.wait_for()
    tab.get_by_label("Column for E-Mail").select_option("email")
    tab.get_by_text("Must be mapped: email").first.wait_for(state="hidden")
    tab.get_by_text("1 of the first 14 rows has errors", exact=False).first.wait_for()
    tab.get_by_label("Search").fill("dep")
    assert tab.get_by_label("Column for age").is_hidden()
    tab.keyboard.press("Control+Enter")
    arrive(tab, "heading", "Errors by row")
    tab.get_by_role("button", name="Import 13 valid rows").click()
    tab.get_by_text("Waiting for a worker").wait_for()
    assert worker().status == "completed"
    tab.get_by_text("13 created", exact=False).first.wait_for()
    tab.get_by_role("link", name="Correct 1 row").click()
    arrive(tab, "button", "Check again")
    tab.get_by_label("E-Mail, line 14").fill("bad@example.com")
    tab.get_by_label("age, line 14").fill("44")
    tab.get_by_role("button", name="Check again").click()
    tab.get_by_text("of the 1 row on this page is right now", exact=False).first.wait_for()
    tab.get_by_role("button", name="Import the corrected rows").click()
    tab.get_by_text("Waiting for a worker").wait_for()
    worker()
    tab.get_by_text("1 created", exact=False).first.wait_for()
    assert count() == 14
    assert tab.misdeeds == []


@pytest.mark.req("U1")
def test_it_works_without_scripts(
    people: Any, users_csv: str, worker: Callable[[], ImportJob], chromium: Any, live_server: Any
) -> None:
    context = chromium.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(15_000)
    log_in(page, "alice")
    page.goto("/settings/data-import")
    page.get_by_label("Into", exact=True).select_option("people")
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Choose a file").set_input_files(users_csv)
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("button", name="Map the columns").click()
    page.get_by_label("Column for department").select_option("")
    page.get_by_role("button", name="Check all rows").click()
    page.get_by_role("button", name="Import 12 valid rows").click()
    page.get_by_text("Waiting for a worker").wait_for()
    worker()
    page.reload()
    page.get_by_text("12 created", exact=False).first.wait_for()
    assert count() == 12
    context.close()


@pytest.mark.req("F-040", "F-160")
def test_a_large_file_goes_on_where_it_stopped(people: Any, tmp_path: Path, tab: Any) -> None:
    ImportPermission.objects.filter(user=people).update(max_file_size_mb=100)
    path = tmp_path / "large.csv"
    path.write_text(
        "Full Name,E-Mail\n" + "".join(f"Person {n:06},{'x' * 60}{n}@example.com\n" for n in range(150_000))
    )
    size = path.stat().st_size
    sent: list[int] = []
    tab.on("request", lambda request: sent.append(int(request.headers["upload-offset"])) if request.method == "PATCH" else None)  # fmt: skip

    def lost(route: Any) -> None:
        route.abort() if route.request.method == "PATCH" and len(sent) == 2 else route.continue_()

    tab.route("**/api/v1/data/import/uploads/*", lost)
    log_in(tab, "alice")
    tab.goto("/settings/data-import?table=people")
    tab.get_by_label("Choose a file").set_input_files(path)
    tab.get_by_role("button", name="Upload").click()
    tab.get_by_text("It is tried again by itself").wait_for()
    tab.get_by_role("button", name="Stop").click()
    tab.get_by_text("Stopped at 5 MB", exact=False).wait_for()
    tab.reload()
    tab.get_by_label("Choose a file").set_input_files(path)
    tab.get_by_role("button", name="Upload").click()
    tab.get_by_role("heading", name="The first 20 rows").wait_for()
    part = 5 * 2**20
    assert sorted(set(sent)) == [*range(0, size, part)]
    assert sent.count(0) == 1  # the first part was not sent again
    assert ImportJob.objects.get().file.file_size == size
    assert FileUpload.objects.count() == 0
    assert tab.misdeeds == []
