"""Sources for the query tests: the guide's tables, trojan objects beside the real ones, and ways to run a query."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from importer.query.compiler import compile_query
from importer.query.expressions import Parameters, Scope, ScopeTable, compose
from importer.query.nodes import Node
from importer.query.parsing import parse_spec
from importer.sources.schema import Column, Index, SourceSchema, Table

GUIDE_SHAPE = """
CREATE TABLE customers (id int PRIMARY KEY, first_name varchar(50), last_name varchar(50), email varchar(200),
  company text, phone text, status int NOT NULL DEFAULT 1, time_spent int, created_at timestamp NOT NULL,
  updated_at timestamptz, data jsonb, tags text[], active boolean, code uuid, born date);
CREATE TABLE emails (id int PRIMARY KEY, customer_id int NOT NULL, email varchar(200), type text);
CREATE TABLE conversations (id bigint PRIMARY KEY, subject text, body text, status int, customer_id int, user_id int,
  created_at timestamp, updated_at timestamp);
CREATE TABLE users (id int PRIMARY KEY, name text, email varchar(100) NOT NULL UNIQUE);
CREATE TABLE time_logs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), description text, time_spent int, date date,
  user_id int, conversation_id bigint, billable boolean, rate_amount numeric(8,2), created_at timestamp,
  updated_at timestamp);
INSERT INTO customers SELECT n, (ARRAY['Anna','Bob',NULL,'  ','O''Hara'])[n % 5 + 1], (ARRAY['Lee','Doe',NULL])[n % 3 + 1],
  CASE WHEN n % 7 = 0 THEN '' WHEN n % 5 = 0 THEN NULL ELSE 'user' || n || '@x.com' END,
  'Company ' || n % 4, '+49 ' || n, n % 4 + 1, n * 37, timestamp '2024-01-01' + n * interval '9 hours',
  timestamptz '2024-01-01 00:00+00' + n * interval '1 day', jsonb_build_object('a', jsonb_build_object('b', n), 'k', 'v%' || n),
  ARRAY['x', 'y' || n], n % 3 = 0, md5(n::text)::uuid, date '1990-01-01' + n FROM generate_series(1, 60) n;
INSERT INTO emails SELECT n, (n % 50) + 1, 'm' || n || '@work.example', (ARRAY['work','home'])[n % 2 + 1]
  FROM generate_series(1, 80) n;
INSERT INTO users SELECT n, 'Agent ' || n, 'agent' || n || '@x.com' FROM generate_series(1, 5) n;
INSERT INTO conversations SELECT n, 'Subject ' || n, 'Body', n % 5, n % 70, n % 6, timestamp '2024-01-05' + n * interval '1 hour',
  timestamp '2024-02-05' FROM generate_series(1, 120) n;
INSERT INTO time_logs (description, time_spent, date, user_id, conversation_id, billable, rate_amount, created_at, updated_at)
  SELECT 'Work', n * 50, date '2024-03-01' + n, n % 6, n, n % 2 = 0, n, timestamp '2024-03-01', timestamp '2024-03-02'
  FROM generate_series(1, 40) n;
CREATE TABLE secret_table (pw text); INSERT INTO secret_table VALUES ('TOPSECRET');
CREATE TABLE canary (a text); INSERT INTO canary VALUES ('alive');
"""

TROJANS = """
CREATE FUNCTION public.boom(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'TROJAN %', $1; END $$;
CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('lower'); RETURN 'x'; END $$;
CREATE FUNCTION public.upper(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('upper'); RETURN 'x'; END $$;
CREATE FUNCTION public.btrim(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('btrim'); RETURN 'x'; END $$;
CREATE FUNCTION public.length(varchar) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('length'); RETURN 1; END $$;
CREATE FUNCTION public.eq(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('='); RETURN true; END $$;
CREATE FUNCTION public.cat(varchar, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('||'); RETURN ''; END $$;
CREATE FUNCTION public.likes(varchar, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('~~'); RETURN true; END $$;
CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.eq);
CREATE OPERATOR public.<> (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.eq);
CREATE OPERATOR public.>= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.eq);
CREATE OPERATOR public.<= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.eq);
CREATE OPERATOR public.|| (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.cat);
CREATE OPERATOR public.~~ (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.likes);
CREATE OPERATOR public.~ (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.likes);
CREATE FUNCTION public.leak(customers) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.boom('leak'); RETURN ''; END $$;
"""

TABLES_SQL = """
SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  COALESCE((SELECT array_agg(array_length(i.indkey::int2[], 1) ORDER BY i.indisprimary DESC) FROM pg_catalog.pg_index i
    WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey)), '{}')
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY c.oid, a.attnum
"""


def read_schema(url: str, **extra: Any) -> SourceSchema:
    """The map of a database, small enough to stand beside the tests; single-column keys only."""
    found: dict[tuple[str, str], list[tuple[Column, list[int]]]] = {}
    with psycopg.connect(url) as connection:
        version = connection.info.server_version
        for schema, table, name, type_name, nullable, keys in connection.execute(TABLES_SQL):
            found.setdefault((schema, table), []).append((Column(name, type_name, nullable), keys))
    tables = tuple(
        Table(
            schema,
            name,
            columns=tuple(column for column, _ in columns),
            unique_keys=tuple((column.name,) for column, keys in columns if 1 in keys),
            indexes=tuple(Index(column.name, (column.name,)) for column, keys in columns if 1 in keys),
        )
        for (schema, name), columns in found.items()
    )
    return SourceSchema(tables, server_version=version, **extra)


@pytest.fixture(scope="session")
def guide_url(source_database: Callable[..., str]) -> str:
    url = source_database("guide")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(GUIDE_SHAPE)
        connection.execute("ANALYZE")
    return url


@pytest.fixture(scope="session")
def trojan_url(source_database: Callable[..., str]) -> str:
    """The guide's tables with trojan overloads in public, which the default search_path would prefer."""
    url = source_database("trojan")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(GUIDE_SHAPE)
        connection.execute(TROJANS)
    return url


@pytest.fixture(scope="session")
def guide_schema(guide_url: str) -> SourceSchema:
    return read_schema(guide_url)


@pytest.fixture
def guide(guide_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(guide_url) as connection:
        connection.read_only = True
        yield connection


def fetch(connection: psycopg.Connection[Any], statement: tuple[sql.Composed, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement, sent as one prepared statement."""
    query, params = statement
    return connection.execute(query, params, prepare=True).fetchall()


def run(connection: psycopg.Connection[Any], schema: SourceSchema, data: dict[str, Any], **options: Any) -> list[Any]:
    compiled = compile_query(parse_spec(data), schema, **options)
    return fetch(connection, (compiled.sql, compiled.params))


CUSTOMERS_SCOPE_COLUMNS = {
    "id": "integer", "first_name": "character varying", "last_name": "character varying",
    "email": "character varying", "company": "text", "phone": "text", "status": "integer", "time_spent": "integer",
    "created_at": "timestamp without time zone", "updated_at": "timestamp with time zone", "data": "jsonb",
    "tags": "text[]", "active": "boolean", "code": "uuid", "born": "date",
}  # fmt: skip
CUSTOMERS = Scope((ScopeTable("customers", "customers", "public", CUSTOMERS_SCOPE_COLUMNS),))


def select_customers(node: Node) -> tuple[sql.Composed, dict[str, object]]:
    """The statement that gives `node` for every customer, in the order of ids."""
    params = Parameters()
    value = compose(node, CUSTOMERS, params)
    query = sql.SQL("SELECT {}::pg_catalog.text FROM public.customers AS t0 ORDER BY t0.id").format(value)
    return query, dict(params.values)
