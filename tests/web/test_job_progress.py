"""How far a job is: the same figures and words on every page, in the API and in its live frames (J10)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from importer.models import ImportJob, QueryRun
from importer.operations.amounts import clock
from importer.operations.frames import progress_of
from servicevault.jobs.models import JobStatus

pytestmark = [pytest.mark.django_db, pytest.mark.req("J10")]
BAR = re.compile(r"<progress[^>]*>")


@pytest.fixture
def run(pending_job: ImportJob) -> QueryRun:
    """The one query of a job that runs since five minutes and 23 seconds; 1,500 of its 2,000 rows are read."""
    since = timezone.now() - timedelta(minutes=5, seconds=23)
    ImportJob.objects.filter(pk=pending_job.pk).update(status=JobStatus.RUNNING, started_at=since)
    return pending_job.runs.create(
        key="tickets", name="Tickets", target_type="tickets", position=0, status="running", total=2000, read=1500,
        created=1500,
    )  # fmt: skip


@pytest.fixture
def pages(alice: Any, logged_in: Callable[[Any], Any], pending_job: ImportJob) -> Callable[[], dict[str, str]]:
    """The pages on which the job's bar is, as Alice sees them."""
    browser = logged_in(alice)
    places = {name: reverse(name, args=[pending_job.pk]) for name in ("job", "job_progress")}
    places |= {name: reverse(name) for name in ("import_jobs", "import_monitor")}
    return lambda: {
        name: browser.get(place, HTTP_HX_REQUEST="true", HTTP_HX_CURRENT_URL="http://testserver/").content.decode()
        for name, place in places.items()
    }


@pytest.fixture
def told(alice: Any, logged_in: Callable[[Any], Any], pending_job: ImportJob) -> Callable[[], list[dict[str, Any]]]:
    """What programs are told: the job, its status, a live frame."""
    browser = logged_in(alice)

    def ask() -> list[dict[str, Any]]:
        answers = [browser.get(f"/api/import/jobs/{pending_job.pk}{more}").json() for more in ("", "/status")]
        return [*answers, progress_of(ImportJob.objects.get(pk=pending_job.pk))]

    return ask


def test_it_tells_records_percent_and_time_alike_everywhere(run: QueryRun, pages: Any, told: Any) -> None:
    for name, text in pages().items():
        assert any('value="75"' in bar for bar in BAR.findall(text)), name
        assert re.search(r"\b00:05:2[34]\b", text), name
        assert "1,500 / 2,000 records" in text or name == "import_monitor", name
    for answer in told():
        assert (answer["progress_percentage"], answer["records_processed"], answer["records_total"]) == (75, 1500, 2000)
    for answer in told()[:2]:
        assert answer["progress_text"] == "1,500 / 2,000 records"
        assert answer["duration_text"] in ("00:05:23", "00:05:24")
        assert 323 <= answer["duration"] < 325


def test_a_total_that_nobody_knows_is_null_and_the_bar_says_so(run: QueryRun, pages: Any, told: Any) -> None:
    QueryRun.objects.filter(pk=run.pk).update(total=None)
    for name, text in pages().items():
        bars = BAR.findall(text)
        assert bars, name
        assert not any("value=" in bar for bar in bars), name
    for answer in told():
        assert (answer["progress_percentage"], answer["records_total"]) == (None, None)


def test_a_hundred_percent_is_said_of_a_completed_job_only(run: QueryRun, pending_job: ImportJob, told: Any) -> None:
    QueryRun.objects.filter(pk=run.pk).update(read=2000, created=2000, status="done")
    assert {answer["progress_percentage"] for answer in told()} == {99}
    for status, percent in ((JobStatus.FAILED, 99), (JobStatus.CANCELLED, 99), (JobStatus.COMPLETED, 100)):
        ImportJob.objects.filter(pk=pending_job.pk).update(status=status, completed_at=timezone.now())
        assert {answer["progress_percentage"] for answer in told()} == {percent}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "00:00:00"), (323, "00:05:23"), (3600, "01:00:00"), (360_005, "100:00:05")]
)
def test_a_duration_is_told_as_by_a_clock(seconds: float, text: str) -> None:
    assert clock(timedelta(seconds=seconds)) == text
    assert clock(None) == ""
