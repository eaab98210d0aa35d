"""The floating monitor: a person's own jobs over every page, until they close them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from importer.models import ImportJob
from servicevault.jobs.models import JobStatus

pytestmark = [pytest.mark.django_db, pytest.mark.req("U28", "J11")]
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def browser(alice: Any, logged_in: Callable[[Any], Any]) -> Any:
    return logged_in(alice)


def part(browser: Any, *, at: str = "/", **post: str) -> str:
    here = {**HTMX, "HTTP_HX_CURRENT_URL": f"http://testserver{at}"}
    call = browser.post if post else browser.get
    return str(call(reverse("import_monitor"), post or None, **here).content.decode())


def end(job: ImportJob) -> None:
    ImportJob.objects.filter(pk=job.pk).update(status=JobStatus.COMPLETED)


def test_it_stands_on_every_page_and_is_empty_while_nothing_of_ones_own_runs(browser: Any, finished_job: Any) -> None:
    assert 'id="import-monitor"' in browser.get("/tickets").content.decode()
    text = part(browser)
    assert "hx-trigger" not in text
    assert "<h2" not in text


def test_it_asks_again_while_a_job_of_ones_own_is_active(
    browser: Any, pending_job: Any, bob: Any, logged_in: Callable[[Any], Any]
) -> None:
    text = part(browser)
    assert "1 active import" in text
    assert 'hx-trigger="live, every 3s"' in text
    assert reverse("job_cancel", args=[pending_job.pk]) in text
    assert "<h2" not in part(logged_in(bob))  # not his


def test_a_job_that_ended_stays_until_it_is_closed(browser: Any, pending_job: Any) -> None:
    part(browser)
    end(pending_job)
    text = part(browser)
    assert "1 import ended" in text
    assert "hx-trigger" not in text
    assert "<h2" not in part(browser, action="close", job=str(pending_job.pk))
    assert "<h2" not in part(browser)


def test_it_remembers_that_it_is_minimised(browser: Any, pending_job: Any) -> None:
    assert 'aria-expanded="false"' in part(browser, action="fold")
    text = part(browser)
    assert "1 active import" in text
    assert "<progress" not in text
    assert "<progress" in part(browser, action="unfold")


def test_the_page_of_a_job_does_not_show_it_twice(browser: Any, pending_job: Any) -> None:
    assert "<h2" not in part(browser, at=f"{reverse('job', args=[pending_job.pk])}/records")
    text = part(browser, at=reverse("job", args=[pending_job.pk]))
    assert "<h2" not in text
    assert 'hx-trigger="live, every 3s"' in text  # it goes on watching


def test_it_is_a_page_without_scripts_and_escapes_names(browser: Any, pending_job: Any, profile: Any) -> None:
    type(profile).objects.filter(pk=profile.pk).update(name="<script>alert(1)</script>")
    text = browser.get(reverse("import_monitor")).content.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert browser.post(reverse("import_monitor"), {"action": "close", "job": "nonsense"}).status_code == 302


def test_it_asks_the_database_seldom(browser: Any, pending_job: Any, django_assert_max_num_queries: Any) -> None:
    part(browser)
    with django_assert_max_num_queries(9):
        part(browser)
