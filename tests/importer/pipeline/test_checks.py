"""Validations a person chose for a field, and rules of time entries (M13)."""

from __future__ import annotations

from typing import Any

import pytest

from importer.errors import QueryError
from importer.pipeline.checks import KINDS, check
from importer.query.dumping import dump_spec
from importer.query.parsing import parse_spec
from servicevault import catalog
from servicevault.models import Account, TimeEntry
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")

# A validation, values it accepts, and values it does not, with the code.
CASES: list[tuple[str, Any, str, list[str | None], list[str | None], str]] = [
    ("required", None, "city", ["Bonn"], ["", " ", None], "required_empty"),
    ("email", None, "email", ["a@b.de", None, ""], ["a@b", "a b@c.de", "@x.de"], "bad_email"),
    ("url", None, "website", ["https://x.de/a?b=c", "http://x", None], ["x.de", "ftp://x.de", "https://"], "bad_url"),
    ("min", 10, "tax_id", ["10", "11.5", None, "word"], ["9.99", "-3"], "too_small"),
    ("max", 10, "tax_id", ["10", None], ["10.01"], "too_large"),
    ("min_length", 3, "city", ["Ulm", "", None], ["Ul"], "too_short"),
    ("max_length", 3, "city", ["Ulm", None], ["Bonn"], "too_long"),
    ("pattern", "^[A-Z]{2}-\\d+$", "tax_id", ["DE-1", None, ""], ["de-1", "x"], "pattern_mismatch"),
    ("one_of", ["a", "b", 3], "city", ["a", "3", None], ["c", "A"], "not_one_of"),
    ("exists", "billing_rates", "city", ["Standard", "senior", None], ["Nobody"], "not_found"),
    ("unique", None, "domain", ["a.de", "b.de", None], [], ""),
]


@pytest.mark.req("M13")
def test_each_validation_fails_the_rows_that_break_it_and_no_other(desk: Desk) -> None:
    """One query for each validation, all in one job."""
    columns = "email website tax_id city domain".split()
    expected: dict[str, dict[str, str]] = {}
    for number, (name, value, field, good, bad, code) in enumerate(CASES):
        desk.execute(
            f"CREATE TABLE t{number} (id int PRIMARY KEY, {', '.join(f'{column} text' for column in columns)})"
        )
        for place, text in enumerate([*good, *bad]):
            desk.execute(f"INSERT INTO t{number} (id, {field}) VALUES (%s, %s)", [place, text])
        validation: Any = {"name": name, "value": value} if value is not None else name
        desk.query(
            "accounts", f"t{number}",
            {"external_id": "id", "name": {"source": f"'{name} ' || t{number}.id"}, field: {"source": f"t{number}.{field}", "validations": [validation]}},
            key=f"q{number}",
        )  # fmt: skip
        expected[f"q{number}"] = {str(place): code for place in range(len(good), len(good) + len(bad))}
    job = desk.run()
    assert job.status == "completed", job.error_message
    for run in job.runs.exclude(key="__default__"):
        failed = {record.source_identifier: record.code for record in run.records.filter(action="failed")}
        assert failed == expected[run.key], CASES[int(run.key[1:])][0]
        for record in run.records.filter(action="failed"):
            assert record.problems[0]["message"]
            assert record.problems[0]["field"] == CASES[int(run.key[1:])][2]


@pytest.mark.req("M13")
def test_unique_looks_at_the_target_and_at_the_rows_beside(desk: Desk) -> None:
    Account.objects.create(name="Here", domain="here.de")
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, domain text)")
    desk.execute(
        "INSERT INTO c VALUES (1, 'a', 'here.de'), (2, 'b', 'two.de'), (3, 'c', 'two.de'), (4, 'd', 'four.de')"
    )
    desk.query(
        "accounts",
        "c",
        {"external_id": "id", "name": "name", "domain": {"source": "c.domain", "validations": ["unique"]}},
    )
    job = desk.run()
    assert desk.outcomes(job) == {"read": 4, "created": 2, "failed": 2}
    assert {desk.record(job, number).code for number in "13"} == {"not_unique"}
    # The row that brought the value is not in its own way.
    desk.execute("UPDATE c SET name = 'new' WHERE id = 2")
    assert desk.outcomes(desk.run())["updated"] == 1


@pytest.mark.req("M13")
def test_a_validation_may_only_warn_and_may_have_its_own_words(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text)")
    desk.execute("INSERT INTO c VALUES (1, 'a', 'X')")
    rule = {"name": "min_length", "params": {"value": 2}, "severity": "warning", "message": "Too short a city."}
    desk.query(
        "accounts", "c", {"external_id": "id", "name": "name", "city": {"source": "c.city", "validations": [rule]}}
    )
    job = desk.run()
    assert desk.outcomes(job) == {"read": 1, "created": 1}
    assert Account.objects.get().city == "X"
    run = job.runs.exclude(key="__default__").get()
    assert run.warnings == 1


