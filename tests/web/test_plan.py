"""The plan of a rehearsal: what would happen to each row, by action, and the import that follows (U29, X19, X21)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from importer.models import ImportRecord
from importer.web.files.checking import MEDIA

pytestmark = [pytest.mark.django_db, pytest.mark.req("U29")]


@pytest.fixture
def browser(alice: Any, logged_in: Callable[[Any], Any]) -> Any:
    return logged_in(alice)


def plan(browser: Any, job: Any, **query: str) -> str:
    return str(browser.get(reverse("job_plan", args=[job.pk]), query).content.decode())


def test_it_counts_each_action_and_opens_the_first(browser: Any, rehearsed_job: Any) -> None:
    text = plan(browser, rehearsed_job)
    for words in ("Create 1", "Update 1", "Unchanged 0", "Uncertain 0", "Skipped 0", "Errors 2", "Import 2 rows"):
        assert words in text
    assert "C••• C•••" in text  # what would be written, with personal data hidden
    assert "cora@acme.example" not in text


def test_a_row_opens_what_was_and_what_becomes(browser: Any, rehearsed_job: Any) -> None:
    text = plan(browser, rehearsed_job, action="updated")
    assert "<del>UTC</del>" in text
    assert "<ins>Europe/Berlin</ins>" in text
    assert "030 111" not in text


@pytest.mark.req("X21")
def test_it_groups_errors_and_leads_to_where_they_are_mended(browser: Any, rehearsed_job: Any) -> None:
    text = plan(browser, rehearsed_job, action="failed")
    assert "<b>2 rows</b>" in text
    assert "This is no address." in text
    builder = reverse("builder_query", args=[rehearsed_job.profile.pk, "people"])
    for place in (
        f"{builder}#b-fields",
        f"{builder}#b-filters",
        reverse("profile_value_maps", args=[rehearsed_job.profile.pk]),
    ):
        assert place in text
    assert "not an email (2)" in text
    assert "No such rows" in plan(browser, rehearsed_job, action="failed", query="nothing")
    assert "<b>3</b>" in plan(browser, rehearsed_job, action="failed", search="nobody at home")


def test_it_is_downloaded_in_three_forms(browser: Any, rehearsed_job: Any) -> None:
    def content(form: str, **query: str) -> bytes:
        answer = browser.get(reverse("job_plan_download", args=[rehearsed_job.pk, form]), query)
        assert answer["Content-Type"] == MEDIA[form]
        return b"".join(answer.streaming_content)

    lines = list(csv.DictReader(io.StringIO(content("csv", action="updated").decode("utf-8-sig"))))
    assert [(line["field"], line["was"], line["becomes"]) for line in lines][1] == ("timezone", "UTC", "Europe/Berlin")
    assert len(json.loads(content("json", action="failed"))) == 2
    assert content("xlsx").startswith(b"PK")
    assert browser.get(reverse("job_plan_download", args=[rehearsed_job.pk, "exe"])).status_code == 404


def test_it_imports_with_what_was_rehearsed(browser: Any, rehearsed_job: Any) -> None:
    type(rehearsed_job).objects.filter(pk=rehearsed_job.pk).update(mode="create", options={"record_unchanged": True})
    answer = browser.post(reverse("job_plan_run", args=[rehearsed_job.pk]))
    started = rehearsed_job.profile.jobs.order_by("-number").first()
    assert answer["Location"] == reverse("job_progress", args=[started.pk])
    options = {"record_unchanged": True, "plan_id": str(rehearsed_job.pk)}
    assert (started.kind, started.mode, started.options) == ("import", "create", options)
    assert "Import 2 rows" not in plan(browser, rehearsed_job)  # one at a time


@pytest.mark.req("X20")
def test_rows_that_are_not_as_planned_wait_where_that_was_said(browser: Any, rehearsed_job: Any) -> None:
    assert 'name="strict"' in plan(browser, rehearsed_job)
    browser.post(reverse("job_plan_run", args=[rehearsed_job.pk]), {"strict": "1"})
    started = rehearsed_job.profile.jobs.order_by("-number").first()
    assert started.options == {"plan_id": str(rehearsed_job.pk), "strict": True}


@pytest.mark.req("X20")
def test_a_plan_that_is_expired_is_rehearsed_again(browser: Any, rehearsed_job: Any) -> None:
    type(rehearsed_job).objects.filter(pk=rehearsed_job.pk).update(completed_at=timezone.now() - timedelta(days=8))
    text = plan(browser, rehearsed_job)
    assert "older than 7 days. Rehearse again." in text
    assert "Import 2 rows" not in text


def test_a_job_that_wrote_has_no_plan(browser: Any, finished_job: Any) -> None:
    assert browser.get(reverse("job_plan", args=[finished_job.pk])).status_code == 404


@pytest.mark.req("X19")
def test_it_asks_the_database_no_more_often_for_more_rows_and_escapes_them(
    browser: Any, rehearsed_job: Any, django_assert_max_num_queries: Any
) -> None:
    run = rehearsed_job.runs.get()
    hostile = {"name": "<img src=x onerror=alert(1)>", "custom_fields": {"<b>": "x"}, "timezone": "<b>Mars</b>"}
    ImportRecord.objects.bulk_create(
        ImportRecord(run=run, batch_no=1, source_identifier=f"<i>{number}", action="created", after_image=hostile)
        for number in range(60)
    )
    with django_assert_max_num_queries(26):
        text = plan(browser, rehearsed_job, action="created")
    assert "<i>1" not in text
    assert "&lt;b&gt;Mars" in text
    assert "<img src=x" not in text
