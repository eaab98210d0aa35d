"""What a source answers about a query, through the real read-only session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from importer.errors import QueryError
from importer.query import preview as previews
from importer.query.compiler import compile_query
from importer.query.parsing import parse_spec
from importer.sources.hosts import HostPolicy
from importer.sources.params import ConnectionParams, SourceLimits
from importer.sources.schema import SourceSchema
from importer.sources.session import SourceSession, open_session

from .test_compiler import ID, TAKE, customers
from .test_raw import raw


@pytest.fixture
def session(guide_url: str) -> Iterator[SourceSession]:
    params, _ = ConnectionParams.from_url(guide_url)
    limits = SourceLimits(allow_privileged=True)
    policy = HostPolicy(allow_loopback=True)
    with open_session(
        params, policy=policy, limits=limits, application_name="service-vault/test", search_schemas=("public",)
    ) as opened:
        yield opened


def compiled(schema: SourceSchema, data: dict[str, Any]) -> Any:
    return compile_query(parse_spec(data), schema)


@pytest.mark.req("Q13", "Q14")
def test_it_shows_the_first_rows_with_their_types(session: SourceSession, guide_schema: SourceSchema) -> None:
    fields = [ID, {"source": "CASE WHEN id > 0 THEN 'LIMIT 1' END", "target": "credit_limit"}]
    found = previews.preview(session, compiled(guide_schema, customers(fields=fields)), 3)
    assert found.columns == (("external_id", "integer"), ("credit_limit", "text"))
    assert len(found.rows) == 3
    with pytest.raises(QueryError):
        previews.preview(session, compiled(guide_schema, customers()), 101)


@pytest.mark.req("Q12")
def test_it_counts_exactly_when_there_is_time(session: SourceSession, guide_schema: SourceSchema) -> None:
    assert previews.count(session, compiled(guide_schema, customers())) == previews.Count(60, exact=True)


@pytest.mark.req("Q12")
def test_it_estimates_when_counting_takes_too_long(session: SourceSession, guide_schema: SourceSchema) -> None:
    joins = [{"table": "conversations", "alias": f"c{n}", "on": f"c{n}.id <> customers.id"} for n in range(4)]
    found = previews.count(session, compiled(guide_schema, customers(joins=joins)), 0.3)
    assert not found.exact
    assert found.rows > 1_000_000


@pytest.mark.req("Q10")
def test_it_tells_what_the_source_does_not_accept(session: SourceSession, guide_schema: SourceSchema) -> None:
    assert previews.validate_on_source(session, compiled(guide_schema, customers())) == []
    places = {
        "fields[1].source": {"fields": [ID, {"source": "LOWER(id) || '%'", "target": "x"}]},
        "filters[1]": {"filters": ["email LIKE '%'", "LOWER(id) = 'x'"]},
        "filters[0].items[1]": {"filters": [{"op": "or", "items": ["id = 1", "born || 1 = 2"]}]},
        "joins[0]": {"joins": [{**TAKE, "condition": "emails.id ->> 'x' = 'y'"}]},
    }
    for path, change in places.items():
        found = previews.validate_on_source(session, compiled(guide_schema, customers(**change)))
        assert [problem.path for problem in found if problem.is_error] == [path]
    assert previews.validate_on_source(session, compiled(guide_schema, customers())) == []


@pytest.mark.req("Q31")
def test_it_finds_external_ids_that_repeat_or_are_missing(session: SourceSession, guide_schema: SourceSchema) -> None:
    repeated = compiled(guide_schema, customers(joins=[TAKE]))
    missing = compiled(guide_schema, customers(fields=[{"source": "last_name", "target": "external_id"}]))
    assert [found.code for found in previews.check_identifier(session, repeated)] == ["non_unique_external_id"]
    assert "missing_external_id" in [found.code for found in previews.check_identifier(session, missing)]
    assert previews.check_identifier(session, compiled(guide_schema, customers())) == []


@pytest.mark.req("Q16")
def test_it_tells_what_a_join_does(session: SourceSession, guide_url: str, guide_schema: SourceSchema) -> None:
    found = previews.analyze_joins(session, parse_spec(customers(joins=[TAKE])), guide_schema)[0]
    with psycopg.connect(guide_url) as connection:
        row = connection.execute(
            "SELECT count(DISTINCT c.id) FILTER (WHERE e.id IS NOT NULL), count(DISTINCT c.id) FILTER (WHERE e.id IS NULL), "
            "count(*) FROM customers c LEFT JOIN emails e ON e.customer_id = c.id"
        ).fetchone()
    assert row is not None
    assert (found.matched_records, found.unmatched_records, found.fan_out) == (row[0], row[1], round(row[2] / 60, 2))
    assert (found.multiplicity, found.impact) == ("1:n", "low")


@pytest.mark.req("Q37")
def test_it_counts_after_each_step(session: SourceSession, guide_schema: SourceSchema) -> None:
    data = customers(
        joins=[{**TAKE, "take": {"mode": "first", "order_by": ["emails.id"]}}], filters=["customers.id <= 10"]
    )
    assert previews.steps(session, parse_spec(data), guide_schema) == [60, 60, 10]


@pytest.mark.req("Q24")
def test_it_learns_the_columns_of_a_raw_star(session: SourceSession, guide_schema: SourceSchema) -> None:
    query = compiled(guide_schema, raw("SELECT id AS external_id, u.* FROM users u"))
    assert query.columns == ()
    assert previews.columns_on_source(session, query).columns == ("external_id", "id", "name", "email")


def test_it_streams_the_rows_of_a_range(session: SourceSession, guide_schema: SourceSchema) -> None:
    query = compiled(guide_schema, customers())
    assert len(list(session.stream(*query.rows("10", "20"), size=4))) == 10
    assert [bound for (bound,) in session.fetch_all(*query.boundaries(30))] == ["30", "60"]


@pytest.mark.req("Q16")
def test_a_join_that_drops_some_and_multiplies_others_is_one_to_many(
    session: SourceSession, guide_schema: SourceSchema
) -> None:
    kinds = {}
    for kind in ("inner", "left", "right", "full"):
        data = customers(joins=[{**TAKE, "type": kind, "condition": "emails.id < 60"}])
        kinds[kind] = previews.analyze_joins(session, parse_spec(data), guide_schema)[0]
    # 59 addresses of 50 customers: the ten customers without one make the inner join smaller than what was there.
    assert {kind: found.multiplicity for kind, found in kinds.items()} == dict.fromkeys(kinds, "1:n")
    assert {(found.matched_records, found.unmatched_records) for found in kinds.values()} == {(50, 10)}
    assert kinds["inner"].fan_out < 1
    single = customers(joins=[{"table": "users", "on": "users.id = customers.id", "type": "full"}])
    assert previews.analyze_joins(session, parse_spec(single), guide_schema)[0].multiplicity == "1:1"


@pytest.mark.req("Q31")
def test_it_warns_of_a_join_that_multiplies_rows(session: SourceSession, guide_schema: SourceSchema) -> None:
    def warned(**change: Any) -> list[tuple[str, str]]:
        found = previews.check_fan_out(session, parse_spec(customers(**change)), guide_schema)
        assert all(problem.code == "possible_fan_out" and not problem.is_error for problem in found)
        return [(problem.path, problem.message) for problem in found]

    unique = {"table": "users", "on": "users.id = customers.id"}
    assert warned(joins=[TAKE]) == [("joins[0]", "The join with `emails` makes 1.50 rows of one.")]
    assert warned(joins=[unique, TAKE])[0][0] == "joins[1]"
    assert warned(joins=[unique]) == []
    assert warned(joins=[{**TAKE, "take": {"mode": "first", "order_by": ["emails.id"]}}]) == []
    assert warned(joins=[TAKE], distinct_on=["customers.id"]) == []


@pytest.mark.req("Q37")
def test_a_query_that_folds_rows_counts_before_and_after(session: SourceSession, guide_schema: SourceSchema) -> None:
    fields = [{"source": "company", "target": "external_id"}, {"source": "COUNT(*)", "target": "n"}]
    data = customers(fields=fields, group_by=["company"], filters=["customers.id <= 10"])
    assert previews.steps(session, parse_spec(data), guide_schema) == [60, 10, 4]