@pytest.fixture
def logs(desk: Desk) -> Desk:
    desk.execute(
        "CREATE TABLE a (id int PRIMARY KEY, name text, mail text); INSERT INTO a VALUES (1, 'Ann', 'ann@x.de')"
    )
    desk.execute("CREATE TABLE l (id int PRIMARY KEY, spent int, began timestamptz, ended timestamptz)")
    desk.execute(
        "INSERT INTO l VALUES (1, 30, '2024-05-01 10:00Z', '2024-05-01 10:30Z'), (2, 30, '2024-05-01 12:00Z', '2024-05-01 11:00Z'), "
        "(3, 1441, '2024-05-02 10:00Z', NULL), (4, 30, '2024-05-01 10:00Z', '2024-05-01 10:30Z'), (5, 30, '2024-05-01 10:01Z', NULL)"
    )
    desk.query("agents", "a", {"external_id": "id", "name": "name", "email": "mail"})
    return desk


def time_query(desk: Desk, rules: dict[str, list[Any]]) -> None:
    fields = {"external_id": "id", "description": {"source": "'work'"}, "user_external_id": {"source": "1"},
              "duration": "spent", "started_at": "began", "ended_at": "ended"}  # fmt: skip
    for name, validations in rules.items():
        fields[name] = {"source": f"l.{fields[name]}", "validations": validations}
    desk.query("time_entries", "l", fields)


@pytest.mark.req("M13")
def test_time_entries_have_rules_of_their_own(logs: Desk) -> None:
    time_query(
        logs, {"ended_at": ["end_after_start"], "duration": ["at_most_a_day"], "started_at": ["no_second_entry"]}
    )
    job = logs.run()
    assert logs.outcomes(job, "time_entries") == {"read": 5, "created": 2, "failed": 3}
    codes = {number: logs.record(job, number, "time_entries").code for number in "234"}
    assert codes == {"2": "end_after_start", "3": "at_most_a_day", "4": "no_second_entry"}
    assert TimeEntry.objects.count() == 2
    again = logs.run(options={"record_unchanged": True})
    assert logs.outcomes(again, "time_entries") == {"read": 5, "unchanged": 2, "failed": 3}


@pytest.mark.req("M13", "E20")
def test_without_the_rules_they_are_imported(logs: Desk) -> None:
    time_query(logs, {"ended_at": [{"name": "after", "value": "started_at", "severity": "warning"}]})
    job = logs.run()
    assert logs.outcomes(job, "time_entries") == {"read": 5, "created": 5}
    assert job.runs.get(key="time_entries").warnings == 2  # one is longer than a day


@pytest.mark.req("M13")
@pytest.mark.parametrize(
    ("name", "params", "field", "said"),
    [
        ("shout", {}, "city", "not a validation"),
        ("required", {"value": 1}, "city", "no parameter"),
        ("min", {}, "city", "number or a date"),
        ("min_length", {"value": -1}, "city", "whole number"),
        ("one_of", {"value": []}, "city", "list"),
        ("pattern", {"value": "(a)\\1"}, "city", "pattern"),
        ("exists", {"value": "users"}, "city", "needs one of"),
        ("after", {"value": "nothing"}, "created_at", "another field"),
        ("end_after_start", {}, "city", "not a validation"),
        ("max_length", {"limit": 3}, "city", "called value"),
    ],
)
def test_what_cannot_be_checked_is_refused(name: str, params: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        check(name, params, catalog.get("accounts"), field=field)
    assert said in str(caught.value) or (said == "no parameter" and "takes no parameter" in str(caught.value))


@pytest.mark.parametrize("pattern", ["(", "a{2,1}"])
def test_a_pattern_the_database_cannot_read_stops_the_job(desk: Desk, pattern: str) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'a')")
    steps = [{"name": "regex_extract", "params": {"pattern": pattern}}]
    desk.query("accounts", "c", {"external_id": "id", "name": {"source": "c.name", "transformation": steps}})
    job = desk.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "regular expression" in job.error_message


def test_validations_survive_saving() -> None:
    data = {
        "base_table": "c", "target_type": "accounts",
        "fields": [{"source": "c.id", "target": "external_id", "validations": ["required", {"rule": "max", "value": 9}]}],
    }  # fmt: skip
    spec = parse_spec(data)
    assert [item.name for item in spec.fields[0].validations] == ["required", "max"]
    assert parse_spec(dump_spec(spec)) == spec
    assert set(KINDS) == {
        "required", "email", "url", "date", "unique", "min", "max", "min_length", "max_length", "pattern", "one_of", "exists", "after",
    }  # fmt: skip
