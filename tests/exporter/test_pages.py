"""The export pages, as plain forms and in a browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from exporter.models import ExportJob, ExportSchedule, ExportTemplate
from servicevault.jobs.models import JobStatus
from tests.exporter.conftest import GOODS, fill, permit, run
from tests.web.accessibility import violations
from tests.web.conftest import chromium

__all__ = ["chromium"]
PAGE = "/settings/data-export"


@pytest.fixture
def page(logged_in: Callable[[Any], Client], alice: Any, goods: str) -> Client:
    permit(alice, allowed_columns=["id", "name", "stock", "price"])
    return logged_in(alice)


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.mark.req("F-151", "F-158", "F-159", "F-162", "U53", "F-011")
def test_the_page_shows_a_table_and_what_the_file_would_hold(page: Client) -> None:
    assert ">goods" in text_of(page.get(PAGE)).replace("> ", ">")
    shown = text_of(page.get(f"{PAGE}?table=goods"))
    assert "12 rows" in shown
    assert "Not permitted:" in shown
    assert "api_key" in shown
    assert "secret" not in shown
    assert '<span class="sv-null">NULL</span>' in shown
    assert '<span class="sv-null">empty text</span>' in shown
    state = [("table", "goods"), ("of", "goods"), ("col", "stock"), ("col", "id"), ("order", "id"), ("order", "stock")]
    filtered = page.get(
        f"{PAGE}?{urlencode([*state, ('f_column', 'id'), ('f_operator', 'between'), ('f_value', '2, 4')])}"
    )
    assert list(filtered.context["rows"]) == [[2, 2], [3, 3], [4, 4]]
    moved = page.get(f"{PAGE}?{urlencode([*state, ('up', 'stock')])}")
    assert moved.context["desk"].chosen == ["stock", "id"]
    nothing = page.get(f"{PAGE}?{urlencode([*state, ('pick', 'none')])}")
    assert nothing.context["desk"].chosen == []
    assert "disabled>" in text_of(nothing)
    other = page.get(f"{PAGE}?{urlencode([('table', 'goods'), ('of', 'orders'), ('order', 'id')])}")
    assert other.context["desk"].chosen == ["id", "name", "price", "stock"]  # another table: chosen anew
    wrong = page.get(f"{PAGE}?{urlencode([*state, ('f_column', 'id'), ('f_operator', 'equals'), ('f_value', 'many')])}")
    assert (wrong.status_code, "no such value" in text_of(wrong)) == (422, True)
    assert page.get(f"{PAGE}?table=users").status_code == 404


@pytest.mark.req("F-151", "U53", "U54", "F-106", "F-107", "C12")
def test_the_form_exports_saves_and_schedules(page: Client, alice: Any) -> None:
    state = {
        "table": "goods",
        "of": "goods",
        "order": ["id", "name"],
        "col": ["id"],
        "format": "xlsx",
        "sheet_name": "Ware",
    }
    page.post(f"{PAGE}/start", state)
    job = ExportJob.objects.get()
    assert (job.selected_columns, job.export_format, job.created_by) == (["id"], "xlsx", alice)
    assert job.export_options["sheet_name"] == "Ware"
    assert page.post(f"{PAGE}/start", state | {"col": []}).status_code == 422
    page.post(f"{PAGE}/save", state | {"template_name": "Ids"})
    template = ExportTemplate.objects.get()
    again = page.post(f"{PAGE}/save", state | {"template_name": "Ids"})
    assert "already" in text_of(again)
    page.post(f"/exports/templates/{template.pk}/run")
    assert ExportJob.objects.filter(template=template).count() == 1
    page.post(f"/exports/templates/{template.pk}/schedule", {"frequency": "cron", "cron": "every day"})
    assert not ExportSchedule.objects.exists()
    page.post(
        f"/exports/templates/{template.pk}/schedule", {"frequency": "weekly", "weekday": ["0", "4"], "keep_last": "3"}
    )
    schedule = ExportSchedule.objects.get()
    assert schedule.next_run_at is not None
    shown = text_of(page.get("/exports"))
    for words in ("Ids", "Weekly", "Pending", "Cancel"):
        assert words in shown
    page.post(f"/exports/schedules/{schedule.pk}/switch")
    assert "switched off" in text_of(page.get("/exports"))
    page.post(f"/exports/{job.pk}/cancel")
    page.post(f"/exports/{job.pk}/again")
    page.post(f"/exports/{job.pk}/delete")
    assert not ExportJob.objects.filter(pk=job.pk).exists()
    page.post(f"/exports/schedules/{schedule.pk}/delete")
    page.post(f"/exports/templates/{template.pk}/delete")
    assert "No template yet" in text_of(page.get("/exports"))


@pytest.mark.browser
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.req("U5", "F-158", "F-159", "U54")
def test_a_person_exports_in_a_browser(root: Any, live_server: Any, request: pytest.FixtureRequest) -> None:
    run("DROP TABLE IF EXISTS goods", "DROP TYPE IF EXISTS goods_size", GOODS)
    fill(60)
    done = ExportJob.objects.create(
        table_name="goods", export_format="csv", filename="goods_20250301-080000.csv", selected_columns=["id"],
        created_by=root, status=JobStatus.FAILED, error_code="query_failed", error_message="Row 3: no such character.",
    )  # fmt: skip
    assert done
    ExportTemplate.objects.create(
        name="All goods", table_name="goods", export_format="csv", created_by=root
    ).schedules.create(created_by=root)
    browser = Client()
    browser.force_login(root, backend="permissions.backends.EmailBackend")
    chrome = request.getfixturevalue("chromium")
    pictures = os.environ.get("PICTURES")
    faults: list[str] = []
    for width in (1440, 390):
        context = chrome.new_context(base_url=live_server.url, viewport={"width": width, "height": 900})
        context.add_cookies(
            [{"name": "sessionid", "value": browser.cookies["sessionid"].value, "url": live_server.url}]
        )
        tab = context.new_page()
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
        tab.goto("/settings/data-export?table=goods")
        tab.get_by_label("Search in texts").press_sequentially("Ware “13")
        tab.get_by_text("of 1 row").wait_for()
        assert tab.evaluate("document.activeElement.id") == "export-search"  # what is typed is not lost
        tab.get_by_label("api_key").wait_for(state="detached")
        tab.get_by_role("checkbox", name="price").uncheck()
        tab.locator("#export-result").get_by_role("columnheader", name="price").wait_for(state="detached")
        tab.get_by_label("Search in texts").fill("")
        tab.get_by_text("20 of 60 rows").wait_for()
        tab.get_by_role("button", name="Next").click()
        tab.get_by_text("40 of 60 rows").wait_for()
        check(tab, pictures, f"desk-{width}")
        tab.get_by_role("button", name="Export", exact=True).click()
        tab.wait_for_url("**/exports")
        tab.get_by_text("Pending").first.wait_for()
        assert "csrf" not in tab.url
        check(tab, pictures, f"exports-{width}")
        assert faults == []
        context.close()
    newest = ExportJob.objects.order_by("-created_at").first()
    assert newest is not None
    assert "price" not in newest.selected_columns
    run("DROP TABLE goods", "DROP TYPE goods_size")


def check(tab: Any, pictures: str | None, name: str) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} scrolls sideways"
    if pictures:
        tab.screenshot(path=f"{pictures}/{name}.png", full_page=True)
    assert violations(tab) == []
