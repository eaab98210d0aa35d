"""What a query is told before it reaches its source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from importer.query.parsing import parse_spec
from importer.query.validation import complexity, performance, validate
from importer.sources.schema import SourceSchema

from .test_compiler import ID, TAKE, customers

TARGETS = {"external_id", "name", "email", "created_at", "first_name", "last_name"}


def codes(schema: SourceSchema, **change: Any) -> set[tuple[str, str]]:
    found = validate(parse_spec(customers(**change)), schema, target_fields=TARGETS, must_map={"external_id", "name"})
    return {(problem.code, problem.path) for problem in found}


@pytest.mark.req("Q31", "Q7", "Q9", "Q22", "F1", "M9")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("no_filter", "filters")),
        ({}, ("unmapped_required", "fields")),
        ({"joins": [TAKE]}, ("unused_join", "joins[0]")),
        ({"joins": [{**TAKE, "alias": f"e{n}", "on": f"e{n}.customer_id = customers.id"} for n in range(4)]}, ("many_joins", "joins")),
        ({"joins": [TAKE], "fields": [{"source": "email", "target": "email"}]}, ("ambiguous_name", "fields[0].source")),
        ({"fields": [{"source": "email", "target": "email"}]}, ("missing_external_id", "source_identifier")),
        ({"fields": [ID, ID]}, ("duplicate_target", "fields[1].target")),
        ({"fields": [{"source": "id", "target": "emial"}]}, ("unknown_target", "fields[0].target")),
        ({"fields": [{"source": "created_at", "target": "created_at"}]}, ("naive_timestamp", "fields[0].source")),
        ({"fields": [{"source": "emial", "target": "email"}]}, ("unknown_column", "fields[0].source")),
        ({"fields": [{"source": "customers", "target": "email"}]}, ("unknown_column", "fields[0].source")),
        ({"fields": [{"source": "COUNT(*)", "target": "email"}]}, ("aggregate_misplaced", "fields[0].source")),
        ({"filters": ["email = id"]}, ("type_mismatch", "filters[0].field")),
        ({"filters": [{"field": "id", "operator": ">", "value": "abc"}]}, ("bad_value", "filters[0].value")),
        ({"filters": [{"field": "born", "operator": ">", "value": "2024-02-31"}]}, ("bad_value", "filters[0].value")),
        ({"group_by": ["status"]}, ("group_by_rule", "fields[0].source")),
        ({"having": ["id > 1"]}, ("group_by_rule", "having")),
        ({"joins": [{**TAKE, "take": {"mode": "first"}}]}, ("joins[0].take.order_by",)),
        ({"base_table": "custmers"}, ("unknown_table", "base_table")),
    ],
)  # fmt: skip
def test_it_reports(guide_schema: SourceSchema, change: Any, expected: tuple[str, ...]) -> None:
    found = codes(guide_schema, **change)
    assert expected in found if len(expected) == 2 else expected[0] in {path for _, path in found}


@pytest.mark.req("Q31")
def test_it_warns_of_a_join_to_a_large_table_without_index(guide_schema: SourceSchema) -> None:
    tables = tuple(
        replace(table, row_estimate=2_000_000, indexes=(), unique_keys=()) if table.name == "emails" else table
        for table in guide_schema.tables
    )
    assert ("unindexed_join", "joins[0]") in codes(replace(guide_schema, tables=tables), joins=[TAKE])
    assert "unindexed_join" not in {code for code, _ in codes(guide_schema, joins=[TAKE])}


@pytest.mark.req("Q31", "M9")
def test_fields_that_stand_in_for_a_missing_one_are_enough(guide_schema: SourceSchema) -> None:
    spec = parse_spec(customers(fields=[ID, {"source": "born", "target": "ended_at"}]))
    options = {"target_fields": (), "must_map": ("duration",)}
    with_end = validate(spec, guide_schema, **options, alternatives={"duration": [("ended_at",)]})
    assert "unmapped_required" in {problem.code for problem in validate(spec, guide_schema, **options)}
    assert "unmapped_required" not in {problem.code for problem in with_end}


def test_it_puts_errors_before_warnings(guide_schema: SourceSchema) -> None:
    found = validate(parse_spec(customers(fields=[ID, ID])), guide_schema, target_fields=(), must_map=("email",))
    assert [problem.is_error for problem in found] == sorted((problem.is_error for problem in found), reverse=True)


@pytest.mark.req("Q18")
def test_it_weighs_a_query() -> None:
    assert complexity(parse_spec(customers())) == "simple"
    assert complexity(parse_spec(customers(joins=[TAKE, TAKE]))) == "moderate"
    assert complexity(parse_spec(customers(joins=[TAKE] * 5))) == "complex"
    assert [performance(rows) for rows in (10_000, 10_001, 100_001)] == ["fast", "moderate", "slow"]
