"""Filters that are offered, on a real source (F8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from importer.query.parsing import parse_spec
from importer.query.preview import Count
from importer.query.suggestions import Suggestion, count_suggestions, filtered, suggest_filters
from importer.sources.hosts import HostPolicy
from importer.sources.introspection import introspect
from importer.sources.params import ConnectionParams, SourceLimits
from importer.sources.schema import Column, SourceSchema, Table
from importer.sources.session import SourceSession, open_session

DESK = """
CREATE TABLE tickets (id int PRIMARY KEY, title text, state text, "Is Spam" boolean, is_spam boolean,
  created_at timestamptz, deleted_at timestamptz);
INSERT INTO tickets SELECT i, 't', (ARRAY['open', 'closed', 'Spam', 'on''hold', NULL])[i % 5 + 1], NULL,
  (ARRAY[true, false, NULL])[i % 3 + 1], now() - i * interval '10 days',
  CASE WHEN i % 4 = 0 THEN now() END FROM generate_series(1, 100) i;
CREATE TABLE logs (id int PRIMARY KEY, spent_on date, billable smallint, "statusId" int, created_at timestamp);
INSERT INTO logs SELECT i, current_date - i, i % 2, i % 3, now() FROM generate_series(1, 60) i;
CREATE TABLE staff (id int PRIMARY KEY, name text, active boolean, deleted smallint, disabled_at date, created int);
INSERT INTO staff VALUES (1, 'a', true, 0, NULL, 1), (2, 'b', false, 0, NULL, 1), (3, 'c', true, 1, NULL, 1),
  (4, 'd', true, NULL, '2020-01-01', 1), (5, 'e', true, NULL, NULL, 1);
