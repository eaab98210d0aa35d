"""Other people at work meanwhile: users, other workers, cancels, lost servers (R5-R20, X11, X15, X27, J5, J20)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connections

from importer import operations, runner
from importer.models import ExternalRef, ImportJob, ImportRecord
from importer.pipeline import load, slices
from servicevault.jobs import lifecycle
from servicevault.jobs.progress import Progress
from servicevault.models import Account, User
from tests.importer.desk import READER, Desk

pytestmark = pytest.mark.usefixtures("committed_db")

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


@contextmanager
def trigger(target: psycopg.Connection, table: str, body: str, *, when: str = "BEFORE INSERT") -> Iterator[None]:
    """A trigger of the target that interleaves somebody else with the import's own statement."""
    target.execute(f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$")
    target.execute(f"CREATE TRIGGER meddle {when} ON {table} FOR EACH ROW EXECUTE FUNCTION meddle()")
    try:
        yield
    finally:
        target.execute(f"DROP TRIGGER meddle ON {table}; DROP FUNCTION meddle()")


def second_connection(target: psycopg.Connection) -> psycopg.Connection:
    return psycopg.connect(target.info.dsn, password=target.info.password, autocommit=True)


# -- a user at the same row (R18-R20)


def meanwhile(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], *, times: int = 1, before: str = "_actions"
) -> None:
    """Act between the decision and the write, as somebody quick would."""
    step, left = getattr(load.Loader, before), [times]

    def slow(loader: load.Loader, *arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            act()
        return step(loader, *arguments)

    monkeypatch.setattr(load.Loader, before, slow)


@pytest.mark.req("R18", "K9", "X24")
@pytest.mark.parametrize("mode", ["upsert", "create"])
def test_a_user_who_takes_the_same_address_first_keeps_it(
    people: Desk, target: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    meanwhile(
        monkeypatch,
        lambda: target.execute(
            "INSERT INTO users (id, name, email, user_type) VALUES (gen_random_uuid(), 'Quick', 'p7@x.de', 'agent')"
        ),
    )
    job = people.run(mode=mode)
    total = counted(job)
    assert job.status == "completed"
    assert (total["read"], total["created"], total["failed"]) == (40, 39, 0)
    record = people.record(job, "7")
    assert (record.action, record.code) == (("updated", None) if mode == "upsert" else ("skipped", "exists"))
    assert User.objects.filter(email="p7@x.de").count() == 1
    if mode == "create":
        assert User.objects.get(email="p7@x.de").name == "Quick"


@pytest.mark.req("R18")
def test_a_user_who_holds_the_address_in_an_open_transaction_is_waited_for(
    people: Desk, target: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with second_connection(target) as user:
        user.autocommit = False

        def act() -> None:
            user.execute(
                "INSERT INTO users (id, name, email, user_type) VALUES (gen_random_uuid(), 'Slow', 'p7@x.de', 'agent')"
            )
            threading.Timer(0.5, user.commit).start()

        meanwhile(monkeypatch, act)
        job = people.run(mode="create")
        assert people.record(job, "7").code == "exists"
        assert counted(job)["created"] == 39


@pytest.mark.req("R18")
def test_a_user_who_deletes_the_target_before_it_is_locked_loses_nothing_else(
    ledger: Desk, target: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.run()
    ledger.execute("UPDATE c SET city = 'v1'")
    gone = ledger.target_of("accounts", "7")
    meanwhile(monkeypatch, lambda: target.execute("DELETE FROM accounts WHERE id = %s", [gone]))
    job = ledger.run()
    total = counted(job)
    assert job.status == "completed", job.error_message
    assert (total["read"], total["updated"]) == (200, 199)
    assert not Account.objects.filter(pk=gone).exists()
    assert ImportRecord.objects.get(run__job=job, source_identifier="7").action == "skipped"


@pytest.mark.req("R19", "X15")
def test_a_deadlock_with_a_user_is_tried_again(
    ledger: Desk, target: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user took a reference and wants an account that the slice has, which wants the reference: the slice gives way."""
    ledger.run()
    ledger.execute("UPDATE c SET city = 'v1'")
    account = ledger.target_of("accounts", "1")
    own_settings(monkeypatch, "deadlock_timeout = '100ms'")
    with second_connection(target) as user:
        user.autocommit = False
        user.execute("SET deadlock_timeout = '20s'")  # whoever waits last looks first: the import
        user.execute("UPDATE external_refs SET source_url = 'user' WHERE external_id = '1'")

        def want_the_account() -> None:
            user.execute("UPDATE accounts SET notes = 'user' WHERE id = %s", [account])
            user.commit()

        thread = threading.Thread(target=want_the_account)
        tries: list[int] = []

        def act() -> None:
            tries.append(1)
            if len(tries) == 1:
                thread.start()
                time.sleep(0.5)

        meanwhile(monkeypatch, act, times=9, before="_write_decided")
        job = ledger.run()
        thread.join()
    assert job.status == "completed", job.error_message
    assert tries == [1, 1]
    assert counted(job)["updated"] == 200
    assert Account.objects.get(pk=account).notes == "user"
    assert_exact(ledger, job)


@pytest.mark.req("R20")
def test_a_lock_held_for_a_while_is_waited_for(
    ledger: Desk, target: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, "300ms")
    with second_connection(target) as user:
        user.autocommit = False
        user.execute("LOCK TABLE accounts IN SHARE MODE")
        threading.Timer(1.5, user.commit).start()
        job = ledger.run()
    assert counted(job)["created"] == 200
    assert_exact(ledger, job)


@pytest.mark.req("R20", "J13")
def test_a_lock_held_too_long_fails_the_job_with_a_reason_and_it_can_be_resumed(
    ledger: Desk, target: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, "50ms")
    monkeypatch.setattr(slices, "RETRIES", 2)
    with second_connection(target) as user:
        user.autocommit = False
        user.execute("LOCK TABLE accounts IN SHARE MODE")
        job = ledger.run()
        user.commit()
    assert job.status == "failed"
    assert counted(job)["read"] == 0
    assert_exact(ledger, ledger.work(operations.resume(job)))


@pytest.mark.req("R20")
def test_a_lock_held_too_long_is_named(
    ledger: Desk, target: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, "50ms")
    monkeypatch.setattr(slices, "RETRIES", 1)
    with second_connection(target) as user:
        user.autocommit = False
        user.execute("LOCK TABLE accounts IN SHARE MODE")
        job = ledger.run()
        user.commit()
    assert job.error_code != "internal_error"
    assert "lock" in job.error_message


def impatient(monkeypatch: pytest.MonkeyPatch, lock_timeout: str) -> None:
    own_settings(monkeypatch, f"lock_timeout = '{lock_timeout}'")


def own_settings(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    """Give the worker's connections a setting of the test's."""
    connect = runner.connect_target

    def changed() -> psycopg.Connection:
        connection = connect()
        connection.execute(f"SET {setting}")
        connection.commit()
        return connection

    monkeypatch.setattr(runner, "connect_target", changed)


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


# -- cancelling (R12, J5)


@pytest.mark.slow
@pytest.mark.req("R12", "J5", "J13")
def test_a_cancel_at_any_moment_counts_exactly_and_a_resume_finishes_the_rest(ledger: Desk) -> None:
    chance = random.Random(12)
    cancelled = 0
    for number in range(10):
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
    assert cancelled >= 4


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
    for version in range(4):
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


# -- lost servers (X15, R4, R6)


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
@pytest.mark.req("X15", "R6", "J24")
def test_a_source_that_hangs_up_at_any_moment_is_called_again(ledger: Desk, hurry: None) -> None:
    chance = random.Random(6)
    kills = 0
    for number in range(8):
        ledger.execute("UPDATE c SET city = %s", [f"v{number + 1}"])
        job = ledger.start(options={"batch_size": 5})
        pid = worker(job, pause=0.004)
        for _ in range(2):
            time.sleep(chance.uniform(0.05, 0.4))
            kills += kill_backends(ledger.url, f"usename = '{READER}' AND datname = current_database()")
        os.waitpid(pid, 0)
        assert counted(job)["read"] == 200
        assert_exact(ledger, job)
    assert kills >= 5


@pytest.mark.req("X15", "R6")
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


@pytest.mark.req("X15", "R6")
def test_a_source_that_restarts_is_waited_for(ledger: Desk) -> None:
    ledger.execute("UPDATE c SET name = name || repeat('x', 200)")
    job = ledger.start(options={"batch_size": 5})

    def restart() -> None:
        hang_up(ledger, closed=True)
        threading.Timer(2, hang_up, [ledger], {"closed": False}).start()

    runner.work(job.pk, sink=AfterSlice(restart))
    time.sleep(2.5)  # the timer has ended when the test fails
    assert_exact(ledger, job)


@pytest.mark.req("R4", "J12", "J24")
def test_a_target_that_hangs_up_loses_no_job_and_no_row(ledger: Desk, target: psycopg.Connection) -> None:
    chance = random.Random(4)
    url = f"{target.info.dsn} password={target.info.password}"
    for number in range(5):
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


@pytest.mark.req("R4", "J24")
def test_a_target_that_hangs_up_once_needs_nobody(ledger: Desk, target: psycopg.Connection) -> None:
    job = ledger.start(options={"batch_size": 20})
    hang_up = AfterSlice(
        lambda: target.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'service-vault/import' AND datname = current_database()"
        )
    )
    assert runner.work(job.pk, sink=hang_up) == "completed"
    assert_exact(ledger, job)


@pytest.mark.req("J5", "R12", "R4")
def test_a_cancel_is_heard_after_the_heartbeat_lost_its_connection(ledger: Desk, target: psycopg.Connection) -> None:
    job = ledger.start(options={"batch_size": 5})
    pid = worker(job, heartbeat_seconds=0.05, pause=0.02)
    wait_until(Account.objects.exists)
    operations.cancel(job)
    os.waitpid(pid, 0)
    job.refresh_from_db()
    assert job.status == "cancelled"


# -- the source changes between plan and read (R27, J24)


@pytest.mark.req("R27", "J24")
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


@pytest.mark.req("R27", "J13")
def test_a_resumed_job_whose_table_is_gone_says_so(ledger: Desk) -> None:
    job = ledger.start(options={"batch_size": 5})
    runner.work(job.pk, sink=AfterSlice(lambda: operations.cancel(job)))
    job.refresh_from_db()
    ledger.execute("DROP TABLE c")
    ledger.work(operations.resume(job))
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "`c`" in job.error_message


@pytest.mark.req("R6", "J13")
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


# -- error policies and time (X27, J20)


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
