"""The pages of data import, step by step: what they show, what they refuse and where, and whom they let in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from importer.models import ImportJob, ImportTemplate
from permissions.models import ImportPermission
from permissions.tables import import_allowance
from tests.conftest import person
from tests.importer.conftest import target

__all__ = ["target"]
pytestmark = pytest.mark.usefixtures("committed_db")
GOOD = "name,email,age,department\nJohn Doe,john@example.com,30,Engineering\nJane Smith,jane@example.com,25,Marketing\n"
BAD = GOOD + "Bad,no-address,young,X\nWorse,worse@example.com,old,Y\n"
PEOPLE = """CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, age integer,
    department text, password_hash text)"""
PAYLOAD = '"><img src=x onerror=alert(1)>'
PAGE = "/settings/data-import"


@pytest.fixture
def people(target: psycopg.Connection) -> Any:
    target.execute("DROP TABLE IF EXISTS people")
    target.execute(PEOPLE)
    yield target
    target.execute("DROP TABLE IF EXISTS people")


@pytest.fixture
def bella(people: Any) -> Any:
    """May import into the table people, and opens the page."""
    bella = person("bella", name="Bella Ng")
    bella.grants.create(permission="pages.settings.data_import")
    ImportPermission.objects.create(user=bella, table_name="people", max_file_size_mb=3, max_rows_per_import=1234)
    return bella


@pytest.fixture
def browser(bella: Any, logged_in: Callable[[Any], Any]) -> Any:
    return logged_in(bella)


def send(browser: Any, content: str, name: str = "users.csv", **fields: str) -> Any:
    file = SimpleUploadedFile(name, content.encode())
    return browser.post(f"{PAGE}/upload", {"table": "people", "file": file} | fields)


def sent(browser: Any, content: str, name: str = "users.csv", **fields: str) -> str:
    """The address of the uploaded file's pages."""
    answer = send(browser, content, name, **fields)
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    return str(answer["Location"]).removesuffix("/read")


