"""Jobs start in turn, and one that ends its workers is given up (X14, J12)."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from importer import runner, tasks
from importer.models import ImportJob
from servicevault.jobs import lifecycle
from tests.importer.desk import Desk, make_desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def company(desk: Desk) -> Desk:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'Acme')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    return desk


def running_elsewhere(company: Desk, number: int = 1) -> ImportJob:
    other = make_desk(company.url, f"Other desk {number}")
    job = other.start()
    assert lifecycle.claim(ImportJob, job.pk)
    return job


@pytest.mark.req("X14")
def test_a_job_waits_while_too_many_others_run(company: Desk, settings: Settings) -> None:
    settings.IMPORT_MAX_CONCURRENT_JOBS = 1
    other = running_elsewhere(company)
    job = company.start()
    assert runner.work(job.pk, patient=False) == "pending"
    job.refresh_from_db()
    assert job.current_operation == "Waiting for 1 jobs"

    lifecycle.complete(ImportJob, other.pk)
    assert runner.work(job.pk, patient=False) == "completed"


@pytest.mark.req("X14")
def test_who_came_first_goes_first(company: Desk, settings: Settings) -> None:
    settings.IMPORT_MAX_CONCURRENT_JOBS = 1
    first = make_desk(company.url, "First desk").start()
    job = company.start()
    assert runner.work(job.pk, patient=False) == "pending"
    lifecycle.request_cancel(ImportJob, first.pk)
    assert runner.work(job.pk, patient=False) == "completed"


@pytest.mark.req("X14")
def test_a_job_may_ask_to_run_alone(company: Desk) -> None:
    other = running_elsewhere(company)
    job = company.start(options={"concurrent_jobs": 1})
    assert runner.work(job.pk, patient=False) == "pending"
    lifecycle.complete(ImportJob, other.pk)
    assert runner.work(job.pk, patient=False) == "completed"


@pytest.mark.req("J12")
def test_a_job_that_ends_its_workers_is_given_up(company: Desk) -> None:
    job = company.start()
    for _ in range(ImportJob.max_attempts):
        assert lifecycle.claim(ImportJob, job.pk)
        ImportJob.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00Z")  # the worker died
    assert not lifecycle.claim(ImportJob, job.pk)
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "internal_error")


@pytest.mark.req("J12")
def test_a_silent_job_is_handed_to_a_worker(company: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(tasks.run_job, "delay", sent.append)
    job = company.start()
    lifecycle.claim(ImportJob, job.pk)
    assert tasks.wake_jobs() == 0
    ImportJob.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00Z")
    assert tasks.wake_jobs() == 1
    assert sent == [str(job.pk)]
    assert tasks.run_job(sent[0]) == "completed"
