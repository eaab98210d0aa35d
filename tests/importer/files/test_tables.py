"""A file into a table nobody wrote code for."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest

from importer.models import ImportRecord
from importer.operations import files
from tests.importer.files.conftest import imported, outcomes, uploaded


def test_rows_go_into_the_table_with_a_record_each(shop: psycopg.Connection) -> None:
    job = imported(
        'sku,name,price,stock,active,made_on,tags\nA-1,Lamp,9.90,5,yes,2024-05-06,"[""x""]"\nA-2,Chair,19.00,,no,,\n'
    )
    assert job.status == "completed", job.error_message
    assert outcomes(job) == {"read": 2, "created": 2}
    rows = shop.execute(
        "SELECT id, sku, name, price, stock, active, made_on::text, tags FROM products ORDER BY id"
    ).fetchall()
    assert [row[1:] for row in rows] == [
        ("A-1", "Lamp", Decimal("9.90"), 5, True, "2024-05-06", ["x"]),
        ("A-2", "Chair", 19, None, False, None, None),
    ]
    records = ImportRecord.objects.filter(run__job=job).order_by("id")
    assert [record.target_key for record in records] == [{"id": row[0]} for row in rows]
    assert [record.source_row for record in records] == [2, 3]


def test_validation(shop: psycopg.Connection) -> None:
    job = uploaded("sku,stock,extra\nA-1,abc,x\nA-2,7,\n,-1,\n")
    report = files.validate(job, None, system=True)
    assert report["totalRows"] == 3
    assert report["errorRows"] == 2


@pytest.mark.req("F-079", "F-014")
def test_a_key_may_lead_to_a_table_with_a_dot_in_its_name(shop: psycopg.Connection) -> None:
    shop.execute('CREATE TABLE "big.lands" (code text PRIMARY KEY)')
    shop.execute("""CREATE TABLE towns (id integer PRIMARY KEY, land text REFERENCES "big.lands" (code))""")
    try:
        shop.execute("""INSERT INTO "big.lands" VALUES ('DE')""")
        job = imported("id,land\n1,DE\n2,XX\n3,\n", table="towns")
        assert outcomes(job) == {"read": 3, "created": 2, "failed": 1}
    finally:
        shop.execute('DROP TABLE towns, "big.lands"')


def test_columns_may_have_the_names_that_we_use_ourselves(shop: psycopg.Connection) -> None:
    names = (
        "n",
        "key",
        "ordinal",
        "problem",
        "hit",
        "repeated",
        "failures",
        "warnings",
        "row",
        "made",
        "e",
        "r",
    )
    shop.execute("DROP TABLE IF EXISTS odd")
    shop.execute(f"CREATE TABLE odd (id integer PRIMARY KEY, {', '.join(f'{name} integer' for name in names)})")
    try:
        lines = [
            ",".join(["id", *names]),
            ",".join(["1", *map(str, range(len(names)))]),
            ",".join(["2", *"x" * len(names)]),
        ]
        job = imported("\n".join(lines) + "\n", table="odd", mappings={name: name for name in ("id", *names)})
        assert outcomes(job) == {"read": 2, "created": 1, "failed": 1}
        assert shop.execute("SELECT n, key, warnings, r FROM odd").fetchall() == [(0, 1, 7, 11)]
        again = imported(lines[0] + "\n" + lines[1].replace("1,0,1", "1,5,1") + "\n", table="odd",
                         mappings={name: name for name in ("id", *names)}, options={"on_duplicate": "update"})  # fmt: skip
        assert outcomes(again) == {"read": 1, "updated": 1}
        assert shop.execute("SELECT n, key FROM odd").fetchall() == [(5, 1)]
    finally:
        shop.execute("DROP TABLE odd")
