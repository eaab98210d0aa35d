"""Hostile texts, in every place of a query that takes one, have no effect on a source read as a superuser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from importer.errors import ExpressionError, QueryError
from importer.query.compiler import compile_query
from importer.query.expressions import check, parse
from importer.query.parsing import parse_spec
from importer.sources.schema import SourceSchema

from .conftest import CUSTOMERS, fetch, read_schema, select_customers

SHARED = Path(__file__).resolve().parents[4] / "shared" / "security" / "hostile_expressions.json"
GUIDES = [item["expression"] for item in json.loads(SHARED.read_text())] if SHARED.exists() else []

OWN = [
    "1; DROP TABLE canary", "(SELECT pw FROM secret_table)", "pg_sleep(1)", '"pg_sleep"(1)', "pg_catalog.lower('A')",
    'U&"pg_\\0073leep"(1)', "customers.leak", "customers::text", "CONCAT(customers)", "customers.*", "(customers).leak",
    "customers.ctid", "tableoid", "current_user", "version()", "CONCAT(VARIADIC ARRAY['a'])", "1 --", "1 /* */",
    "$$x$$", "E'\\''", "'unclosed", '"unclosed', "repeat('x', 500000000)", "lpad(email, 100000000)",
    "lpad(email, id)", "to_char(id, lpad('9', 9999, '9'))", "regexp_replace(email, '(x)\\1', '')", "email ~ '(a)\\1'",
    "email ~ email", "replace(email, '', email)", "concat(concat(concat(email)))",
    "replace(replace(replace(email,'a','bb'),'b','cc'),'c','dd')", "1e999", "1" * 40, "x'41'", "id::regclass",
    "'pg_class'::regclass", "id::money", "email::bytea", "email COLLATE \"C\"", "ROW(1)", "ARRAY[1]", "id[1]",
    "COUNT(*)", "SUM(id) OVER ()", "string_agg(email, ',')", "EXISTS (SELECT 1)", "id = ANY (SELECT 1)",
    "interval '1' day", "OVERLAY(email PLACING 'a' FROM 1)", "xmlparse(document '<a/>')", "nextval('s')",
    "set_config('a','b',false)", "lo_import('/etc/passwd')", "dblink('','')", "query_to_xml('select 1',true,true,'')",
    "generate_series(1, 10)", "unnest(tags)", "json_populate_record(null::customers, '{}')", "id OPERATOR(public.=) id",
    "id operator(pg_catalog.=) id", "email SIMILAR TO 'a'", "id <=> 1", "id ! 1", "@id", "|/ id", "id # 1", ":name", "?",
    "%s", "%(p0)s", "'%(p0)s'", "'%s%%'", "{x}", "\x00", "'\x00'", "'\ud800'", "\ufeff1", "id\u00a0= 1", "\uff49\uff44", "''''",
    "NOT " * 5000 + "TRUE", "-" * 5000 + "1", "- " * 3000 + "1", "(" * 3000 + "1" + ")" * 3000, "CASE WHEN " * 800,
    "id" + " + id" * 900, "true not", "not", "in", "case", "case when", "case end", "cast(", "cast(1 as", "extract(",
    "trim(", "position(", "a.b.c.d", "a.", ".a", "1.", "1.2.3", "is", "between", "1 between", "1 in ()", "1 in (", "",
    " ", "null null", "date", "date ''", "timestamp 'x", "interval", "''::", "1::numeric(1001)", "1::numeric(2,5)",
    "1::varchar(0)", "EXTRACT('epoch' FROM created_at)", "DATE_TRUNC(email, created_at)", "id = id = id",
    "id in (1) in (2)", "x(", "x)", "lower(email).x", "lower (email) over ()", "count(distinct)", "count(*) filter",
]  # fmt: skip

ALL = list(dict.fromkeys([*OWN, *GUIDES]))
BASE: dict[str, Any] = {
    "base_table": "customers",
    "fields": [{"source": "customers.id", "target": "external_id"}],
    "target_type": "customer_users",
}
JOIN = {"type": "LEFT", "table": "emails", "on": "emails.customer_id = customers.id"}
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "field": lambda text: {**BASE, "fields": [{"source": text, "target": "a"}, *BASE["fields"]]},
    "sources": lambda text: {**BASE, "fields": [{"sources": ["customers.email", text], "target": "a"}, *BASE["fields"]]},
    "target": lambda text: {**BASE, "fields": [{"source": "id", "target": text}, *BASE["fields"]]},
    "on": lambda text: {**BASE, "joins": [{**JOIN, "on": text}]},
    "condition": lambda text: {**BASE, "joins": [{**JOIN, "condition": text}]},
    "column": lambda text: {**BASE, "joins": [{"table": "emails", "leftColumn": text, "rightColumn": "customer_id"}]},
    "table": lambda text: {**BASE, "joins": [{**JOIN, "table": text}]},
    "alias": lambda text: {**BASE, "joins": [{"table": "emails", "alias": text, "leftColumn": "id", "rightColumn": "id"}]},
    "filter field": lambda text: {**BASE, "filters": [{"field": text, "operator": "=", "value": "1"}]},
    "filter operator": lambda text: {**BASE, "filters": [{"field": "id", "operator": text, "value": "1"}]},
    "filter value": lambda text: {**BASE, "filters": [{"field": "email", "operator": "=", "value": text}]},
    "filter list": lambda text: {**BASE, "filters": [{"field": "email", "operator": "IN", "value": text}]},
    "filter pattern": lambda text: {**BASE, "filters": [{"field": "email", "operator": "contains", "value": text}]},
    "filter regex": lambda text: {**BASE, "filters": [{"field": "email", "operator": "~", "value": text}]},
    "filter text": lambda text: {**BASE, "filters": [text]},
    "having": lambda text: {**BASE, "group_by": ["customers.id"], "having": [{"field": text, "operator": "IS NOT NULL"}]},
    "group_by": lambda text: {**BASE, "group_by": ["customers.id", text]},
    "distinct_on": lambda text: {**BASE, "distinct_on": {"columns": ["customers.id"], "order_by": [text]}},
    "take order": lambda text: {**BASE, "joins": [{**JOIN, "take": {"mode": "first", "order_by": [text]}}]},
}  # fmt: skip


@pytest.fixture(scope="module")
def trojan_schema(trojan_url: str) -> SourceSchema:
    """The forbidden tables are not in the map: whoever reads them got around it."""
    schema = read_schema(trojan_url)
    return SourceSchema(tuple(table for table in schema.tables if table.name not in ("secret_table", "canary")))


@pytest.mark.req("Q28")
@pytest.mark.parametrize("place", PLACES)
def test_it_has_no_effect_wherever_a_text_is_taken(trojan_url: str, trojan_schema: SourceSchema, place: str) -> None:
    accepted = 0
    with psycopg.connect(trojan_url, autocommit=True) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,)
        connection.execute("SET search_path = public, pg_catalog")
        connection.execute("SET statement_timeout = '4s'")
        notices: list[str] = []
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        for text in ALL:
            try:
                compiled = compile_query(parse_spec(PLACES[place](text)), trojan_schema)
            except QueryError:
                continue
            accepted += 1
            for setting in ("on", "off"):
                connection.execute(f"SET standard_conforming_strings = {setting}")
                _run_and_look(connection, compiled.rows(), text)
        assert connection.execute("SELECT * FROM canary").fetchall() == [("alive",)]
        assert notices == []
    assert accepted < len(ALL)


def _run_and_look(connection: psycopg.Connection[Any], statement: Any, text: str) -> None:
    started = time.monotonic()
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            rows = connection.execute(*statement, prepare=True).fetchall()
    except (psycopg.errors.QueryCanceled, psycopg.errors.ReadOnlySqlTransaction):
        pytest.fail(f"a timeout or a write: {text}")
    except psycopg.Error as error:
        answer = str(error)  # A type that does not fit is a fine answer; a trojan that spoke is not.
    else:
        answer = str(rows)
    assert not any(word in answer for word in ("TROJAN", "TOPSECRET", "root:")), text
    assert time.monotonic() - started < 0.8, text


@pytest.mark.req("Q28")
@pytest.mark.parametrize("text", ALL)
def test_it_is_refused_with_a_place_or_means_only_columns_and_values(text: str) -> None:
    try:
        node = parse(text)
    except ExpressionError as error:
        refused = error
    else:
        assert all(problem.message for problem in check(node, CUSTOMERS))
        return
    assert refused.code == "expression_rejected"
    assert 0 <= refused.position <= len(text)
    assert refused.message


@pytest.mark.req("Q28")
@pytest.mark.parametrize(
    ("text", "suggestion", "position"),
    [("COALECSE(email, '')", "COALESCE", 0), ("1 + UPER(email)", "UPPER", 4), ("id::intger", "integer", 4)],
)
def test_it_names_the_nearest_allowed_word(text: str, suggestion: str, position: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert (caught.value.suggestion, caught.value.position) == (suggestion, position)
    assert f"Did you mean {suggestion}?" in str(caught.value)


@pytest.mark.req("Q28")
@pytest.mark.parametrize(
    "text",
    [
        "SELECT",
        "lower(email) || (SELECT 1)",
        "email; x",
        "a -- b",
        "x OVER ()",
        "id::regclass",
        "LOWER()",
        "LEFT(email)",
    ],
)
def test_it_refuses_what_is_outside_the_language(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


@pytest.mark.req("Q28")
def test_it_bounds_what_growing_functions_can_make(guide: psycopg.Connection[Any]) -> None:
    text = f"replace(replace('{'a' * 1700}', 'a', '{'a' * 100}'), 'a', '{'b' * 100}')"
    started = time.monotonic()
    found = fetch(guide, select_customers(parse(f"LENGTH({text})")))
    assert int(found[0][0]) <= 10_000_000
    assert time.monotonic() - started < 4
