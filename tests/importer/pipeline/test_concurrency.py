"""Starts, cancels and ends of workers at the same instant (X11, J5, J21)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connections

from importer import operations, runner
from importer.models import ImportJob
from servicevault.jobs import lifecycle
from servicevault.models import Account
from tests.importer.desk import READER, Desk
from tests.importer.pipeline.ledger import assert_exact, counted, ledger, wait_until, worker
from tests.thoroughness import rounds

__all__ = ["ledger"]  # fixtures
pytestmark = pytest.mark.usefixtures("committed_db")


# -- starting (X11)


@pytest.mark.req("X11")
@pytest.mark.parametrize("count", [2, 8])
def test_starts_at_the_same_instant_give_one_job(ledger: Desk, count: int) -> None:
    answers = at_once(*[partial(operations.start_import, ledger.profile)] * count)
    assert answers.count("profile_busy") == count - 1
    assert ImportJob.objects.count() == 1


@pytest.mark.req("X11", "J13")
def test_a_resume_and_a_start_at_the_same_instant_give_one_unfinished_job(ledger: Desk) -> None:
    for _ in range(5):
        job = ledger.start()
        lifecycle.claim(ImportJob, job.pk)
        lifecycle.fail(ImportJob, job.pk, code="timeout", message="x")
        job.refresh_from_db()
        answers = at_once(partial(operations.resume, job), partial(operations.start_import, ledger.profile))
        assert answers.count("profile_busy") == 1
        operations.cancel(ImportJob.objects.get(status="pending"))


def at_once(*acts: Callable[[], Any]) -> list[str]:
    """Call all in threads at the same instant; "profile_busy" for those that were refused."""
    barrier = threading.Barrier(len(acts))
    answers: list[str] = []

    def attempt(act: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            answers.append(str(act()))
        except operations.ProfileBusy as busy:
            answers.append(busy.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=attempt, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


# -- cancelling


@pytest.mark.slow
@pytest.mark.req("J5", "J13")
def test_a_cancel_at_any_moment_counts_exactly_and_a_resume_finishes_the_rest(ledger: Desk) -> None:
    chance = random.Random(12)
    cancelled = 0
    for number in range(rounds(10, 4)):
        ledger.execute("UPDATE c SET city = %s", [f"v{number + 1}"])
        job = ledger.start(options={"batch_size": 5})
        pid = worker(job, heartbeat_seconds=0.05, pause=0.002)
        time.sleep(chance.uniform(0.0, 0.9))
        try:
            operations.cancel(ImportJob.objects.get(pk=job.pk))
        except operations.Conflict:
            assert ImportJob.objects.get(pk=job.pk).status == "completed"
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        total = counted(job)
        assert job.status in ("cancelled", "completed"), (job.status, job.error_message)
        if job.status == "cancelled":
            cancelled += 1
            assert (job.error_code, job.cancel_requested) == ("cancelled_by_user", False)
            assert Account.objects.filter(city=f"v{number + 1}").count() == total["created"] + total["updated"]
            ledger.work(operations.resume(job))
        assert counted(job)["read"] == 200
        assert_exact(ledger, job)
    assert cancelled >= rounds(4, 1)


@pytest.mark.req("J5")
def test_a_cancel_cuts_a_slow_source_free_within_seconds(ledger: Desk) -> None:
    ledger.execute("CREATE VIEW slow AS SELECT c.id, c.name FROM c, LATERAL pg_sleep(1)")
    ledger.query("accounts", "slow", {"external_id": "id", "name": "name"})
    job = ledger.start()
    pid = worker(job, heartbeat_seconds=0.2)
    wait_until(lambda: ImportJob.objects.filter(pk=job.pk, current_operation__startswith="Importing").exists())
    time.sleep(0.5)
    began = time.monotonic()
    operations.cancel(job)
    os.waitpid(pid, 0)
    assert time.monotonic() - began < 10
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("cancelled", "cancelled_by_user")
    with psycopg.connect(ledger.url) as source:
        active = source.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state = 'active' AND datname = current_database()",
            [READER],
        )
        assert active.fetchone() == (0,)


@pytest.mark.req("J5", "J12")
def test_a_job_whose_worker_died_while_it_was_being_cancelled_ends(ledger: Desk) -> None:
    job = ledger.start()
    lifecycle.claim(ImportJob, job.pk)  # and dies
    operations.cancel(job)
    assert runner.work(job.pk) == "cancelled"


# -- ending the worker (J21)


@pytest.mark.req("J21", "J13")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT),
    ],
)
def test_a_worker_that_is_told_to_end_leaves_the_job_to_be_continued(ledger: Desk, number: int) -> None:
    chance = random.Random(number)
    for version in range(rounds(4, 2)):
        ledger.execute("UPDATE c SET city = %s", [f"{number}-{version}"])
        job = ledger.start(options={"batch_size": 5})
        pid = worker(job, pause=0.002)
        time.sleep(chance.uniform(0.05, 0.6))
        os.kill(pid, number)
        os.waitpid(pid, 0)
        counted(job)
        assert job.status in ("running", "pending", "completed")  # never failed, never cancelled by nobody
        runner.work(job.pk)
        assert counted(job)["read"] == 200
        assert_exact(ledger, job)
