"""A file's import into the help desk, and the retry of one, are rolled back and brought back like any other."""

from __future__ import annotations

import psycopg
import pytest

from importer import runner
from importer.models import ImportJob
from importer.operations import files, rollbacks
from importer.operations.failures import Conflict
from tests.importer.desk import Desk
from tests.importer.files.conftest import imported, outcomes, uploaded
from tests.importer.files.test_desk import TABLES, document, help_desk, run  # noqa: F401 - a fixture
from tests.importer.reversal.conftest import Office, buckets, verdicts, worked

PEOPLE = "name,email,company\nCora,cora@beta.example,Beta\nDan,dan@beta.example,\nNo,no-address,\n"
CHANGED = PEOPLE.replace("Cora,", "Cora Customer,")


def roll_back(job: ImportJob, *, dry_run: bool = False) -> ImportJob:
    return worked(rollbacks.start_rollback(job, understood=True, dry_run=dry_run))


def undo(rollback: ImportJob) -> ImportJob:
    return worked(rollbacks.start_undo(rollback))


@pytest.mark.req("R7", "R15", "R16", "R20", "U34")
def test_customers_with_their_accounts_and_tickets_go_and_come_back(
    help_desk: psycopg.Connection,  # noqa: F811
    desk: Desk,
) -> None:
    office = Office(desk, help_desk)
    empty = office.picture()
    people = imported(PEOPLE, target_type="customer_users")
    assert outcomes(people) == {"read": 5, "created": 4, "failed": 1}  # two accounts beside them, one the default
    before = office.picture()
    changes = imported(CHANGED, target_type="customer_users", options={"on_duplicate": "update"})
    assert outcomes(changes)["updated"] == 1
    tickets = uploaded(document(), name="desk.json", options={"tables": TABLES})
    run(tickets)
    whole = office.picture()

    assert buckets(roll_back(tickets, dry_run=True)) == {"reversed": outcomes(tickets)["created"]}
    assert office.picture() == whole
    rollback = roll_back(tickets)
    assert buckets(undo(rollback)) == buckets(rollback) == {"reversed": outcomes(tickets)["created"]}
    assert office.picture() == whole
    roll_back(tickets)
    assert buckets(roll_back(changes)) == {"reversed": 1}
    assert {row for row in office.picture()["users"] if "Cora Customer" in row} == set()
    seen = ("users", "external_refs")  # of the user that was changed the time is another, and when it was seen last
    assert office.picture() | {table: before[table] for table in seen} == before

    help_desk.execute("UPDATE users SET phone = '030 1' WHERE email = 'dan@beta.example'")  # a person did
    preview, rollback = roll_back(people, dry_run=True), roll_back(people)
    assert verdicts(preview) == verdicts(rollback)
    assert buckets(rollback) == {"reversed": 2, "kept_edited": 1, "blocked": 1}  # his account stays with him
    assert help_desk.execute("SELECT email FROM users WHERE user_type = 'account_user'").fetchall() == [
        ("dan@beta.example",)
    ]
    help_desk.execute("UPDATE users SET phone = NULL WHERE email = 'dan@beta.example'")
    assert buckets(roll_back(people)) == {"reversed": 4}
    assert office.picture() == empty


@pytest.mark.req("R7", "R15", "R20", "J7", "F-037", "F-089")
def test_a_retry_is_rolled_back_alone_and_its_rows_may_be_retried_again(shop: psycopg.Connection) -> None:
    def found() -> list[str]:
        return [sku for (sku,) in shop.execute("SELECT sku FROM products ORDER BY sku")]

    job = imported("sku,maker\nA,acme\nB,later\nC,never\n")
    shop.execute("INSERT INTO makers VALUES ('later', 'Later')")
    again = files.retry(job, None, system=True)
    files.validate(again, None, system=True)
    files.start(again, None, accept_errors=True, system=True)
    runner.work(again.pk)
    again.refresh_from_db()
    assert (outcomes(again), found()) == ({"read": 2, "created": 1, "failed": 1}, ["A", "B"])
    assert [record.source_row for record in files.correctable(job)] == [4]

    assert verdicts(roll_back(again, dry_run=True))
    assert found() == ["A", "B"]
    rollback = roll_back(again)
    assert (buckets(rollback), found()) == ({"reversed": 1}, ["A"])
    assert [record.source_row for record in files.correctable(job)] == [3, 4]  # it is not in any more
    assert (buckets(undo(rollback)), found()) == ({"reversed": 1}, ["A", "B"])
    assert [record.source_row for record in files.correctable(job)] == [4]
    assert (buckets(roll_back(job)), found()) == ({"reversed": 1}, ["B"])

    shop.execute("DELETE FROM products WHERE sku = 'B'")
    assert buckets(roll_back(again)) == {"reversed": 1}  # gone by a person's hand already
    with pytest.raises(Conflict):
        rollbacks.start_undo(rollback)  # undone before
