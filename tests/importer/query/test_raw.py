"""SQL written by people (Q24): one harmless SELECT is taken as written, everything else refused with its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from importer.errors import QueryError
from importer.query.compiler import compile_query
from importer.query.parsing import parse_spec
from importer.query.raw import read_raw
from importer.sources.schema import SourceSchema

from .conftest import fetch
from .test_hostile_expressions import ALL

SEED = Path(__file__).resolve().parents[4] / "shared" / "seeds" / "universal-import.md"
GUIDES = re.findall(r"```sql\n(SELECT.*?)```", SEED.read_text(), re.DOTALL) if SEED.exists() else []


def raw(text: str, **change: Any) -> dict[str, Any]:
    return {"kind": "sql", "sql": text, "target_type": "customer_users", **change}


ACCEPTED = [
    ("SELECT id AS external_id, email FROM customers ORDER BY id LIMIT 3", 3),
    ("WITH a AS (SELECT id FROM customers) SELECT a.id AS external_id FROM a WHERE a.id < 5", 4),
    ("WITH a (x, y) AS (SELECT id, email FROM customers) SELECT x AS external_id FROM a WHERE y LIKE '%1@x.com'", None),
    ("SELECT id AS external_id, row_number() OVER (PARTITION BY status ORDER BY id) AS n FROM customers", 60),
    ("SELECT id AS external_id, data -> 'a' ->> 'b' AS b FROM customers WHERE id = ANY (ARRAY[1, 2])", 2),
    ("SELECT c.id AS external_id, m.email FROM customers c LEFT JOIN LATERAL (SELECT (array_agg(e.email ORDER BY e.id))[1] AS "
     "email, (array_agg(e.email))[2:] AS more FROM emails e WHERE e.customer_id = c.id) m ON true", 60),
    ("SELECT status AS external_id, count(*) FILTER (WHERE active) AS n FROM customers GROUP BY 1 HAVING count(*) > 1", 4),
    ("SELECT id AS external_id FROM customers UNION ALL SELECT id FROM users", 65),
]  # fmt: skip


@pytest.mark.req("Q24")
@pytest.mark.parametrize(("text", "rows"), ACCEPTED)
def test_it_runs_one_select_as_written(guide: Any, guide_schema: SourceSchema, text: str, rows: int | None) -> None:
    compiled = compile_query(parse_spec(raw(text)), guide_schema)
    found = fetch(guide, (compiled.sql, compiled.params))
    assert len(found) == (rows or len(guide.execute(text.encode()).fetchall()))
    assert len(fetch(guide, compiled.rows())) == len(found)


@pytest.mark.req("Q24")
def test_it_binds_named_parameters(guide: Any, guide_schema: SourceSchema) -> None:
    text = "SELECT id AS external_id FROM customers WHERE status = :status AND email LIKE :like AND created_at::date > :day"
    params = {"status": 2, "like": "%'; --", "day": "2020-01-01"}
    compiled = compile_query(parse_spec(raw(text, params={**params, "like": "%1@x.com"})), guide_schema)
    expected = guide.execute("SELECT id FROM customers WHERE status = 2 AND email LIKE '%1@x.com'").fetchall()
    assert fetch(guide, (compiled.sql, compiled.params)) == expected
    hostile = compile_query(parse_spec(raw(text, params=params)), guide_schema)
    assert fetch(guide, (hostile.sql, hostile.params)) == []


@pytest.mark.req("Q24")
def test_it_maps_and_filters_the_columns_of_a_raw_query(guide: Any, guide_schema: SourceSchema) -> None:
    data = raw(
        "SELECT id, email FROM customers", filters=[{"field": "id", "operator": "<", "value": 3}],
        fields=[{"source": "id", "target": "external_id"}, {"source": "UPPER(email)", "target": "email"}],
    )  # fmt: skip
    compiled = compile_query(parse_spec(data), guide_schema)
    assert fetch(guide, (compiled.sql, compiled.params)) == [(1, "USER1@X.COM"), (2, "USER2@X.COM")]


REFUSED = [
    "SELECT 1; SELECT 2", "DELETE FROM canary", "WITH d AS (DELETE FROM canary RETURNING a) SELECT a FROM d",
    "SELECT a INTO b FROM canary", "SELECT a FROM canary FOR UPDATE", "SELECT a FROM canary FOR NO KEY UPDATE",
    "SELECT a FROM canary FOR SHARE", "SELECT set_config('a', 'b', false)", "SELECT pg_sleep(1)", "SELECT lo_import('x')",
    "SELECT pg_read_file('/etc/passwd')", "SELECT * FROM pg_ls_dir('.')", "SELECT * FROM dblink('', '') AS t(a int)",
    "SELECT query_to_xml('select 1', true, true, '')", "SELECT pg_terminate_backend(1)", "SELECT nextval('s')",
    "SELECT * FROM pg_catalog.pg_shadow", "SELECT * FROM pg_authid", "SELECT * FROM information_schema.tables",
    'SELECT * FROM "pg_shadow"', 'SELECT U&"pg_\\0073leep"(1)', 'SELECT "pg_sleep"(1)', "SELECT public.boom('x')",
    "SELECT 1 -- x", "SELECT /* x */ 1", "SELECT $$x$$", "SELECT $1", "SELECT E'\\''", "SELECT '\\'", "SELECT 'a'::regclass",
    "SELECT CAST('a' AS regclass)", "SELECT ctid FROM x WHERE x.ctid = 1", "TABLE canary", "VALUES (1)", "EXPLAIN SELECT 1",
    "SELECT 1 WHERE a = :missing", "SELECT ((1)", "SELECT 1)", "", "SELECT", "COPY canary TO '/tmp/x'", "SELECT 1 OPERATOR(public.=) 1",
    "SELECT current_user", "SELECT a FROM canary TABLESAMPLE bernoulli(1)", "SELECT 1 \x00", "DO 'x'", "SELECT 1 AS x) AS t; DROP TABLE y; --",
    "WITH RECURSIVE r AS (SELECT 1) SELECT 1", "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", "CALL x()",
]  # fmt: skip


@pytest.mark.req("Q24")
@pytest.mark.parametrize("text", REFUSED)
def test_it_refuses_everything_else_with_its_place(text: str) -> None:
    found = read_raw(text, {}).problems
    assert found
    assert all(problem.position is not None and problem.message for problem in found)


@pytest.mark.req("Q24", "T3")
def test_it_lets_no_hostile_text_have_an_effect(trojan_url: str) -> None:
    with psycopg.connect(trojan_url, autocommit=True) as connection:
        connection.execute("SET search_path = pg_catalog, public")
        connection.execute("SET statement_timeout = '4s'")
        for text in ALL:
            for whole in (
                text,
                f"SELECT {text} AS external_id FROM customers",
                f"SELECT id AS external_id FROM customers WHERE {text}",
            ):
                if "secret_table" in text or "repeat" in text.lower() or "pad" in text.lower():
                    continue  # Reading a table and long texts are what this permission allows.
                try:
                    compiled = compile_query(parse_spec(raw(whole)), SourceSchema(()))
                except QueryError:
                    continue
                with connection.transaction(force_rollback=True):
                    connection.execute("SET TRANSACTION READ ONLY")
                    try:
                        connection.execute(compiled.sql, compiled.params, prepare=True)
                    except (psycopg.errors.QueryCanceled, psycopg.errors.ReadOnlySqlTransaction):
                        pytest.fail(whole)
                    except psycopg.Error:
                        continue
        assert connection.execute("SELECT * FROM canary").fetchall() == [("alive",)]


@pytest.mark.req("T28")
@pytest.mark.parametrize("text", GUIDES, ids=["customers", "tickets", "time"][: len(GUIDES)])
def test_it_runs_the_guides_statements(guide: Any, guide_schema: SourceSchema, text: str) -> None:
    compiled = compile_query(parse_spec(raw(text)), guide_schema)
    assert compiled.columns[0] == "external_id"
    expected = guide.execute(text.encode()).fetchall()
    assert sorted(map(str, fetch(guide, (compiled.sql, compiled.params)))) == sorted(map(str, expected))
