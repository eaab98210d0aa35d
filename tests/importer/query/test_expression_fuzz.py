"""Whatever a person writes: only ExpressionError leaves the parser, and only allowed objects reach PostgreSQL."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from importer.errors import ExpressionError
from importer.query.expressions import check, from_json, parse, render, to_json
from importer.query.functions import FUNCTIONS
from importer.query.lexer import OPERATORS
from importer.query.nodes import Node
from importer.query.rules import check_limits
from importer.query.words import RESERVED
from tests.thoroughness import rounds

from .conftest import CUSTOMERS, select_customers
from .strategies import trees

WORDS = [
    *OPERATORS, *sorted(RESERVED), *FUNCTIONS, "id", "email", "customers.", "1", "2.5", "'a'", "''", '"email"', "DATE",
    "INTERVAL", "TIMESTAMP", "AT", "TIME", "ZONE", "text", "integer", "numeric(1,2)", ";", "--", "/*", "$", "'", '"', " ",
]  # fmt: skip
soup = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["node", "name", "operand", "items", "operator", "left", "right", "value", "x"]), inner, max_size=5
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.req("Q28")
@settings(max_examples=rounds(2000, 500), deadline=None)
@given(st.one_of(st.text(max_size=200), soup))
@example("true not")
def test_it_lets_only_its_own_error_out(text: str) -> None:
    try:
        node = parse(text)
    except ExpressionError:
        return
    assert parse(render(node)) == node


@pytest.mark.req("Q28")
@settings(max_examples=rounds(500, 125), deadline=None)
@given(json_values)
def test_it_trusts_no_stored_tree(data: Any) -> None:
    try:
        node = from_json(data)
    except ExpressionError:
        return
    check_limits(node)


@pytest.mark.req("Q28")
@settings(max_examples=rounds(300, 75), deadline=None)
@given(trees, st.data())
def test_it_refuses_a_damaged_tree_or_reads_a_valid_one(tree: Node, data: st.DataObject) -> None:
    stored = json.loads(json.dumps(to_json(tree)))
    key = data.draw(st.sampled_from(sorted(stored)))
    stored[key] = data.draw(json_values)
    try:
        node = from_json(stored)
    except ExpressionError:
        return
    render(node)


@pytest.mark.req("Q27")
@settings(max_examples=rounds(500, 125), deadline=None)
@given(trees)
def test_it_renders_every_tree_so_that_it_parses_back(tree: Node) -> None:
    try:
        check_limits(tree)
    except ExpressionError:
        assume(False)
    text = render(tree)
    assume(len(text) <= 4000)
    assert parse(text) == tree
    assert from_json(to_json(tree)) == tree


@pytest.mark.req("Q27", "Q28")
@settings(max_examples=rounds(400, 100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_it_refers_to_nothing_but_the_permitted_columns(trojan_url: str, tree: Node) -> None:
    """A view made of the statement: built-in objects are not recorded, so any function or operator is a breach."""
    try:
        check_limits(tree)
    except ExpressionError:
        return
    if any(problem.code != "type_mismatch" for problem in check(tree, CUSTOMERS)):
        return
    query, params = select_customers(tree)
    with psycopg.connect(trojan_url) as connection:
        connection.execute("SET search_path = public, pg_catalog")
        # psycopg's own literals stand for the bound values: they are its business, not ours.
        inlined = query.as_string(connection)
        for name in params:
            inlined = inlined.replace(f"%({name})s", f"\x01{name}\x01")
        inlined = inlined.replace("%%", "%")
        for name, value in params.items():
            inlined = inlined.replace(f"\x01{name}\x01", sql.Literal(value).as_string(connection))
        try:
            connection.execute(f"CREATE TEMP VIEW v AS {inlined}".encode())
        except psycopg.Error:
            return  # Types that do not fit each other.
        found = connection.execute(
            "SELECT DISTINCT d.refclassid::regclass::text, d.refobjid::regclass::text FROM pg_depend d "
            "JOIN pg_rewrite r ON r.oid = d.objid WHERE r.ev_class = 'v'::regclass AND d.deptype = 'n' "
            "AND d.classid = 'pg_rewrite'::regclass"
        ).fetchall()
        assert set(found) <= {("pg_class", "customers"), ("pg_class", "v")}
