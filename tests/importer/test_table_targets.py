"""Queries of a database into tables as they are: validated, previewed, run, run again (M14)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from importer import operations
from importer.models import ImportRecord
from importer.operations import Conflict, InvalidFields, files
from importer.operations import records as details
from importer.operations.decisions import Approval, approve, retry_records
from importer.operations.profile_preview import preview_profile
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.desk import Desk

SOURCE = """
CREATE TABLE goods (id integer PRIMARY KEY, code text, title text, price text, made timestamp, facts jsonb, maker text);
INSERT INTO goods VALUES (1, 'A', 'Lamp', '3.50', '2024-01-02 03:04', '{"w": [1, "x"]}', 'acme'),
    (2, 'B', 'Chair', 'cheap', NULL, NULL, 'acme'), (3, 'C', 'Table', '7', NULL, '"text"', 'nobody');
CREATE TABLE firms (code text PRIMARY KEY, title text NOT NULL);
INSERT INTO firms VALUES ('acme', 'Acme');
"""
TARGET = """
CREATE TABLE makers (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE products (id serial PRIMARY KEY, sku varchar(20) NOT NULL UNIQUE, name text NOT NULL, price numeric(10,2),
    made_at timestamptz, facts jsonb, maker text REFERENCES makers (code));
"""
DROP = "DROP TABLE IF EXISTS products, makers"
FIELDS = {"sku": "code", "name": "title", "price": "price", "made_at": "made", "facts": "facts", "maker": "maker"}


@pytest.fixture
def shop(desk: Desk, target: psycopg.Connection) -> Iterator[Desk]:
    """A source of goods, and tables for them here; the query of the children stands first."""
    desk.execute(SOURCE)
    target.execute(DROP)
    target.execute(TARGET)
    desk.query("table:products", "goods", FIELDS, key="goods")
    desk.query("table:makers", "firms", {"code": "code", "name": "title"}, key="firms")
    yield desk
    target.execute(DROP)


@pytest.mark.req("M14", "M2", "E28")
def test_queries_feed_tables_and_a_second_run_writes_nothing(shop: Desk, target: psycopg.Connection) -> None:
    job = shop.run()
    assert job.status == "completed", job.error_message
    assert shop.outcomes(job, "firms") == {"read": 1, "created": 1}
    assert shop.outcomes(job, "goods") == {"read": 3, "created": 1, "failed": 2}
    assert target.execute(
        "SELECT sku, name, price::text, made_at::text, facts->'w'->>1, maker FROM products"
    ).fetchall() == [("A", "Lamp", "3.50", "2024-01-02 03:04:00+00", "x", "acme")]
    record = shop.record(job, "A", "goods")
    assert (record.target_key, record.after_image["name"]) == ({"id": 1}, "Lamp")
    failed = {
        record.source_identifier: record.code for record in ImportRecord.objects.filter(run__job=job, action="failed")
    }
    assert failed == {"B": "not_a_number", "C": "foreign_key"}
    again = shop.run()
    assert shop.outcomes(again, "goods") == {"read": 3, "unchanged": 1, "failed": 2}
    assert ImportRecord.objects.filter(run__job=again, action="updated").count() == 0
    shop.execute("UPDATE goods SET price = '4' WHERE id IN (1, 2)")
    retried = shop.work(operations.retry(again, by=None))
    assert shop.outcomes(retried) == {"read": 2, "created": 1, "failed": 1}
    updated = shop.run()
    assert shop.outcomes(updated, "goods") == {"read": 3, "updated": 1, "unchanged": 1, "failed": 1}
    change = shop.record(updated, "A", "goods")
    assert (change.before_image, change.after_image) == ({"price": 3.50}, {"price": 4.00})
    created = shop.run(mode="create")
    assert shop.outcomes(created, "goods") == {"read": 3, "skipped": 2, "failed": 1}
    target.execute("DELETE FROM products WHERE sku = 'B'")
    only = shop.run(mode="update")
    assert shop.outcomes(only, "goods") == {"read": 3, "skipped": 1, "unchanged": 1, "failed": 1}


@pytest.mark.req("M14", "X3")
def test_the_preview_tells_what_a_run_would_do_and_uses_up_no_number(shop: Desk, target: psycopg.Connection) -> None:
    target.execute("INSERT INTO makers VALUES ('acme', 'Acme'); INSERT INTO products (sku, name) VALUES ('A', 'Lamp')")
    body = operations.body_of(shop.profile.queries.get(key="goods"))
    sampled = operations.sample_query(shop.profile, body, by=None, reveal=True)
    assert [(row.identifier, str(row.outcome), row.code) for row in sampled.sample.rows] == [
        ("A", "updated", None),
        ("B", "failed", "not_a_number"),
        ("C", "failed", "foreign_key"),
    ]
    assert sampled.sample.rows[0].target["price"] == 3.50
    assert set(sampled.sample.rows[0].changed) == {"price", "made_at", "facts", "maker"}
    assert target.execute("SELECT last_value FROM products_id_seq").fetchone() == (1,)
    with pytest.raises(Conflict, match="are not rehearsed: makers, products"):
        shop.start(dry_run=True)


@pytest.mark.req("M14", "M9", "F-025", "F-059", "F-064")
def test_a_query_names_a_table_its_key_and_needs_the_right(
    shop: Desk, target: psycopg.Connection, settings: Any
) -> None:
    clerk = person("clerk", role="Import Operator")
    body = operations.body_of(shop.profile.queries.get(key="goods"))
    with pytest.raises(files.ImportDenied):
        operations.sample_query(shop.profile, body, by=clerk)
    with pytest.raises(files.ImportDenied):
        operations.validate_query(shop.profile, body, by=clerk)
    with pytest.raises(files.ImportDenied):
        shop.start(by=clerk)
    row = ImportPermission.objects.create(user=clerk, table_name="products", max_rows_per_import=2)
    ImportPermission.objects.create(user=clerk, table_name="makers")
    assert ("table:products", "Table products") in operations.target_choices(clerk)
    judged = operations.validate_query(shop.profile, body, by=clerk)
    assert judged.is_valid, judged.problems
    job = shop.work(shop.start(by=clerk))
    assert (job.status, job.error_code) == ("failed", "source_limit")
    ImportPermission.objects.filter(pk=row.pk).update(max_rows_per_import=5, allowed_columns=["sku", "name"])
    job = shop.work(shop.start(by=clerk))
    assert (job.status, job.error_code) == ("failed", "permission_denied")
    ImportPermission.objects.filter(pk=row.pk).update(allowed_columns=[], requires_approval=True)
    person("boss", role="Super Admin")
    assert shop.start(by=clerk).status == "awaiting_approval"
    operations.cancel(shop.profile.jobs.latest("number"))

    shop.query("table:products", "goods", {"name": "title"}, key="goods")
    with pytest.raises(InvalidFields, match="sku"):
        shop.start()
    shop.query("table:products", "goods", {"sku": "code", "colour": "title"}, key="goods")
    with pytest.raises(InvalidFields, match="“colour” is not a field"):
        shop.start()
    shop.query("table:nothing", "goods", {"sku": "code"}, key="goods")
    with pytest.raises(InvalidFields, match="no table “nothing”"):
        shop.start()
    wrong = operations.validate_query(shop.profile, body | {"target_type": "table:nothing"}, by=None)
    assert [problem.code for problem in wrong.problems] == ["unknown_target"]


@pytest.mark.req("M14", "F-025", "X17")
def test_what_was_previewed_for_one_person_is_not_kept_for_another(shop: Desk) -> None:
    assert preview_profile(shop.profile, by=None).errors == []
    clerk = person("clerk", role="Import Operator")
    found = preview_profile(shop.profile, by=clerk)
    assert [type(error) for error in found.errors] == [files.ImportDenied] * 2
    assert [query.sampled for query in found.queries] == [None, None]


@pytest.mark.req("M14", "R4")
def test_rows_that_tables_had_already_are_approved_by_their_key(shop: Desk, target: psycopg.Connection) -> None:
    shop.run()
    shop.execute("UPDATE firms SET title = 'Acme Ltd'")
    shop.profile.queries.filter(key="goods").update(enabled=False)
    skipped = shop.run(mode="create")
    records = ImportRecord.objects.filter(run__job=skipped, run__key="firms", action="skipped")
    done = approve(records, Approval(target_id=uuid.uuid4()), by=None)
    assert [told.result for told in done.results] == ["queued"]
    assert shop.outcomes(shop.work(done.job)) == {"read": 1, "updated": 1}
    assert target.execute("SELECT name FROM makers").fetchall() == [("Acme Ltd",)]


@pytest.mark.req("M14", "F-030")
def test_queries_into_a_table_count_to_its_pace(shop: Desk) -> None:
    clerk = person("clerk", role="Import Operator")
    ImportPermission.objects.create(user=clerk, table_name="products", max_imports_per_hour=1)
    ImportPermission.objects.create(user=clerk, table_name="makers")
    job = shop.work(shop.start(by=clerk))
    with pytest.raises(files.TooManyImports, match="1 imports into products"):
        shop.start(by=clerk)
    shop.execute("UPDATE goods SET price = '1', maker = 'acme'")
    with pytest.raises(files.TooManyImports):
        operations.retry(job, by=clerk)
    firms = ImportRecord.objects.filter(run__job=job, run__key="firms")
    firms.update(action="failed")  # a retry counts to the tables of its rows alone
    again = retry_records(firms, by=clerk, mode="upsert")
    assert again.job is not None
    assert shop.outcomes(shop.work(again.job)) == {"read": 1, "unchanged": 1}


@pytest.mark.req("R2", "M14")
def test_a_record_of_a_table_that_is_gone_can_be_looked_at(shop: Desk, target: psycopg.Connection) -> None:
    job = shop.run()
    target.execute("DROP TABLE products")
    found = details.recomputed(shop.record(job, "A", "goods"))
    assert "no table “products”" in found.reason


@pytest.mark.req("M14", "X16")
def test_rows_that_are_in_the_table_need_no_room(shop: Desk, settings: Any) -> None:
    shop.execute("INSERT INTO firms SELECT 'f' || i, repeat('x', 200) FROM generate_series(1, 2000) i")
    shop.profile.queries.filter(key="goods").update(enabled=False)
    assert shop.outcomes(shop.run()) == {"read": 2001, "created": 2001}
    settings.IMPORT_MAX_GROWTH = 1
    again = shop.run()
    assert (again.status, shop.outcomes(again)) == ("completed", {"read": 2001, "unchanged": 2001})
