"""How many failed rows and how much time a job may take (X27, J20)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from importer import operations, runner
from importer.models import ImportJob
from servicevault.models import Account
from tests.importer.desk import Desk
from tests.importer.pipeline.ledger import assert_exact, counted, ledger

__all__ = ["ledger"]  # fixtures
pytestmark = pytest.mark.usefixtures("committed_db")


def with_bad_rows(desk: Desk, *bad: int) -> None:
    desk.execute("UPDATE c SET name = '' WHERE id = ANY(%s)", [list(bad)])


@pytest.mark.req("X27")
@pytest.mark.parametrize(
    ("policy", "bad", "ends"),
    [
        ({}, 60, "completed"),
        ({"on_error": "continue"}, 60, "completed"),
        ({"on_error": "stop"}, 1, "failed"),
        ({"max_errors": 3}, 3, "completed"),
        ({"max_errors": 3}, 4, "failed"),
        ({"max_errors": 0}, 1, "failed"),
        ({"max_error_percent": 10}, 20, "completed"),
        ({"max_error_percent": 10}, 21, "failed"),
    ],
)
def test_a_job_that_fails_too_much_stops(ledger: Desk, policy: dict[str, Any], bad: int, ends: str) -> None:
    with_bad_rows(ledger, *range(200 - bad + 1, 201))
    job = ledger.run(options={"batch_size": 10, "error_policy": policy})
    total = counted(job)
    assert job.status == ends
    if ends == "failed":
        assert job.error_code == "error_threshold"
        assert Account.objects.count() == total["created"] > 0


@pytest.mark.req("X27")
def test_a_percentage_is_judged_from_a_hundred_rows(ledger: Desk) -> None:
    with_bad_rows(ledger, *range(1, 5))
    job = ledger.run(options={"batch_size": 10, "error_policy": {"max_error_percent": 5}})
    assert job.status == "completed"


@pytest.mark.req("X27")
def test_stopping_stops_at_the_slice_of_the_first_failure(ledger: Desk) -> None:
    with_bad_rows(ledger, 15, 100)
    job = ledger.run(options={"batch_size": 10, "error_policy": {"on_error": "stop"}})
    assert counted(job)["read"] == 20


@pytest.mark.req("J20", "J13")
def test_a_job_over_its_time_fails_and_goes_on_with_more_time(ledger: Desk) -> None:
    job = ledger.start(options={"batch_size": 10, "timeout": 60})

    def an_hour_ago() -> None:
        ImportJob.objects.filter(pk=job.pk).update(started_at=job.created_at - timedelta(hours=1))

    an_hour_ago()
    runner.work(job.pk)
    total = counted(job)
    assert (job.status, job.error_code) == ("failed", "timeout")
    assert total["read"] == 10
    ImportJob.objects.filter(pk=job.pk).update(options={"batch_size": 10, "timeout": 86_400})
    ledger.work(operations.resume(job))
    assert_exact(ledger, job)


@pytest.mark.req("J20")
def test_a_source_that_gives_no_row_does_not_outlive_the_jobs_time(ledger: Desk) -> None:
    ledger.execute("CREATE VIEW slow AS SELECT c.id, c.name FROM c, LATERAL pg_sleep(0.04 + c.id * 0)")
    ledger.query("accounts", "slow", {"external_id": "id", "name": "name"})
    job = ledger.start()
    ImportJob.objects.filter(pk=job.pk).update(options={"timeout": 1})
    assert runner.work(job.pk) == "failed"
    assert counted(job)["read"] == 0  # it did not wait for the first slice
    assert job.error_code == "timeout"
