"""A compiled query: what it says, that every wrapper shares it, and that it gives what hand-written SQL gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg import sql

from importer.errors import QueryError
from importer.query.compiler import compile_query, restrict
from importer.query.parsing import parse_spec
from importer.sources.schema import Column, PackView, SourceSchema

from .conftest import fetch, read_schema, run
from .test_spec import GUIDE

NOW = datetime(2024, 3, 31, 12, 0, tzinfo=UTC)
ID = {"source": "customers.id", "target": "external_id"}


def customers(**change: Any) -> dict[str, Any]:
    return {"base_table": "customers", "fields": [ID], "target_type": "customer_users", **change}


def test_it_writes_the_guides_example_so(guide_schema: SourceSchema) -> None:
    compiled = compile_query(parse_spec(GUIDE), guide_schema)
    assert compiled.text == (
        'SELECT "t0"."id" AS "external_id", pg_catalog.left(pg_catalog.concat("t0"."first_name", '
        '(%(p0)s)::pg_catalog.text, "t0"."last_name"), 10000000) AS "name" FROM "public"."customers" AS "t0" '
        'LEFT JOIN "public"."emails" AS "t1" ON ("t0"."id" OPERATOR(pg_catalog.=) "t1"."customer_id") AND '
        '("t1"."type" OPERATOR(pg_catalog.=) %(p1)s) WHERE (("t0"."created_at" OPERATOR(pg_catalog.>=) %(p2)s))'
    )
    assert dict(compiled.params) == {"p0": " ", "p1": "work", "p2": "2024-01-01"}
    assert compiled.columns == ("external_id", "name")


def test_it_runs_the_guides_example(guide: Any, guide_schema: SourceSchema) -> None:
    expected = guide.execute(
        "SELECT c.id, concat(first_name, ' ', last_name) FROM customers c LEFT JOIN emails e ON e.customer_id = c.id "
        "AND e.type = 'work' WHERE c.created_at >= '2024-01-01'"
    ).fetchall()
    assert sorted(run(guide, guide_schema, GUIDE)) == sorted(expected)


FILTERS = [
    ({"field": "status", "operator": "equals", "value": 1}, "status = 1"),
    ({"field": "status", "operator": "!=", "value": "2"}, "status <> 2"),
    ({"field": "company", "operator": "<>", "value": "Company 1"}, "company <> 'Company 1'"),
    ({"field": "id", "operator": "greater_than", "value": 10}, "id > 10"),
    ({"field": "created_at", "operator": ">=", "value": "2024-01-10"}, "created_at >= '2024-01-10'"),
    ({"field": "created_at", "operator": "<", "value": "2024-01-10"}, "created_at < '2024-01-10'"),
    ({"field": "active", "operator": "=", "value": True}, "active"),
    ({"field": "code", "operator": "=", "value": "c4ca4238-a0b9-2382-0dcc-509a6f75849b"}, "id = 1"),
    ({"field": "email", "operator": "LIKE", "value": "user1%"}, "email LIKE 'user1%'"),
    ({"field": "email", "operator": "not ilike", "value": "USER1%"}, "email NOT ILIKE 'USER1%'"),
    ({"field": "data ->> 'k'", "operator": "contains", "value": "v%1"}, r"data ->> 'k' LIKE '%v\%1%'"),
    ({"field": "email", "operator": "starts_with", "value": "user_"}, r"email LIKE 'user\_%'"),
    ({"field": "email", "operator": "ends_with", "value": "@x.com"}, "email LIKE '%@x.com'"),
    ({"field": "id", "operator": "contains", "value": "1"}, "id::text LIKE '%1%'"),
    ({"field": "email", "operator": "REGEXP", "value": "^user[12]@"}, "email ~ '^user[12]@'"),
    ({"field": "email", "operator": "!~*", "value": "^USER"}, "email !~* '^USER'"),
    ({"field": "status", "operator": "IN", "value": [1, 2]}, "status IN (1, 2)"),
    ({"field": "company", "operator": "IN", "value": "Company 1, 'Company 2'"}, "company IN ('Company 1', 'Company 2')"),
    ({"field": "first_name", "operator": "NOT IN", "value": ["Anna", "O'Hara"]}, "first_name NOT IN ('Anna', 'O''Hara')"),
    ({"field": "last_name", "operator": "is null"}, "last_name IS NULL"),
    ({"field": "last_name", "operator": "IS NOT NULL", "value": "x"}, "last_name IS NOT NULL"),
    ({"field": "id", "operator": "BETWEEN", "value": 5, "value2": 9}, "id BETWEEN 5 AND 9"),
    ({"field": "born", "operator": "NOT BETWEEN", "value": ["1990-01-05", "1990-01-09"]}, "born NOT BETWEEN '1990-01-05' AND '1990-01-09'"),
    ({"field": "created_at", "operator": "DATE_TRUNC", "value": {"unit": "month", "value": "2024-01-01"}}, "date_trunc('month', created_at) = '2024-01-01'"),
    ({"field": "DATE_TRUNC('month', created_at)", "operator": "=", "value": "2024-01-01"}, "date_trunc('month', created_at) = '2024-01-01'"),
    ("status = 1 AND email IS NOT NULL", "status = 1 AND email IS NOT NULL"),
    ({"op": "or", "items": [{"field": "id", "operator": "<", "value": 3}, {"op": "not", "items": ["id < 55"]}]}, "id < 3 OR NOT id < 55"),
    ({"field": "created_at", "operator": ">=", "value": {"relative": "-2 months"}}, "created_at >= '2024-01-31 14:00'"),
    ({"field": "updated_at", "operator": "<", "value": {"relative": "-1 month"}}, "updated_at < '2024-02-29 14:00+01'"),
    ({"field": "updated_at", "operator": "<", "value": {"relative": "today"}}, "updated_at < '2024-03-30 23:00+00'"),
    ({"field": "born", "operator": "<", "value": {"relative": "-34 years"}}, "born < '1990-03-31'"),
]  # fmt: skip


@pytest.mark.req("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F12")
@pytest.mark.parametrize(("given", "where"), FILTERS, ids=[where for _, where in FILTERS])
def test_it_filters_as_hand_written_sql_does(guide: Any, guide_schema: SourceSchema, given: Any, where: str) -> None:
    found = run(guide, guide_schema, customers(filters=[given]), now=NOW, timezone="Europe/Berlin")
    assert sorted(found) == guide.execute(f"SELECT id FROM customers WHERE {where} ORDER BY id".encode()).fetchall()


TAKE = {"type": "left", "table": "emails", "on": "emails.customer_id = customers.id"}


@pytest.mark.req("Q23")
@pytest.mark.parametrize("mode", ["first", "last"])
def test_it_takes_one_row_of_many(guide: Any, guide_schema: SourceSchema, mode: str) -> None:
    fields = [ID, {"source": "emails.email", "target": "email"}]
    join = {**TAKE, "take": {"mode": mode, "order_by": ["emails.id"]}}
    function = {"first": "min", "last": "max"}[mode]
    expected = guide.execute(
        f"SELECT c.id, (SELECT email FROM emails WHERE id = (SELECT {function}(id) FROM emails WHERE customer_id = c.id)) "
        "FROM customers c ORDER BY 1"
    ).fetchall()
    assert sorted(run(guide, guide_schema, customers(fields=fields, joins=[join]))) == expected


@pytest.mark.req("Q23")
@pytest.mark.parametrize("kind", ["left", "inner"])
def test_it_makes_one_value_of_many(guide: Any, guide_schema: SourceSchema, kind: str) -> None:
    take = {
        "mode": "aggregate",
        "order_by": ["emails.id"],
        "columns": [{"column": "email", "function": "string_agg", "separator": ";"}],
    }
    data = customers(
        fields=[ID, {"source": "emails.email", "target": "email"}], joins=[{**TAKE, "type": kind, "take": take}]
    )
    expected = guide.execute(
        f"SELECT c.id, string_agg(e.email, ';' ORDER BY e.id) FROM customers c {kind} JOIN emails e ON e.customer_id = c.id "
        "GROUP BY c.id ORDER BY 1"
    ).fetchall()
    assert sorted(run(guide, guide_schema, data)) == expected


@pytest.mark.req("Q5")
@pytest.mark.parametrize("kind", ["INNER", "LEFT", "RIGHT JOIN", "full outer"])
def test_it_joins_in_four_ways(guide: Any, guide_schema: SourceSchema, kind: str) -> None:
    data = {
        "base_table": "conversations", "target_type": "tickets",
        "joins": [{"type": kind, "table": "customers", "left_column": "customer_id", "right_column": "id"}],
        "fields": [{"source": "conversations.id", "target": "external_id"}, {"source": "customers.id", "target": "customer"}],
    }  # fmt: skip
    word = {"RIGHT JOIN": "RIGHT", "full outer": "FULL"}.get(kind, kind)
    expected = guide.execute(
        f"SELECT c.id, u.id FROM conversations c {word} JOIN customers u ON c.customer_id = u.id"
    ).fetchall()
    assert sorted(map(str, run(guide, guide_schema, data))) == sorted(map(str, expected))


@pytest.mark.req("Q9")
def test_it_joins_a_table_to_itself(guide: Any, guide_schema: SourceSchema) -> None:
    data = customers(
        joins=[{"table": "customers", "alias": "other", "on": "other.id = customers.id + 1"}],
        fields=[ID, {"source": "other.id", "target": "next"}],
    )
    assert sorted(run(guide, guide_schema, data), key=str)[0] == (1, 2)


@pytest.mark.req("Q22")
def test_it_groups_by_an_expression_and_filters_the_groups(guide: Any, guide_schema: SourceSchema) -> None:
    kind = "CASE WHEN status = 1 THEN 'open' ELSE CONCAT('closed ', status) END"
    data = customers(
        fields=[{"source": kind, "target": "external_id"}, {"source": "COUNT(*)", "target": "n"}],
        group_by=[kind], having=[{"field": "COUNT(*)", "operator": ">", "value": 14}],
    )  # fmt: skip
    expected = guide.execute(
        "SELECT CASE WHEN status = 1 THEN 'open' ELSE concat('closed ', status) END, count(*) FROM customers GROUP BY 1 HAVING count(*) > 14"
    ).fetchall()
    assert sorted(run(guide, guide_schema, data)) == sorted(expected)


@pytest.mark.req("Q22")
def test_it_keeps_one_row_for_each_distinct_key(guide: Any, guide_schema: SourceSchema) -> None:
    data = customers(distinct_on={"columns": ["COALESCE(company, 'x')"], "order_by": ["customers.id DESC"]})
    expected = guide.execute("SELECT max(id) FROM customers GROUP BY company").fetchall()
    assert sorted(run(guide, guide_schema, data)) == sorted(expected)


@pytest.mark.req("M4")
def test_it_leaves_blank_parts_out_with_their_separator(guide: Any, guide_schema: SourceSchema) -> None:
    data = customers(
        fields=[ID, {"sources": ["first_name", "last_name"], "target": "name", "transformation": "concat"}]
    )
    found = dict(run(guide, guide_schema, data))
    assert (found[5], found[6], found[3], found[2]) == ("Anna", "Bob Lee", "Lee", None)


def test_it_distinguishes_hostile_names(source_database: Callable[..., str]) -> None:
    names = [
        'a"b',
        'x" FROM pg_shadow--',
        "100%s %(p0)s",
        "new\nline",
        "Customers",
        "customers",
        "é" * 31,
        "a.b",
        "{0}",
    ]
    url = source_database("names")
    with psycopg.connect(url) as connection:
        for number, name in enumerate(names):
            columns = sql.SQL(", ").join(sql.SQL("{} int").format(sql.Identifier(column)) for column in names)
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), columns))
            values = sql.SQL(", ").join(sql.Literal(number * 100 + index) for index in range(len(names)))
            connection.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(name), values))
        connection.commit()
        schema = read_schema(url)
        for number, name in enumerate(names):
            quoted = ['"' + column.replace('"', '""') + '"' for column in names]
            fields = [{"source": text, "target": column} for text, column in zip(quoted, names, strict=True)]
            data = {
                "base_table": {"table": name},
                "fields": fields,
                "target_type": "table:x",
                "source_identifier": name,
            }
            compiled = compile_query(parse_spec(data), schema)
            assert fetch(connection, (compiled.sql, compiled.params)) == [
                tuple(number * 100 + i for i in range(len(names)))
            ]
            assert fetch(connection, compiled.rows())[0][0] == str(number * 100 + names.index(name))


def test_it_refuses_names_that_are_not_in_the_map(guide_schema: SourceSchema) -> None:
    for change in ({"base_table": "pg_shadow"}, {"base_table": "Customers"}, {"base_table": 'customers"; --'}):
        with pytest.raises(QueryError, match="does not exist"):
            compile_query(parse_spec(customers(**change)), guide_schema)
    with pytest.raises(QueryError) as caught:
        compile_query(
            parse_spec(customers(joins=[TAKE], fields=[{"source": "emails.adress", "target": "a"}])), guide_schema
        )
    with pytest.raises(QueryError) as near:
        compile_query(
            parse_spec(customers(joins=[TAKE], fields=[{"source": "emails.emial", "target": "a"}])), guide_schema
        )
    assert "`emails.adress` does not exist" in str(caught.value)
    assert "Closest: `emails.email`" in str(near.value)


def random_query(rng: random.Random) -> dict[str, Any]:
    """A query that runs, of tables, joins, filters and expressions drawn at random."""
    expressions = ["customers.email", "UPPER(customers.first_name)", "customers.status + 1", "NULLIF(customers.email, '')",
                   "CASE customers.status WHEN 1 THEN 'a%' ELSE '%s' END", "customers.data ->> 'k'"]  # fmt: skip
    joins = [
        {**TAKE, "type": rng.choice(["left", "inner"])},
        {**TAKE, "take": {"mode": rng.choice(["first", "last"]), "order_by": ["emails.id DESC"]}},
        {
            "table": "conversations",
            "on": "conversations.customer_id = customers.id",
            "condition": "conversations.status <> 2",
        },
    ]
    fields = [
        {"source": text, "target": f"f{index}"} for index, text in enumerate(rng.sample(expressions, rng.randint(1, 5)))
    ]
    filters = [
        given for given, _ in rng.sample(FILTERS, rng.randint(0, 4)) if isinstance(given, dict) and "op" not in given
    ]
    filters = [{**item, "field": f"customers.{item['field']}" if item["field"].isidentifier() else "customers.created_at"}
               for item in filters if item["field"].isidentifier()]  # fmt: skip
    chosen = rng.choice([[], [joins[0]], [joins[1]], [joins[2]], [joins[1], joins[2]]])
    return customers(fields=[ID, *fields], joins=chosen, filters=filters)


@pytest.mark.req("Q17", "Q14")
def test_it_shares_one_statement_between_count_sample_explain_and_rows(guide: Any, guide_schema: SourceSchema) -> None:
    rng = random.Random(17)
    for _ in range(200):
        query = parse_spec(random_query(rng))
        compiled = compile_query(query, guide_schema, now=NOW)
        again = compile_query(query, guide_schema, now=NOW)
        assert (compiled.text, compiled.sql_hash) == (again.text, again.sql_hash)
        for statement, _params in (compiled.count(), compiled.sample(7), compiled.explain()):
            assert compiled.text in statement.as_string(None)
        everything = fetch(guide, (compiled.sql, compiled.params))
        rows = fetch(guide, compiled.rows())
        assert fetch(guide, compiled.count()) == [(len(everything),)]
        assert len(fetch(guide, compiled.sample(7))) == min(7, len(everything))
        assert sorted(key for key, _ in rows) == sorted(str(row[0]) for row in everything)
        assert fetch(guide, compiled.explain())[0][0][0]["Plan"]


@pytest.mark.parametrize(
    ("table", "identifier"),
    [("customers", "id"), ("customers", "id::text"), ("conversations", "id"), ("time_logs", "id"), ("users", "email")],
)
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_it_cuts_rows_into_ranges_that_hold_each_row_once(
    guide: Any, guide_schema: SourceSchema, table: str, identifier: str, chunk: int
) -> None:
    data = {"base_table": table, "fields": [{"source": identifier, "target": "external_id"}], "target_type": "tickets"}
    compiled = compile_query(parse_spec(data), guide_schema)
    assert compiled.key is not None
    bounds = [bound for (bound,) in fetch(guide, compiled.boundaries(chunk))]
    edges = [None, *bounds[:-1], None]
    found = [fetch(guide, compiled.rows(lo, hi)) for lo, hi in pairwise(edges)]
    assert sorted(row for rows in found for row in rows) == sorted(fetch(guide, compiled.rows()))
    assert all(len(rows) <= chunk for rows in found)


def test_it_pushes_a_range_down_to_the_index(guide: Any, guide_schema: SourceSchema) -> None:
    compiled = compile_query(parse_spec(customers()), guide_schema)
    query, params = compiled.rows("5", "9")
    guide.execute("SET enable_seqscan = off")
    plan = str(guide.execute(sql.SQL("EXPLAIN ") + query, params).fetchall())
    assert "Index Cond: ((id > 5) AND (id <= 9))" in plan or "Index Cond: ((id > '5'" in plan
    assert [key for key, _ in fetch(guide, (query, params))] == ["6", "7", "8", "9"]


@pytest.mark.parametrize(
    "change",
    [
        {"fields": [{"source": "email", "target": "external_id"}]},
        {"fields": [{"source": "id + 1", "target": "external_id"}]},
        {"fields": [ID], "distinct_on": ["customers.id"]},
        {"fields": [ID], "joins": [{**TAKE, "type": "full"}]},
        {"fields": [ID], "group_by": ["customers.id"]},
    ],
)
def test_it_knows_when_rows_have_no_key(guide_schema: SourceSchema, change: Any) -> None:
    compiled = compile_query(parse_spec(customers(**change)), guide_schema)
    assert compiled.key is None
    with pytest.raises(QueryError):
        compiled.rows("1", "2")


def test_it_reports_a_row_that_is_too_long_by_its_key(guide: Any, guide_schema: SourceSchema) -> None:
    compiled = compile_query(parse_spec(customers(filters=["id = 1"])), guide_schema)
    assert fetch(guide, compiled.rows(max_row_bytes=5)) == [("1", None)]


@pytest.mark.req("F11")
def test_it_narrows_a_query_for_one_run(guide: Any, guide_schema: SourceSchema) -> None:
    query = parse_spec(customers(fields=[ID, {"source": "created_at", "target": "created_at"}]))
    by_date = compile_query(restrict(query, date_from=date(2024, 1, 5), date_to=date(2024, 1, 6)), guide_schema)
    expected = guide.execute(
        "SELECT id, created_at FROM customers WHERE created_at::date BETWEEN '2024-01-05' AND '2024-01-06'"
    )
    assert sorted(fetch(guide, (by_date.sql, by_date.params))) == sorted(expected.fetchall())
    by_id = compile_query(restrict(query, ids=["3", "5"]), guide_schema)
    assert [row[0] for row in fetch(guide, (by_id.sql, by_id.params))] == [3, 5]
    limited = compile_query(restrict(query, limit=4), guide_schema)
    assert fetch(guide, limited.count()) == [(4,)]
    assert limited.key is None
    with pytest.raises(QueryError, match="neither a watermark nor"):
        restrict(parse_spec(customers()), date_from=date(2024, 1, 1))


def test_it_places_a_packs_view_before_the_statement(guide: Any, guide_schema: SourceSchema) -> None:
    view = PackView(
        "people", "SELECT c.id, c.email, c.email LIKE '%@x.com' AS ours, c.id % 2 AS odd FROM public.customers c -- end",
        key="id", key_source="customers.id",
        columns=(Column("id", "integer"), Column("email", "character varying(200)"), Column("ours", "boolean"), Column("odd", "integer")),
    )  # fmt: skip
    data = {
        "base_table": "people", "target_type": "customer_users", "filters": ["odd = 1"],
        "fields": [{"source": "people.id", "target": "external_id"}, {"source": "ours", "target": "ours"}],
        "joins": [{"table": "emails", "on": "emails.customer_id = people.id", "take": {"mode": "first", "order_by": ["emails.id"]}}],
    }  # fmt: skip
    compiled = compile_query(parse_spec(data), guide_schema.with_views([view]))
    assert compiled.text.startswith('WITH "people" AS NOT MATERIALIZED (SELECT')
    assert compiled.key is not None
    bounds = [bound for (bound,) in fetch(guide, compiled.boundaries(25))]
    assert bounds == ["25", "50", "60"]
    rows = [*fetch(guide, compiled.rows(None, "25")), *fetch(guide, compiled.rows("25", None))]
    assert [int(key) for key, _ in rows] == list(range(1, 61, 2))
    older = SourceSchema(guide_schema.tables, (view,), server_version=110000)
    assert "MATERIALIZED" not in compile_query(parse_spec(data), older).text


@pytest.mark.parametrize(
    "text", ["SELECT 1; DROP TABLE canary", "DELETE FROM canary", "SELECT 1 /*", "", "SELECT * INTO x FROM y"]
)
def test_it_refuses_a_view_that_is_not_one_select(guide_schema: SourceSchema, text: str) -> None:
    view = PackView("people", text, columns=(Column("id", "integer"),))
    data = {"base_table": "people", "fields": [{"source": "id", "target": "external_id"}], "target_type": "tickets"}
    with pytest.raises(QueryError, match="cannot be used"):
        compile_query(parse_spec(data), guide_schema.with_views([view]))
