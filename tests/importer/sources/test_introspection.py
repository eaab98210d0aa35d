"""The map of a source is complete, exact about keys, and quick."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from importer.errors import QueryError
from importer.sources import catalogue
from importer.sources.introspection import fingerprint, frequent_values, introspect, resolve_types, samples
from importer.sources.params import SourceLimits
from importer.sources.roles import column_role
from importer.sources.schema import Column, ForeignKey, Index, PackView, SourceSchema
from importer.sources.session import SourceSession
from tests.importer.sources.conftest import OpenSource

Create = Callable[..., str]
DDL = """
CREATE SCHEMA sales;
CREATE SCHEMA "Odd Schema";
CREATE TABLE sales.regions (country char(2), code int, name varchar(80) NOT NULL DEFAULT 'none', PRIMARY KEY (code, country),
    UNIQUE (country, name));
COMMENT ON TABLE sales.regions IS 'Where we sell';
COMMENT ON COLUMN sales.regions.name IS 'As printed';
CREATE TABLE public.shops (id bigserial PRIMARY KEY, region_country char(2), region_code int, tag text UNIQUE, note text,
    email citext_like, FOREIGN KEY (region_code, region_country) REFERENCES sales.regions (code, country) );
CREATE TABLE public.tags (shop_tag text CONSTRAINT to_unique REFERENCES public.shops (tag), n int, m int);
CREATE UNIQUE INDEX partial_unique ON public.tags (n) WHERE m > 0;
CREATE UNIQUE INDEX expression_unique ON public.tags (lower(shop_tag), n);
CREATE UNIQUE INDEX plain_unique ON public.tags (m, n) INCLUDE (shop_tag);
CREATE TABLE public.log (id int NOT NULL, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE public.log_old PARTITION OF public.log FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
CREATE TABLE public.log_new PARTITION OF public.log FOR VALUES FROM ('2020-01-01') TO ('2040-01-01');
CREATE VIEW public.shop_view AS SELECT id, tag FROM public.shops;
CREATE MATERIALIZED VIEW public.shop_stock AS SELECT id FROM public.shops;
CREATE UNIQUE INDEX ON public.shop_stock (id);
CREATE TABLE "Odd Schema"."tab ""le %s
2; -- ünïcode" ("Col umn" int PRIMARY KEY, "50% ""off"" now" text, "select" text);
INSERT INTO "Odd Schema"."tab ""le %s
2; -- ünïcode" VALUES (1, 'a', 'b'), (2, 'a', NULL), (3, 'c', NULL);
INSERT INTO public.log SELECT n, '2010-01-01'::date + n * 10 FROM generate_series(1, 700) n;
ANALYZE;
CREATE TABLE public.never_analysed (id int PRIMARY KEY, a int, b int, dropped int);
ALTER TABLE public.never_analysed DROP COLUMN dropped;
""".replace("citext_like", "varchar(100)")
ODD = 'tab "le %s\n2; -- ünïcode'


@pytest.fixture(scope="module")
def url(source_database: Create) -> str:
    made = source_database("introspection")
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute(DDL)
        connection.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
        connection.execute("CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw")
        connection.execute("CREATE FOREIGN TABLE public.remote (id int, title text) SERVER away")
    return made


@pytest.fixture
def session(url: str, open_source: OpenSource) -> SourceSession:
    return open_source(url)


@pytest.fixture
def schema(session: SourceSession) -> SourceSchema:
    return introspect(session)


@pytest.mark.req("I3")
def test_it_finds_every_kind_of_relation_and_hides_partitions(schema: SourceSchema) -> None:
    assert {(table.full_name, table.kind) for table in schema.tables} == {
        ("sales.regions", "table"), ("public.shops", "table"), ("public.tags", "table"), ("public.log", "partitioned"),
        ("public.shop_view", "view"), ("public.shop_stock", "matview"), ("public.remote", "foreign"),
        (f"Odd Schema.{ODD}", "table"), ("public.never_analysed", "table"),
    }  # fmt: skip


@pytest.mark.req("I2")
def test_it_keeps_the_order_of_composite_keys(schema: SourceSchema) -> None:
    regions, shops, tags = (schema.table(name) for name in ("regions", "shops", "tags"))
    assert regions.primary_key == ("code", "country")
    assert regions.unique_keys == (("country", "name"),)
    assert shops.foreign_keys == (
        ForeignKey(("region_code", "region_country"), "sales", "regions", ("code", "country"), "shops_region_code_region_country_fkey"),
    )  # fmt: skip
    assert shops.unique_keys == (("tag",),)
    assert tags.foreign_keys == (ForeignKey(("shop_tag",), "public", "shops", ("tag",), "to_unique"),)
    assert schema.table("log").primary_key == ("id", "day")


@pytest.mark.req("I2")
def test_it_takes_no_partial_or_expression_index_for_a_key(schema: SourceSchema) -> None:
    tags = schema.table("tags")
    assert tags.unique_keys == (("m", "n"),)
    assert tags.indexes == (
        Index("expression_unique", ("", "n"), unique=True),
        Index("partial_unique", ("n",), unique=False),
        Index("plain_unique", ("m", "n"), unique=True),
    )


@pytest.mark.req("I1")
def test_it_describes_columns(schema: SourceSchema) -> None:
    regions = schema.table("regions")
    assert regions.column("name") == Column(
        "name",
        "character varying(80)",
        nullable=False,
        default="'none'::character varying",
        comment="As printed",
        role="name",
    )
    assert regions.comment == "Where we sell"
    assert [column.name for column in schema.table("never_analysed").columns] == ["id", "a", "b"]


@pytest.mark.req("I4")
def test_it_gives_estimates_and_sizes(schema: SourceSchema) -> None:
    assert schema.table("log").row_estimate == 700
    assert schema.table("never_analysed").row_estimate is None
    assert schema.table("shop_view").row_estimate is None
    assert schema.table("log").size_bytes >= 700 * 8
    assert schema.table("shop_view").size_bytes is None


@pytest.mark.req("I4")
def test_it_asks_at_most_eight_statements(session: SourceSession, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    fetch = session.fetch_all
    monkeypatch.setattr(session, "fetch_all", lambda *args, **more: asked.append(args) or fetch(*args, **more))
    introspect(session)
    assert len(asked) <= 8


@pytest.mark.req("I4")
def test_it_reads_two_thousand_tables_within_five_seconds(source_database: Create, open_source: OpenSource) -> None:
    url = source_database("wide")
    with psycopg.connect(url, autocommit=True) as connection:
        for start in range(0, 2000, 250):
            connection.execute(
                f"DO $$ BEGIN FOR i IN {start}..{start + 249} LOOP EXECUTE format('CREATE TABLE t_%s (id int PRIMARY KEY,"
                " parent_id int, a text, b text, c timestamp, d numeric(9, 2), e int UNIQUE, f int, g text, h text)', i);"
                " END LOOP; END $$"
            )
    session = open_source(url)
    started = time.monotonic()
    schema = introspect(session)
    seconds = time.monotonic() - started
    assert len(schema.tables) == 2000
    assert sum(len(table.columns) for table in schema.tables) == 20_000
    assert seconds < 5, seconds


@pytest.mark.req("I3")
def test_it_samples_tables_with_any_name(session: SourceSession, schema: SourceSchema) -> None:
    odd = schema.table(ODD)
    assert odd.primary_key == ("Col umn",)
    assert samples(session, odd, limit=2) == [
        {"Col umn": 1, '50% "off" now': "a", "select": "b"}, {"Col umn": 2, '50% "off" now': "a", "select": None},
    ]  # fmt: skip
    assert frequent_values(session, odd, '50% "off" now') == [("a", 2), ("c", 1)]
    assert frequent_values(session, odd, "select", limit=1) == [(None, 2)]
    with pytest.raises(QueryError):
        frequent_values(session, odd, 'x" FROM pg_shadow--')


def test_it_reads_only_the_schemas_asked_for(session: SourceSession) -> None:
    found = introspect(session, schemas=["sales"])
    assert [table.full_name for table in found.tables] == ["sales.regions"]
    assert found.search_schemas == ("sales",)


def test_it_shows_only_what_the_login_may_read(url: str, source_database: Create, open_source: OpenSource) -> None:
    name = f"narrow_{time.monotonic_ns()}"
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw'").format(role))
        admin.execute(
            sql.SQL("GRANT SELECT ON public.tags TO {0}; GRANT SELECT (id, tag) ON public.shops TO {0}").format(role)
        )
        try:
            user, _, rest = url.removeprefix("postgresql://").partition("@")
            schema = introspect(open_source(f"postgresql://{name}:pw@{rest}"))
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {0}").format(role))
            admin.execute(sql.SQL("DROP ROLE {0}").format(role))
    assert user
    assert {table.full_name: [column.name for column in table.columns] for table in schema.tables} == {
        "public.shops": ["id", "tag"], "public.tags": ["shop_tag", "n", "m"],
    }  # fmt: skip


def test_it_does_without_sizes_where_a_table_is_locked(url: str, open_source: OpenSource) -> None:
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE public.tags IN ACCESS EXCLUSIVE MODE")
        schema = introspect(open_source(url, limits=SourceLimits(lock_timeout_seconds=0.3)))
    assert schema.table("tags").primary_key == ()
    assert schema.table("tags").size_bytes is None


def test_its_fingerprint_changes_with_tables_columns_and_types_only(schema: SourceSchema) -> None:
    shops = schema.table("shops")
    others = tuple(table for table in schema.tables if table is not shops)
    same = replace(schema, tables=(replace(shops, row_estimate=9, comment="x"), *others))
    retyped = replace(shops, columns=(replace(shops.columns[0], type="text"), *shops.columns[1:]))
    assert fingerprint(same) == fingerprint(schema)
    assert (
        len(
            {
                fingerprint(s)
                for s in (schema, replace(schema, tables=others), replace(schema, tables=(retyped, *others)))
            }
        )
        == 3
    )


def test_it_resolves_the_columns_of_a_packs_view(url: str, open_source: OpenSource) -> None:
    session = open_source(url, search_schemas=["public"])
    view = PackView("people", "SELECT id, 100 % 7 AS rest, tag AS name FROM shops WHERE tag LIKE 'a%'")
    (resolved,) = resolve_types(session, [view])
    assert [(column.name, column.type) for column in resolved.columns] == [
        ("id", "bigint"),
        ("rest", "integer"),
        ("name", "text"),
    ]
    with pytest.raises(QueryError) as caught:
        resolve_types(session, [PackView("broken", "SELECT nope FROM shops")])
    assert caught.value.where == "broken"


@pytest.mark.req("I12")
@pytest.mark.parametrize(
    ("name", "type_name", "role"),
    [("email", "text", "email"), ("customer_email", "character varying(191)", "email"), ("EmailAddress", "text", "email"),
     ("email_id", "integer", None), ("phone", "text", "phone"), ("mobile_number", "text", "phone"), ("first_name", "text", "name"),
     ("subject", "text", "name"), ("created_at", "timestamp with time zone", "created"), ("CreatedOn", "date", "created"),
     ("created_by", "integer", None), ("updated_at", "timestamp without time zone", "updated"), ("change_time", "timestamp", "updated"),
     ("deleted_at", "timestamp with time zone", "deleted"), ("is_deleted", "boolean", "deleted"), ("status", "smallint", "status_code"),
     ("state_id", "integer", "status_code"), ("time_spent", "integer", "amount_of_time"), ("hours", "double precision", "amount_of_time"),
     ("started_at", "timestamp without time zone", "time_start"), ("end_time", "timestamp without time zone", "time_end"),
     ("unit_price", "numeric(10,2)", "money"), ("body", "text", "body"), ("id", "integer", None), ("meta", "text", None)],
)  # fmt: skip
def test_it_tells_what_a_column_holds(name: str, type_name: str, role: str | None) -> None:
    assert column_role(name, type_name) == role


def test_its_queries_run_in_psql_as_they_are(url: str) -> None:
    psql = next((p for p in Path("/usr/lib/postgresql").glob("*/bin/psql")), None)
    if psql is None:
        pytest.skip("psql is not installed here")
    for file in sorted(catalogue.FOLDER.glob("*.sql")):
        environment = {**os.environ, "PGOPTIONS": "-c default_transaction_read_only=on"}
        done = subprocess.run([psql, "-X", "-v", "ON_ERROR_STOP=1", "-f", file, url], env=environment, capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, (file.name, done.stderr)
