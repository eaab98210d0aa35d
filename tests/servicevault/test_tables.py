"""Tables of our own database, found as they are this moment."""

from __future__ import annotations

import pytest
from django.db import connection

from importer import file_targets
from importer.file_options import field_mappings
from importer.options import InvalidOption
from servicevault import tables

pytestmark = pytest.mark.django_db


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def products() -> tables.Table:
    run(
        "CREATE TYPE size AS ENUM ('S', 'M', 'L')",
        "CREATE TABLE makers (land char(2), no integer, name text NOT NULL, PRIMARY KEY (land, no))",
        """CREATE TABLE products (id serial PRIMARY KEY, sku varchar(40) NOT NULL UNIQUE, name text, price numeric(10,2),
            stock integer DEFAULT 0, sold bigint, active boolean NOT NULL DEFAULT true, made_on date, made_at timestamptz,
            seen timestamp, size size, tags text[], facts jsonb, code uuid, maker_land char(2), maker_no integer,
            gross numeric GENERATED ALWAYS AS (price * 1.19) STORED, api_key text,
            CONSTRAINT stock_positive CHECK (stock >= 0), FOREIGN KEY (maker_land, maker_no) REFERENCES makers (land, no))""",
        "CREATE UNIQUE INDEX products_open ON products (name) WHERE active",
        "CREATE INDEX products_lower ON products (lower(name), price)",
        "COMMENT ON COLUMN products.sku IS 'Stock keeping unit'",
    )
    return tables.find("products")


@pytest.mark.req("F-002", "F-003")
def test_a_table_made_a_moment_ago_is_listed_even_when_it_is_empty():
    assert "just_made" not in [table.name for table in tables.listed()]
    run("CREATE TABLE just_made (id integer)")
    assert "just_made" in [table.name for table in tables.listed()]


@pytest.mark.req("G14", "F-009")
@pytest.mark.parametrize(
    "name",
    [
        "django_migrations",
        "django_session",
        "auth_permission",
        "permissions_role",
        "permissions_apitoken",
        "external_refs",
        "importer_importjob",
        "importer_stage_7",
        "django_celery_beat_periodictask",
        "users_groups",
        "pg_class",
        "pg_catalog.pg_class",
        "nothing",
        "",
    ],
)
def test_internal_and_unknown_tables_are_answered_alike(name):
    run("CREATE TABLE IF NOT EXISTS importer_stage_7 (n integer)")
    assert name not in [table.name for table in tables.listed()]
    with pytest.raises(tables.UnknownTable):
        tables.find(name)


def test_the_help_desks_own_tables_are_open():
    assert {"accounts", "users", "tickets", "ticket_comments", "time_entries"} <= {t.name for t in tables.listed()}


@pytest.mark.req("F-006", "F-013")
def test_columns_are_told_as_people_write_them(products):
    told = {column.name: (column.type, column.data_type) for column in products.columns}
    assert told == {
        "id": ("INTEGER", "number"),
        "sku": ("VARCHAR(40)", "string"),
        "name": ("TEXT", "string"),
        "price": ("NUMERIC(10,2)", "number"),
        "stock": ("INTEGER", "number"),
        "sold": ("BIGINT", "number"),
        "active": ("BOOLEAN", "boolean"),
        "made_on": ("DATE", "date"),
        "made_at": ("TIMESTAMP WITH TIME ZONE", "date"),
        "seen": ("TIMESTAMP", "date"),
        "size": ("SIZE", "string"),
        "tags": ("TEXT[]", "json"),
        "facts": ("JSONB", "json"),
        "code": ("UUID", "string"),
        "maker_land": ("CHAR(2)", "string"),
        "maker_no": ("INTEGER", "number"),
        "gross": ("NUMERIC", "number"),
        "api_key": ("TEXT", "string"),
    }
    by_name = products.by_name
    assert by_name["id"].autoincrement
    assert not by_name["stock"].autoincrement
    assert (by_name["sku"].max_length, by_name["sku"].nullable, by_name["sku"].comment) == (
        40,
        False,
        "Stock keeping unit",
    )
    assert by_name["size"].labels == ("S", "M", "L")
    assert not by_name["gross"].writable


@pytest.mark.req("F-007")
def test_keys_keep_their_order_and_partial_rules_are_no_keys(products):
    assert products.primary_key == ("id",)
    assert products.foreign_keys[0].columns == ("maker_land", "maker_no")
    assert products.foreign_keys[0].referred_table == "makers"
    assert products.foreign_keys[0].referred_columns == ("land", "no")
    assert products.unique_keys == (("id",), ("sku",))
    assert products.is_unique("sku")
    assert not products.is_unique("name")
    assert tables.find("makers").primary_key == ("land", "no")
    assert products.checks == (("stock_positive", "CHECK ((stock >= 0))"),)
    assert {index.columns for index in products.indexes if index.expressions} == {("lower(name)", "price")}


@pytest.mark.req("G15")
def test_sensitive_columns_are_marked_and_settings_move_the_line(products, settings):
    assert "api_key" not in [column.name for column in products.open_columns]
    settings.DATA_ALLOWED_COLUMNS = ["products.api_key", "users.password"]
    settings.DATA_SENSITIVE_COLUMNS = ["products.price"]
    found = tables.find("products").by_name
    assert (found["api_key"].sensitive, found["price"].sensitive) == (False, True)
    people = tables.find("users").by_name
    assert {name for name, column in people.items() if column.sensitive} == {"password", "is_superuser", "role_id"}


@pytest.mark.req("F-014")
def test_odd_names_and_other_schemas_are_found():
    run(
        "CREATE SCHEMA archive",
        'CREATE TABLE archive."Alte Ärzte; DROP" ("Spalte "" 1" text)',
        'CREATE TABLE "a.b" (x integer)',
    )
    found = tables.find("archive.Alte Ärzte; DROP")
    assert [column.name for column in found.columns] == ['Spalte " 1']
    assert found.identifier.as_string(None) == '"archive"."Alte Ärzte; DROP"'
    assert tables.find("a.b").schema == "public"


@pytest.mark.req("F-054", "F-071")
def test_a_column_of_xml_takes_no_value_where_postgresql_cannot_read_any() -> None:
    run("CREATE TABLE feeds (id integer PRIMARY KEY, body xml, bodies xml[], label text)")
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_config() WHERE name = 'CONFIGURE'")
        has_xml = "--with-libxml" in cursor.fetchone()[0]
    table = tables.find("feeds")
    assert {name: column.writable for name, column in table.by_name.items()} == {
        "id": True, "body": has_xml, "bodies": has_xml, "label": True
    }  # fmt: skip
    goal = file_targets.destination(table_name="feeds")
    if not has_xml:
        with pytest.raises(InvalidOption, match="“body” holds XML, which this PostgreSQL was built without"):
            file_targets.check_mappings(goal, field_mappings({"body": "body"}), ["body"])
    assert goal.target.field("label") is not None
