"""What fails, and what goes on all the same: a test for each class of failure (J24).

Lost connections, lost workers and refused rows have files of their own: test_concurrency, test_crash, test_bad_rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from importer import operations, runner
from importer.models import ImportJob, ImportRecord, QueryRun
from servicevault.jobs.progress import Progress
from servicevault.models import Account, Ticket
from tests.importer.desk import READER, Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def three(desk: Desk) -> Desk:
    """Agents on their own; accounts, and customers who belong to them. Twenty of each."""
    desk.execute(
        "CREATE TABLE orgs (id int PRIMARY KEY, name text); CREATE TABLE staff (id int PRIMARY KEY, name text)"
    )
    desk.execute("CREATE TABLE people (id int PRIMARY KEY, name text, mail text, org int)")
    desk.execute(
        "INSERT INTO orgs SELECT i, 'Org ' || i FROM generate_series(1, 20) i;"
        "INSERT INTO staff SELECT i, 'agent' || i FROM generate_series(1, 20) i"
    )
    desk.execute("INSERT INTO people SELECT i, 'P' || i, 'p' || i || '@x.de', i FROM generate_series(1, 20) i")
    desk.query("accounts", "orgs", {"external_id": "id", "name": "name"})
    desk.query("agents", "staff", {"external_id": "id", "name": "name", "email": {"source": "staff.name || '@x.de'"}})
    desk.query(
        "customer_users", "people", {"external_id": "id", "name": "name", "email": "mail", "account_external_id": "org"}
    )
    return desk


class Once:
    """Does something after the first slice of a job."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act
        self.slices: list[int] = []

    def update(self, progress: Progress) -> None:
        self.slices.append(progress.processed)
        if len(self.slices) == 1:
            self.act()


def states(job: ImportJob) -> dict[str, tuple[str, int]]:
    return {run.key: (run.status, run.read) for run in job.runs.all()}


def unplanned(monkeypatch: pytest.MonkeyPatch, desk: Desk, statement: str) -> None:
    """Let something happen at the source between the fit check and the first row, seen by the job's snapshot."""
    plan = runner.planning.plan_job

    def plan_then_change(job: ImportJob, session: Any) -> Any:
        found = plan(job, session)
        session._command("ROLLBACK")
        desk.execute(statement) if "REVOKE" not in statement else owner(desk, statement)
        session._command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        session._command("SAVEPOINT service_vault_start")
        return found

    monkeypatch.setattr(runner.planning, "plan_job", plan_then_change)


def owner(desk: Desk, statement: str) -> None:
    with psycopg.connect(desk.url, autocommit=True) as source:
        source.execute(statement)


@contextmanager
def refusing(target: psycopg.Connection, condition: str, sqlstate: str) -> Iterator[None]:
    """The target refuses statements that insert accounts for which the condition over `made` holds, with that error."""
    target.execute(
        f"CREATE FUNCTION refuse_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN "
        f"RAISE EXCEPTION 'no more' USING ERRCODE = '{sqlstate}'; END IF; RETURN NULL; END $$"
    )
    target.execute(
        "CREATE TRIGGER refuse_statement AFTER INSERT ON accounts REFERENCING NEW TABLE AS made FOR EACH STATEMENT "
        "EXECUTE FUNCTION refuse_statement()"
    )
    try:
        yield
    finally:
        target.execute("DROP TRIGGER refuse_statement ON accounts; DROP FUNCTION refuse_statement()")


# -- schema mismatch


