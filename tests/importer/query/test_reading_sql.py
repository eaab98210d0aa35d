"""A pasted SELECT becomes a query that gives the same rows; what does not fit is listed, not guessed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.query.compiler import compile_query
from importer.query.parsing import parse_spec
from importer.query.reading_sql import parse_select
from importer.sources.schema import SourceSchema

CUSTOMERS = """
SELECT
  customers.id as external_id,
  CONCAT(customers.first_name, ' ', customers.last_name) as name,
  emails.email,
  customers.company,
  customers.phone,
  customers.created_at,
  customers.updated_at
FROM customers
LEFT JOIN emails ON emails.customer_id = customers.id
WHERE emails.type = 'work'
"""
TICKETS = """
SELECT
  conversations.id as external_id,
  conversations.subject as title,
  conversations.body as description,
  CASE
    WHEN conversations.status = 1 THEN 'open'
    WHEN conversations.status = 2 THEN 'pending'
    WHEN conversations.status = 3 THEN 'closed'
    ELSE 'open'
  END as status,
  customers.id as customer_external_id,
  users.id as assigned_user_external_id,
  conversations.created_at,
  conversations.updated_at
FROM conversations
LEFT JOIN customers ON customers.id = conversations.customer_id
LEFT JOIN users ON users.id = conversations.user_id
"""
TIME = """
SELECT
  time_logs.id as external_id,
  time_logs.description,
  ROUND(time_logs.time_spent / 60) as duration,
  time_logs.date as started_at,
  time_logs.user_id as user_external_id,
  time_logs.conversation_id as ticket_external_id,
  COALESCE(time_logs.billable, true) as billable,
  time_logs.rate_amount as rate_override,
  time_logs.created_at,
  time_logs.updated_at