def text_of(answer: Any) -> str:
    """What a person reads, in one line."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", answer.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\N{EN DASH}", "-")


def form_of(answer: Any, **changes: str | None) -> dict[str, Any]:
    """The fields of the mapping form as a browser sends them, with changes; None leaves a field out."""
    page = answer.content.decode()
    fields: dict[str, Any] = {"source": re.findall(r'name="source" value="([^"]*)"', page)}
    for name, options in re.findall(r'<select[^>]*name="((?:target|transform)_\d+)"(.*?)</select>', page, re.S):
        chosen = re.search(r'value="([^"]*)"\s+selected', options)
        fields[name] = chosen[1] if chosen else ""
    fields |= changes
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.req("F-150", "F-152", "F-153", "F-154", "F-155", "F-133")
def test_it_shows_the_table_and_the_numbers_of_the_api(browser: Any, bella: Any, settings: Any) -> None:
    shown = text_of(browser.get(f"{PAGE}?table=people"))
    told = vars(import_allowance(bella, "people"))  # what the API tells
    assert f"{told['max_file_size_mb']} MB" in shown
    assert f"{told['max_rows_per_import']:,}" in shown
    assert ", ".join(told["allowed_formats"]) in shown
    assert "At most 3 MB and 1,234 rows" in shown  # before anything is sent
    assert re.search(r"email TEXT no required - unique", shown)
    assert "password_hash (not filled by imports)" in shown
    assert "id INTEGER no - primary unique numbered" in shown
    assert "Data import New" in shown
    settings.UI_NEW_BADGES = False
    assert "Data import New" not in text_of(browser.get(PAGE))


@pytest.mark.req("F-153", "F-004", "DEC-23")
def test_it_offers_the_tables_of_the_help_desk_first_and_only_permitted_ones(browser: Any, bella: Any) -> None:
    ImportPermission.objects.create(user=bella, table_name="accounts")
    page = browser.get(PAGE).content.decode()
    assert page.index('label="Help desk"') < page.index('value="accounts"') < page.index('label="Other tables"')
    assert 'value="tickets"' not in page
    assert 'value="people"' not in browser.get(f"{PAGE}?q=acc").content.decode()
    for name in ("tickets", "importer_importjob", "nowhere"):
        assert browser.get(f"{PAGE}?table={name}").status_code == 404


@pytest.mark.req("G32", "G31", "F-157")
def test_live_updates_are_counted_as_monitoring_and_live_checks_as_builder(browser: Any, settings: Any) -> None:
    way = sent(browser, BAD)
    form = form_of(browser.get(f"{way}/map"))
    settings.RATE_LIMITS |= {"builder": (1, 3600), "monitoring": (2, 3600)}
    part = {"HX-Request": "true"}
    judged = browser.post(f"{way}/map", form, headers=part)
    assert (judged.status_code, judged["X-RateLimit-Remaining"]) == (200, "0")
    refused = browser.post(f"{way}/map", form | {"target_0": ""}, headers=part)
    assert (refused.status_code, "The mapping is kept" in text_of(refused)) == (429, True)
    assert int(refused["Retry-After"]) > 0
    assert "3 mapped" in text_of(browser.get(f"{way}/map"))  # kept; and a page is no live update
    assert [browser.get(f"{PAGE}/history", headers=part).status_code for _ in range(3)] == [200, 200, 429]
    late = browser.get(f"{PAGE}/history", headers=part)
    assert (late.headers["HX-Reswap"], late.content) == ("none", b"")
    assert browser.get(f"{PAGE}/history").status_code == 200


@pytest.mark.req("F-156", "F-160", "F-157", "U50", "U51", "C12", "U1")
def test_it_leads_a_file_from_upload_to_its_result(
    browser: Any, worker: Callable[[], ImportJob], people: psycopg.Connection
) -> None:
    way = sent(browser, BAD)
    read = text_of(browser.get(f"{way}/read"))
    assert "The first 4 rows of 4" in read
    assert "Found: utf-8" in read
    assert "Jane Smith" in read
    mapping = browser.get(f"{way}/map")
    assert "4 mapped" in text_of(mapping)
    assert "2 of the first 4 rows have errors" in text_of(mapping)
    assert "department - text" in text_of(mapping)
    assert "email - text, required, unique" in text_of(mapping)
    assert "High" in text_of(mapping)
    gone = browser.post(f"{way}/map", form_of(mapping, target_1=""), headers={"HX-Request": "true"})
    assert gone.status_code == 200
    assert "Must be mapped: email" in text_of(gone)
    assert "<html" not in gone.content.decode()  # the verdict alone: the fields stay under the hands
    checked = browser.post(f"{way}/map", form_of(mapping, act="go"))
    assert checked["Location"] == f"{way}/check"
    report = text_of(browser.get(f"{way}/check"))
    api = browser.get(f"/api/v1/data/import/{way.rsplit('/', 1)[1]}").json()["validation_results"]
    assert f"{api['errorRows']} of {api['totalRows']} rows have errors" in report
    assert f"Import {api['validRows']} valid rows" in report
    assert "“young”" in report or "young" in report
    assert b"no-address" in b"".join(browser.get(f"{way}/findings.csv"))
    started = browser.post(f"{way}/start", {"accept_errors": "1"})
    assert started["Location"] == way
    assert worker().status == "completed"
    result = text_of(browser.get(way))
    assert "2 created" in result
    assert "Correct 2 rows" in result
    assert people.execute("SELECT count(*) FROM people").fetchone() == (2,)
    assert browser.get(f"{way}/map")["Location"] == way  # nothing but the result is left
    assert "users.csv" in text_of(browser.get(PAGE))


@pytest.mark.req("U52", "F-089")
def test_failed_rows_are_corrected_in_the_grid_and_imported_once(
    browser: Any, worker: Callable[[], ImportJob], people: psycopg.Connection
) -> None:
    way = sent(browser, BAD)
    browser.post(f"{way}/check")
    browser.post(f"{way}/start", {"accept_errors": "1"})
    worker()
    grid = browser.get(f"{way}/correct")
    page = grid.content.decode()
    fields = dict(re.findall(r'name="([0-9a-f-]+:\d)"\s+value="([^"]*)"', page))
    assert sorted(fields.values()) == sorted(
        ["Bad", "no-address", "young", "X", "Worse", "worse@example.com", "old", "Y"]
    )
    assert page.count('aria-invalid="true"') == 3
    unchanged = browser.post(f"{way}/correct", fields | {"act": "import"})
    assert unchanged.status_code == 422
    assert "No row of this page is right yet" in text_of(unchanged)
    replaced = browser.post(
        f"{way}/correct", fields | {"act": "replace", "find": "young", "replace": "44", "in_column": "2"}
    )
    assert "1 cell changed" in text_of(replaced)
    assert "0 of the 2 rows on this page are right" in text_of(replaced)  # the address is still none
    fields = dict(re.findall(r'name="([0-9a-f-]+:\d)"\s+value="([^"]*)"', replaced.content.decode()))
    address = next(name for name, value in fields.items() if value == "no-address")
    checked = browser.post(f"{way}/correct", fields | {address: "bad@example.com", "act": "check"})
    assert "1 of the 2 rows on this page is right" in text_of(checked)
    done = browser.post(f"{way}/correct", fields | {address: "bad@example.com", "act": "import"})
    assert done.status_code == 302
    assert worker().counters()["created"] == 1
    assert people.execute("SELECT age FROM people WHERE name = 'Bad'").fetchone() == (44,)
    left = browser.get(f"{way}/correct").content.decode()
    assert "Worse" in left
    assert "no-address" not in left


@pytest.mark.req("F-160", "F-068", "U4", "F-022", "F-024")
def test_a_refused_file_is_told_at_the_form_and_leaves_no_job(browser: Any) -> None:
    for content, name, words in (
        ("", "empty.csv", "The file is empty"),
        ("MZ\x00\x01binary", "tool.exe", "alert"),
        ("name\n" + "x" * (4 * 1024 * 1024), "large.csv", "MB"),
    ):
        answer = send(browser, content, name)
        assert answer.status_code == 422, name
        assert 'role="alert"' in answer.content.decode()
        assert words in answer.content.decode()
    nothing = browser.post(f"{PAGE}/upload", {"table": "people", "text": "  "})
    assert "Choose a file, or paste its text" in text_of(nothing)
    assert not ImportJob.objects.exists()
    pasted = browser.post(f"{PAGE}/upload", {"table": "people", "text": GOOD.replace(",", "\t")})
    assert "The first 2 rows" in text_of(browser.get(pasted["Location"]))


@pytest.mark.req("F-160", "F-084")
def test_what_was_detected_can_be_changed_and_the_rows_follow(browser: Any) -> None:
    way = sent(browser, "Export of 2024\nname;email;age\nÄnne;a@example.com;NONE\n", "old.csv")
    changed = browser.post(
        f"{way}/read",
        {"delimiter": ";", "skip_rows": "1", "null_words": "NONE", "encoding": "", "has_headers": "yes"},
        headers={"HX-Request": "true"},
    )
    assert changed.status_code == 200
    assert "The first 1 row" in text_of(changed)
    assert "NULL" in text_of(changed)
    job = ImportJob.objects.get()
    assert job.file.headers == ["name", "email", "age"]
    assert [each["target_column"] for each in job.file.field_mappings] == ["name", "email", "age"]  # mapped anew
    wrong = browser.post(f"{way}/read", {"encoding": "klingon"})
    assert wrong.status_code == 422
    assert "There is no encoding" in text_of(wrong)
    assert browser.post(f"{way}/read", {"go": "1"})["Location"] == f"{way}/map"


@pytest.mark.req("F-069", "F-054")
def test_a_template_is_kept_and_picked_with_the_next_file(browser: Any) -> None:
    way = sent(browser, "Nom,mail,age\nAda,ada@example.com,3\n")
    mapping = browser.get(f"{way}/map")
    browser.post(f"{way}/map", form_of(mapping, target_0="name", transform_0="upper", default_2="1"))
    browser.post(f"{way}/template", {"name": "Old shop"})
    template = ImportTemplate.objects.get()
    assert f'<option value="{template.pk}">Old shop' in browser.get(f"{PAGE}?table=people").content.decode()
    again = send(browser, "Nom,mail,extra\nAda,ada@example.com,3\n", template=str(template.pk))
    read = browser.get(again["Location"])
    assert "columns that the file does not have: age" in text_of(read)
    assert "columns that the template does not know: extra" in text_of(read)
    page = browser.get(again["Location"].replace("/read", "/map"))
    assert (form_of(page)["target_0"], form_of(page)["transform_0"]) == ("name", "upper")
    browser.post(f"{way}/template", {"name": "Old shop"})
    assert "You have a template" in text_of(browser.get(f"{way}/check"))


@pytest.mark.req("U51", "F-057")
def test_rows_that_are_there_already_are_skipped_updated_or_refused(browser: Any, people: psycopg.Connection) -> None:
    people.execute(
        "INSERT INTO people (name, email, department) VALUES ('Old', 'john@example.com', 'x'), ('B', 'b', 'x')"
    )
    way = sent(browser, GOOD)
    browser.post(f"{way}/check")
    assert "email (unique)" in text_of(browser.get(f"{way}/check"))
    browser.post(f"{way}/check", {"on_duplicate": "error", "duplicate_key": "email"})
    assert "1 of 2 rows has errors" in text_of(browser.get(f"{way}/check")).replace("have errors", "has errors")
    updated = browser.post(f"{way}/check", {"on_duplicate": "update", "duplicate_key": "email"})
    assert updated.status_code == 302, text_of(updated)
    report = text_of(browser.get(f"{way}/check"))
    assert "Every row is right" in report, report
    refused = browser.post(f"{way}/check", {"on_duplicate": "update", "duplicate_key": "department"})
    assert refused.status_code == 422
    assert "is not unique in people" in text_of(refused)


@pytest.mark.req("F-064", "F-039", "U51")
def test_an_import_that_needs_an_approval_is_requested(browser: Any, bella: Any, people: psycopg.Connection) -> None:
    approver = person("approver", name="Ann Approver")
    for permission in ("import.approve", "import.jobs.monitor"):
        approver.grants.create(permission=permission)
    ImportPermission.objects.filter(user=bella).update(requires_approval=True)
    way = sent(browser, GOOD)
    browser.post(f"{way}/check")
    assert "Request import of 2 rows" in text_of(browser.get(f"{way}/check"))
    asked = browser.post(f"{way}/start")
    assert asked.status_code == 302, text_of(asked)
    assert "Somebody else has to approve it" in text_of(browser.get(way))
    assert people.execute("SELECT count(*) FROM people").fetchone() == (0,)


@pytest.mark.req("F-161", "F-037", "F-036")
def test_own_files_are_continued_given_up_and_sent_again(browser: Any, worker: Callable[[], ImportJob]) -> None:
    first, second = sent(browser, GOOD), sent(browser, BAD, "more.csv")
    assert browser.get(first)["Location"] == f"{first}/read"
    browser.post(f"{first}/cancel")
    assert ImportJob.objects.get(pk=first.rsplit("/", 1)[1]).status == "cancelled"
    browser.post(f"{second}/check")
    browser.post(f"{second}/start", {"accept_errors": "1"})
    worker()
    assert "users.csv" in text_of(browser.get(f"{PAGE}/history"))
    assert "All your imports are finished" in text_of(browser.get(f"{PAGE}/history?hide_finished=1"))
    again = browser.post(f"{second}/retry", {"scope": "failed"})
    assert again["Location"].endswith("/map")
    browser.post(again["Location"].replace("/map", "/check"))
    assert "2 rows" in text_of(browser.get(again["Location"]))
    assert "users.csv" not in text_of(browser.get(f"{PAGE}/history?hide_finished=1"))


@pytest.mark.req("F-032", "F-133", "U7", "C11")
def test_strangers_see_nothing_and_are_told_whom_to_ask(browser: Any, logged_in: Callable[[Any], Any]) -> None:
    way = sent(browser, GOOD)
    stranger = person("stranger")
    stranger.grants.create(permission="pages.settings.data_import")
    other = logged_in(stranger)
    assert "There is nothing you may import into" in text_of(other.get(PAGE))
    assert 'href="/settings/data-import"' not in other.get("/").content.decode()  # F-133: no row, no entry
    for page in ("", "/read", "/map", "/check", "/correct", "/findings.csv"):
        assert other.get(f"{way}{page}").status_code == 404
    for act in ("start", "cancel", "retry", "template"):
        assert other.post(f"{way}/{act}").status_code == 404
    refused = send(other, GOOD)
    assert refused.status_code == 404
    assert ImportJob.objects.count() == 1


@pytest.mark.req("F-125", "U7")
def test_a_right_that_was_taken_away_stops_the_way(browser: Any, bella: Any) -> None:
    way = sent(browser, GOOD)
    ImportPermission.objects.filter(user=bella).delete()
    for page in ("read", "map", "check"):
        answer = browser.post(f"{way}/{page}", {"on_duplicate": "skip", "delimiter": ";"})
        assert answer.status_code == 403
        assert "Ask a super admin for an import permission" in text_of(answer)


@pytest.mark.req("F-088", "F-014", "U1")
def test_hostile_names_and_cells_are_shown_as_text(
    browser: Any, bella: Any, worker: Callable[[], ImportJob], people: psycopg.Connection
) -> None:
    name = 'pe"ople<b>'
    people.execute(f'DROP TABLE IF EXISTS "{name.replace(chr(34), chr(34) * 2)}"')  # type: ignore[call-overload]
    people.execute('CREATE TABLE "pe""ople<b>" (id serial PRIMARY KEY, "a<img>" integer, note text NOT NULL)')
    try:
        ImportPermission.objects.create(user=bella, table_name=name)
        file = SimpleUploadedFile(
            "x.csv", f'a<img>,note,"{PAYLOAD.replace(chr(34), chr(34) * 2)}"\n<svg onload=x>,n,1\n'.encode()
        )
        way = browser.post(f"{PAGE}/upload", {"table": name, "file": file})["Location"].removesuffix("/read")
        browser.post(f"{way}/check")
        pages = [
            browser.get(f"{PAGE}?table=pe%22ople%3Cb%3E"),
            *(browser.get(f"{way}/{page}") for page in ("read", "map", "check")),
        ]
        for answer in pages:
            assert answer.status_code == 200
            for raw in ("a<img>", "<svg onload", "ople<b>", "onerror=alert(1)>"):
                assert raw not in answer.content.decode()
    finally:
        people.execute('DROP TABLE IF EXISTS "pe""ople<b>"')


@pytest.mark.req("U10")
def test_the_page_asks_few_questions(browser: Any, django_assert_max_num_queries: Any) -> None:
    for _ in range(3):
        sent(browser, GOOD)
    with django_assert_max_num_queries(32):
        browser.get(f"{PAGE}?table=people")
    assert reverse("data_import") == PAGE


# -- the help desk


@pytest.fixture
def desk_clerk(browser: Any, bella: Any) -> Any:
    """Bella may also import tickets, people and accounts."""
    bella.grants.create(permission="system.import.execute")
    for table in ("tickets", "users", "accounts"):
        ImportPermission.objects.create(user=bella, table_name=table)
    return browser


@pytest.mark.req("F-153", "F-020", "U50")
def test_tickets_are_chosen_beside_tables_and_mapped_to_their_customers(desk_clerk: Any) -> None:
    page = desk_clerk.get(PAGE).content.decode()
    assert re.search(
        r'"Help desk".*Tickets.*Several of these in one document.*as they are".*"Other tables".*people', page, re.S
    )
    chosen = text_of(desk_clerk.get(f"{PAGE}?table=desk:tickets"))
    assert "Fields of Tickets" in chosen
    assert "Source of the ids" in chosen
    assert desk_clerk.get(f"{PAGE}?table=desk:letters").status_code == 404
    csv = "Ticket ID,Subject,Body,Status,Customer\n1,Printer,on fire,Wartend,cora@acme.example\n2,Mouse,gone,xyz,\n"
    way = sent(desk_clerk, csv, name="tickets.csv", table="desk:tickets", source_key="old-desk")
    page = desk_clerk.get(f"{way}/map")
    fields = form_of(page)
    assert [fields[f"target_{number}"] for number in range(4)] == ["external_id", "title", "description", "status"]
    assert "Wartend = pending" in page.content.decode()
    assert "“xyz”" in text_of(page)
    mapped = form_of(page, target_4="customer_external_id:email", values_3="Wartend = pending; xyz = closed", act="go")
    assert desk_clerk.post(f"{way}/map", mapped)["Location"] == f"{way}/check"
    report = text_of(desk_clerk.get(f"{way}/check"))
    assert "Every row is right" in report, report
    assert "By external_id" in report
    job = ImportJob.objects.get()
    assert (job.file.import_options["source_key"], job.file.goes_to) == ("old-desk", "Tickets")
    assert {"target_column": "customer_external_id", "reference": {"by": "email"}}.items() <= job.file.field_mappings[
        4
    ].items()


@pytest.mark.req("F-067", "U50", "U52")
def test_a_document_is_mapped_part_by_part(desk_clerk: Any) -> None:
    document = (
        '{"tickets": [{"external_id": 1, "title": "A", "description": "x", "status": "lost", "customer_external_id": 7}],'
        ' "contacts": [{"external_id": 7, "name": "Cora", "email": "cora@acme.example"}]}'
    )
    assert "A document with several parts" in text_of(desk_clerk.get(f"{PAGE}?table=desk:document"))
    nothing = send(desk_clerk, '{"letters": [{"a": 1}]}', name="desk.json", table="desk:document")
    assert nothing.status_code == 422
    assert "No part of the file is called like" in text_of(nothing)
    way = sent(desk_clerk, document, name="desk.json", table="desk:document")
    read = text_of(desk_clerk.get(f"{way}/read"))
    assert "Customer users (contacts) 1 Tickets 1" in read
    page = desk_clerk.get(f"{way}/map?part=tickets")
    assert form_of(page)["target_4"] == "customer_external_id"
    assert desk_clerk.post(f"{way}/map", {"act": "go", "part": "tickets"} | form_of(page)).status_code == 302
    report = text_of(desk_clerk.get(f"{way}/check"))
    assert "By part" in report
    assert "tickets 1" in report  # the line of the ticket whose status nobody knows