CREATE TABLE companies (id int PRIMARY KEY, name text);
CREATE TABLE wild (id int PRIMARY KEY, status text);
INSERT INTO wild SELECT i, 'status ' || i FROM generate_series(1, 50) i;
"""


@pytest.fixture(scope="module")
def desk_url(source_database: Callable[..., str]) -> str:
    url = source_database("suggestions")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DESK)
    return url


@pytest.fixture
def session(desk_url: str) -> Iterator[SourceSession]:
    params, _ = ConnectionParams.from_url(desk_url)
    with open_session(
        params,
        policy=HostPolicy(allow_loopback=True),
        limits=SourceLimits(allow_privileged=True),
        application_name="service-vault/test",
        search_schemas=("public",),
    ) as opened:
        yield opened


@pytest.fixture
def schema(session: SourceSession) -> SourceSchema:
    return introspect(session)


def query(table: str, target_type: str, **members: Any) -> Any:
    fields = [{"source": f"{table}.id", "target": "external_id"}]
    return parse_spec({"base_table": table, "target_type": target_type, "fields": fields, **members})


def labels(found: list[Suggestion]) -> list[str]:
    return [suggestion.label for suggestion in found]


def counts(
    session: SourceSession, schema: SourceSchema, table: str, target_type: str, **members: Any
) -> dict[str, int]:
    spec = query(table, target_type, **members)
    found = suggest_filters(schema, spec, target_type, session=session)
    counted = count_suggestions(session, spec, schema, found)
    assert all(count.exact for count in counted)
    return {suggestion.label: count.rows for suggestion, count in zip(found, counted, strict=True)}


def one(desk_url: str, statement: str) -> int:
    with psycopg.connect(desk_url) as connection:
        return connection.execute(statement).fetchone()[0]


@pytest.mark.req("F8")
def test_each_suggestion_says_how_many_tickets_it_leaves(
    session: SourceSession, schema: SourceSchema, desk_url: str
) -> None:
    found = counts(session, schema, "tickets", "tickets")
    without_spam = one(desk_url, "SELECT count(*) FROM tickets WHERE is_spam IS DISTINCT FROM true")
    assert {name: number for name, number in found.items() if "state" not in name and "months" not in name} == {
        "Last month": one(desk_url, "SELECT count(*) FROM tickets WHERE created_at >= now() - interval '1 month'"),
        "Active only": 75,
        "Without spam": without_spam,
    }
    for months in (6, 12, 24):
        wanted = f"SELECT count(*) FROM tickets WHERE created_at >= now() - interval '{months} months'"
        assert found[f"Last {months} months"] == one(desk_url, wanted)
    assert {name: number for name, number in found.items() if "state" in name} == {
        "Without state “Spam”": 80, "Only state “Spam”": 20, "Only state “closed”": 20, "Only state “on'hold”": 20, "Only state “open”": 20,
    }  # fmt: skip


@pytest.mark.req("F8")
def test_spam_is_left_out_by_a_flag_and_unknown_is_no_spam(session: SourceSession, schema: SourceSchema) -> None:
    spec = query("tickets", "tickets")
    flag = next(found for found in suggest_filters(schema, spec, "tickets") if found.label == "Without spam")
    assert count_suggestions(session, spec, schema, [flag]) == [Count(67, exact=True)]


@pytest.mark.req("F8")
def test_time_entries_are_recent_by_the_day_of_the_work_and_may_be_billable(
    session: SourceSession, schema: SourceSchema
) -> None:
    found = counts(session, schema, "logs", "time_entries")
    assert found["Billable only"] == 30
    assert 28 <= found["Last month"] <= 31
    assert found["Last 24 months"] == 60
    assert [name for name in found if name.startswith("Only statusId")] == [
        "Only statusId “0”", "Only statusId “1”", "Only statusId “2”",
    ]  # fmt: skip


@pytest.mark.req("F8")
@pytest.mark.parametrize("target_type", ["agents", "customer_users", "accounts"])
def test_active_people_are_neither_deleted_nor_switched_off(
    session: SourceSession, schema: SourceSchema, target_type: str
) -> None:
    assert counts(session, schema, "staff", target_type) == {"Active only": 2}


@pytest.mark.req("F8")
def test_billable_is_for_time_entries_only(schema: SourceSchema) -> None:
    assert "Billable only" not in labels(suggest_filters(schema, query("logs", "tickets"), "tickets"))


@pytest.mark.req("F8")
@pytest.mark.parametrize(
    "target_type", ["accounts", "agents", "customer_users", "tickets", "ticket_comments", "time_entries"]
)
def test_nothing_is_offered_for_columns_that_do_not_exist(
    session: SourceSession, schema: SourceSchema, target_type: str
) -> None:
    assert suggest_filters(schema, query("companies", target_type), target_type, session=session) == []


@pytest.mark.req("F8")
def test_a_column_of_many_values_is_no_status(session: SourceSession, schema: SourceSchema) -> None:
    assert suggest_filters(schema, query("wild", "tickets"), "tickets", session=session) == []


@pytest.mark.req("F8")
def test_counts_start_from_the_filters_and_joins_the_query_has(session: SourceSession, schema: SourceSchema) -> None:
    joins = [{"table": "staff", "type": "inner", "on": "staff.id = tickets.id"}]
    found = counts(session, schema, "tickets", "tickets", filters=["tickets.id <= 4"], joins=joins)
    assert (found["Active only"], found["Last 6 months"]) == (3, 4)
    assert "Only state “Spam”" in found
    assert "Only state “open”" not in found  # id 5 is beyond the filter


@pytest.mark.req("F8")
def test_a_table_alone_is_enough(session: SourceSession, schema: SourceSchema) -> None:
    table = schema.table("tickets")
    assert table is not None
    assert labels(suggest_filters(schema, table, "tickets"))[:4] == [
        "Last month", "Last 6 months", "Last 12 months", "Last 24 months",
    ]  # fmt: skip
    assert "Only state “open”" in labels(suggest_filters(schema, table, "tickets", session=session))


@pytest.mark.req("F8")
def test_raw_sql_has_no_suggestions(schema: SourceSchema) -> None:
    spec = parse_spec({"kind": "sql", "sql": "SELECT id AS external_id FROM tickets", "target_type": "tickets"})
    assert suggest_filters(schema, spec, "tickets") == []


@pytest.mark.req("F8", "F7")
@pytest.mark.parametrize("name", ["Deleted", 'de"leted', "is_deleted", "deleted%s", "Is Active"])
@pytest.mark.parametrize("kind", ["boolean", "integer", "timestamp with time zone"])
def test_every_condition_is_read_back_by_the_parser(name: str, kind: str) -> None:
    table = Table("public", "Odd Table", columns=(Column("id", "integer"), Column(name, kind, role="deleted")))
    schema = SourceSchema((table,))
    spec = parse_spec(
        {
            "base_table": {"table": "Odd Table"},
            "target_type": "agents",
            "fields": [{"source": "id", "target": "external_id"}],
        }
    )
    for found in suggest_filters(schema, spec, "agents"):
        assert filtered(spec, found).filters.items
        assert parse_spec({"base_table": "x", "target_type": "agents", "fields": ["id"], "filters": [found.condition]})
