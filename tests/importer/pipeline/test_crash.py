"""A worker killed at any instant loses nothing and repeats nothing (X23, X26, J12, J13)."""

from __future__ import annotations

import os
import random
import signal
import time

import psycopg
import pytest
from django.db import connections

from importer import runner
from importer.models import ExternalRef, ImportJob, ImportRecord
from importer.operations import resume
from importer.pipeline import faults
from servicevault.models import Account
from tests.importer.desk import Desk, loads
from tests.importer.pipeline.ledger import in_a_process
from tests.thoroughness import rounds

pytestmark = pytest.mark.usefixtures("committed_db")

ROUNDS = rounds(50, 10)


def worker(job: ImportJob, fate: str = "") -> int:
    def act() -> None:
        faults.arm(fate)
        runner.work(job.pk)

    return in_a_process(act)


@pytest.fixture
def ledger(desk: Desk) -> Desk:
    """Two hundred rows."""
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text)")
    desk.execute("INSERT INTO c SELECT i, 'Company ' || i, 'v0' FROM generate_series(1, 200) i")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    return desk


def assert_exact(desk: Desk, job: ImportJob, expected: dict[str, int]) -> None:
    """Target, records, references and counters agree with the source, row by row."""
    job.refresh_from_db()
    assert job.status == "completed"
    with psycopg.connect(desk.url) as source:
        wanted = sorted(source.execute("SELECT id::text, name, city FROM c").fetchall())
    accounts = {account.pk: account for account in Account.objects.all()}
    references = list(ExternalRef.objects.values_list("external_id", "target_id"))
    found = sorted((key, accounts[target].name, accounts[target].city) for key, target in references)
    assert found == wanted
    assert len(accounts) == len(wanted)
    assert desk.outcomes(job) == {name: count for name, count in expected.items() if count}
    records = ImportRecord.objects.filter(run__job=job)
    for action in ("created", "updated"):
        assert records.filter(action=action).count() == expected.get(action, 0)


@pytest.mark.slow
@pytest.mark.req("X23", "X26", "J13", "X15")
def test_it_is_exact_after_kill_9_at_fifty_random_moments(ledger: Desk) -> None:
    chance = random.Random(20261121)
    total, kills = 200, 0
    expected = {"read": 200, "created": 200}
    for number in range(ROUNDS):
        job = ledger.start(options={"batch_size": 20})
        if number % 2:
            pid = worker(job, f"{chance.choice(faults.POINTS)}:{chance.randint(1, 12)}")
        else:
            pid = worker(job)
            time.sleep(chance.uniform(0.02, 0.25))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        kills += os.WIFSIGNALED(status)
        runner.work(resume(ImportJob.objects.get(pk=job.pk)).pk) if job_is_open(job) else None
        assert_exact(ledger, job, expected)

        changed, added = chance.randint(0, 60), chance.randint(0, 5)
        ledger.execute(
            "UPDATE c SET city = %s WHERE id IN (SELECT id FROM c ORDER BY md5(id::text || %s) LIMIT %s)",
            [f"v{number + 1}", str(number), changed],
        )
        ledger.execute(
            "INSERT INTO c SELECT i, 'Company ' || i, 'new' FROM generate_series(%s::int, %s::int) i",
            [total + 1, total + added],
        )
        expected = {"read": total + added, "created": added, "updated": changed, "unchanged": total - changed}
        total += added
    assert kills >= ROUNDS * 0.4


def job_is_open(job: ImportJob) -> bool:
    return ImportJob.objects.filter(pk=job.pk).exclude(status="completed").exists()


@pytest.mark.req("X26", "J12")
def test_two_workers_with_the_same_job_have_one_effect(ledger: Desk) -> None:
    for round_number in range(3):
        job = ledger.start(options={"batch_size": 10})
        pids = [worker(job) for _ in range(3)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        assert statuses == [0, 0, 0]
        expected = {"read": 200, "created": 200} if round_number == 0 else {"read": 200, "unchanged": 200}
        assert_exact(ledger, job, expected)


@pytest.mark.req("J12")
def test_another_worker_goes_on_when_one_is_killed(ledger: Desk) -> None:
    job = ledger.start(options={"batch_size": 10})
    doomed, other = worker(job, "before_commit:4"), worker(job)
    assert os.WIFSIGNALED(os.waitpid(doomed, 0)[1])
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
    assert_exact(ledger, job, {"read": 200, "created": 200})


@pytest.mark.req("J12", "X23")
def test_a_paused_worker_that_wakes_up_late_writes_nothing(ledger: Desk) -> None:
    job = ledger.start(options={"batch_size": 5})
    sleeper = worker(job)
    while not Account.objects.exists():
        time.sleep(0.005)
    os.kill(sleeper, signal.SIGSTOP)
    with connections["default"].cursor() as cursor:  # as if the lease had run out
        cursor.execute("UPDATE importer_chunk SET lease_until = now() - interval '1 hour' WHERE NOT done")
    other = worker(job)
    time.sleep(0.3)
    os.kill(sleeper, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
    os.waitpid(sleeper, 0)
    assert_exact(ledger, job, {"read": 200, "created": 200})


@pytest.mark.req("J13", "X8")
def test_the_command_resumes_a_job_whose_process_died(ledger: Desk) -> None:
    arguments = ["--name", ledger.profile.name, "--batch-size", "20", "--json"]
    died = ledger.command(*arguments, env={"SERVICEVAULT_FAIL_AT": "before_commit:5"})
    assert died.returncode == -signal.SIGKILL
    job = ImportJob.objects.get()
    assert (job.status, Account.objects.count()) == ("running", 80)

    resumed = ledger.command("--resume", str(job.pk), "--json")
    assert resumed.returncode == 0, resumed.stderr
    report = loads(resumed.stdout)
    assert (report["job_id"], report["status"], report["queries"][0]["created"]) == (str(job.pk), "completed", 200)
    assert_exact(ledger, job, {"read": 200, "created": 200})


def test_a_completed_job_is_not_done_again(ledger: Desk) -> None:
    job = ledger.run()
    before = ImportRecord.objects.count()
    assert runner.work(job.pk) == "completed"
    assert ImportRecord.objects.count() == before
