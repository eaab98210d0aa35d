"""An accepted expression gives what PostgreSQL itself gives for the same text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from importer.query.expressions import FUNCTIONS, from_json, parse, render, to_json

from .conftest import fetch, select_customers

SHARED = Path(__file__).resolve().parents[4] / "shared" / "security" / "legitimate_expressions.json"
GUIDES = json.loads(SHARED.read_text()) if SHARED.exists() else []

EXPRESSIONS = [
    "CONCAT(first_name, ' ', last_name)",
    "CASE WHEN status = 1 THEN 'open' WHEN status = 2 THEN 'pending' ELSE 'closed' END",
    "CASE status WHEN 1 THEN 'open' WHEN 2 THEN 'pending' END",
    "CASE first_name WHEN last_name THEN 1 ELSE 2.5 END",
    "CASE WHEN active THEN created_at ELSE '2020-01-01' END",
    "ROUND(time_spent / 60)",
    "ROUND(time_spent / 60.0, 2)",
    "COALESCE(updated_at, '2024-01-01')",
    "COALESCE(NULLIF(TRIM(CONCAT_WS(' ', NULLIF(TRIM(first_name), ''), last_name)), ''), SPLIT_PART(email, '@', 1))",
    "DATE_TRUNC('month', created_at) = '2024-01-01'",
    "created_at >= '2024-01-15'",
    "created_at BETWEEN '2024-01-10' AND '2024-01-20'",
    "created_at NOT BETWEEN DATE '2024-01-10' AND DATE '2024-01-20'",
    "born + 10 > DATE '1990-02-01'",
    "created_at + INTERVAL '1 day'",
    "created_at AT TIME ZONE 'Europe/Berlin' AT TIME ZONE 'UTC'",
    "created_at - '2024-01-01'",
    "EXTRACT(dow FROM created_at) + EXTRACT(year FROM born)",
    "DATE_PART('year', created_at)",
    "MAKE_DATE(2024, status, 1)",
    "AGE(updated_at, '2024-01-01')",
    "TO_CHAR(created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS')",
    "TO_CHAR(time_spent, 'FM999G999D00')",
    "TO_DATE('01.02.2024', 'DD.MM.YYYY')",
    "first_name = last_name",
    "first_name IS DISTINCT FROM last_name",
    "first_name IS NOT DISTINCT FROM NULL",
    "email IS DISTINCT FROM ''",
    "last_name IS NULL OR NOT status = 1 AND status <> 2",
    "status IN (1, 2) AND email NOT IN ('user1@x.com', '')",
    "email IN (first_name, last_name, 'user2@x.com')",
    "first_name IN ('Anna', NULL)",
    "id IN ('1', '2')",
    "email ILIKE '%@X.com' AND email NOT LIKE 'user1%'",
    "email ~ '^user[0-9]+@' AND email !~* 'USER2'",
    "data -> 'a' ->> 'b'",
    "data #>> '{a,b}'",
    "data ->> 'k' LIKE 'v%'",
    "(data -> 'a' ->> 'b')::int * 2",
    "data IS NOT NULL AND data -> 'missing' IS NULL",
    "ARRAY_TO_STRING(tags, ',') || CARDINALITY(tags)",
    "SUBSTRING(email FROM 2 FOR 3) || SUBSTRING(email, 3)",
    "TRIM(LEADING 'u' FROM email) || TRIM(BOTH FROM first_name) || BTRIM(email, 'um')",
    "POSITION('@' IN email) + STRPOS(email, 'x')",
    "REPLACE(REPLACE(email, '@', ' at '), '.', ' dot ')",
    "REGEXP_REPLACE(email, '[0-9]+', '#', 'g')",
    "LPAD(id::text, 5, '0') || RPAD(first_name, 8, '.')",
    "LEFT(email, -2) || RIGHT(email, 3) || REVERSE(first_name) || INITCAP(last_name) || MD5(email)",
    "-time_spent + 10 * 2 - 3 % 2 / 1",
    "- - id",
    "ABS(-4) + MOD(time_spent, 7) + SIGN(-2.0) + FLOOR(2.5) + CEIL(2.5) + TRUNC(2.55, 1)",
    "GREATEST(id, status, 5) - LEAST(id, 3)",
    "GREATEST(first_name, last_name)",
    "time_spent::numeric(10, 2) || 'h'",
    "CAST(id AS bigint) * 3000000000",
    "'2024-01-01'::timestamptz",
    "code = 'c4ca4238-a0b9-2382-0dcc-509a6f75849b'",
    "code::text LIKE 'c4%'",
    "born::timestamp with time zone",
    "'it''s ' || first_name",
    "'100%' || first_name || '%s %(p0)s'",
    "'x' = 'x' AND 'a' < 'b'",
    "(1 + 2) * (3 - (4 - 5))",
    "1 - 2 - 3",
    "NOT active AND NOT (status = 1 OR status = 2)",
    "active = TRUE",
    "email::varchar(4)",
    "LENGTH(company) > 3 IS NULL",
    "CURRENT_DATE > born",
    "NOW() > created_at",
    "99999999999 + id",
    "1.50 * id",
]  # fmt: skip


def own(connection: psycopg.Connection[Any], text: str) -> list[Any]:
    query, params = select_customers(parse(text))
    return fetch(connection, (query, params))


@pytest.mark.req("Q27", "Q29")
@pytest.mark.parametrize("text", [*EXPRESSIONS, *GUIDES])
def test_it_gives_postgresqls_own_result(guide: psycopg.Connection[Any], text: str) -> None:
    raw = f"SELECT ({text})::text AS value FROM customers ORDER BY customers.id"
    assert own(guide, text) == guide.execute(raw).fetchall()


@pytest.mark.req("Q27")
@pytest.mark.parametrize("text", [*EXPRESSIONS, *GUIDES])
def test_it_gives_the_same_result_among_trojans_and_odd_settings(
    guide: psycopg.Connection[Any], trojan_url: str, text: str
) -> None:
    expected = own(guide, text)
    with psycopg.connect(trojan_url) as trojan:
        trojan.execute("SET search_path = public, pg_catalog")
        trojan.execute("SET standard_conforming_strings = off")
        assert own(trojan, text) == expected


@pytest.mark.req("Q27")
@pytest.mark.parametrize("text", [*EXPRESSIONS, *GUIDES])
def test_it_keeps_its_meaning_as_text_and_as_json(text: str) -> None:
    node = parse(text)
    assert parse(render(node)) == node
    assert render(parse(render(node))) == render(node)
    assert from_json(json.loads(json.dumps(to_json(node)))) == node


@pytest.mark.req("Q30")
@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.example])
def test_it_shows_an_example_that_is_true(guide: psycopg.Connection[Any], name: str) -> None:
    found = fetch(guide, select_customers(parse(FUNCTIONS[name].example)))
    assert found[0][0] == FUNCTIONS[name].result
