"""Servers that hang up, restart, stay away or change meanwhile (X15, J24)."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

import psycopg
import pytest

from importer import operations, runner
from importer.models import ImportJob
from servicevault.models import Account
from tests.importer.desk import READER, Desk
from tests.importer.pipeline.ledger import AfterSlice, assert_exact, counted, ledger, wait_until, worker
from tests.thoroughness import rounds

__all__ = ["ledger"]  # fixtures
pytestmark = pytest.mark.usefixtures("committed_db")


def kill_backends(url: str, condition: str) -> int:
    with psycopg.connect(url, autocommit=True) as server:
        return server.execute(
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {condition}"
        ).fetchone()[0]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in hundredths of a second; the number of tries stays."""
    monkeypatch.setattr(threading.Event, "wait", _quick_wait)


_wait = threading.Event.wait


def _quick_wait(event: threading.Event, timeout: float | None = None) -> bool:
    return _wait(event, None if timeout is None else timeout / 50)


@pytest.mark.slow
@pytest.mark.req("X15", "J24")
def test_a_source_that_hangs_up_at_any_moment_is_called_again(ledger: Desk, hurry: None) -> None:
    chance = random.Random(6)
    kills = 0
    for number in range(rounds(8, 3)):
        ledger.execute("UPDATE c SET city = %s", [f"v{number + 1}"])
        job = ledger.start(options={"batch_size": 5})
        pid = worker(job, pause=0.004)
        for _ in range(2):
            time.sleep(chance.uniform(0.05, 0.4))
            kills += kill_backends(ledger.url, f"usename = '{READER}' AND datname = current_database()")
        os.waitpid(pid, 0)
        assert counted(job)["read"] == 200
        assert_exact(ledger, job)
    assert kills >= rounds(5, 2)


@pytest.mark.req("X15")
def test_a_staged_source_that_hangs_up_is_read_again(desk: Desk, hurry: None) -> None:
    desk.execute("CREATE TABLE c (id int, name text, city text)")
    desk.execute("INSERT INTO c SELECT i, 'Company ' || i, repeat('x', 200) FROM generate_series(1, 3000) i")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    job = desk.start(options={"batch_size": 100})
    pid = worker(job)
    for delay in (0.3, 0.2, 0.1):
        time.sleep(delay)
        kill_backends(desk.url, f"usename = '{READER}' AND datname = current_database()")
    os.waitpid(pid, 0)
    assert counted(job)["created"] == 3000
    assert_exact(desk, job)


def hang_up(desk: Desk, *, closed: bool) -> None:
    """Cut the import's connections; `closed` lets it in no more. Other databases of the server notice nothing."""
    word, side = ("REVOKE", "FROM") if closed else ("GRANT", "TO")
    name = psycopg.conninfo.conninfo_to_dict(desk.url)["dbname"]
    desk.execute(f'{word} CONNECT ON DATABASE "{name}" {side} PUBLIC')
    kill_backends(desk.url, f"usename = '{READER}' AND datname = current_database()")


@pytest.mark.req("X15", "J13")
def test_a_source_that_stays_away_fails_the_job_and_it_can_be_resumed(ledger: Desk, hurry: None) -> None:
    job = ledger.start(options={"batch_size": 5})
    ledger.execute("UPDATE c SET name = name || repeat('x', 200)")
    runner.work(job.pk, sink=AfterSlice(lambda: hang_up(ledger, closed=True)))
    total = counted(job)
    assert (job.status, job.error_code) == ("failed", "source_lost")
    assert 0 < total["read"] < 200
    hang_up(ledger, closed=False)
    ledger.work(operations.resume(job))
    assert counted(job)["created"] == 200
    assert_exact(ledger, job)


