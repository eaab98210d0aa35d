"""A user of the target at the row that an import writes, a moment before, meanwhile or with a lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from importer import operations, runner
from importer.models import ImportRecord
from importer.pipeline import load, slices
from servicevault.models import Account, User
from tests.importer.desk import Desk
from tests.importer.pipeline.ledger import assert_exact, counted, ledger, people, second_connection

__all__ = ["ledger", "people"]  # fixtures
pytestmark = pytest.mark.usefixtures("committed_db")


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


@pytest.mark.req("K9", "X24")
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


@pytest.mark.req("X15")
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


@pytest.mark.req("J13")
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
