"""A rehearsal tells what the run will do and leaves everything as it was (X18, N-020, N-029)."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections

from importer import runner
from importer.models import ImportJob, ImportRecord
from importer.operations import cancel
from importer.pipeline import faults
from servicevault.jobs.progress import Progress
from servicevault.models import Account, Ticket, User
from tests.importer.desk import Desk
from tests.thoroughness import rounds
from tests.triggers import trigger

pytestmark = pytest.mark.usefixtures("committed_db")

KEPT_TABLES = (
    "accounts", "users", "tickets", "ticket_comments", "time_entries", "billing_rates", "ticket_statuses",
    "ticket_priorities", "ticket_categories", "external_refs", "importer_pendingreference",
)  # fmt: skip
# nextval() is never undone: ticket numbers drawn for tickets that were not kept leave a gap, as any failed INSERT does.
# The others number the rehearsal itself: the job, its worker, its runs, its entities and mapping versions.
MOVING_SEQUENCES = (
    "ticket_number", "job_number", "job_fence", "importer_queryrun_id_seq", "importer_sourceentity_id_seq",
    "importer_mappingversion_id_seq", "importer_pendingreference_id_seq",
)  # fmt: skip
ROUNDS = int(os.environ.get("REHEARSAL_ROUNDS", rounds(12, 4)))


@pytest.fixture
def whole(desk: Desk) -> Desk:
    """All six kinds of rows, with references, values to map, and one entity that has no key to be cut by."""
    desk.execute(
        "CREATE TABLE orgs (id int PRIMARY KEY, name text, city text, kind text);"
        "CREATE TABLE staff (id int PRIMARY KEY, name text, mail text);"
        "CREATE TABLE people (id int, name text, mail text, org int, phone text);"
        "CREATE TABLE issues (id int PRIMARY KEY, title text, status text, person int, agent int, no text, hours text);"
        "CREATE TABLE notes (id int PRIMARY KEY, issue int, body text, kind text, author int, parent int);"
        "CREATE TABLE logs (id int PRIMARY KEY, issue int, agent int, spent text, began timestamp);"
    )
    desk.query("accounts", "orgs", {"external_id": "id", "name": "name", "city": "city", "account_type": "kind"})
    desk.query("agents", "staff", {"external_id": "id", "name": "name", "email": "mail"})
    desk.query(
        "customer_users",
        "people",
        {"external_id": "id", "name": "name", "email": "mail", "account_external_id": "org", "phone": "phone"},
    )
    desk.query(
        "tickets",
        "issues",
        {
            "external_id": "id",
            "title": "title",
            "description": "title",
            "status": "status",
            "ticket_number": "no",
            "customer_external_id": "person",
            "assigned_user_external_id": "agent",
            "estimated_hours": "hours",
        },
    )
    desk.query(
        "ticket_comments",
        "notes",
        {
            "external_id": "id",
            "ticket_external_id": "issue",
            "content": "body",
            "author_kind": "kind",
            "author_external_id": "author",
            "parent_external_id": "parent",
        },
    )
    desk.query(
        "time_entries",
        "logs",
        {
            "external_id": "id",
            "description": {"source": "'work'"},
            "duration": "spent",
            "started_at": "began",
            "user_external_id": "agent",
            "ticket_external_id": "issue",
        },
    )
    return desk


def fill(desk: Desk, count: int = 30) -> None:
    """Rows of which most are right, some wrong, and some refer to nothing."""
    desk.execute(
        f"INSERT INTO orgs SELECT i, 'Org ' || i, 'city', 'customer' FROM generate_series(1, {count}) i;"
        f"INSERT INTO staff SELECT i, 'Agent ' || i, 'agent' || i || '@x.de' FROM generate_series(1, 5) i;"
        f"INSERT INTO people SELECT i, 'Person ' || i, 'p' || i || '@x.de', i FROM generate_series(1, {count}) i;"
        f"INSERT INTO issues SELECT i, 'Issue ' || i, 'open', i, i % 6, 'N-' || i, '1.5' FROM generate_series(1, {count}) i;"
        f"INSERT INTO notes SELECT i, i, 'note', 'agent', i % 6, i - 1 FROM generate_series(1, {count}) i;"
        f"INSERT INTO logs SELECT i, i, 1, '1:30', '2024-01-01' FROM generate_series(1, {count}) i;"
    )


def checksum(target: psycopg.Connection) -> dict[str, str]:
    """Per table the digest of every row, system columns that show a write included, and each sequence."""
    found = {
        table: target.execute(
            f"SELECT md5(coalesce(string_agg(t::text || t.xmin::text || t.ctid::text, '|' ORDER BY t::text), '')) FROM {table} t"
        ).fetchone()[0]
        for table in KEPT_TABLES
    }
    sequences = target.execute("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'")
    return found | {name: str(value) for name, value in sequences if name not in MOVING_SEQUENCES}


def outcomes(job: ImportJob) -> Counter[tuple[Any, ...]]:
    """What happened to each source row, without the ids of rows that are new each time.

    Rows that stand for no source row are tested on their own: the default account and late links.
    """
    return Counter(
        (
            record.run.key,
            record.source_identifier,
            record.ordinal,
            record.action,
            record.code,
            None if record.action == "created" else record.target_id,
            tuple(record.changed_fields or ()),
            tuple(sorted(warning["code"] for warning in record.warnings or ())),
            tuple((problem["code"], problem.get("field")) for problem in record.problems or ()),
        )
        for record in ImportRecord.objects.filter(run__job=job)
        .exclude(code="late_link")
        .exclude(run__key="__default__")
        .select_related("run")
    )


def counters(job: ImportJob) -> dict[str, dict[str, int]]:
    names = ("read", "created", "updated", "unchanged", "skipped", "failed", "review", "warnings")
    return {run.key: {name: getattr(run, name) for name in names} for run in job.runs.exclude(key="__default__")}


def rehearse(desk: Desk, target: psycopg.Connection, **arguments: Any) -> ImportJob:
    before = checksum(target)
    job = desk.run(dry_run=True, **arguments)
    assert checksum(target) == before
    assert job.status == "completed", job.error_message
    return job


class AfterEachSlice:
    """Does something while the rehearsal's transaction is open, from its `first` slice on."""

    def __init__(self, act: Callable[[], None], *, first: int = 1) -> None:
        self.act = act
        self.first = first
        self.calls = 0

    def update(self, progress: Progress) -> None:
        self.calls += 1
        if self.calls >= self.first:
            self.act()


