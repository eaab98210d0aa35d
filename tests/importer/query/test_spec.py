"""A query's JSON: every shape of the guides is accepted, wrong ones are named, what is stored comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.errors import ExpressionError, QueryError
from importer.query import nodes, spec
from importer.query.dumping import dump_spec
from importer.query.operators import FILTER_OPERATORS
from importer.query.parsing import parse_spec
from importer.query.rules import check_limits
from tests.thoroughness import rounds

from .strategies import trees

GUIDE: dict[str, Any] = {
    "base_table": "customers",
    "joins": [{"type": "LEFT", "table": "emails", "on": "emails.customer_id = customers.id", "condition": "emails.type = 'work'"}],
    "fields": [
        {"source": "customers.id", "target": "external_id", "transformation": None},
        {"source": "CONCAT(customers.first_name, ' ', customers.last_name)", "target": "name", "transformation": "custom"},
    ],
    "filters": [{"field": "customers.created_at", "operator": ">=", "value": "2024-01-01"}],
    "target_type": "customer_users",
}  # fmt: skip


def problems(data: Any) -> list[Any]:
    with pytest.raises(QueryError) as caught:
        parse_spec(data)
    return caught.value.problems  # type: ignore[attr-defined]


@pytest.mark.req("Q21")
def test_it_accepts_the_guides_example_unchanged() -> None:
    query = parse_spec(GUIDE)
    assert (query.key, query.base.name, query.joins[0].type) == ("customer_users", "customers", "left")
    assert [field.target for field in query.fields] == ["external_id", "name"]


@pytest.mark.req("Q6")
@pytest.mark.parametrize(
    "join",
    [
        {"type": "LEFT JOIN", "table": "emails", "on": "emails.customer_id = customers.id", "condition": "emails.type = 'work'"},
        {"type": "left", "table": "emails", "leftColumn": "customers.id", "rightColumn": "customer_id", "condition": "emails.type = 'work'"},
        {"type": "left", "table": "emails", "left_column": "id", "right_column": "customer_id", "condition": "emails.type = 'work'"},
        {"table": "emails", "conditions": [{"left": "customers.id", "operator": "=", "right": "emails.customer_id"}], "where": "emails.type = 'work'"},
    ],
)  # fmt: skip
def test_it_stores_the_three_forms_of_a_join_alike(join: dict[str, Any]) -> None:
    query = parse_spec({**GUIDE, "joins": [join]})
    assert query.joins == parse_spec(GUIDE).joins
    stored = dump_spec(query)["joins"][0]
    assert stored["on"] == "customers.id = emails.customer_id"
    assert parse_spec({**GUIDE, "joins": [stored]}).joins == query.joins


@pytest.mark.req("Q2", "C8", "F7", "F3")
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"base_table": None}, "base_table"),
        ({"fields": []}, "fields"),
        ({"target_type": ""}, "target_type"),
        ({"joins": [{"table": "emails", "on": "a = b", "codition": "x"}]}, "joins[0].codition"),
        ({"joins": [{"table": "emails", "on": "a = b", "type": "CROSS JOIN LATERAL pg_sleep(9)"}]}, "joins[0].type"),
        ({"joins": [{"table": "emails"}]}, "joins[0].on"),
        ({"fields": [{"source": "id", "targt": "x"}]}, "fields[0].targt"),
        ({"fields": [{"source": "id", "target": "x", "transformation": "uper"}]}, "fields[0].transformation"),
        ({"fields": [{"source": "COALECSE(id)", "target": "x"}]}, "fields[0].source"),
        ({"filters": [{"field": "id", "operator": "= 1 OR 1=1 --", "value": 1}]}, "filters[0].operator"),
        ({"filters": [{"field": "id", "operator": "IN", "value": []}]}, "filters[0].value"),
        ({"filters": [{"field": "id", "operator": "=", "vallue": 1}]}, "filters[0].vallue"),
        ({"filters": {"op": "or", "items": []}}, "filters.items"),
        ({"filters": [{"op": "and", "items": []}]}, "filters[0].items"),
        ({"filters": [{"field": "id", "operator": "~", "value": "(a)\\1"}]}, "filters[0].value"),
        ({"filters": [{"field": "id", "operator": "=", "value": {"relative": "soon"}}]}, "filters[0].value"),
        ({"filters": [{"field": "id", "operator": "=", "value": float("nan")}]}, "filters[0].value"),
        ({"kind": "magic"}, "kind"),
        ({"enabled": "yes"}, "enabled"),
        ({"key": "Not A Slug"}, "key"),
    ],
)
def test_it_names_the_member_that_is_wrong(change: dict[str, Any], path: str) -> None:
    assert path in [problem.path for problem in problems({**GUIDE, **change})]


def test_it_reports_all_problems_at_once() -> None:
    found = problems(
        {**GUIDE, "target_type": "", "fields": [{"source": "(", "target": ""}], "filters": [{"field": ")"}]}
    )
    assert len(found) >= 4


@pytest.mark.parametrize(
    "data",
    [
        [], "x", None, {}, {"base_table": {"__class__": 1}}, {**GUIDE, "fields": [1, None, [], {}]}, {**GUIDE, "joins": 7},
        {**GUIDE, "filters": [[[]]]}, {**GUIDE, "name": "x" * 70_000}, {**GUIDE, "joins": GUIDE["joins"] * 13},
        {**GUIDE, "fields": GUIDE["fields"] * 101}, {**GUIDE, "filters": GUIDE["filters"] * 101},
        {**GUIDE, "filters": json.loads('{"op":"and","items":[' * 200 + "]}" * 200)}, {**GUIDE, "base_table": "\x00"},
    ],
)  # fmt: skip
def test_it_refuses_strange_bodies_without_crashing(data: Any) -> None:
    assert problems(data)


def test_it_takes_the_text_when_a_person_edited_it_beside_a_stored_tree() -> None:
    stored = dump_spec(parse_spec(GUIDE))
    stored["fields"][1]["source"] = "UPPER(customers.first_name)"
    assert parse_spec(stored).fields[1].source == nodes.Call("UPPER", (nodes.Column("first_name", "customers"),))


@pytest.mark.req("F3")
def test_it_cuts_a_text_of_values_at_commas_outside_quotes() -> None:
    found = parse_spec({**GUIDE, "filters": [{"field": "a", "operator": "in", "value": 'a, \'b, c\',"d""" , e'}]})
    assert found.filters.items[0].values == ("a", "b, c", 'd"', "e")  # type: ignore[union-attr]


