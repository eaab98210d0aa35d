"""Whatever imports, people, rollbacks and undos do one after the other: what a person did stays (N-039).

A ledger keeps the picture before each import and every value that a person wrote.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from importer.models import ImportJob
from importer.operations import rollbacks
from tests.importer.desk import Desk
from tests.importer.reversal.conftest import Office, verdicts
from tests.thoroughness import rounds

pytestmark = pytest.mark.usefixtures("committed_db")

numbers = st.integers(1, 4)
steps = st.one_of(
    st.tuples(
        st.just("import"), st.lists(st.tuples(st.sampled_from(["name", "city", "org", "new"]), numbers), max_size=4)
    ),
    st.tuples(
        st.just("edit"), st.sampled_from(["accounts.name", "accounts.city", "users.phone", "users.name"]), numbers
    ),
    st.tuples(st.just("add"), numbers),
    st.tuples(st.just("delete"), numbers),
    st.tuples(st.just("rollback"), st.integers(0, 2), st.booleans()),
)
EMPTY = (
    "DELETE FROM users WHERE username IS DISTINCT FROM 'service-vault-import'; DELETE FROM accounts; "
    "DELETE FROM external_refs; DELETE FROM importer_reversal; DELETE FROM importer_importrecord; "
    "DELETE FROM importer_chunk; DELETE FROM importer_queryrun; UPDATE importer_importjob SET undoes_id = NULL; "
    "UPDATE importer_importjob SET origin_id = NULL; DELETE FROM importer_importjob"
)
ROWS = (
    "DROP TABLE IF EXISTS o, p; CREATE TABLE o (id int PRIMARY KEY, name text, city text); "
    "CREATE TABLE p (id int PRIMARY KEY, name text, mail text, phone text, org int); "
    "INSERT INTO o SELECT i, 'Org ' || i, 'City ' || i FROM generate_series(1, 2) i; "
    "INSERT INTO p SELECT i, 'P ' || i, 'p' || i || '@x.example', '0' || i, 1 + i % 2 FROM generate_series(1, 4) i"
)


class Ledger:
    """What was there before each import, and what people wrote."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.target = office.target
        self.jobs: list[tuple[ImportJob, dict[str, set[str]]]] = []
        self.edits: dict[tuple[str, Any, str], str] = {}
        self.overwritten: dict[tuple[str, Any, str], str] = {}  # by a later import, whose rollback brings them back
        self.added: set[Any] = set()
        self.count = 0

    def bring_in(self, changes: list[tuple[str, int]]) -> None:
        for what, number in changes:
            self.count += 1
            statements = {
                "name": f"UPDATE p SET name = 'P {number} v{self.count}' WHERE id = {number}",
                "city": f"UPDATE o SET city = 'C v{self.count}' WHERE id = {number}",
                "org": f"UPDATE p SET org = 3 - org, phone = 'v{self.count}' WHERE id = {number} AND org IN (1, 2)",
                "new": "INSERT INTO p SELECT max(id) + 1, 'N', 'n' || max(id) + 1 || '@x.example', '1', 1 FROM p",
            }
            self.office.desk.execute(statements[what])
        before = self.office.picture()
        self.jobs.append((self.office.run(), before))
        self.overwritten |= {key: value for key, value in self.edits.items() if self.stored(*key) != value}
        self.edits = {key: value for key, value in self.edits.items() if key not in self.overwritten}

    def edit(self, place: str, number: int) -> None:
        table, column = place.split(".")
        row = self.one(table, number)
        if row is not None:
            self.count += 1
            value = f"by hand {self.count}"
            self.target.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", (value, row))
            self.edits[table, row, column] = value
            self.overwritten.pop((table, row, column), None)

    def stored(self, table: str, row: Any, column: str) -> Any:
        found = self.target.execute(f"SELECT {column} FROM {table} WHERE id = %s", (row,)).fetchone()
        return found[0] if found else None

    def add(self, number: int) -> None:
        account = self.one("accounts", number)
        if account is not None:
            self.count += 1
            insert = "INSERT INTO users (id, name, account_id) VALUES (gen_random_uuid(), %s, %s) RETURNING id"
            self.added.add(self.target.execute(insert, (f"Own {self.count}", account)).fetchone()[0])  # type: ignore[index]

    def delete(self, number: int) -> None:
        row = self.one("users", number)
        if row is not None:
            self.target.execute("DELETE FROM users WHERE id = %s", (row,))
            self.edits = {key: value for key, value in self.edits.items() if key[1] != row}
            self.overwritten = {key: value for key, value in self.overwritten.items() if key[1] != row}
            self.added.discard(row)

    def one(self, table: str, number: int) -> Any:
        row = self.target.execute(
            f"SELECT id FROM {table} WHERE id NOT IN (SELECT id FROM users WHERE username IS NOT NULL) ORDER BY id OFFSET %s LIMIT 1",
            (number - 1,),
        ).fetchone()
        return row[0] if row else None

    def roll_back(self, back: int, *, and_undo: bool) -> None:
        if len(self.jobs) <= back:
            return
        job, _ = self.jobs[-1 - back]
        seen = self.office.picture()
        preview = self.office.roll_back(job, dry_run=True)
        assert self.office.picture() == seen
        told = verdicts(preview)
        rollback = self.office.roll_back(job, batch_size=2)
        assert verdicts(rollback) == told
        self.check()
        after = self.office.picture()
        assert verdicts(self.office.roll_back(job)) is not None
        assert self.office.picture() == after
        if and_undo and rollbacks.is_undoable(rollback):
            self.office.undo(rollback)
            assert self.office.picture() == seen
            self.check()

    def check(self) -> None:
        """No value and no row of a person's is another one."""
        back = {key: value for key, value in self.overwritten.items() if self.stored(*key) == value}
        self.edits |= back
        self.overwritten = {key: value for key, value in self.overwritten.items() if key not in back}
        for key, value in self.edits.items():
            assert self.stored(*key) == value, key
        rows = self.target.execute("SELECT count(*) FROM users WHERE id = ANY (%s)", (list(self.added),)).fetchone()
        assert rows == (len(self.added),)


