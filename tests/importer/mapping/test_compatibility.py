"""Whether a column's type fits a field is known before anything runs (M11)."""

from __future__ import annotations

import pytest

from importer.mapping.compatibility import empty_counts, judge, type_problems
from importer.query.parsing import parse_spec
from servicevault import catalog


@pytest.mark.req("M11")
@pytest.mark.parametrize(
    ("target", "field", "source_type", "level", "transformation"),
    [
        ("accounts", "name", "character varying(80)", "compatible", ""),
        ("accounts", "name", "integer", "compatible", ""),
        ("accounts", "name", "bytea", "incompatible", ""),
        ("accounts", "notes", "jsonb", "convertible", ""),
        ("accounts", "is_active", "integer", "convertible", "boolean"),
        ("accounts", "is_active", "boolean", "compatible", ""),
        ("accounts", "is_active", "timestamp with time zone", "incompatible", ""),
        ("accounts", "created_at", "timestamp(0) without time zone", "compatible", ""),
        ("accounts", "created_at", "text", "convertible", "datetime"),
        ("accounts", "created_at", "integer", "incompatible", ""),
        ("tickets", "status", "smallint", "convertible", "map"),
        ("tickets", "status", "jsonb", "incompatible", ""),
        ("tickets", "estimated_hours", "text", "convertible", "number"),
        ("tickets", "customer_external_id", "uuid", "compatible", ""),
        ("tickets", "customer_external_id", "boolean", "incompatible", ""),
        ("tickets", "tags", "text[]", "compatible", ""),
        ("tickets", "tags", "integer", "incompatible", ""),
        ("time_entries", "duration", "interval", "convertible", "duration"),
        ("time_entries", "duration", "boolean", "incompatible", ""),
        ("customer_users", "email", "public.citext", "compatible", ""),
        ("customer_users", "email", "integer", "incompatible", ""),
    ],
)
def test_it_judges_a_type(target: str, field: str, source_type: str, level: str, transformation: str) -> None:
    found = catalog.get(target).field(field)
    assert found is not None
    fit = judge(source_type, found)
    assert (fit.level, fit.transformation) == (level, transformation)
    assert bool(fit.reason) is (level != "compatible")


@pytest.mark.req("M11", "Q31", "M16")
def test_it_names_the_field_the_transformation_and_the_empty_rows() -> None:
    fields = [
        {"source": "t.id", "target": "external_id"}, {"source": "t.spent", "target": "duration"},
        {"source": "t.began", "target": "started_at"}, {"source": "t.paid", "target": "billable", "transformation": "boolean"},
        {"source": "t.kind", "target": "status"},
    ]  # fmt: skip
    spec = parse_spec({"base_table": "t", "target_type": "time_entries", "fields": fields})
    types = {
        "external_id": "integer",
        "duration": "text",
        "started_at": "boolean",
        "billable": "text",
        "status": "integer",
    }
    found = type_problems(spec, types, empty={"duration": 3, "billable": 4}, sampled=50)
    assert [(item.path, item.code, item.severity) for item in found] == [
        ("fields[1]", "type_mismatch", "warning"),
        ("fields[1]", "required_empty", "warning"),
        ("fields[2]", "type_mismatch", "error"),
        ("fields[4]", "type_mismatch", "warning"),
    ]
    assert "“duration”" in found[0].hint
    assert "3 of 50" in found[1].message
    mapped = parse_spec(
        {"base_table": "t", "target_type": "time_entries", "fields": fields, "value_maps": {"status": {"1": "pending"}}}
    )
    assert [item.path for item in type_problems(mapped, types)] == ["fields[1]", "fields[2]"]


def test_it_counts_the_empty_values_of_a_sample() -> None:
    assert empty_counts(["a", "b"], [(None, 0), (" ", False), ("x", "")]) == {"a": 2, "b": 1}
