"""A built query as SQL to go on with: it passes as a person's text, and reads the same rows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from importer.query.compiler import compile_query
from importer.query.functions import FUNCTIONS
from importer.query.parsing import parse_spec
from importer.query.plain_sql import as_sql, frozen_dates, text_of
from importer.query.raw import ALLOWED_FUNCTIONS, read_raw
from importer.query.spec import QuerySpec
from importer.sources.schema import Column, PackView, SourceSchema

from .conftest import fetch
from .test_compiler import NOW, customers, random_query
from .test_spec import GUIDE


def same_rows(guide: Any, schema: SourceSchema, spec: QuerySpec) -> QuerySpec:
    """The query as SQL, after both forms gave the same rows in the same columns."""
    compiled = compile_query(spec, schema, now=NOW)
    written = as_sql(spec, compiled)
    again = compile_query(written, schema, now=NOW)
    assert again.columns == compiled.columns
    rows = fetch(guide, (compiled.sql, compiled.params))
    assert sorted(fetch(guide, (again.sql, again.params)), key=str) == sorted(rows, key=str)
    return written


@pytest.mark.req("Q25")
def test_it_is_written_in_lines_without_our_prefixes(guide_schema: SourceSchema) -> None:
    text, texts = text_of(compile_query(parse_spec(GUIDE), guide_schema))
    assert texts == {}
    assert text == (
        "SELECT\n"
        '  "t0"."id" AS "external_id",\n'
        '  left(concat("t0"."first_name", (:p0)::text, "t0"."last_name"), 10000000) AS "name"\n'
        'FROM "public"."customers" AS "t0"\n'
        'LEFT JOIN "public"."emails" AS "t1" ON ("t0"."id" = "t1"."customer_id")\n'
        '  AND ("t1"."type" = :p1)\n'
        'WHERE (("t0"."created_at" >= :p2))'
    )


@pytest.mark.req("Q25", "Q17")
def test_it_reads_the_same_rows(guide: Any, guide_schema: SourceSchema) -> None:
    rng = random.Random(25)
    for _ in range(60):
        same_rows(guide, guide_schema, parse_spec(random_query(rng)))


@pytest.mark.req("Q25")
def test_it_keeps_groups_first_rows_and_percent_signs(guide: Any, guide_schema: SourceSchema) -> None:
    grouped = customers(
        fields=[
            {"source": "customers.status % 2", "target": "external_id"},
            {"source": "COUNT(*)", "target": "custom_fields.100%"},
        ],
        group_by=["customers.status % 2"],
        having=[{"field": "COUNT(*)", "operator": ">", "value": 1}],
    )
    first = customers(distinct_on={"columns": ["customers.company"], "order_by": ["customers.id DESC"]})
    for body in (grouped, first):
        written = same_rows(guide, guide_schema, parse_spec(body))
        assert (written.group_by, written.having.items, written.distinct_on) == ((), (), None)


def test_it_takes_the_view_of_a_pack_along(guide: Any, guide_schema: SourceSchema) -> None:
    view = PackView(
        "people", "SELECT c.id, c.email, regexp_replace('it''s 5%' || c.id, '\\d+$', '#\\&''%') AS note /* here */ FROM public.customers c -- it's the end",
        key="id", columns=(Column("id", "integer"), Column("email", "text"), Column("note", "text")),
    )  # fmt: skip
    body = {
        "base_table": "people",
        "target_type": "customer_users",
        "fields": [{"source": "id", "target": "external_id"}, {"source": "note", "target": "name"}],
    }
    written = same_rows(guide, guide_schema.with_views([view]), parse_spec(body))
    assert "it''s 5%" in written.sql
    assert dict(written.params) == {"text1": "\\d+$", "text2": "#\\&'%"}
    assert not read_raw(written.sql, dict(written.params)).problems


@pytest.mark.req("Q25")
def test_its_fields_keep_everything_but_their_source(guide_schema: SourceSchema) -> None:
    body = customers(
        fields=[
            {"source": "customers.id", "target": "external_id"},
            {"sources": ["customers.first_name", "customers.last_name"], "target": "name", "transformation": ["concat", "trim"],
             "write_rule": "if_empty", "validations": ["required"]},
        ],
        value_maps={"status": {"1": "open"}},
        watermark={"updated_at": "customers.updated_at"},
        filters=[{"field": "customers.created_at", "operator": ">=", "value": {"relative": "-6 months"}}],
    )  # fmt: skip
    spec = parse_spec(body)
    written = as_sql(spec, compile_query(spec, guide_schema, now=NOW))
    name = written.fields[1]
    assert (name.source, name.sources) == (parse_spec({**body, "fields": ["name"]}).fields[0].source, ())
    assert (name.transformation, name.write_rule, name.validations) == (
        spec.fields[1].transformation, "if_empty", spec.fields[1].validations,
    )  # fmt: skip
    assert dict(written.value_maps) == {"status": {"1": "open"}}
    assert written.watermark is None  # the text does not give the column
    assert frozen_dates(spec) == ["-6 months"]


def test_it_may_call_whatever_the_language_may_call() -> None:
    needed = {function.sql or function.name.lower() for function in FUNCTIONS.values()} | {"left", "timezone"}
    assert needed <= ALLOWED_FUNCTIONS


@pytest.mark.req("Q10", "Q24")
@pytest.mark.parametrize(
    ("text", "params", "wrong"),
    [
        ("SELECT id AS external_id,\n  nmae AS name FROM customers", {}, "nmae"),
        ("SELECT id AS external_id FROM customers WHERE company = :a AND company <> :longer AND nope = 1",
         {"a": "x", "longer": "y"}, "nope"),
        ("SELECT id AS external_id FROM custommers WHERE id % 2 = :one", {"one": "1"}, "custommers"),
    ],
)  # fmt: skip
def test_an_error_of_the_source_is_placed_in_the_text(
    guide: Any, guide_schema: SourceSchema, text: str, params: dict[str, str], wrong: str
) -> None:
    spec = replace(
        parse_spec({"kind": "sql", "sql": text, "params": params, "target_type": "customer_users",
                    "fields": [{"source": "UPPER('é')", "target": "name"}, {"source": "external_id", "target": "external_id"}]}),
        source_identifier="external_id",
    )  # fmt: skip
    compiled = compile_query(spec, guide_schema)
    with pytest.raises(psycopg.errors.Error) as refused:
        fetch(guide, (compiled.sql, compiled.params))
    position = int(refused.value.diag.statement_position)
    assert compiled.place_in_raw(position) == text.index(wrong)
