"""Rows are put to work again without the rest of their job (J7, R4, R5)."""

from __future__ import annotations

from typing import Any

import pytest

from importer import operations
from importer.models import ImportRecord
from importer.modes import Mode
from servicevault.models import Account, Ticket
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def companies(desk: Desk) -> Desk:
    """Twenty companies, of which two have no name."""
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text)")
    desk.execute(
        "INSERT INTO c SELECT i, CASE WHEN i % 10 > 0 THEN 'Company ' || i END, 'x' FROM generate_series(1, 20) i"
    )
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    return desk


@pytest.mark.req("J7", "R5")
def test_failed_rows_are_retried_and_no_others(companies: Desk) -> None:
    job = companies.run()
    assert companies.outcomes(job) == {"read": 20, "created": 18, "failed": 2}
    companies.execute("UPDATE c SET name = 'Late ' || id WHERE name IS NULL; UPDATE c SET city = 'changed'")
    again = companies.work(operations.retry(job, by=None))
    assert companies.outcomes(again) == {"read": 2, "created": 2}
    assert (again.retry_of, again.trigger) == (job, "retry")
    assert Account.objects.filter(city="changed").count() == 2
    with pytest.raises(operations.Conflict, match="no failed row"):
        operations.retry(again, by=None)
    whole = companies.work(operations.retry(job, by=None, scope="all"))
    assert companies.outcomes(whole) == {"read": 20, "updated": 18, "unchanged": 2}


@pytest.mark.req("J7")
def test_a_job_that_goes_on_is_not_retried(companies: Desk) -> None:
    with pytest.raises(operations.Conflict, match="pending"):
        operations.retry(companies.start(), by=None)


@pytest.mark.req("R4", "R12", "DEC-21")
def test_rows_that_the_mode_skipped_are_imported_when_approved(companies: Desk) -> None:
    companies.run()
    companies.execute("UPDATE c SET city = 'changed' WHERE id <= 5")
    job = companies.run(mode="create")
    skipped = ImportRecord.objects.filter(run__job=job, code="exists")
    chosen: dict[str, Any] = {"skipped": ("exists", "not_found")}
    done = operations.again(skipped, by=None, applicable=chosen, mode=Mode.UPSERT)
    assert (done.selected, done.not_applicable) == (18, 0)
    assert done.job is not None
    assert companies.outcomes(companies.work(done.job)) == {"read": 18, "updated": 5, "unchanged": 13}
    failed = ImportRecord.objects.filter(run__job=job, action="failed")
    nothing = operations.again(failed, by=None, applicable=chosen, mode=Mode.UPSERT)
    assert (nothing.job, nothing.selected, nothing.not_applicable) == (None, 2, 2)


@pytest.mark.req("E33")
def test_held_rows_are_released_once_their_value_has_a_meaning(desk: Desk) -> None:
    desk.execute("CREATE TABLE t (id int PRIMARY KEY, title text, status text)")
    desk.execute("INSERT INTO t SELECT i, 'T' || i, CASE WHEN i < 3 THEN 'parked' WHEN i < 5 THEN 'odd' ELSE 'open' END "
                 "FROM generate_series(1, 9) i")  # fmt: skip
    fields = {"external_id": "id", "title": "title", "description": "title", "status": "status"}
    desk.query("tickets", "t", fields)
    job = desk.run()
    assert desk.outcomes(job) == {"read": 9, "created": 5, "review": 4}
    desk.execute("UPDATE t SET title = 'changed meanwhile' WHERE id > 4")
    desk.query("tickets", "t", fields, value_maps={"status": {"parked": "pending"}})
    assert operations.held_rows(job) == 4
    done = operations.release_held(job, by=None)
    assert done.job is not None
    assert desk.outcomes(desk.work(done.job)) == {"read": 4, "created": 2, "review": 2}  # and no other row
    with pytest.raises(operations.Conflict, match="pending"):
        operations.release_held(desk.start(), by=None)


@pytest.mark.req("E33", "X18")
def test_rows_that_a_rehearsal_held_are_not_imported_by_the_way(desk: Desk) -> None:
    desk.execute(
        "CREATE TABLE t (id int PRIMARY KEY, title text, status text); INSERT INTO t VALUES (1, 'T', 'parked')"
    )
    fields = {"external_id": "id", "title": "title", "description": "title", "status": "status"}
    desk.query("tickets", "t", fields)
    job = desk.run(dry_run=True)
    assert desk.outcomes(job) == {"read": 1, "review": 1}
    desk.query("tickets", "t", fields, value_maps={"status": {"parked": "pending"}})
    assert operations.held_rows(job) == 0
    with pytest.raises(operations.Conflict, match="is a rehearsal"):
        operations.release_held(job, by=None)
    assert not Ticket.objects.exists()
