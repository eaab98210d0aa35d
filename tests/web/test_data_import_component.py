"""`{% data_import %}`: each parameter takes something away, on the server too, and nobody can change it on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.template import Context, Template, TemplateSyntaxError
from django.test import Client, RequestFactory

from importer.file_bounds import Bounds
from importer.models import FileImport, ImportJob
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.conftest import target
from tests.web.test_data_import import BAD, GOOD, PAGE, bella, browser, people, text_of

__all__ = ["bella", "browser", "people", "target"]
pytestmark = pytest.mark.usefixtures("committed_db")
COMPONENT = f"{PAGE}/component"


def rendered(who: Any, table: str = "people", **parameters: Any) -> str:
    """What the person sees of the component."""
    request = RequestFactory().get("/anywhere")
    request.user = who
    given = " ".join(f"{name}={name}" for name in parameters)
    source = f"{{% load data_import %}}{{% data_import table {given} %}}"
    return Template(source).render(Context({"request": request, "csrf_token": "t", "table": table} | parameters))


def sealed(html: str) -> str:
    found = re.search(r'name="within"\s+value="([^"]+)"', html)
    assert found, html
    return unescape(found[1])


@pytest.fixture
def send(browser: Client, bella: Any) -> Callable[..., Any]:
    """`send(GOOD, max_rows=3)`: Bella gives a file to the component."""

    def give(content: str, name: str = "users.csv", *, form: Any = None, **parameters: Any) -> Any:
        within = sealed(rendered(bella, **parameters))
        file = SimpleUploadedFile(name, content.encode())
        fields = {"table": "people", "within": within, "file": file} | (form or {})
        return browser.post(f"{COMPONENT}/upload", fields, headers={"HX-Request": "true"})

    return give


def events(answer: Any) -> dict[str, Any]:
    return dict(json.loads(answer.headers.get("HX-Trigger", "{}")))


def act(browser: Client, what: str, **form: str) -> Any:
    job = ImportJob.objects.latest("number")
    return browser.post(f"{PAGE}/{job.pk}/component/{what}", form, headers={"HX-Request": "true"})


@pytest.mark.req("F-163")
def test_it_previews_checks_and_imports_and_tells_the_page(
    send: Any, browser: Client, worker: Callable[[], ImportJob], people: psycopg.Connection
) -> None:
    seen = send(BAD)
    job = ImportJob.objects.get()
    about = {"job_id": str(job.pk), "table_name": "people", "target_type": None}
    headers = ["name", "email", "age", "department"]
    assert events(seen) == {"data-import:previewed": about | {"headers": headers, "rows": 4, "total_rows": 4}}
    assert "name ← name" in text_of(seen)
    checked = act(browser, "check")
    counts = {"is_valid": False, "total_rows": 4, "valid_rows": 2, "error_rows": 2}
    assert events(checked) == {"data-import:validated": about | counts}
    assert "Import 2 valid rows" in text_of(checked)
    assert "“young”" in text_of(checked)
    started = act(browser, "start", accept_errors="1")
    assert (f'hx-get="{PAGE}/{job.pk}/component"' in started.content.decode(), events(started)) == (True, {})
    worker()
    done = browser.get(f"{PAGE}/{job.pk}/component")
    told = events(done)["data-import:imported"]
    assert (told["created_rows"], told["failed_rows"], told["job_id"]) == (2, 2, str(job.pk))
    assert "hx-get" not in done.content.decode()
    assert people.execute("SELECT count(*) FROM people").fetchone() == (2,)


@pytest.mark.req("F-163", "F-029")
def test_a_right_file_goes_in_with_one_press_unless_the_check_is_wanted(
    send: Any, browser: Client, worker: Callable[[], ImportJob]
) -> None:
    assert "at_once" in send(GOOD).content.decode()
    assert "component" in act(browser, "start", at_once="1").content.decode()
    assert worker().counters()["created"] == 2
    assert "at_once" not in send(GOOD.replace("@", "@2."), require_validation=True).content.decode()
    refused = act(browser, "start", at_once="1")
    assert (refused.status_code, "IMPORT_004" in text_of(refused), events(refused)) == (422, True, {})
    assert act(browser, "start").status_code == 422
    act(browser, "check")
    assert act(browser, "start").status_code == 200
    assert send(BAD.replace("@", "@3.")).status_code == 200
    wrong = act(browser, "start", at_once="1")
    assert (wrong.status_code, "2 of 4 rows have errors" in text_of(wrong)) == (422, True)
    assert "data-import:validated" in events(wrong)


@pytest.mark.req("F-163")
@pytest.mark.parametrize(
    ("parameters", "content", "words"),
    [
        ({"allowed_formats": "json"}, GOOD, "Files of the format csv are not allowed here"),
        ({"allowed_formats": "xml"}, GOOD, None),  # not Bella's: nothing is left
        ({"max_file_size": 0}, GOOD, None),
        ({"max_file_size": 1}, "name\n" + "x" * 1_050_000, "at most 1 MB"),
        ({"permissions": {"max_file_size_mb": 1}, "max_file_size": 9}, "name\n" + "x" * 1_050_000, "at most 1 MB"),
        ({"default_format": "json"}, GOOD, None),
    ],
)
def test_what_a_parameter_takes_away_is_refused(
    send: Any, bella: Any, parameters: dict[str, Any], content: str, words: str | None
) -> None:
    if words is None:
        shown = rendered(bella, **parameters)
        assert ("may import here" in shown) != ('<option value="json" selected>' in " ".join(shown.split()))
        return
    answer = send(content, **parameters)
    assert (answer.status_code, words in text_of(answer)) == (422, True)
    assert not ImportJob.objects.exists()


@pytest.mark.req("F-163")
def test_columns_rows_preview_and_flags_are_kept_with_the_file(send: Any, browser: Client, bella: Any) -> None:
    limits = {"columns": "name, email, password_hash", "max_rows": 1, "show_preview": False}
    shown = send(GOOD, **limits, permissions={"requires_approval": True, "allowed_columns": ["email", "name", "age"]})
    assert "John" not in text_of(shown)
    assert events(shown) == {}
    file = FileImport.objects.get()
    assert file.bounds == Bounds(columns=("name", "email"), max_rows=1, show_preview=False, requires_approval=True)
    assert [each["target_column"] for each in file.field_mappings] == ["name", "email"]
    assert "More rows" not in text_of(act(browser, "check"))
    refused = act(browser, "start", accept_errors="1")
    assert (refused.status_code, "at most 1 may be imported" in text_of(refused)) == (422, True)
    # The pages of the same file, in another tab.
    way = f"{PAGE}/{file.pk}"
    assert "John" not in text_of(browser.get(f"{way}/read"))
    mapping = browser.get(f"{way}/map")
    assert "John" not in text_of(mapping).replace("“John", "")
    assert [option.value for option in mapping.context["targets"]] == ["name", "email"]
    forced = {"source": ["name", "age"], "target_0": "name", "target_1": "age"}
    answer = browser.post(f"{way}/map", forced)
    assert (answer.status_code, "You may not write “age”" in text_of(answer)) == (422, True)
    # The API with the same id.
    api = f"/api/v1/data/import/{file.pk}"
    answer = browser.put(api, {"field_mappings": {"age": "age"}}, content_type="application/json")
    assert (answer.status_code, "You may not write" in answer.json()["message"]) == (422, True)
    browser.post(f"{api}/validate")
    started = browser.post(f"{api}/start", {"accept_errors": True}, content_type="application/json")
    assert (started.status_code, started.json()["code"], started.json()["limit"]) == (422, "IMPORT_004", 1)
    assert browser.get(api).json()["within"]["max_rows"] == 1
    with pytest.raises(TemplateSyntaxError, match="no “can_fly”"):
        rendered(bella, permissions={"can_fly": True})


@pytest.mark.req("F-163")
def test_it_looks_as_its_parameters_say(bella: Any) -> None:
    shown = " ".join(rendered(bella, default_format="json", class_name='mt-2"><script>alert(1)</script>').split())
    assert '<option value="json" selected>JSON</option>' in shown
    assert "<script>" not in shown
    assert 'class="sv-part card mt-2&quot;' in shown
    assert "At most 3 MB and 1,234 rows" in shown
    assert "At most 1 MB and 5 rows · JSON" in " ".join(
        rendered(bella, max_file_size=1, max_rows=5, allowed_formats=["json", "xml"]).split()
    )
    assert "card" not in rendered(bella, embedded=True)
    assert 'value="json"' not in rendered(bella, allowed_formats="csv", default_format="json")
    assert "approves it before" in rendered(bella, permissions={"requires_approval": True})
    charlie = person("charlie")
    for who, table, more in (
        (charlie, "people", {}), (bella, "no_such", {}), (bella, "users", {}), (bella, "tickets", {}),
        (bella, "people", {"permissions": {"can_import": False}}),
    ):  # fmt: skip
        assert rendered(who, table, **more).strip() == ""
    ImportPermission.objects.create(user=charlie, table_name="people")  # a right on the table, but none on the page
    assert rendered(charlie).strip() == ""


@pytest.mark.req("F-163", "C11")
def test_nobody_changes_the_bounds_on_the_way(browser: Client, bella: Any, logged_in: Callable[[Any], Client]) -> None:
    within = sealed(rendered(bella, max_rows=3))

    def post(who: Client, address: str, **form: Any) -> int:
        file = SimpleUploadedFile("users.csv", GOOD.encode())
        return int(who.post(f"{PAGE}/{address}", {"table": "people", "file": file} | form).status_code)

    for forged in ("", within[:-1], within[:-2] + "aa", "e30:1:x"):
        assert post(browser, "component/upload", within=forged) == post(browser, "upload", within=forged) == 400
        assert browser.get(PAGE, {"table": "people", "within": forged}).status_code == 400
    assert post(browser, "component/upload") == 400
    assert post(browser, "component/upload", within=within, table="accounts") == 400
    root = logged_in(person("root", is_superuser=True))
    assert post(root, "component/upload", within=within) == post(root, "upload", within=within) == 403
    assert root.get(PAGE, {"table": "people", "within": within}).status_code == 403
    assert not ImportJob.objects.exists()


@pytest.mark.req("F-163", "U1")
def test_without_scripts_the_form_leads_through_the_pages_within_its_bounds(browser: Client, bella: Any) -> None:
    within = sealed(rendered(bella, columns="name,email", max_rows=1, allowed_formats="csv"))
    page = browser.get(PAGE, {"table": "people", "within": within})
    shown = text_of(page)
    assert "At most 3 MB and 1 row · CSV" in shown
    assert "age (not filled by imports)" in shown
    assert f'name="within" value="{within}"' in page.content.decode()
    file = SimpleUploadedFile("users.csv", GOOD.encode())
    form = {"table": "people", "within": within, "format": "csv"}
    sent = browser.post(f"{PAGE}/upload", form | {"file": file})
    assert sent.status_code == 302
    stored = FileImport.objects.get()
    assert (stored.bounds.max_rows, stored.import_options) == (1, {"format": "csv"})
    wrong = browser.post(f"{PAGE}/upload", form | {"file": SimpleUploadedFile("u.json", b'[{"name": "A"}]')})
    assert (wrong.status_code, f'name="within" value="{within}"' in wrong.content.decode()) == (422, True)
    nothing = browser.post(f"{COMPONENT}/upload", form)
    assert (nothing.status_code, "Choose a file" in text_of(nothing)) == (422, True)


@pytest.mark.req("F-163", "F-032")
def test_a_file_of_the_component_is_its_owners(send: Any, logged_in: Callable[[Any], Client]) -> None:
    send(GOOD)
    other = person("other")
    other.grants.create(permission="pages.settings.data_import")
    there = logged_in(other)
    for what in ("check", "start"):
        assert act(there, what).status_code == 404
    assert there.get(f"{PAGE}/{ImportJob.objects.get().pk}/component").status_code == 404


@pytest.mark.req("F-163")
def test_tickets_come_in_from_a_file_on_their_list(
    worker: Callable[[], ImportJob], logged_in: Callable[[Any], Client], bella: Any, browser: Client
) -> None:
    assert "ticket-import" not in browser.get("/tickets").content.decode()
    for table in ("tickets", "accounts"):
        ImportPermission.objects.create(user=bella, table_name=table)
    page = browser.get("/tickets").content.decode()
    form = {"table": "desk:tickets", "within": sealed(page)}
    rows = "external_id,title,description,status\nT1,Printer,It smokes,open\nT2,Scanner,It hums,open\n"
    shown = browser.post(f"{COMPONENT}/upload", form | {"file": SimpleUploadedFile("t.csv", rows.encode())})
    assert events(shown)["data-import:previewed"]["target_type"] == "tickets"
    assert "at_once" not in shown.content.decode()
    assert events(act(browser, "check"))["data-import:validated"]["valid_rows"] == 2
    act(browser, "start")
    assert worker().status == "completed"
    assert "Printer" in browser.get("/tickets").content.decode()
