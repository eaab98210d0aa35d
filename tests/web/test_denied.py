"""What people read who may not do something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from tests.conftest import person

Browser = Callable[[Any], Any]


@pytest.mark.req("G3", "U7")
def test_it_names_the_missing_page_permission_and_whom_to_ask(logged_in: Browser, charlie: Any, root: Any) -> None:
    answer = logged_in(charlie).get("/import")
    assert answer.status_code == 403
    text = answer.content.decode()
    assert "pages.import.manage" in text
    assert root.name in text


def test_it_names_the_missing_function(logged_in: Browser, bob: Any, profile: Any) -> None:
    answer = logged_in(bob).post(reverse("profile_start", args=[profile.pk]))
    assert answer.status_code == 403
    assert "system.import.execute" in answer.content.decode()


@pytest.mark.req("G9")
def test_it_names_the_missing_right_on_the_profile(logged_in: Browser, bob: Any, profile: Any) -> None:
    bob.grants.create(permission="system.import.execute")
    answer = logged_in(bob).post(reverse("profile_start", args=[profile.pk]))
    assert answer.status_code == 403
    assert "execute_importprofile" in answer.content.decode()


@pytest.mark.req("G9", "G11")
def test_it_hides_a_restricted_profile_from_other_operators(logged_in: Browser, profile: Any) -> None:
    dora = logged_in(person("dora", role="Import Operator"))
    assert dora.post(reverse("profile_start", args=[profile.pk])).status_code == 404
    assert profile.name not in dora.get("/import").content.decode()


@pytest.mark.req("G3")
def test_it_leaves_out_of_the_navigation_what_does_not_open(logged_in: Browser, charlie: Any, alice: Any) -> None:
    assert 'href="/import"' not in logged_in(charlie).get("/").content.decode()
    assert 'href="/import"' in logged_in(alice).get("/").content.decode()


def test_it_disables_the_start_button_with_the_reason(logged_in: Browser, bob: Any, profile: Any) -> None:
    text = logged_in(bob).get("/import").content.decode()
    assert "system.import.execute" in text
    assert 'name="rehearse"' not in text


def test_it_shows_rows_of_other_peoples_jobs_to_monitors_only(logged_in: Browser, bob: Any, finished_job: Any) -> None:
    text = logged_in(bob).get(reverse("job", args=[finished_job.pk])).content.decode()
    assert "31.02.2024" not in text
    assert "import.jobs.monitor" in text


@pytest.mark.parametrize("url", ["/nothing", "/import/jobs/00000000-0000-4000-8000-000000000000", "/tickets/"])
def test_it_answers_404_with_a_page_of_ours(logged_in: Browser, root: Any, url: str) -> None:
    answer = logged_in(root).get(url)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_it_refuses_a_form_without_its_token(alice: Any, profile: Any) -> None:
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice, backend="permissions.backends.EmailBackend")
    answer = browser.post(reverse("profile_start", args=[profile.pk]))
    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
    assert not profile.jobs.exists()