# -- the target stays as it is


@pytest.mark.req("X18", "N-029")
def test_it_leaves_an_empty_target_as_it_was(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    job = rehearse(whole, target)
    assert job.kind == "rehearsal"
    assert whole.outcomes(job, "accounts") == {"read": 30, "created": 30}
    assert not Account.objects.exists()


@pytest.mark.req("X18", "N-029")
def test_it_leaves_rows_it_would_update_as_they_were(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    whole.run()
    whole.execute("UPDATE orgs SET city = 'new'; UPDATE issues SET status = 'closed', title = 'new ' || id")
    job = rehearse(whole, target)
    assert whole.outcomes(job, "accounts") == {"read": 30, "updated": 30}
    assert whole.outcomes(job, "tickets") == {"read": 30, "updated": 30}
    assert set(Account.objects.exclude(name__startswith="Imported").values_list("city", flat=True)) == {"city"}


@pytest.mark.req("X18")
def test_it_leaves_no_table_and_no_lock_behind(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    rehearse(whole, target)
    assert target.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'importer_stage%'").fetchone() == (0,)
    sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'service-vault/import' AND datname = current_database()"
    deadline = time.monotonic() + 30  # a closed connection's backend needs a moment to leave
    while (left := target.execute(sessions).fetchall()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


# -- the same as the run


@pytest.mark.req("X18", "N-020", "N-029")
def test_the_run_does_what_the_rehearsal_said(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    whole.execute("UPDATE issues SET status = 'parked' WHERE id = 3; UPDATE logs SET spent = 'soon' WHERE id = 4")
    whole.execute("UPDATE people SET mail = 'broken' WHERE id = 5; UPDATE orgs SET name = '' WHERE id = 6")
    said = rehearse(whole, target)
    done = whole.run()
    assert counters(said) == counters(done)
    assert outcomes(said) == outcomes(done)
    assert sum(run["failed"] for run in counters(done).values()) >= 4


@pytest.mark.slow
@pytest.mark.req("X18", "N-020", "N-029")
def test_the_run_does_what_the_rehearsal_said_over_generated_data(whole: Desk, target: psycopg.Connection) -> None:
    """Data sets after one another (REHEARSAL_ROUNDS=200 for a long look): each changes source and target, rehearses, runs and compares row by row.

    Unique keys and match fields of known rows keep their value here; see the tests of taken and freed keys below.
    """
    chance = random.Random(20261121)
    seen: Counter[str] = Counter()
    for number in range(ROUNDS):
        mutate(whole, target, chance, number)
        arguments = {
            "mode": chance.choice(["upsert", "upsert", "create", "update"]),
            "options": {"batch_size": chance.choice([1000, 1000, 7]), "record_unchanged": number % 2 == 0},
        }
        said = rehearse(whole, target, **arguments)
        beside = {"plan_id": str(said.pk)} if number % 4 else {}
        done = whole.run(**arguments | {"options": arguments["options"] | beside})
        assert done.status == "completed", done.error_message
        assert done.counters()["replanned"] == 0, (number, arguments)  # nothing changed in between
        assert counters(said) == counters(done), (number, arguments)
        assert outcomes(said) == outcomes(done), (number, arguments)
        for run in counters(done).values():
            seen.update(run)
    assert all(seen[name] for name in ("created", "updated", "unchanged", "skipped", "failed", "review", "warnings"))
    codes = set(ImportRecord.objects.values_list("code", flat=True))
    assert {"duplicate_in_source", "unmapped_value", "unique_conflict", "blocked_by_parent"} <= codes


def mutate(desk: Desk, target: psycopg.Connection, chance: random.Random, number: int) -> None:
    """New rows, changed rows, bad values, duplicates; and people who work in the target meanwhile."""
    start = number * 6 + 1
    for key in range(start, start + chance.randint(0, 6)):
        desk.execute(
            "INSERT INTO orgs VALUES (%s, %s, 'c', %s)",
            [key, chance.choice([f"Org {key}", f"Org {key}", "", "  "]), chance.choice(["customer", "PARTNER", "vip"])],
        )
        desk.execute("INSERT INTO staff VALUES (%s, %s, %s)", [key, f"Agent {key}", f"agent{key}@x.de"])
        for _ in range(chance.choice([1, 1, 1, 2])):
            desk.execute(
                "INSERT INTO people VALUES (%s, %s, %s, %s)",
                [
                    key,
                    f"Person {key}",
                    chance.choice([f"p{key}@x.de", f"p{key}@x.de", None, "broken", f"P{max(1, key - 1)}@X.de"]),
                    chance.choice([key, key, 9999]),
                ],
            )
        desk.execute(
            "INSERT INTO issues VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                key,
                chance.choice([f"Issue {key}", "", "x" * 999]),
                chance.choice(["open", "closed", "parked", None]),
                chance.choice([key, 9999, None]),
                chance.choice([key, 9999, None]),
                chance.choice([f"N-{key}", f"N-{max(1, key - 2)}", None]),
                chance.choice(["1", "many", None]),
            ],
        )
        desk.execute(
            "INSERT INTO notes VALUES (%s, %s, %s, %s, %s, %s)",
            [
                key,
                chance.choice([key, 9999]),
                chance.choice(["note", ""]),
                chance.choice(["agent", "customer", None]),
                key,
                key - 1,
            ],
        )
        desk.execute(
            "INSERT INTO logs VALUES (%s, %s, %s, %s, '2024-01-01')",
            [
                key,
                chance.choice([key, None, 9999]),
                chance.choice([key, 9999]),
                chance.choice(["90", "1:30", "soon", "-5"]),
            ],
        )
    desk.execute("UPDATE orgs SET city = %s WHERE id %% 7 = %s", [f"city {number}", chance.randint(0, 6)])
    desk.execute("UPDATE people SET phone = %s WHERE id %% 7 = %s", [f"+49 {number}", chance.randint(0, 6)])
    desk.execute(
        "UPDATE issues SET status = %s WHERE id %% 9 = %s",
        [chance.choice(["open", "closed", "odd"]), chance.randint(0, 8)],
    )
    desk.execute("UPDATE logs SET spent = %s WHERE id %% 9 = %s", [str(number + 1), chance.randint(0, 8)])
    desk.execute("UPDATE notes SET body = %s WHERE id %% 9 = %s", [f"body {number}", chance.randint(0, 8)])
    if chance.random() < 0.3:
        key = number * 6 + 6
        target.execute("INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), %s)", [f"org {key + 1} "])
        target.execute(
            "INSERT INTO users (id, name, email) VALUES (gen_random_uuid(), 'here', %s) ON CONFLICT DO NOTHING",
            [f"p{key + 2}@x.de"],
        )
    if chance.random() < 0.2:
        target.execute(
            "UPDATE tickets SET deleted_at = now() WHERE id = (SELECT id FROM tickets ORDER BY ticket_number LIMIT 1)"
        )
        target.execute("UPDATE accounts SET city = 'by hand' WHERE name LIKE 'Org 1%'")


@pytest.mark.req("X18", "X24")
def test_it_finds_what_only_the_database_refuses(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    whole.run()
    refuse = "IF NEW.city = 'Poison' THEN RAISE EXCEPTION 'poison is not allowed'; END IF;"
    with trigger(target, "accounts", refuse, when="BEFORE INSERT OR UPDATE"):
        whole.execute("UPDATE orgs SET city = CASE WHEN id IN (3, 4, 9) THEN 'Poison' ELSE 'fine' END")
        whole.execute("INSERT INTO orgs VALUES (40, 'New', 'Poison'), (41, 'New too', 'fine')")
        said = rehearse(whole, target)
        done = whole.run()
    assert whole.outcomes(said, "accounts") == {"read": 32, "created": 1, "updated": 27, "failed": 4}
    assert outcomes(said) == outcomes(done)


# -- what a rehearsal shows


@pytest.mark.req("X19")
def test_a_row_it_would_create_shows_what_would_be_there(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole, 2)
    job = rehearse(whole, target)
    record = whole.record(job, "1", "accounts")
    assert record.after_image["name"] == "Org 1"
    assert (record.before_image, record.changed_fields) == (None, None)
    assert record.source_data == {"external_id": 1, "name": "Org 1", "city": "city", "account_type": "customer"}


@pytest.mark.req("X19")
def test_a_row_it_would_update_shows_what_differs(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole, 2)
    whole.run()
    whole.execute("UPDATE orgs SET city = 'new' WHERE id = 1")
    record = whole.record(rehearse(whole, target), "1", "accounts")
    assert (record.action, record.changed_fields, record.before_image) == ("updated", ["city"], {"city": "city"})
    assert record.target_id == whole.target_of("accounts", "1")


@pytest.mark.req("X19")
def test_a_row_it_would_update_shows_the_new_values_too(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole, 2)
    whole.run()
    whole.execute("UPDATE orgs SET city = 'new' WHERE id = 1")
    assert whole.record(rehearse(whole, target), "1", "accounts").after_image == {"city": "new"}


@pytest.mark.req("E30", "X19")
def test_a_blocked_row_names_the_record_of_its_parent(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole, 3)
    whole.execute("UPDATE issues SET hours = 'many' WHERE id = 2")
    job = rehearse(whole, target)
    parent = whole.record(job, "2", "tickets")
    problems = whole.record(job, "2", "ticket_comments").problems
    assert {"parent_record": str(parent.pk)}.items() <= problems[-1].items()


@pytest.mark.req("E36", "X18", "J18")
def test_the_default_account_is_announced(whole: Desk, target: psycopg.Connection) -> None:
    whole.execute("INSERT INTO issues VALUES (1, 'Nobody asked', 'open')")
    said = rehearse(whole, target)
    done = whole.run()
    assert said.counters()["created"] == done.counters()["created"] == 2


def late_links(job: ImportJob) -> Counter[tuple[Any, ...]]:
    found = ImportRecord.objects.filter(run__job=job, code="late_link")
    return Counter((record.run.key, record.source_identifier, *record.changed_fields) for record in found)


@pytest.mark.req("N-020", "E28")
def test_links_to_rows_that_come_later_in_the_same_job_are_announced(whole: Desk, target: psycopg.Connection) -> None:
    whole.execute("INSERT INTO issues VALUES (1, 'Asked', 'open')")
    whole.execute(
        "INSERT INTO notes VALUES (1, 1, 'answer', 'agent', NULL, 2), (2, 1, 'question', 'agent', NULL, NULL)"
    )
    said = rehearse(whole, target, options={"batch_size": 1})
    done = whole.run(options={"batch_size": 1})
    assert late_links(said) == late_links(done) == {("ticket_comments", "1", "parent_id"): 1}
    assert [run.late_linked for run in said.runs.all()] == [run.late_linked for run in done.runs.all()]


@pytest.mark.req("N-020", "E29")
def test_late_links_are_announced(whole: Desk, target: psycopg.Connection) -> None:
    whole.execute("INSERT INTO issues VALUES (1, 'Early', 'open', 7)")
    whole.run()
    whole.execute("INSERT INTO people VALUES (7, 'Late', 'late@x.de')")
    said = rehearse(whole, target)
    done = whole.run()
    linked = {job.pk: ImportRecord.objects.filter(run__job=job, code="late_link").count() for job in (said, done)}
    assert linked == {said.pk: 1, done.pk: 1}


# -- keys that a row of the same job takes or frees


@pytest.mark.req("N-020", "N-029")
def test_a_key_that_an_update_takes_is_taken_for_later_rows(desk: Desk, target: psycopg.Connection) -> None:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text); INSERT INTO p VALUES (1, 'A', 'a@x.de')")
    desk.query("agents", "p", {"external_id": "id", "name": "name", "email": "mail"})
    desk.run()
    desk.execute("UPDATE p SET mail = 'b@x.de'; INSERT INTO p VALUES (2, 'B', 'b@x.de')")
    options = {"batch_size": 1}
    assert outcomes(rehearse(desk, target, options=options)) == outcomes(desk.run(options=options))


@pytest.mark.req("N-020", "N-029")
def test_a_key_that_an_update_frees_is_free_for_later_rows(desk: Desk, target: psycopg.Connection) -> None:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text); INSERT INTO p VALUES (1, 'A', 'a@x.de')")
    desk.query("agents", "p", {"external_id": "id", "name": "name", "email": "mail"})
    desk.run()
    desk.execute("UPDATE p SET mail = 'b@x.de'; INSERT INTO p VALUES (2, 'B', 'a@x.de')")
    options = {"batch_size": 1}
    assert outcomes(rehearse(desk, target, options=options)) == outcomes(desk.run(options=options))


@pytest.mark.req("N-020", "N-029")
def test_a_target_that_two_rows_change_is_found_as_the_first_left_it(desk: Desk, target: psycopg.Connection) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text); INSERT INTO c VALUES (1, 'Acme', 'Bonn')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    desk.run()
    desk.execute(
        "INSERT INTO c VALUES (2, 'Acme', 'Bonn'), (3, 'Acme', 'Köln'); UPDATE c SET city = 'Ulm' WHERE id = 1"
    )
    for options in ({"batch_size": 1}, {"batch_size": 100}):  # in slices of their own, and one after the other in one
        said, done = rehearse(desk, target, options=options), desk.run(options=options)
        assert outcomes(said) == outcomes(done)
        assert [desk.record(said, key).action for key in "123"] == ["updated"] * 3
        desk.execute("UPDATE c SET city = city || '!'")


# -- nobody waits


class Impatient:
    """An impatient person: half a second, then `waited` says so and the work goes on."""

    def __init__(self, target: psycopg.Connection, statement: str) -> None:
        self.target, self.statement = target, statement
        self.done = self.waited = 0
        target.execute("SET lock_timeout = '500ms'")

    def __call__(self) -> None:
        try:
            self.target.execute(self.statement)
            self.done += 1
        except psycopg.errors.LockNotAvailable:
            self.waited += 1


@pytest.mark.req("X18")
def test_nobody_waits_who_changes_a_row_it_would_update(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    whole.run()
    whole.execute("UPDATE orgs SET city = 'new'; UPDATE people SET phone = '1'; UPDATE issues SET title = 'new'")
    person = Impatient(
        target,
        "UPDATE accounts SET notes = 'by hand'; UPDATE users SET job_title = 'by hand'; UPDATE tickets SET queue = 'by hand'",
    )
    job = whole.start(dry_run=True)
    assert runner.work(job.pk, sink=AfterEachSlice(person)) == "completed"
    assert person.waited == 0
    assert person.done >= 6
    assert set(Ticket.objects.values_list("queue", flat=True)) == {"by hand"}


@pytest.mark.req("X18")
def test_nobody_waits_who_creates_what_it_would_create(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    person = Impatient(
        target, "INSERT INTO users (id, name, email) VALUES (gen_random_uuid(), 'me', 'p1@x.de') ON CONFLICT DO NOTHING"
    )
    job = whole.start(dry_run=True)
    assert runner.work(job.pk, sink=AfterEachSlice(lambda: person.done or person(), first=3)) == "completed"
    assert person.waited == 0
    assert User.objects.get(email="p1@x.de").name == "me"
    assert whole.record(ImportJob.objects.get(pk=job.pk), "1", "customer_users").action == "updated"  # it began anew


# -- workers


@pytest.mark.req("J5", "X18")
def test_a_cancelled_rehearsal_ends_as_cancelled(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    before = checksum(target)
    job = whole.start(dry_run=True, options={"batch_size": 1})
    asked: list[int] = []

    def ask() -> None:
        if not asked:
            asked.append(1)
            cancel(job)

    # The heartbeat sees the request within its interval; until then slices go on.
    runner.HEARTBEAT_SECONDS, usual = 0.05, runner.HEARTBEAT_SECONDS
    try:
        assert runner.work(job.pk, sink=AfterEachSlice(ask)) == "cancelled"
    finally:
        runner.HEARTBEAT_SECONDS = usual
    assert checksum(target) == before
    job.refresh_from_db()
    total = job.counters()
    assert total["read"] == ImportRecord.objects.filter(run__job=job).count()


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


@pytest.mark.req("J12", "X18")
def test_a_rehearsal_whose_worker_died_is_done_by_another(whole: Desk, target: psycopg.Connection) -> None:
    fill(whole)
    before = checksum(target)
    job = whole.start(dry_run=True, options={"batch_size": 5})

    def die() -> None:
        faults.arm("after_stage:9")
        runner.work(job.pk)

    assert os.WTERMSIG(os.waitpid(in_a_process(die), 0)[1]) == signal.SIGKILL
    assert runner.work(job.pk) == "completed"
    assert counters(ImportJob.objects.get(pk=job.pk))["accounts"]["read"] == 30
    assert checksum(target) == before


@pytest.mark.req("X26", "X18")
def test_two_workers_with_the_same_rehearsal_have_one_effect(whole: Desk) -> None:
    fill(whole)
    job = whole.start(dry_run=True, options={"batch_size": 5})
    pids = [in_a_process(lambda: runner.work(job.pk)) for _ in range(2)]
    for pid in pids:
        os.waitpid(pid, 0)
    job.refresh_from_db()
    assert job.status == "completed"
    assert counters(job)["accounts"]["read"] == 30
    assert ImportRecord.objects.filter(run__job=job, run__key="accounts").count() == 30