@pytest.mark.req("J24", "J13")
def test_a_query_whose_table_changed_fails_alone_and_what_builds_on_it_waits(
    three: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        unplanned(patch, three, "ALTER TABLE orgs RENAME COLUMN name TO title")
        job = three.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert states(job) == {"accounts": ("failed", 0), "agents": ("done", 20), "customer_users": ("failed", 0)}
    failed, waiting = job.runs.get(key="accounts"), job.runs.get(key="customer_users")
    assert failed.error_message in job.error_message
    assert "name" in failed.error_message
    assert waiting.error_message == "Query “customer_users” waits for “accounts”, which failed."
    assert "1 more query did not end" in job.error_message

    three.execute("ALTER TABLE orgs RENAME COLUMN title TO name")
    three.work(operations.resume(job))
    assert job.status == "completed", job.error_message
    assert set(states(job).values()) == {("done", 20)}
    assert not QueryRun.objects.filter(job=job).exclude(error_message="").exists()
    assert ImportRecord.objects.filter(run__job=job).count() == 60


@pytest.mark.req("J24")
def test_a_query_that_fails_midway_keeps_what_it_wrote_and_goes_on_there(three: Desk) -> None:
    """A value that only shows itself when it is read: a view divides by what is nought for one row."""
    three.execute("CREATE VIEW odd AS SELECT id, name || (100 / (id - 15))::text AS name FROM orgs")
    three.query("accounts", "odd", {"external_id": "id", "name": "name"})
    job = three.run(options={"batch_size": 5, "selected_queries": ["accounts", "agents"]})
    assert job.error_code == "query_failed"
    assert "division by zero" in job.error_message
    status, read = states(job)["accounts"]
    assert (status, Account.objects.count()) == ("failed", read)
    assert states(job)["agents"] == ("done", 20)


# -- source permission


@pytest.mark.req("J24")
def test_a_right_that_is_taken_away_fails_the_query_with_the_grant_to_copy(
    three: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    unplanned(monkeypatch, three, f"REVOKE SELECT ON staff FROM {READER}")
    job = three.run()
    assert states(job) == {"accounts": ("done", 20), "agents": ("failed", 0), "customer_users": ("done", 20)}
    assert f'GRANT SELECT ON "public"."staff" TO "{READER}";' in job.error_message
    assert "public.staff" in job.error_message


@pytest.mark.req("J24", "X16")
def test_a_right_that_lacks_from_the_start_stops_the_job_with_the_grant_to_copy(three: Desk) -> None:
    owner(three, f"REVOKE SELECT ON staff FROM {READER}")
    job = three.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert f'GRANT SELECT ON "public"."staff" TO "{READER}";' in job.error_message
    assert not ImportRecord.objects.exists()


@pytest.mark.req("J24", "X18", "N-029")
@pytest.mark.parametrize("way", ["ranges", "staged"])
def test_a_query_that_is_refused_fails_alone_in_a_rehearsal_too(
    three: Desk, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "staged":  # a query without a key of its own is read whole into the rehearsal's transaction
        three.execute("CREATE VIEW crew AS SELECT id, name, 100 / (id - 15) AS odd FROM staff")
        three.query("agents", "crew", {"external_id": "id", "name": "name", "email": {"source": "crew.odd || '@x.de'"}})
        job = three.run(dry_run=True)
    else:
        unplanned(monkeypatch, three, f"REVOKE SELECT ON staff FROM {READER}")
        job = three.run(dry_run=True)
        assert f'GRANT SELECT ON "public"."staff" TO "{READER}";' in job.error_message
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "rehearse again" in job.error_message
    assert states(job) == {"accounts": ("done", 20), "agents": ("failed", 0), "customer_users": ("done", 20)}
    assert ImportRecord.objects.filter(run__job=job, action="created").count() == 40
    assert not Account.objects.exists()


# -- memory


@pytest.mark.req("J24")
def test_too_little_memory_of_the_database_halves_the_batches(three: Desk, target: psycopg.Connection) -> None:
    seen = Once(lambda: None)
    with refusing(target, "(SELECT count(*) FROM made) > 3", "53200"):
        job = three.start(options={"batch_size": 8, "selected_queries": ["accounts"]})
        assert runner.work(job.pk, sink=seen) == "completed"
    assert Account.objects.count() == 20
    assert ImportRecord.objects.filter(run__job=job, action="created").count() == 20
    sizes = [after - before for before, after in zip([0, *seen.slices], seen.slices, strict=False)]
    assert sizes[0] == 8
    assert max(sizes[1:]) <= 4


@pytest.mark.req("J24", "J13")
def test_a_database_without_memory_for_a_single_row_stops_the_job_and_blames_no_row(
    three: Desk, target: psycopg.Connection
) -> None:
    with refusing(target, "true", "53200"):
        job = three.run(options={"selected_queries": ["accounts"]})
    assert (job.status, job.error_code) == ("failed", "target_unavailable")
    assert job.counters()["failed"] == 0
    three.work(operations.resume(job))
    assert (job.status, job.counters()["created"]) == ("completed", 20)


@pytest.mark.req("J24")
def test_a_row_the_database_cannot_hold_fails_alone(three: Desk, target: psycopg.Connection) -> None:
    with refusing(target, "EXISTS (SELECT FROM made WHERE name = 'Org 7')", "54000"):
        job = three.run(options={"selected_queries": ["accounts"]})
    assert three.outcomes(job) == {"read": 20, "created": 19, "failed": 1}
    assert three.record(job, "7").code == "row_too_large"


@pytest.mark.req("J24")
def test_too_little_memory_of_the_worker_halves_its_batches(three: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust() -> None:
        raise MemoryError

    monkeypatch.setattr("threading.Event.wait", _quick(0.02))
    seen = Once(exhaust)
    job = three.start(options={"batch_size": 8, "selected_queries": ["accounts"]})
    assert runner.work(job.pk, sink=seen) == "completed"
    assert Account.objects.count() == 20
    assert seen.slices[0] == 8
    assert max(after - before for before, after in zip(seen.slices, seen.slices[1:], strict=False)) <= 4


def _quick(share: float) -> Any:
    import threading

    wait = threading.Event.wait
    return lambda event, timeout=None: wait(event, None if timeout is None else timeout * share)


# -- storage full


@pytest.mark.req("J24", "J13", "C16")
def test_a_full_disk_stops_the_job_which_goes_on_when_there_is_room(three: Desk, target: psycopg.Connection) -> None:
    with refusing(target, "(SELECT count(*) FROM accounts) > 12", "53100"):
        job = three.run(options={"batch_size": 5})
        assert (job.status, job.error_code) == ("failed", "storage_full")
        assert "resume" in job.error_message
        assert Account.objects.count() == job.counters()["read"] == 10
    three.work(operations.resume(job))
    assert job.status == "completed", job.error_message
    assert three.outcomes(job) == {"read": 60, "created": 60}
    assert ImportRecord.objects.filter(run__job=job).count() == 60
    assert not Ticket.objects.exists()
