"""What happens to a row that is there already, in the table or in the file (F-044, F-057, F-072)."""

from __future__ import annotations

import psycopg
import pytest

from importer.models import ImportRecord
from importer.operations import files
from importer.options import InvalidOption
from tests.importer.files.conftest import imported, outcomes, uploaded

FILE = "sku,name,stock\nOLD,new,1\nA,first,1\nA,second,2\nSAME,same,5\nA,bad,x\n"


@pytest.fixture
def stocked(shop: psycopg.Connection) -> psycopg.Connection:
    shop.execute("INSERT INTO products (sku, name, stock) VALUES ('OLD', 'old', 9), ('SAME', 'same', 5)")
    return shop


def rows(shop: psycopg.Connection) -> dict[str, str]:
    return dict(shop.execute("SELECT sku, name FROM products").fetchall())


@pytest.mark.req("F-044", "F-057", "F-063")
@pytest.mark.parametrize(
    ("strategy", "counted", "codes", "stored"),
    [
        ("skip", {"read": 5, "created": 1, "skipped": 3, "failed": 1},
         ["exists", "duplicate_in_source", "exists", "not_a_number"], {"OLD": "old", "A": "first", "SAME": "same"}),
        ("update", {"read": 5, "created": 1, "updated": 1, "unchanged": 1, "skipped": 1, "failed": 1},
         [None, "duplicate_in_source", "not_a_number"], {"OLD": "new", "A": "second", "SAME": "same"}),
        ("error", {"read": 5, "created": 1, "failed": 4},
         ["duplicate", "duplicate", "duplicate", "not_a_number"], {"OLD": "old", "A": "first", "SAME": "same"}),
    ],
)  # fmt: skip
def test_each_strategy(
    stocked: psycopg.Connection, strategy: str, counted: dict[str, int], codes: list[str | None], stored: dict[str, str]
) -> None:  # fmt: skip
    options = {"on_duplicate": strategy, "duplicate_key": ["sku"]}
    job = imported(FILE, options=options)
    assert job.status == "completed", job.error_message
    assert outcomes(job) == counted
    records = ImportRecord.objects.filter(run__job=job).exclude(action="created").order_by("source_row")
    assert [record.code for record in records] == codes
    assert rows(stocked) == stored


@pytest.mark.req("F-044")
def test_a_bad_row_takes_no_good_one_with_it(shop: psycopg.Connection) -> None:
    job = imported("sku,stock\nA,x\nA,2\n")
    assert outcomes(job) == {"read": 2, "created": 1, "failed": 1}
    assert shop.execute("SELECT stock FROM products").fetchall() == [(2,)]


@pytest.mark.req("F-044", "F-058")
def test_repeats_are_found_across_batches(shop: psycopg.Connection) -> None:
    lines = [f"S{number % 15},n{number}" for number in range(45)]
    text = "sku,name\n" + "\n".join(lines)
    skipped = imported(text, options={"batch_size": 10})
    assert outcomes(skipped) == {"read": 45, "created": 15, "skipped": 30}
    assert rows(shop)["S3"] == "n3"
    updated = imported(text, options={"batch_size": 10, "on_duplicate": "update"})
    assert outcomes(updated) == {"read": 45, "updated": 15, "skipped": 30}
    assert rows(shop)["S3"] == "n33"


@pytest.mark.req("F-057")
def test_an_update_leaves_columns_alone_that_no_file_has(stocked: psycopg.Connection) -> None:
    job = imported("sku,name\nOLD,new\n", options={"on_duplicate": "update"})
    assert stocked.execute("SELECT name, stock FROM products WHERE sku = 'OLD'").fetchone() == ("new", 9)
    record = ImportRecord.objects.get(run__job=job)
    assert (record.before_image, record.after_image, record.changed_fields) == (
        {"name": "old"},
        {"name": "new"},
        ["name"],
    )


@pytest.mark.req("F-056")
def test_an_empty_value_can_be_left_out(stocked: psycopg.Connection) -> None:
    mappings = [
        {"sourceColumn": "sku", "targetColumn": "sku"},
        {"source_column": "name", "target_column": "name", "skip_empty": True},
        {"source_column": "stock", "target_column": "stock"},
    ]
    imported("sku,name,stock\nOLD,,\n", options={"on_duplicate": "update"}, mappings=mappings)
    assert stocked.execute("SELECT name, stock FROM products WHERE sku = 'OLD'").fetchone() == ("old", None)


@pytest.mark.req("F-072")
def test_another_unique_key_is_an_error(shop: psycopg.Connection) -> None:
    shop.execute("INSERT INTO products (sku, barcode) VALUES ('OLD', '111')")
    job = imported("sku,barcode\nA,111\nB,222\nC,222\nD,\nE,\n", options={"duplicate_key": ["sku"]})
    assert outcomes(job) == {"read": 5, "created": 3, "failed": 2}
    records = ImportRecord.objects.filter(run__job=job, action="failed").order_by("source_row")
    assert [(record.source_row, record.code) for record in records] == [(2, "unique_conflict"), (4, "unique_conflict")]


@pytest.mark.req("F-057")
def test_a_row_without_its_key_is_new(shop: psycopg.Connection) -> None:
    shop.execute("INSERT INTO products (sku, barcode) VALUES ('OLD', NULL)")
    job = imported("sku,barcode\nA,\nB,\n", options={"duplicate_key": ["barcode"]})
    assert outcomes(job) == {"read": 2, "created": 2}


@pytest.mark.req("F-057")
def test_a_key_that_tells_no_rows_apart_is_refused(shop: psycopg.Connection) -> None:
    shop.execute("INSERT INTO products (sku, name) VALUES ('A', 'x'), ('B', 'x')")
    job = uploaded("sku,name\nC,x\n", options={"duplicate_key": ["name"]})
    with pytest.raises(InvalidOption, match="1 values occur more than once"):
        files.validate(job, None, system=True)
    shop.execute("DELETE FROM products WHERE sku = 'B'")
    again = imported("sku,name\nC,x\nD,y\n", options={"duplicate_key": ["name"]})
    assert outcomes(again) == {"read": 2, "created": 1, "skipped": 1}


@pytest.mark.req("F-057")
def test_a_key_of_two_columns(shop: psycopg.Connection) -> None:
    shop.execute(
        "DROP TABLE IF EXISTS pairs; CREATE TABLE pairs (land char(2), no integer, name text, PRIMARY KEY (land, no))"
    )
    try:
        shop.execute("INSERT INTO pairs VALUES ('DE', 1, 'old')")
        job = imported("land,no,name\nDE,1,new\nDE,2,x\nFR,1,y\n", table="pairs", options={"on_duplicate": "update"})
        assert outcomes(job) == {"read": 3, "created": 2, "updated": 1}
        records = ImportRecord.objects.filter(run__job=job).order_by("source_row")
        assert [record.target_key for record in records] == [
            {"land": "DE", "no": 1}, {"land": "DE", "no": 2}, {"land": "FR", "no": 1},
        ]  # fmt: skip
    finally:
        shop.execute("DROP TABLE pairs")