FROM time_logs
LEFT JOIN conversations ON conversations.id = time_logs.conversation_id
LEFT JOIN users ON users.id = time_logs.user_id
"""
WHOLE = [
    CUSTOMERS,
    TICKETS,
    TIME,
    "select id external_id, email from users",
    "SELECT c.id AS external_id, c.email FROM customers c WHERE c.status IN (1, 2) AND c.email IS NOT NULL;",
    "SELECT id AS external_id FROM public.customers WHERE status = 1 OR status = 2 AND NOT active",
    "SELECT id AS external_id FROM customers WHERE created_at BETWEEN '2024-01-05' AND '2024-01-10'",
    "SELECT id AS external_id FROM customers WHERE born NOT BETWEEN DATE '1990-01-05' AND DATE '1990-02-10'",
    "SELECT id AS external_id FROM customers WHERE email ILIKE '%@X.com' AND company NOT LIKE '%3' AND 10 < id",
    "SELECT id AS external_id FROM customers WHERE first_name ~ '^[A-B]' -- only these\n AND /* and */ id > 3",
    "SELECT id AS external_id FROM customers WHERE DATE_TRUNC('month', created_at) = '2024-01-01'",
    "SELECT id AS external_id, first_name IS DISTINCT FROM last_name AS name FROM customers",
    "SELECT customers.id AS external_id, LEFT(customers.email, 3) AS name FROM customers LEFT JOIN emails USING (id)",
    "SELECT u.id AS external_id, e.id AS n FROM users AS u INNER JOIN emails e ON e.customer_id = u.id AND e.type = 'work'",
    "SELECT u.id AS external_id, e.id AS n FROM users u RIGHT OUTER JOIN emails e ON e.customer_id = u.id",
    "SELECT u.id AS external_id, e.id AS n FROM users u FULL JOIN emails e ON e.customer_id = u.id",
    "SELECT u.id AS external_id, e.id AS n FROM users u JOIN emails e ON e.customer_id > u.id WHERE e.id < 10",
    "SELECT a.id AS external_id, b.id AS other FROM users a JOIN users b ON b.id = a.id + 1",
    "SELECT company AS external_id, COUNT(*) AS n, MAX(created_at) AS created_at FROM customers GROUP BY company HAVING COUNT(*) > 14",
    "SELECT company AS external_id, STRING_AGG(email, ', ') AS emails FROM customers GROUP BY 1",
    "SELECT LOWER(company) AS external_id, COUNT(id) AS n FROM customers GROUP BY LOWER(company)",
    "SELECT DISTINCT ON (customer_id) id AS external_id, email FROM emails ORDER BY customer_id, id DESC",
    'SELECT "customers"."id" AS "external_id", data ->> \'k\' AS "custom_fields.k" FROM "customers"',
    "SELECT u.*, u.id AS external_id FROM users u",
    "SELECT id::text AS external_id, EXTRACT(year FROM created_at) AS year, created_at AT TIME ZONE 'UTC' AS made FROM customers",
]  # fmt: skip


def rows(connection: psycopg.Connection[Any], statement: Any, params: Any = None) -> list[str]:
    return sorted(repr(row) for row in connection.execute(statement, params).fetchall())


@pytest.mark.req("Q32")
@pytest.mark.parametrize("text", WHOLE, ids=range(len(WHOLE)))
def test_it_reads_the_whole_statement_and_the_rows_are_the_same(
    guide: psycopg.Connection[Any], guide_schema: SourceSchema, text: str
) -> None:
    found = parse_select(text, guide_schema)
    assert found.unsupported == []
    compiled = compile_query(parse_spec({**found.query, "target_type": "table:any"}), guide_schema)
    assert rows(guide, compiled.sql, compiled.params) == rows(guide, text)


@pytest.mark.req("Q32")
def test_it_gives_the_parts_of_the_builder(guide_schema: SourceSchema) -> None:
    found = parse_select(CUSTOMERS, guide_schema).query
    assert found["base_table"] == {"schema": "", "table": "customers", "alias": "customers"}
    assert found["joins"] == [
        {"type": "left", "schema": "", "table": "emails", "alias": "emails", "on": "emails.customer_id = customers.id"}
    ]
    assert found["filters"] == [{"field": "emails.type", "operator": "=", "value": "work"}]
    assert found["fields"][1] == {"source": "CONCAT(customers.first_name, ' ', customers.last_name)", "target": "name"}
    assert parse_select("SELECT id AS external_id FROM users WHERE id = -1 OR name IS NULL").query["filters"] == [
        {"op": "or", "items": [{"field": "id", "operator": "=", "value": -1}, {"field": "name", "operator": "IS NULL"}]}
    ]


@pytest.mark.req("Q32")
@pytest.mark.parametrize(
    ("text", "piece", "reason", "left"),
    [
        ("SELECT id AS external_id FROM users ORDER BY id LIMIT 5", "ORDER BY id", "order", ["external_id"]),
        ("SELECT id AS external_id FROM users LIMIT 5 OFFSET 2", "LIMIT 5", "how many", ["external_id"]),
        ("SELECT DISTINCT id AS external_id FROM users", "DISTINCT", "group", ["external_id"]),
        ("SELECT id AS external_id, name || 'x' FROM users", "name || 'x'", "no name", ["external_id"]),
        ("SELECT id AS external_id, (SELECT 1) AS x FROM users", "(SELECT 1)", "", ["external_id"]),
        ("SELECT id AS external_id, pg_sleep(1) AS x FROM users", "pg_sleep(1)", "", ["external_id"]),
        ("SELECT id AS external_id, row_number() OVER (ORDER BY id) AS x FROM users", "row_number", "", ["external_id"]),
        ("SELECT id AS external_id FROM users WHERE id IN (SELECT 1)", "id IN (SELECT 1)", "", ["external_id"]),
        ("SELECT u.id AS external_id FROM users u CROSS JOIN emails", "CROSS JOIN", "condition", ["external_id"]),
        ("SELECT u.id AS external_id FROM users u, emails e", "emails e", "comma", ["external_id"]),
        ("SELECT u.id AS external_id FROM users u JOIN LATERAL (SELECT 1) e ON true", "JOIN LATERAL", "LATERAL", ["external_id"]),
        ("SELECT u.id AS external_id FROM users u JOIN (SELECT 1) e ON true", "(SELECT 1) e", "table is expected", ["external_id"]),
        ("SELECT id AS external_id, id AS external_id FROM users", "external_id", "Two columns", ["external_id"]),
        ("SELECT id AS external_id FROM userz", "userz", "Closest: users", ["external_id"]),
        ("SELECT id AS external_id FROM users FOR UPDATE", "FOR UPDATE", "locked", ["external_id"]),
    ],
)  # fmt: skip
def test_it_names_what_does_not_fit_and_keeps_the_rest(
    guide_schema: SourceSchema, text: str, piece: str, reason: str, left: list[str]
) -> None:
    found = parse_select(text, guide_schema)
    assert any(item.text.startswith(piece) and reason.lower() in item.reason.lower() for item in found.unsupported), (
        found
    )
    assert [field["target"] for field in found.query["fields"]] == left
    assert all(0 <= item.position < len(text) for item in found.unsupported)


@pytest.mark.req("Q32")
@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "SELECT 1", "DELETE FROM users", "SELECT id FROM users; DROP TABLE users", "INSERT INTO users VALUES (1)",
        "SELECT id FROM users UNION SELECT id FROM emails", "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT 'a", "CREATE TABLE x (id int)",
        "SELECT id INTO TEMP t FROM users", "VALUES (1)", "SELECT (" * 500,
    ],
)  # fmt: skip
def test_other_statements_are_refused_with_a_reason(text: str) -> None:
    found = parse_select(text)
    assert found.query == {}
    assert len(found.unsupported) == 1
    assert found.unsupported[0].reason


_WORDS = "SELECT FROM WHERE id , users u JOIN LEFT ON = 1 AND ( ) AS x GROUP BY HAVING ORDER DISTINCT * . 'a' \" ; -- USING".split()


@given(st.lists(st.sampled_from(_WORDS), max_size=25).map(" ".join))
def test_it_never_raises(text: str) -> None:
    parse_select(text)
    parse_select("SELECT id AS external_id FROM users " + text)
