"""Detection and fit: evidence for a platform, and the name of the column that is there instead of the missing one."""

from __future__ import annotations

from typing import Any

import pytest

from importer import gateway
from importer.sources.introspection import introspect
from templates_registry.definition import parse_definition
from templates_registry.detection import FitReport, detect, fit
from templates_registry.models import Template
from tests.importer.desk import Desk
from tests.importer.freescout import create_tables, let_reader_in


def fit_freescout(desk: Desk) -> FitReport:
    let_reader_in(desk)
    definition = parse_definition(Template.objects.get(platform="freescout").definition)
    with gateway.open_source(desk.profile, purpose="test") as session:
        return fit(definition, introspect(session), session)


@pytest.mark.req("T21", "T22")
def test_it_fits_the_products_own_schema(desk: Desk) -> None:
    create_tables(desk.url, real=True)
    report = fit_freescout(desk)
    assert (report.score, report.warnings) == (100, ())
    assert {query.key: (query.status, query.variant) for query in report.queries} == {
        "accounts": ("fits", ""), "agents": ("fits", "core"), "customers": ("fits", "core"), "tickets": ("fits", "core"),
        "comments": ("fits", ""), "time_entries": ("fits", "core"),
    }  # fmt: skip
    answers = {answer.name: answer.value for answer in report.probes}
    with gateway.open_source(desk.profile, purpose="test"):
        assert answers["server_time_zone"] == "UTC"
    assert report.as_dict()["queries"][0]["missing_required"] == []


@pytest.mark.req("T21", "T25", "T32")
def test_it_names_a_renamed_column_with_the_nearest_one(desk: Desk) -> None:
    create_tables(desk.url)
    desk.execute("ALTER TABLE conversations RENAME customer_email TO customer_mail")
    tickets = next(query for query in fit_freescout(desk).queries if query.key == "tickets")
    assert (tickets.status, tickets.variant) == ("missing", "core")
    assert [(gap.needs, gap.nearest) for gap in tickets.missing_required] == [
        ("conversations.customer_email", "conversations.customer_mail")
    ]


@pytest.mark.req("T21", "T24")
def test_it_says_which_module_is_absent_and_what_stays_empty(desk: Desk) -> None:
    create_tables(desk.url)
    desk.execute("DROP TABLE timelogs, conversation_tag, tags")
    report = fit_freescout(desk)
    found = {query.key: query for query in report.queries}
    assert found["time_entries"].reason == "time tracking module not found"
    assert found["tickets"].status == "fits_with_gaps"
    assert {gap.needs for gap in found["tickets"].missing_optional} == {"conversation_tag", "tags"}
    assert "Time entries: time tracking module not found." in report.warnings


@pytest.mark.req("T21")
def test_it_reports_a_view_that_the_source_refuses(desk: Desk, pack: dict[str, Any]) -> None:
    desk.execute("CREATE TABLE users (id int PRIMARY KEY, name text, email text)")
    pack["configuration"]["views"] = [
        {"name": "v", "sql": "SELECT id, nme AS name FROM users", "requires": ["users.id"]}
    ]
    pack["configuration"]["queries"]["users"] |= {"base_table": "v", "fields": ["id", "name"]}
    pack["probes"] = [{"name": "p", "sql": "SELECT 1/0", "question": "How many?"}]
    with gateway.open_source(desk.profile, purpose="test") as session:
        report = fit(parse_definition(pack), introspect(session), session)
    assert any('View "v"' in warning for warning in report.warnings)
    assert (report.probes[0].value, report.probes[0].source) == (None, "question")


@pytest.mark.req("T22")
def test_it_misses_queries_while_a_needed_answer_is_missing(desk: Desk, pack: dict[str, Any]) -> None:
    desk.execute("CREATE TABLE users (id int PRIMARY KEY, name text, email text)")
    pack["parameters"] = [{"name": "tenant", "question": "Which tenant?", "required": True}]
    definition = parse_definition(pack)
    with gateway.open_source(desk.profile, purpose="test") as session:
        schema = introspect(session)
        assert fit(definition, schema, session).queries[0].reason == "needs an answer (tenant): Which tenant?"
        assert fit(definition, schema, session, parameters={"tenant": "7"}).queries[0].status == "fits"


@pytest.mark.req("T18", "T20")
def test_it_weighs_tables_columns_rows_and_absences(desk: Desk, pack: dict[str, Any]) -> None:
    desk.execute("CREATE TABLE settings (name text, value text); INSERT INTO settings VALUES ('product', 'desk')")
    pack["fingerprint"] = [
        {"table": "settings", "weight": 2},
        {"column": "settings.value", "weight": 1},
        {"column": "settings.colour", "weight": 3},
        {"table": "threads", "absent": True, "weight": 2},
        {"row": {"table": "settings", "column": "name", "value": "product"}, "weight": 2},
    ]
    with gateway.open_source(desk.profile, purpose="test") as session:
        schema = introspect(session)
        (found,) = detect(schema, [parse_definition(pack)], session=session)
        (unseen,) = detect(schema, [parse_definition(pack)])
    assert (found.score, found.is_likely) == (70, True)
    assert [item.matched for item in found.evidence] == [True, True, False, True, True]
    assert unseen.score == 62  # the row counts neither way
