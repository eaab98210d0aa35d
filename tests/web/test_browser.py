"""The pages in a real browser: live counters, foreign texts that do nothing, a keyboard that reaches everything."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from importer.models import ImportJob, ImportRecord
from servicevault.jobs.models import JobStatus
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, serialized_rollback=True)]

PAYLOAD = '"><img src=x onerror=alert(1)><svg/onload=alert(1)><b hx-get="/logout" hx-trigger="load">x</b>'


def log_in(tab: Any, username: str) -> None:
    tab.goto("/login")
    tab.get_by_label("Username or e-mail").fill(username)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    tab.get_by_role("heading", name="Hello").wait_for()


def running(job: ImportJob, entity: Any) -> Any:
    """The job as a worker has it at work."""
    ImportJob.objects.filter(pk=job.pk).update(
        status=JobStatus.RUNNING, started_at=timezone.now(), current_operation="Importing Tickets"
    )
    return job.runs.create(
        key="tickets", name="Tickets", target_type="tickets", entity=entity, position=0, status="running", total=200
    )


def advance(run: Any, rows: int) -> None:
    type(run).objects.filter(pk=run.pk).update(read=rows, created=rows)


@pytest.mark.req("U4", "U31")
def test_it_shows_a_job_live_and_stops_asking_when_it_is_over(
    alice: Any, pending_job: Any, finished_job: Any, tab: Any
) -> None:
    run = running(pending_job, finished_job.runs.get().entity)
    log_in(tab, "alice")
    tab.goto(reverse("job", args=[pending_job.pk]))
    advance(run, 50)
    tab.get_by_text("50 / 200 records", exact=False).first.wait_for()
    assert tab.locator("#job-progress").get_attribute("value") == "25"
    tab.get_by_role("status").get_by_text("running, 20 percent").wait_for(state="attached")
    tab.locator("#cancel-question summary").click()
    advance(run, 200)
    tab.get_by_text("200 / 200 records", exact=False).first.wait_for()
    assert tab.get_by_role("button", name="Cancel this job").is_visible()  # the question stays open meanwhile
    ImportJob.objects.filter(pk=pending_job.pk).update(status=JobStatus.COMPLETED, completed_at=timezone.now())
    tab.get_by_text("200 created.").first.wait_for()
    tab.wait_for_timeout(3_200)  # the monitor asks once more, and hears that it is over
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.wait_for_timeout(3_200)
    assert asked == []
    assert tab.misdeeds == []


@pytest.mark.req("C9")
def test_it_runs_nothing_that_comes_from_a_source(root: Any, ticket: Any, finished_job: Any, tab: Any) -> None:
    ticket.title = ticket.queue = ticket.description = ticket.customer_name = PAYLOAD
    ticket.description_format = "html"
    ticket.save()
    ticket.comments.update(content=PAYLOAD, body_format="html", author=None, author_name=PAYLOAD)
    finished_job.profile.name = finished_job.profile.description = PAYLOAD
    finished_job.profile.save()
    ImportRecord.objects.update(problems=[{"field": PAYLOAD, "value": PAYLOAD, "message": PAYLOAD}])
    log_in(tab, "root")
    job = reverse("job", args=[finished_job.pk])
    way = reverse("profile", args=[finished_job.profile.pk])
    pages = ("/import/jobs", "/import/review", way, f"{way}/edit", f"{way}/duplicate", f"{way}/delete", f"{way}/access")
    for path in ("/", "/import", job, f"{job}/records", "/tickets", reverse("ticket", args=[ticket.pk]), *pages):
        tab.goto(path)
        tab.wait_for_timeout(200)
    assert tab.misdeeds == []
    tab.goto("/tickets")
    assert tab.get_by_role("heading", name="Tickets").is_visible()  # still logged in


@pytest.mark.req("U6")
def test_it_can_be_worked_with_the_keyboard(alice: Any, ticket: Any, tab: Any) -> None:
    log_in(tab, "alice")
    tab.goto("/tickets")
    assert reached(tab, ["Skip to the content", "Service Vault", "Home", "Tickets", "Import", "Dark theme"])
    tab.locator("#ticket-search").focus()
    tab.keyboard.type("green")
    tab.wait_for_url("**/tickets?q=green*")
    tab.get_by_role("link", name=ticket.title).focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Where this came from").wait_for()
    tab.locator(".sv-menu summary").focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Log out").wait_for()
    tab.keyboard.press("Escape")
    assert not tab.get_by_role("button", name="Log out").is_visible()
    assert tab.misdeeds == []


@pytest.mark.req("U10")
def test_it_remembers_the_theme(alice: Any, tab: Any) -> None:
    log_in(tab, "alice")
    tab.get_by_role("button", name="Dark theme").click()
    tab.goto("/tickets")
    assert tab.locator("html").get_attribute("data-bs-theme") == "dark"


@pytest.mark.req("U5")
def test_it_fits_the_width(alice: Any, ticket: Any, finished_job: Any, tab: Any) -> None:
    log_in(tab, "alice")
    job = reverse("job", args=[finished_job.pk])
    way = reverse("profile", args=[finished_job.profile.pk])
    pages = ("/import/jobs", "/import/templates", "/import/profiles/new", way, f"{way}/access", "/settings/tokens")
    for path in ("/", "/import", job, f"{job}/records", "/tickets", reverse("ticket", args=[ticket.pk]), *pages, "/no"):
        tab.goto(path)
        for width in (320, 390, 1440):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)


def reached(tab: Any, names: list[str]) -> bool:
    """Whether Tab reaches controls with these words, in this order, from the top of the page."""
    for name in names:
        tab.keyboard.press("Tab")
        focused = tab.evaluate("document.activeElement.innerText.trim()")
        assert name in focused, f"expected {name}, the focus is on {focused!r}"
    return True
