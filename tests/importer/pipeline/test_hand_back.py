"""A worker that is told to end hands its job back behind the last slice (J21)."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from importer import runner
from importer.models import ImportJob
from importer.tasks import run_job
from servicevault.jobs import shutdown
from servicevault.models import Account
from tests.importer.desk import PROJECT, Desk, process_environment

pytestmark = pytest.mark.usefixtures("committed_db")
ROWS = 1000


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Desk]:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text)")
    desk.execute("INSERT INTO c SELECT i, 'Company ' || i FROM generate_series(1, %s) i", [ROWS])
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    yield desk
    shutdown.forget()


class EndsIt:
    def update(self, progress: object) -> None:
        shutdown.ask()


def continued_to_the_end(desk: Desk, job: ImportJob) -> None:
    shutdown.forget()
    assert desk.work(job).status == "completed"
    assert desk.outcomes(job, "accounts") == {"read": ROWS, "created": ROWS}
    assert Account.objects.filter(name__startswith="Company").count() == ROWS


@pytest.mark.req("J21", "J1")
def test_the_job_waits_for_the_next_worker_behind_its_checkpoint(ledger: Desk) -> None:
    job = ledger.start(options={"batch_size": 100})
    assert runner.work(job.pk, sink=EndsIt()) == "pending"
    job.refresh_from_db()
    assert (job.lease_until, job.completed_at, job.error_code) == (None, None, "")
    assert 0 < job.counters()["read"] < ROWS
    continued_to_the_end(ledger, job)


@pytest.mark.req("J21")
def test_a_celery_worker_ends_within_its_slice_and_leaves_the_job_pending(ledger: Desk) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    job = ledger.start(options={"batch_size": 10})
    run_job.apply_async([str(job.pk)], queue=queue)
    command = [sys.executable, "-m", "celery", "-A", "servicevault", "worker", "-c", "1", "-Q", queue, "-n", queue]
    environment = process_environment() | {"REDIS_URL": settings.REDIS_URL}
    worker = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: ImportJob.objects.get(pk=job.pk).counters()["read"] > 0)
        os.kill(worker.pid, signal.SIGTERM)
        worker.wait(timeout=30)
    finally:
        worker.kill()
    job.refresh_from_db()
    assert job.status == "pending"
    continued_to_the_end(ledger, job)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
