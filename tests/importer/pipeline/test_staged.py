"""What a run staged goes when nobody can come back for it, and not before; who comes back later stages it again."""

from __future__ import annotations

import itertools

import psycopg
import pytest

from importer import runner, tasks
from importer.models import ImportJob, QueryRun
from importer.operations import files, resume
from servicevault.jobs import lifecycle
from tests.importer.desk import Desk
from tests.importer.files.conftest import outcomes, shop, uploaded  # noqa: F401 - a fixture
from tests.importer.files.test_desk import help_desk  # noqa: F401 - a fixture
from tests.importer.pipeline.ledger import AfterSlice
from tests.importer.pipeline.test_control import a_table, assert_all_once

pytestmark = pytest.mark.usefixtures("committed_db")

RESTED = "UPDATE importer_importjob SET completed_at = now() - interval '{}' WHERE id = %s"
CUSTOMERS = "id,name,email,company\n" + "".join(f"{n},Person {n},p{n}@x.example,Org {n % 2}\n" for n in range(25))


def staged(target: psycopg.Connection) -> list[str]:
    found = target.execute("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'importer_stage_%'")
    return sorted(name for (name,) in found)


def stopped(job: ImportJob, *, after: int = 1) -> ImportJob:
    """The job, cancelled after so many slices."""
    slices = itertools.count(1)
    cancel = AfterSlice(lambda: next(slices) < after or lifecycle.request_cancel(ImportJob, job.pk), times=after)
    assert runner.work(job.pk, sink=cancel) == "cancelled"
    job.refresh_from_db()
    return job


def started(job: ImportJob) -> ImportJob:
    files.validate(job, None, system=True)
    files.start(job, None, system=True)
    return job


@pytest.mark.req("J13", "X16")
def test_a_database_keeps_them_thirty_days_and_is_read_again_later(desk: Desk, target: psycopg.Connection) -> None:
    a_table(desk, "int", list(range(10)), unique=False)
    job = stopped(desk.start(options={"batch_size": 3}))
    assert desk.outcomes(job) == {"read": 3, "created": 3}
    target.execute(RESTED.format("29 days"), (job.pk,))
    kept = staged(target)
    assert (len(kept), tasks.drop_staged(), staged(target)) == (1, 0, kept)
    target.execute(RESTED.format("31 days"), (job.pk,))
    with psycopg.connect(target.info.dsn, password=target.info.password) as reading:
        reading.execute(f"SELECT FROM {kept[0]}")  # a worker that has not heard of the end
        assert (tasks.drop_staged(), staged(target)) == (0, kept)
    with target.transaction():
        target.execute("SELECT FROM importer_importjob WHERE id = %s FOR UPDATE", (job.pk,))  # somebody resumes it
        assert (tasks.drop_staged(), staged(target)) == (0, kept)
    assert (tasks.drop_staged(), staged(target)) == (1, [])
    resume(job)
    assert runner.work(job.pk) == "completed"
    job.refresh_from_db()
    assert_all_once(desk, job)
    assert desk.outcomes(job) == {"read": 10, "created": 10}
    assert staged(target) == []


@pytest.mark.req("J13", "M14")
def test_rows_without_a_key_to_go_on_from_are_not_read_twice(desk: Desk, target: psycopg.Connection) -> None:
    desk.execute("CREATE TABLE goods (code text); INSERT INTO goods SELECT 'G' || i FROM generate_series(1, 9) i")
    target.execute("DROP TABLE IF EXISTS wares; CREATE TABLE wares (id serial PRIMARY KEY, code text UNIQUE)")
    desk.query("table:wares", "goods", {"code": "code"}, key="goods")
    job = stopped(desk.start(options={"batch_size": 3}))
    target.execute(RESTED.format("31 days"), (job.pk,))
    assert (tasks.drop_staged(), staged(target)) == (1, [])
    resume(job)
    assert runner.work(job.pk) == "failed"
    job.refresh_from_db()
    assert (job.error_code, "Start a new import" in job.error_message) == ("drift_detected", True)
    assert desk.run().status == "completed"
    assert target.execute("SELECT count(*) FROM wares").fetchone() == (9,)
    target.execute("DROP TABLE wares")


@pytest.mark.req("F-086", "J13", "F-062")
def test_a_file_keeps_them_as_long_as_itself(shop: psycopg.Connection) -> None:  # noqa: F811
    text = "sku\n" + "".join(f"S{n}\n" for n in range(25))
    job = stopped(started(uploaded(text, options={"batch_size": 10})))
    kept = staged(shop)
    assert (len(kept) > 1, tasks.drop_staged(), staged(shop)) == (True, 0, kept)
    for table in kept:
        shop.execute(f"DROP TABLE {table}")  # as if it had been the time for it
    resume(job)
    assert runner.work(job.pk) == "completed"
    assert (outcomes(job), staged(shop)) == ({"read": 25, "created": 25}, [])

    gone = stopped(started(uploaded(text.replace("S", "T"), options={"batch_size": 10})))
    shop.execute(RESTED.format("25 hours"), (gone.pk,))
    files.expire()
    assert staged(shop) == []
    resume(gone)
    assert runner.work(gone.pk) == "failed"
    gone.refresh_from_db()
    assert (gone.error_code, "Upload the file again" in gone.error_message) == ("file_rejected", True)


@pytest.mark.req("F-086", "J13")
def test_what_cannot_be_resumed_leaves_nothing(help_desk: psycopg.Connection) -> None:  # noqa: F811
    people = uploaded(CUSTOMERS, name="people.csv", target_type="customer_users", options={"batch_size": 10})
    job = stopped(started(people), after=2)  # its accounts and the first of its people are in
    assert outcomes(job)["created"] == 12
    waiting = uploaded("name\nOrg 9\n", name="orgs.csv", target_type="accounts")
    files.validate(waiting, None, system=True)
    never = uploaded("name\nOrg 9\n", name="never.csv", target_type="accounts")
    files.validate(never, None, system=True)
    lifecycle.request_cancel(ImportJob, never.pk)
    of_never = {f"importer_stage_{pk}" for pk in QueryRun.objects.filter(job=never).values_list("pk", flat=True)}
    everything = staged(help_desk)
    assert of_never & set(everything)
    help_desk.execute(
        "CREATE TABLE importer_stage_987654321_ordered (n int); CREATE TABLE importer_stage_notes (n int)"
    )
    assert tasks.drop_staged() == 2
    assert set(everything) - set(staged(help_desk)) == of_never & set(everything)
    assert "importer_stage_notes" in staged(help_desk)  # not of our making
    for table in staged(help_desk):
        help_desk.execute(f"DROP TABLE {table}")
    resume(job)
    assert runner.work(job.pk) == "completed"
    assert outcomes(job)["created"] == 27
    assert staged(help_desk) == []