@pytest.mark.req("R15", "R17", "R19", "R20")
@settings(
    max_examples=rounds(40, 4), deadline=None, derandomize=True, database=None,
    phases=[Phase.generate, Phase.shrink] if rounds(1, 0) else [Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(plan=st.lists(steps, min_size=3, max_size=8))
def test_what_a_person_did_stays_and_the_rest_goes_back(
    desk: Desk, target: psycopg.Connection, plan: list[Any]
) -> None:
    target.execute(EMPTY)
    desk.execute(ROWS)
    desk.query("accounts", "o", {"external_id": "id", "name": "name", "city": "city"})
    fields = {"external_id": "id", "name": "name", "email": "mail", "phone": "phone", "account_external_id": "org"}
    desk.query("customer_users", "p", fields)
    office = Office(desk, target)
    ledger = Ledger(office)
    empty = office.picture()
    ledger.bring_in([])
    for kind, *arguments in plan:
        match kind:
            case "import":
                ledger.bring_in(*arguments)
            case "edit":
                ledger.edit(*arguments)
            case "add":
                ledger.add(*arguments)
            case "delete":
                ledger.delete(*arguments)
            case "rollback":
                ledger.roll_back(arguments[0], and_undo=arguments[1])
    # At the end everything is taken back, the newest first: only what people did is left.
    for job, _ in reversed(ledger.jobs):
        office.roll_back(job)
    ledger.check()
    if not ledger.edits and not ledger.added and not ledger.overwritten:
        left = office.picture()
        assert left["accounts"] == empty["accounts"]
        assert left["users"] == empty["users"]
