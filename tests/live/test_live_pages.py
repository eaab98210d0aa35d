"""A page hears from the server, says whether it does, and asks for itself when it does not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connections

from importer.models import ImportJob
from servicevault.jobs import lifecycle
from servicevault.live import consumer, seats, telling
from tests.live.conftest import Site
from tests.web.accessibility import violations
from tests.web.conftest import CHROMIUM, FLAGS

HTMX = {"HX-Request": "true"}


@pytest.fixture
def tab(site: Site, finished_job: Any, alice: Any, logged_in: Callable[[Any], Any]) -> Iterator[Any]:
    """A tab of Alice's; `tab.misdeeds` notes refused scripts and errors, `tab.asked` what it asked the server for."""
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium here; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    cookie = logged_in(alice).cookies[settings.SESSION_COOKIE_NAME].value
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # see tests.web.conftest.chromium
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(base_url=site.url)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": site.url}])
        tab = context.new_page()
        tab.misdeeds, tab.asked = [], []  # type: ignore[attr-defined]
        tab.on("console", lambda said: tab.misdeeds.append(said.text) if "Content Security" in said.text else None)
        tab.on("pageerror", lambda error: tab.misdeeds.append(str(error)))
        tab.on("request", lambda request: tab.asked.append(request.url.removeprefix(site.url)))
        yield tab
        browser.close()
        connections.close_all()


@pytest.fixture
def running(finished_job: Any) -> ImportJob:
    """Alice's job, of which four rows of ten are read."""
    ImportJob.objects.filter(pk=finished_job.pk).update(status="running", completed_at=None)
    counted(finished_job, 4)
    return finished_job


def counted(job: ImportJob, rows: int) -> None:
    job.runs.update(read=rows, created=rows, failed=0, review=0, status="running")
    ImportJob.objects.filter(pk=job.pk).update(told_at=None)
    telling.progressed(ImportJob, job.pk)


def state(tab: Any) -> Any:
    return tab.locator("#job-live [data-live-state]")


@pytest.mark.browser
@pytest.mark.req("L12", "L13", "L8", "U28", "F-060")
def test_a_page_that_is_live_shows_progress_at_once_and_polls_no_more(running: ImportJob, tab: Any) -> None:
    tab.goto(f"/import/jobs/{running.pk}")
    tab.get_by_text("Live", exact=True).first.wait_for()
    tab.locator("#job-live [data-live-state='live']").wait_for()  # a poll on the way may have put a new one there
    tab.wait_for_timeout(500)
    tab.asked.clear()
    tab.wait_for_timeout(4000)  # longer than it polls without a socket
    assert [url for url in tab.asked if "/import/jobs/" in url] == []
    counted(running, 7)
    tab.wait_for_function("() => document.querySelector('#job-progress').value === 70", timeout=2000)
    tab.get_by_text("7 / 10 records").first.wait_for()
    assert violations(tab) == []
    lifecycle.complete(ImportJob, running.pk)
    tab.get_by_text(re.compile("Old desk is done: 7 created, 0 updated")).wait_for(timeout=3000)
    tab.locator("#job-live").get_by_text("Completed").wait_for()
    assert violations(tab) == []
    tab.locator("#live-toasts").get_by_role("button", name="Close").click()
    assert tab.locator(".sv-toast").count() == 0
    other = ImportJob.objects.create(
        profile=running.profile, mode="upsert", created_by=running.created_by, status="running"
    )
    lifecycle.fail(ImportJob, other.pk, code="source_lost", message="The source hung up.")
    tab.get_by_text("Old desk stopped by an error: The source hung up. (source_lost)").wait_for(timeout=3000)
    assert tab.misdeeds == []


@pytest.mark.browser
@pytest.mark.req("L11", "L12", "L17")
def test_a_page_without_the_socket_polls_says_so_and_comes_back(
    running: ImportJob, tab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "LOOK_SECONDS", 0.2)
    tab.goto(f"/import/jobs/{running.pk}")
    tab.get_by_text("Live", exact=True).first.wait_for()
    found, away = seats._server, redis.Redis.from_url("redis://127.0.0.1:1/0")
    monkeypatch.setattr(seats, "_server", lambda: away)
    state(tab).get_by_text("Reconnecting").wait_for()
    state(tab).get_by_text("Polling. Live updates unavailable, refreshing every 3 s").wait_for()
    assert violations(tab) == []
    counted(running, 6)
    tab.get_by_text("6 / 10 records").first.wait_for(timeout=5000)  # by polling
    monkeypatch.setattr(seats, "_server", found)
    state(tab).get_by_text("Live", exact=True).wait_for(timeout=12_000)
    tab.context.set_offline(True)
    state(tab).get_by_text("Offline. The figures are old").wait_for()
    assert tab.misdeeds == []


@pytest.mark.req("L11")
def test_a_page_without_scripts_is_loaded_anew_while_something_runs(
    running: ImportJob, alice: Any, logged_in: Callable[[Any], Any]
) -> None:
    browser = logged_in(alice)
    refresh = '<meta http-equiv="refresh" content="10">'
    for page in (f"/import/jobs/{running.pk}", "/import/jobs"):
        assert refresh in browser.get(page).content.decode(), page
    text = browser.get(f"/import/jobs/{running.pk}", headers=HTMX).content.decode()
    assert 'hx-trigger="live, every 3s"' in text
    assert "every 15s" in browser.get("/import/jobs", headers=HTMX).content.decode()
    lifecycle.complete(ImportJob, running.pk)
    assert refresh not in browser.get(f"/import/jobs/{running.pk}").content.decode()
    policy = browser.get("/import/jobs")["Content-Security-Policy"]
    assert "connect-src 'self' ws://testserver;" in policy