@pytest.mark.req("M4")
def test_it_reads_several_sources_as_one_text() -> None:
    data = {
        **GUIDE,
        "fields": [{"sources": ["a", "b"], "target": "name", "transformation": "concat", "params": {"separator": "-"}}],
    }
    field = parse_spec(data).fields[0]
    assert (len(field.sources), field.separator, field.transformation) == (2, "-", ())


def _valid(node: nodes.Node) -> bool:
    try:
        check_limits(node)
    except ExpressionError:
        return False
    return True


small = trees.filter(_valid)
names = st.text(alphabet='abcXYZ_ %"', min_size=1, max_size=8)
scalars = st.one_of(st.text(alphabet="ab%'\\", max_size=6), st.integers(-9, 9), st.booleans())


def _condition(operator: str) -> st.SearchStrategy[spec.Condition]:
    counts = {"none": (0, 0), "one": (1, 1), "list": (1, 4), "pair": (2, 2), "unit": (1, 1)}
    low, high = counts[FILTER_OPERATORS[operator].arity]
    unit = "month" if FILTER_OPERATORS[operator].arity == "unit" else ""
    value = scalars | st.just(spec.RelativeDate("-6 months"))
    many = st.lists(value, min_size=low, max_size=high).map(tuple)
    return st.builds(spec.Condition, small, st.just(operator), many, st.just(unit))