@pytest.mark.req("X15")
def test_a_source_that_restarts_is_waited_for(ledger: Desk) -> None:
    ledger.execute("UPDATE c SET name = name || repeat('x', 200)")
    job = ledger.start(options={"batch_size": 5})

    def restart() -> None:
        hang_up(ledger, closed=True)
        threading.Timer(2, hang_up, [ledger], {"closed": False}).start()

    runner.work(job.pk, sink=AfterSlice(restart))
    time.sleep(2.5)  # the timer has ended when the test fails
    assert_exact(ledger, job)


@pytest.mark.req("J12", "J24")
def test_a_target_that_hangs_up_loses_no_job_and_no_row(ledger: Desk, target: psycopg.Connection) -> None:
    chance = random.Random(4)
    url = f"{target.info.dsn} password={target.info.password}"
    for number in range(rounds(5, 2)):
        ledger.execute("UPDATE c SET city = %s", [f"v{number + 1}"])
        job = ledger.start(options={"batch_size": 5})
        pid = worker(job, pause=0.004)
        time.sleep(chance.uniform(0.05, 0.5))
        kill_backends(url, "application_name = 'service-vault/import' AND datname = current_database()")
        os.waitpid(pid, 0)
        counted(job)
        if job.status == "failed":
            operations.resume(job)
        runner.work(job.pk)
        assert counted(job)["read"] == 200
        assert_exact(ledger, job)


@pytest.mark.req("J24")
def test_a_target_that_hangs_up_once_needs_nobody(ledger: Desk, target: psycopg.Connection) -> None:
    job = ledger.start(options={"batch_size": 20})
    hang_up = AfterSlice(
        lambda: target.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'service-vault/import' AND datname = current_database()"
        )
    )
    assert runner.work(job.pk, sink=hang_up) == "completed"
    assert_exact(ledger, job)


@pytest.mark.req("J5")
def test_a_cancel_is_heard_after_the_heartbeat_lost_its_connection(ledger: Desk, target: psycopg.Connection) -> None:
    job = ledger.start(options={"batch_size": 5})
    pid = worker(job, heartbeat_seconds=0.05, pause=0.02)
    wait_until(Account.objects.exists)
    operations.cancel(job)
    os.waitpid(pid, 0)
    job.refresh_from_db()
    assert job.status == "cancelled"


# -- the source changes between plan and read


@pytest.mark.req("J24")
def test_a_table_that_disappears_fails_the_job_with_its_reason(ledger: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = runner.planning.plan_job

    def plan_then_drop(job: ImportJob, session: Any) -> Any:
        found = plan(job, session)
        session._command("ROLLBACK")
        ledger.execute("DROP TABLE c")
        session._command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        session._command("SAVEPOINT service_vault_start")
        return found

    monkeypatch.setattr(runner.planning, "plan_job", plan_then_drop)
    job = ledger.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "does not exist" in job.error_message
    assert counted(job)["read"] == 0


@pytest.mark.req("J13")
def test_a_resumed_job_whose_table_is_gone_says_so(ledger: Desk) -> None:
    job = ledger.start(options={"batch_size": 5})
    runner.work(job.pk, sink=AfterSlice(lambda: operations.cancel(job)))
    job.refresh_from_db()
    ledger.execute("DROP TABLE c")
    ledger.work(operations.resume(job))
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "`c`" in job.error_message


@pytest.mark.req("J13")
def test_a_resumed_job_whose_query_changed_says_so_instead_of_mixing_two(ledger: Desk) -> None:
    runner.HEARTBEAT_SECONDS, usual = 0.02, runner.HEARTBEAT_SECONDS
    try:
        job = ledger.start(options={"batch_size": 5})
        runner.work(job.pk, sink=AfterSlice(lambda: (operations.cancel(job), time.sleep(0.2))))
    finally:
        runner.HEARTBEAT_SECONDS = usual
    job.refresh_from_db()
    assert job.status == "cancelled"
    ledger.query("accounts", "c", {"external_id": "id", "name": "city", "city": "name"})
    ledger.work(operations.resume(job))
    assert (job.status, job.error_code) == ("failed", "drift_detected")
