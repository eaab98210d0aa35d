"""The ground of tests in which others are at work meanwhile: two hundred rows, workers, and what must come out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections

from importer import runner
from importer.models import ExternalRef, ImportJob, ImportRecord
from servicevault.jobs.progress import Progress
from servicevault.models import Account
from tests.importer.desk import Desk

OUTCOMES = ("created", "updated", "unchanged", "skipped", "failed", "review")


@pytest.fixture
def ledger(desk: Desk) -> Desk:
    """Two hundred rows."""
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text)")
    desk.execute("INSERT INTO c SELECT i, 'Company ' || i, 'v0' FROM generate_series(1, 200) i")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    return desk


@pytest.fixture
def people(desk: Desk) -> Desk:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text)")
    desk.execute("INSERT INTO p SELECT i, 'Person ' || i, 'p' || i || '@x.de' FROM generate_series(1, 40) i")
    desk.query("agents", "p", {"external_id": "id", "name": "name", "email": "mail"})
    return desk


class AfterSlice:
    """Acts in the worker after its slices, `times` times."""

    def __init__(self, act: Callable[[], Any], *, times: int = 1) -> None:
        self.act, self.times = act, times

    def update(self, progress: Progress) -> None:
        if self.times:
            self.times -= 1
            self.act()


def in_a_process(act: Callable[[], None]) -> int:
    """Run `act` in a forked process; returns its pid. Our own connections are closed first, so none is shared."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return pid


def worker(job: ImportJob, *, heartbeat_seconds: float = 2.0, pause: float = 0.0) -> int:
    """A worker process; with `pause` it rests after each slice, so that there is time to interfere."""

    def act() -> None:
        runner.HEARTBEAT_SECONDS = heartbeat_seconds
        runner.work(job.pk, sink=AfterSlice(lambda: time.sleep(pause), times=10**6))

    return in_a_process(act)


def wait_until(true: Callable[[], bool], *, seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def counted(job: ImportJob) -> dict[str, int]:
    """The job's counters; they must equal its records, row by row, and the references."""
    job.refresh_from_db()
    total = job.counters()
    assert total["read"] == sum(total[name] for name in OUTCOMES)
    for name in set(OUTCOMES) - {"unchanged"}:
        assert ImportRecord.objects.filter(run__job=job, action=name).count() == total[name]
    return total


def assert_exact(desk: Desk, job: ImportJob) -> None:
    """The target has each source row once, as the source has it."""
    job.refresh_from_db()
    assert job.status == "completed", job.error_message
    with psycopg.connect(desk.url) as source:
        wanted = sorted(source.execute("SELECT id::text, name, city FROM c").fetchall())
    accounts = {account.pk: account for account in Account.objects.all()}
    references = ExternalRef.objects.values_list("external_id", "target_id")
    assert sorted((key, accounts[pk].name, accounts[pk].city) for key, pk in references) == wanted
    assert len(accounts) == len(wanted)


def second_connection(target: psycopg.Connection) -> psycopg.Connection:
    return psycopg.connect(target.info.dsn, password=target.info.password, autocommit=True)