operators = st.sampled_from([name for name, found in FILTER_OPERATORS.items() if found.shape != "pattern"])
conditions = operators.flatmap(_condition)
groups = st.recursive(
    st.lists(conditions, max_size=3).map(lambda items: spec.FilterGroup("and", tuple(items))),
    lambda inner: st.builds(
        spec.FilterGroup,
        st.sampled_from(["and", "or", "not"]),
        st.lists(conditions | inner.filter(lambda group: group.items != ()), min_size=1, max_size=2).map(tuple),
    ),
    max_leaves=3,
)
orders = st.lists(
    st.builds(spec.OrderItem, small, st.sampled_from(["asc", "desc"]), st.sampled_from(["", "first"])), max_size=2
).map(tuple)
join_conditions = st.lists(
    st.builds(spec.JoinCondition, small, st.sampled_from(["=", "<"]), small), min_size=1, max_size=2
).map(tuple)
joins = st.builds(
    spec.Join, st.sampled_from(["inner", "left", "right", "full"]), st.builds(spec.TableRef, names, names), join_conditions,
    st.none() | small, st.builds(spec.Take, st.sampled_from(["all", "first"]), orders),
)  # fmt: skip
fields = st.builds(
    spec.Field, names, small, transformation=st.sampled_from([(), (("trim", ()),), (("round", (("n", 2),)), ("upper", ()))]),
    write_rule=st.sampled_from(["overwrite", "never"]), empty_values=st.sampled_from([None, "keep"]),
    reference=st.sampled_from([None, spec.Reference("email", "users", "skip")]),
)  # fmt: skip


@pytest.mark.req("Q6", "Q21")
@settings(max_examples=rounds(150, 37), deadline=None)
@given(
    names,
    st.lists(joins, max_size=2),
    st.lists(fields, min_size=1, max_size=3),
    groups,
    groups,
    st.lists(small, max_size=2),
)
def test_it_reads_back_what_it_stores(base, found_joins, found_fields, filters, having, group_by) -> None:  # type: ignore[no-untyped-def]  # noqa: PLR0917
    aliased = [_with_alias(join, index) for index, join in enumerate(found_joins)]
    query = spec.QuerySpec(
        "k", spec.TableRef(base, "s", "base"), tuple(found_fields), "tickets", entity="k", joins=tuple(aliased), filters=filters,
        having=having, group_by=tuple(group_by), distinct_on=spec.DistinctOn((nodes.Column("a"),)) if group_by else None,
        watermark=spec.Watermark("u", "i"),
    )  # fmt: skip
    stored = json.loads(json.dumps(dump_spec(query)))
    assert parse_spec(stored) == query
    assert dump_spec(parse_spec(stored)) == dump_spec(query)


def _with_alias(join: spec.Join, index: int) -> spec.Join:
    table = spec.TableRef(join.table.name, join.table.schema, f"j{index}")
    return spec.Join(join.type, table, join.conditions, join.where, join.take)


@pytest.mark.req("M4", "M7", "F-055")
def test_transformations_are_written_in_many_ways() -> None:
    def steps(**field: Any) -> tuple[Any, ...]:
        data = {"base_table": "t", "target_type": "accounts", "fields": [{"target": "name", **field}]}
        return parse_spec(data).fields[0].transformation

    for nothing in (None, "direct", "custom", "math", "none", "", []):
        assert steps(source="a", transformation=nothing) == ()
    assert steps(source="a", transformation="Uppercase") == (("upper", ()),)
    assert steps(source="a", transformation="truncate", params={"n": 3}) == (("truncate", (("n", 3),)),)
    assert steps(source="a", transformation={"name": "round", "params": {"n": 1}}) == (("round", (("n", 1),)),)
    assert steps(source="a", transformation=["trim", {"name": "split", "params": {"sep": "@", "n": 2}}]) == (
        ("trim", ()), ("split", (("sep", "@"), ("n", 2))),
    )  # fmt: skip
    cases = [{"when": {"operator": "=", "value": 1}, "then": "open"}]
    assert steps(source="a", transformation="case_when", params={"cases": cases}) == (
        ("case_when", (("cases", cases),)),
    )


@pytest.mark.req("M4")
@pytest.mark.parametrize(
    "field",
    [
        {"sources": ["t.a", "t.b"], "transformation": "concat", "params": {"separator": "-"}},
        {"transformation": "concat", "params": {"parts": ["t.a", "t.b"], "separator": "-"}},
        {"transformation": {"name": "concat", "params": {"parts": ["t.a", "t.b"], "separator": "-"}}},
    ],
)
def test_a_concatenation_names_its_parts_as_sources_or_as_parameters(field: dict[str, Any]) -> None:
    data = {"base_table": "t", "target_type": "accounts", "fields": [{"target": "name", **field}]}
    found = parse_spec(data).fields[0]
    assert ([node.name for node in found.sources], found.separator, found.transformation) == (["a", "b"], "-", ())
    assert parse_spec(dump_spec(parse_spec(data))) == parse_spec(data)
