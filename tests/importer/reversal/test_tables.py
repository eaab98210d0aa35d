"""Rows that files brought into tables nobody wrote code for go by their keys, as the role that may remove them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from importer import writer
from importer.models import ImportRecord
from importer.operations import rollbacks
from servicevault import database_roles, tables
from tests.importer.files.conftest import imported
from tests.importer.reversal.conftest import buckets, verdicts, worked

MADE = """
CREATE SCHEMA plant;
CREATE TABLE plant.parts (line int, "no%" text, name text, price numeric(10,2) DEFAULT 1.00, api_key text, facts json,
    who text DEFAULT current_user, seen timestamptz, size float8, PRIMARY KEY (line, "no%"));
CREATE TABLE plant.stock (line int, no text, place text, FOREIGN KEY (line, no) REFERENCES plant.parts (line, "no%"));
CREATE TABLE plant.staff (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE,
    boss int REFERENCES plant.staff (id), pal int);
CREATE TABLE plant.log (said text);
"""


@pytest.fixture
def plant(shop: psycopg.Connection) -> Iterator[psycopg.Connection]:
    shop.execute("DROP SCHEMA IF EXISTS plant CASCADE")
    shop.execute(MADE)
    yield shop
    shop.execute("DROP SCHEMA plant CASCADE")


def roll_back(job: Any, **arguments: Any) -> Any:
    return worked(rollbacks.start_rollback(job, understood=True, **arguments))


def undo(rollback: Any) -> Any:
    return worked(rollbacks.start_undo(rollback))


def rows(plant: psycopg.Connection, table: str) -> list[str]:
    return sorted(row for (row,) in plant.execute(f"SELECT t::text FROM {table} t"))


@pytest.mark.req("R7", "R15", "R16", "R17", "R20", "G15")
def test_rows_of_a_table_with_a_key_of_several_columns(plant: psycopg.Connection) -> None:
    plant.execute("""INSERT INTO plant.parts VALUES (9, 'z', 'old', 7.50, 'k', '{"a":  1}', 'me', '2024-01-01', 0.1)""")
    before = rows(plant, "plant.parts")
    text = 'line,no%,name,price,facts,seen,size\n9,z,new,8.00,"{""b"": 2}",2024-05-06T07:08:09Z,0.3\n'
    text += "".join(
        f'{n % 2},n{n},Part {n},{n}.10,"{{""a"":  {n}}}",2024-05-06T07:08:0{n}+02:00,0.{n}\n' for n in range(1, 7)
    )
    job = imported(text, table="plant.parts", options={"on_duplicate": "update", "duplicate_key": ["line", "no%"]})
    assert job.status == "completed", job.error_message
    whole = rows(plant, "plant.parts")
    assert len(whole) == 7
    rollback = roll_back(job)
    assert buckets(rollback) == {"reversed": 7}
    assert rows(plant, "plant.parts") == before
    assert buckets(undo(rollback)) == {"reversed": 7}
    assert {row.replace("_undo,", "_import,") for row in rows(plant, "plant.parts")} == set(whole)

    plant.execute("INSERT INTO plant.stock VALUES (1, 'n1', 'A')")
    plant.execute("UPDATE plant.parts SET api_key = 'given by a person' WHERE \"no%\" = 'n2'")
    plant.execute("UPDATE plant.parts SET price = 99, size = 0.5 WHERE \"no%\" IN ('n3', 'z')")
    preview = roll_back(job, dry_run=True)
    rollback = roll_back(job)
    assert verdicts(preview) == verdicts(rollback)
    assert buckets(rollback) == {"reversed": 3, "kept_edited": 3, "blocked": 1}
    left = plant.execute("SELECT name, price, facts::text, size FROM plant.parts ORDER BY name").fetchall()
    assert [name for name, *_ in left] == ["Part 1", "Part 2", "Part 3", "old"]
    assert (float(left[3][1]), *left[3][2:]) == (99, '{"a":  1}', 0.5)  # two fields of it are a person's


@pytest.mark.req("R16", "R17", "R20")
def test_rows_that_refer_to_each_other_go_together(plant: psycopg.Connection) -> None:
    plant.execute("INSERT INTO plant.staff (name) VALUES ('Root')")
    names = ["Root", *(f"S{n}" for n in range(1, 9))]
    job = imported("name\n" + "".join(f"{name}\n" for name in names[1:]), table="plant.staff")
    whole = dict(plant.execute("SELECT name, id FROM plant.staff").fetchall())
    with_boss = "name,boss\n" + "".join(
        f"{name},{whole[f'S{n + 1}'] if n < 8 else whole['S6']}\n" for n, name in enumerate(names) if n
    )
    again = imported(with_boss, table="plant.staff", options={"on_duplicate": "update", "duplicate_key": ["name"]})
    assert again.status == "completed", again.error_message
    # A chain of eight with a ring at its end, of which the first job created the rows: the second is undone first.
    picture = rows(plant, "plant.staff")
    preview = roll_back(again, dry_run=True)
    rollback = roll_back(again, batch_size=3)
    assert verdicts(preview) == verdicts(rollback)
    assert buckets(undo(rollback)) == {"reversed": 8}
    assert rows(plant, "plant.staff") == picture
    roll_back(again)
    plant.execute("UPDATE plant.staff SET boss = id + 1 WHERE name LIKE 'S%' AND name <> 'S8'")
    ImportRecord.objects.filter(run__job=job).update(after_image=None)
    plant.execute(
        "UPDATE importer_importrecord r SET after_image = row_to_json(t) FROM plant.staff t "
        "WHERE (r.target_key ->> 'id')::int = t.id AND r.action = 'created'"
    )
    picture = rows(plant, "plant.staff")
    preview = roll_back(job, dry_run=True)
    rollback = roll_back(job, batch_size=3)
    assert verdicts(preview) == verdicts(rollback)
    assert buckets(rollback) == {"reversed": 8}
    assert rollback.runs.count() == 8  # one for each level
    assert rows(plant, "plant.staff") == [f"({whole['Root']},Root,,)"]
    assert buckets(undo(rollback)) == {"reversed": 8}
    assert rows(plant, "plant.staff") == picture
    # Now the last one names the sixth: a ring, which goes as one; a stranger in it keeps all it leads to.
    plant.execute("UPDATE plant.staff SET boss = (SELECT id FROM plant.staff WHERE name = 'S6') WHERE name = 'S8'")
    plant.execute(
        "UPDATE importer_importrecord r SET after_image = row_to_json(t) FROM plant.staff t "
        "WHERE (r.target_key ->> 'id')::int = t.id AND r.action = 'created'"
    )
    picture = rows(plant, "plant.staff")
    rollback = roll_back(job, batch_size=3)
    assert buckets(rollback) == {"reversed": 8}
    undone = undo(rollback)
    assert buckets(undone) == {"reversed": 8}
    assert rows(plant, "plant.staff") == picture
    plant.execute("UPDATE plant.staff SET boss = (SELECT id FROM plant.staff WHERE name = 'S7') WHERE name = 'Root'")
    preview = roll_back(job, dry_run=True)
    rollback = roll_back(job)
    assert verdicts(preview) == verdicts(rollback)
    assert buckets(rollback) == {"reversed": 5, "blocked": 3}


@pytest.mark.req("R15")
def test_rows_nothing_finds_again(plant: psycopg.Connection) -> None:
    job = imported("said\nhello\nhello\n", table="plant.log")
    assert buckets(roll_back(job)) == {"error": 2}
    parts = imported("line,no%\n1,a\n", table="plant.parts")
    plant.execute("DROP TABLE plant.stock, plant.parts")
    assert buckets(roll_back(parts)) == {"error": 1}


@pytest.mark.req("G14", "R7")
def test_only_the_role_of_rollbacks_removes_rows(plant: psycopg.Connection) -> None:
    role = writer.remover_of(tables.find("accounts"))
    assert role == database_roles.name(database_roles.ROLLBACK)
    held = plant.execute(
        "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace "
        "AND has_table_privilege(%s, c.oid, 'DELETE')",
        (role,),
    ).fetchall()
    assert {name for (name,) in held} == {"accounts", "users", "tickets", "ticket_comments", "time_entries"}
    held = plant.execute(
        "SELECT has_any_column_privilege(%(role)s, c.oid, 'UPDATE') OR has_any_column_privilege(%(role)s, c.oid, 'INSERT') "
        "FROM pg_class c WHERE c.relname = ANY (ARRAY['importer_importrecord', 'external_refs', 'audit_log', "
        "'importer_reversal', 'permissions_role', 'import_permissions'])",
        {"role": role},
    ).fetchall()
    assert set(held) == {(False,)}
    job = imported("line,no%\n1,a\n", table="plant.parts")
    assert buckets(roll_back(job)) == {"reversed": 1}
    granted = plant.execute("SELECT has_table_privilege(%s, 'plant.parts', 'DELETE')", (role,)).fetchone()
    assert granted == (True,)
