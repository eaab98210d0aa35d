"""`{% data_export %}`: each parameter takes something away, on the server too, and nobody can change it on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.template import Context, Template
from django.test import Client, RequestFactory

from exporter import operations, run
from exporter.models import ExportJob, ExportTemplate
from exporter.operations import consent
from servicevault.jobs.models import JobStatus
from servicevault.models import Ticket, User
from tests.conftest import person
from tests.exporter.conftest import permit
from tests.exporter.conftest import run as run_sql

PREVIEW, START = "/settings/data-export/component/preview", "/settings/data-export/component/start"
PAGE = "/settings/data-export"
ALLOWED = ["id", "name", "stock", "price"]


def rendered(who: Any, table: str = "goods", **parameters: Any) -> str:
    """What the person sees of the component."""
    request = RequestFactory().get("/anywhere")
    request.user = who
    given = " ".join(f"{name}={name}" for name in parameters)
    source = f"{{% load data_export %}}{{% data_export table {given} %}}"
    return Template(source).render(Context({"request": request, "csrf_token": "t", "table": table} | parameters))


def sealed(html: str) -> str:
    found = re.search(r'name="within" value="([^"]+)"', html)
    assert found, html
    return unescape(found[1])


@pytest.fixture
def browser(logged_in: Callable[[Any], Client], alice: Any, goods: str) -> Client:
    permit(alice, allowed_columns=ALLOWED, allowed_formats=["csv", "json", "excel"], max_rows_per_export=10)
    return logged_in(alice)


@pytest.fixture
def sent(browser: Client, alice: Any) -> Callable[..., Any]:
    """`sent(START, {"format": "csv"}, max_rows=3)`: Alice presses a button of the component."""

    def send(address: str, form: dict[str, Any] | None = None, **parameters: Any) -> Any:
        within = sealed(rendered(alice, **parameters))
        return browser.post(
            address, {"table": "goods", "within": within} | (form or {}), headers={"HX-Request": "true"}
        )

    return send


def events(answer: Any) -> dict[str, Any]:
    return dict(json.loads(answer.headers["HX-Trigger"]))


@pytest.mark.req("F-164")
def test_it_previews_creates_and_tells_when_the_file_is_ready(sent: Any, browser: Client, alice: Any) -> None:
    few = [{"column": "id", "operator": "less_or_equal", "value": 3}]
    seen = sent(PREVIEW, {"format": "json"}, filters=few)
    assert events(seen) == {"data-export:previewed": {"table_name": "goods", "export_format": "json", "total_rows": 3}}
    assert "3 rows, about" in " ".join(seen.content.decode().split())
    made = sent(START, {"format": "json"}, filters=few)
    job = ExportJob.objects.get()
    told = {"job_id": str(job.pk), "table_name": "goods", "export_format": "json"}
    assert events(made) == {"data-export:created": told | {"status": "pending"}}
    assert (job.selected_columns, job.created_by) == (["id", "name", "price", "stock"], alice)
    progress = f"/exports/{job.pk}/progress"
    waiting = browser.get(progress)
    assert f'hx-get="{progress}"' in waiting.content.decode()
    assert "HX-Trigger" not in waiting.headers
    ExportJob.objects.filter(pk=job.pk).update(status=JobStatus.FAILED, error_message="Row 3: no such character.")
    failed = browser.get(progress)
    assert "no such character" in failed.content.decode()
    assert "HX-Trigger" not in failed.headers


@pytest.mark.req("F-164")
def test_the_file_of_a_component_obeys_its_bounds_when_it_is_written(
    dora: Any, stored_goods: Any, logged_in: Callable[[Any], Client]
) -> None:
    stored_goods(12)
    dora.grants.create(permission="pages.settings.data_export")
    permit(dora, allowed_columns=["id", "stock"])
    hidden = [{"column": "active", "operator": "equals", "value": True}]  # not a column of hers: it is the page's
    within = sealed(rendered(dora, columns="stock", filters=hidden, max_rows=6))
    browser = logged_in(dora)
    browser.post(START, {"table": "goods", "within": within, "format": "csv", "f_column": "id", "f_operator": "equals"})
    job = ExportJob.objects.get()
    assert run.work(job.pk) == JobStatus.COMPLETED
    job.refresh_from_db()
    assert operations.Exported(job).content.split() == [b"stock", b"2", b"4", b"6", b"8", b"10", b"12"]
    ready = browser.get(f"/exports/{job.pk}/progress")
    assert events(ready)["data-export:ready"]["download_url"] == job.download_url
    assert (events(ready)["data-export:ready"]["rows"], b"hx-get" in ready.content) == (6, False)
    more = operations.run_again(job, by=dora)  # as the component asked for it
    assert more.within == job.within
    run_sql("UPDATE goods SET active = true WHERE id = 1")
    assert run.work(more.pk) == JobStatus.FAILED  # seven rows by now: more than the page lets leave
    more.refresh_from_db()
    assert more.error_code == "EXPORT_001"


@pytest.mark.req("F-164")
@pytest.mark.parametrize(
    ("parameters", "form", "words"),
    [
        ({"max_rows": 5}, {}, "at most 5 may be exported"),
        ({"max_rows": 10**9}, {}, "at most 10 may be exported"),  # her own limit
        ({"allowed_formats": "json"}, {"format": "csv"}, "not among the formats"),
        ({"allowed_formats": ["xml", "json"]}, {"format": "xml"}, "not among the formats"),  # not hers
        ({"columns": "id"}, {"f_column": "stock", "f_operator": "equals", "f_value": "1"}, "no column that you may"),
        ({"filters": [{"column": "no_such", "operator": "is_null"}]}, {}, "no column"),
        ({"filters": {"id": "many"}}, {}, "no such value"),
    ],
)
def test_what_a_parameter_takes_away_is_refused(
    sent: Any, parameters: dict[str, Any], form: dict[str, Any], words: str
) -> None:
    answer = sent(START, {"format": "json"} | form, **parameters)
    assert (answer.status_code, words in unescape(answer.content.decode())) == (422, True)
    assert not ExportJob.objects.exists()


@pytest.mark.req("F-164")
def test_columns_outside_the_permission_do_not_come_back(sent: Any, alice: Any) -> None:
    few = {"filters": [{"column": "id", "operator": "in", "value": [1, 2]}]}
    sent(START, {"col": ["api_key", "id", "sku", "price"]}, columns="stock, api_key, sku, id", **few)
    assert ExportJob.objects.get().selected_columns == ["stock", "id"]  # in the order of the page
    assert "No column is left" in rendered(alice, columns="api_key")
    assert sent(START, {"col": ["id"]}, columns=["api_key"], **few).status_code == 422
    assert "No format is left" in rendered(alice, allowed_formats="xml")
    refused = sent(PREVIEW, show_preview=False, **few)
    assert (refused.status_code, "HX-Trigger" in refused.headers) == (422, False)
    assert PREVIEW not in rendered(alice, show_preview=False)


@pytest.mark.req("F-164")
def test_it_looks_as_its_parameters_say(alice: Any, browser: Client, charlie: Any) -> None:
    shown = rendered(alice, total_rows=4, default_format="json", class_name='mt-2"><script>alert(1)</script>')
    assert '<option value="json" selected>JSON</option>' in " ".join(shown.split()).replace(" selected", " selected")
    assert "4 rows," in shown
    assert "<script>" not in shown
    assert 'class="sv-part card mt-2&quot;' in shown
    assert "too many rows" in rendered(alice, total_rows=4000)
    assert "card-header" in shown
    assert "card" not in rendered(alice, embedded=True)
    assert 'value="json"' not in rendered(alice, allowed_formats="csv", default_format="json")
    assert rendered(charlie).strip() == rendered(alice, "no_such").strip() == rendered(alice, "users").strip() == ""
    permit(charlie)  # a right on the table, but none on the page
    assert rendered(charlie).strip() == ""


@pytest.mark.req("F-164", "C11")
def test_nobody_changes_the_bounds_on_the_way(
    browser: Client, alice: Any, root: Any, logged_in: Callable[[Any], Client]
) -> None:
    within = sealed(rendered(alice, max_rows=3))
    for forged in ("", within[:-1], within[:-2] + "aa", "e30:1:x"):
        for address in (START, PREVIEW, f"{PAGE}/start", f"{PAGE}/save"):
            answer = browser.post(address, {"table": "goods", "within": forged, "format": "csv"})
            assert answer.status_code == 400, (address, forged)
        assert browser.get(PAGE, {"table": "goods", "within": forged}).status_code == 400
    assert browser.post(START, {"table": "goods", "format": "csv"}).status_code == 400
    assert browser.post(START, {"table": "tickets", "within": within, "format": "csv"}).status_code == 400
    another = logged_in(root)
    assert another.post(START, {"table": "goods", "within": within, "format": "csv"}).status_code == 403
    assert another.get(PAGE, {"table": "goods", "within": within}).status_code == 403
    assert not ExportJob.objects.exists()


@pytest.mark.req("F-164")
def test_without_scripts_the_form_leads_to_the_page_within_its_bounds(browser: Client, alice: Any) -> None:
    few = [{"column": "id", "operator": "less_or_equal", "value": 3}]
    within = sealed(rendered(alice, filters=few, columns="id,stock", allowed_formats="csv,excel"))
    form = {"table": "goods", "within": within, "format": "csv"}
    page = browser.get(PAGE, form)
    assert [column.name for column in page.context["desk"].columns] == ["id", "stock"]
    assert list(page.context["rows"]) == [[1, 1], [2, 2], [3, 3]]
    assert [card.name for card in page.context["desk"].formats if card.is_allowed] == ["csv", "xlsx"]
    assert f'name="within" value="{within}"' in page.content.decode()
    # The page's own form, with one filter less than none and a column more: nothing of it helps.
    state = form | {"of": "goods", "order": ["id", "stock", "price"], "col": ["stock", "price"], "f_column": ""}
    assert browser.post(f"{PAGE}/start", state).status_code == 302
    job = ExportJob.objects.get()
    assert (job.selected_columns, job.estimated_rows) == (["stock"], 3)
    kept = browser.post(f"{PAGE}/save", state | {"template_name": "Mine"})
    assert (kept.status_code, ExportTemplate.objects.exists()) == (422, False)


@pytest.mark.req("F-164", "E31")
def test_people_export_the_tickets_they_see(
    ticket: Ticket, alice: Any, root: Any, logged_in: Callable[[Any], Client]
) -> None:
    permit(alice, "tickets", allowed_columns=["ticket_number", "title"])
    for number in range(3):
        Ticket.objects.create(
            ticket_number=f"N-{number}", title=f"Scanner {number}", status="closed", account=ticket.account,
            created_by=ticket.created_by, customer=ticket.customer if number else None,
        )  # fmt: skip
    gone = Ticket.objects.create(ticket_number="X", title="Gone", account=ticket.account, created_by=root)
    Ticket.objects.filter(pk=gone.pk).update(deleted_at="2024-01-01T00:00Z")
    browser = logged_in(alice)
    for query in ("", "?status=closed", "?q=cora", "?q=SCANNER", "?q=old-4711", "?q=acme&status=open", "?q=%25"):
        page = browser.get(f"/tickets{query}")
        listed = page.context["page"].paginator.count
        if not listed:
            assert "ticket-export" not in page.content.decode()
            continue
        form = {"table": "tickets", "within": sealed(page.content.decode()), "format": "csv"}
        assert events(browser.post(PREVIEW, form))["data-export:previewed"]["total_rows"] == listed, query
    ben = logged_in(person("ben", role="Agent"))
    assert "ticket-export" not in ben.get("/tickets").content.decode()
    # The list renews itself without its page: the component with it.
    part = browser.get("/tickets?q=scanner", headers={"HX-Request": "true"}).content.decode()
    assert "Export these 3 tickets" in " ".join(part.split())
    assert sealed(part)
    User.objects.bulk_create(User(username=f"cora{n}", name=f"Cora {n}", email=f"c{n}@x.example") for n in range(30))
    assert sealed(browser.get("/tickets?q=cora").content.decode())  # however many people have the name


@pytest.mark.req("F-164", "F-104")
def test_an_approval_is_bound_to_the_bounds_too(sent: Any) -> None:
    sent(START, {"format": "csv"}, max_rows=10, filters={"id": 1})
    job = ExportJob.objects.get()
    before = consent.digest(job.pk)
    ExportJob.objects.filter(pk=job.pk).update(within={})
    assert consent.digest(job.pk) != before
