"""Every transformation with good, bad, NULL and blank input, through the statements that a run uses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
import pytest

from importer.errors import QueryError
from importer.mapping.fields import field_problems
from importer.pipeline import early, staging
from importer.pipeline.binding import Bind
from importer.pipeline.patterns import written_out
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.prepare import prepared
from importer.pipeline.staging import Row
from importer.pipeline.transforms import KINDS, chain, transform
from importer.query.parsing import parse_spec
from importer.query.spec import TRANSFORMATIONS
from importer.runner import connect_target
from servicevault import catalog

Steps = Sequence[tuple[str, Mapping[str, Any]]]


@pytest.fixture(scope="module")
def opened(django_db_setup: None, django_db_blocker: Any) -> Iterator[psycopg.Connection]:
    with django_db_blocker.unblock(), connect_target() as connection:
        yield connection


@pytest.fixture
def target(opened: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The application's database; these tests read only."""
    yield opened
    opened.rollback()


def results(
    target: psycopg.Connection, values: Sequence[Any], steps: Steps, field: str = "notes"
) -> list[tuple[str | None, str | None]]:
    """(value, fault) of each value after the steps, as `prepare` makes them."""
    accounts = catalog.get("accounts")
    found = accounts.field(field)
    assert found is not None
    plan = LoadPlan(accounts, (Mapped(found, field, transforms=chain(steps)),), 0, 0, {})
    bind = Bind()
    staging.create_slice_tables(target, psycopg.sql.SQL("CREATE TEMPORARY TABLE work (n int)"))
    rows = [(number, Row(b"%d" % number, json.dumps({field: value}).encode())) for number, value in enumerate(values)]
    staging.stage(target, rows, made=early.maker(plan))
    query = prepared(plan, bind)
    columns = [column.name for column in target.execute(query, bind.params).description or ()]
    fault = columns.index(f"fault:{field}") if f"fault:{field}" in columns else None
    got = sorted(target.execute(query, bind.params).fetchall(), key=lambda row: row[0])
    return [(row[columns.index(field)], row[fault] if fault is not None else None) for row in got]


def test_the_query_language_and_the_pipeline_know_the_same_names() -> None:
    assert set(KINDS) | {"map"} == set(TRANSFORMATIONS)


@pytest.mark.req("M6")
@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_transformation_does_what_its_example_says(target: psycopg.Connection, name: str) -> None:
    kind = KINDS[name]
    before, after = kind.example
    [(value, fault)] = results(target, [before], [(name, dict(kind.example_params))])
    assert (value or "", fault) == (after, None)
    assert kind.label


GOOD_AND_BAD = [
    ("trim", {}, [(" \ta\n", "a"), (None, None), ("  ", "")]),
    ("upper", {}, [("äb", "ÄB"), (None, None)]),
    ("title", {}, [("o'hara lee", "O'Hara Lee"), (None, None)]),
    ("truncate", {"n": 2}, [("äöü", "äö"), ("a", "a"), (None, None)]),
    ("default", {"value": 0}, [("", "0"), ("  ", "0"), (None, "0"), ("x", "x"), ("0", "0")]),
    ("static", {"value": True}, [(None, "true"), ("x", "true")]),
    ("null_if", {"values": ["-", 0]}, [("-", None), ("0", None), ("x", "x"), (None, None)]),
    ("replace", {"a": ".", "b": ""}, [("a.b.c", "abc"), (None, None)]),
    ("split", {"sep": "@", "n": -1}, [("a@b", "b"), ("plain", "plain"), (None, None)]),
    ("pad_left", {"n": 3, "c": "0"}, [("7", "007"), ("12345", "12345"), (None, None)]),
    ("regex_extract", {"p": r"^\[(\w+)-(\d+)\]"}, [("[AB-12] x", "AB"), ("none", None), (None, None)]),
    ("number", {}, [("1.50", "1.50"), ("-3", "-3"), ("1e3", "1000"), (" 7 ", "7"), ("1,000", "!not_a_number 1,000"),
                    ("abc", "!not_a_number abc"), ("NaN", "!not_a_number NaN"), ("", None), (None, None), ("0x1F", "!not_a_number 0x1F")]),
    ("number", {"decimal": ",", "thousands": "."},
     [("1.234.567,89", "1234567.89"), ("12,5", "12.5"), ("1234", "1234"), ("1.23", "!not_a_number 1.23"), ("5.", "!not_a_number 5.")]),
    ("number", {"thousands": " "}, [("1 234", "1234"), ("12 34", "!not_a_number 12 34")]),
    ("integer", {}, [("12", "12"), ("1.0", "1"), ("3.7", "!not_a_number 3.7"), ("x", "!not_a_number x"), (" ", None), (None, None)]),
    ("round", {"n": 1}, [("2.25", "2.3"), ("-2.25", "-2.3"), ("x", "!not_a_number x"), (None, None), ("", None)]),
    ("round", {}, [("2.5", "3"), ("-2.5", "-3"), ("Infinity", "!not_a_number Infinity")]),
    ("floor", {}, [("-0.5", "-1"), ("x", "!not_a_number x")]),
    ("ceil", {}, [("0.2", "1"), ("x", "!not_a_number x")]),
    ("seconds_to_minutes", {}, [("89", "1"), ("90", "2"), ("x", "!not_a_number x"), (None, None)]),
    ("hours_to_minutes", {}, [("0.25", "15"), ("x", "!not_a_number x"), ("", None)]),
    ("duration", {}, [("90", "90"), ("1h 30m", "90"), ("1:30", "90"), ("01:30:40", "91"), ("1.5h", "90"), ("90m", "90"),
                      ("-15", "-15"), ("soon", "!bad_duration soon"), ("1:75", "!bad_duration 1:75"), ("", None), (None, None)]),
    ("boolean", {}, [("Yes", "true"), ("OFF", "false"), ("1", "true"), (" n ", "false"), ("maybe", "!not_a_boolean maybe"),
                     ("2", "!not_a_boolean 2"), ("", None), (None, None)]),
    ("date", {}, [("2024-02-29", "2024-02-29"), ("2024-03-01T23:59:00Z", "2024-03-01"), ("2023-02-29", "!bad_date 2023-02-29"),
                  ("31.12.2024", "!bad_date 31.12.2024"), ("", None), (None, None), ("infinity", "!bad_date infinity"), ("today", "!bad_date today")]),
    ("date", {"format": "DD.MM.YYYY"}, [("1.2.2024", "2024-02-01"), ("31.02.2024", "!bad_date 31.02.2024"), ("2024-01-01", "!bad_date 2024-01-01")]),
    ("date", {"format": "MM/DD/YY"}, [("12/31/69", "2069-12-31"), ("12/31/70", "1970-12-31"), ("13/01/24", "!bad_date 13/01/24")]),
    ("date", {"format": "DD Mon YYYY"}, [("05 Jan 2024", "2024-01-05"), ("05 Foo 2024", "!bad_date 05 Foo 2024")]),
    ("date", {"format": "auto"}, [("31.12.2024", "2024-12-31"), ("12/31/2024", "2024-12-31"), ("31/12/2024 10:30", "2024-12-31"),
                                  ("03/04/2025", "!bad_date 03/04/2025"), ("05/05/2025", "2025-05-05"), ("2025-3-4", "2025-03-04")]),
    ("datetime", {}, [("2024-07-01 12:00", "2024-07-01T12:00:00.000000"), ("2024-07-01T12:00:00+02:00", "2024-07-01T10:00:00.000000Z"),
                      ("noon", "!bad_date noon"), ("", None), (None, None), ("2024-07-01 25:00", "!bad_date 2024-07-01 25:00")]),
    ("datetime", {"format": "DD.MM.YYYY HH24:MI", "timezone": "Europe/Berlin"}, [("01.07.2024 12:00", "2024-07-01T10:00:00.000000Z")]),
    ("datetime", {"format": "MM/DD/YYYY HH12:MI AM"}, [("12/31/2024 12:05 am", "2024-12-31T00:05:00.000000"), ("12/31/2024 13:05 am", "!bad_date 12/31/2024 13:05 am")]),
    ("format_date", {"pattern": "YYYY/MM"}, [("2024-03-09", "2024/03"), ("soon", "!bad_date soon"), (None, None)]),
    ("case_when", {"cases": [{"when": {"operator": ">", "value": 2}, "then": "high"}, {"when": {"value": "b"}, "then": None}], "else": "low"},
     [("3", "high"), ("1", "low"), ("b", None), (None, "low"), ("x", "low")]),
    ("case_when", {"cases": [{"when": {"operator": "in", "value": ["a", "b"]}, "then": 1}, {"when": {"operator": "contains", "value": "%"}, "then": 2},
                             {"when": {"operator": "is_null"}, "then": 3}]},
     [("b", "1"), ("50%", "2"), (None, "3"), ("z", None)]),
    ("lookup", {"table": "ticket_statuses", "key": "key", "value": "type"},
     [("on_hold", "pending"), ("OPEN", "open"), ("never", "!nothing_found never"), ("", None), (None, None)]),
    ("text_to_html", {}, [("a<script>\nb & c", "a&lt;script&gt;<br>b &amp; c"), (None, None)]),
    ("html_to_text", {}, [
        ("<style>p{}</style><script>alert(1)</script><p>One<br>two</p><ul><li>a<li>b</ul>", "One\ntwo\n- a\n- b"),
        ("Tom &amp; J&eacute;r&ocirc;me &#8230; 1 &lt; 2", "Tom & Jérôme … 1 < 2"), ("plain\n text", "plain\n text"),
        ("<b>unclosed <i", "unclosed"), (None, None), ("", "")]),
    ("uuid_from_id", {"namespace": "x"}, [(7, str(uuid5(uuid5(NAMESPACE_URL, "x"), "7"))), (None, None), (" ", None)]),
]  # fmt: skip


@pytest.mark.req("M6", "M5", "F-055", "E20")
@pytest.mark.parametrize(("name", "params", "expected"), GOOD_AND_BAD, ids=lambda value: str(value)[:30])
def test_good_bad_null_and_blank(
    target: psycopg.Connection, name: str, params: Mapping[str, Any], expected: list[tuple[Any, str | None]]
) -> None:
    found = results(target, [before for before, _ in expected], [(name, params)])
    shown = [f"!{fault}" if fault else value for value, fault in found]
    assert shown == [after for _, after in expected]


@pytest.mark.req("M6", "M7")
def test_a_list_is_applied_in_order_and_the_first_fault_counts(target: psycopg.Connection) -> None:
    steps = [
        ("html_to_text", {}),
        ("trim", {}),
        ("number", {"decimal": ","}),
        ("round", {}),
        ("default", {"value": "7"}),
    ]
    assert results(target, ["<p> 2,5 </p>", "<b>many</b>", "", None], steps) == [
        ("3", None), ("7", "not_a_number many"), ("7", None), ("7", None),
    ]  # fmt: skip


@pytest.mark.req("M6")
def test_twenty_steps_are_computed_once_each(target: psycopg.Connection) -> None:
    """Nested without a fence, a value used three times a step would be computed three billion times."""
    assert results(target, ["x"], [("default", {"value": "y"})] * 20) == [("x", None)]


@pytest.mark.req("M7")
@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([("shout", {})], "not a transformation"),
        ([("truncate", {})], "takes the parameters"),
        ([("trim", {"left": True})], "takes the parameters"),
        ([("truncate", {"length": "ten"})], "whole number"),
        ([("regex_extract", {"pattern": r"(a)\1"})], "pattern"),
        ([("regex_extract", {"pattern": "a" * 201})], "pattern"),
        ([("regex_extract", {"pattern": "(.{0,255}){0,40}$"})], "repeats too much"),
        ([("date", {"format": "DD.MM"})], "no year"),
        ([("date", {"format": "YYYY-YYYY"})], "twice"),
        ([("datetime", {"timezone": "Berlin"})], "time zone"),
        ([("format_date", {"pattern": "Day"})], "made of"),
        ([("case_when", {"cases": []})], "list of"),
        ([("case_when", {"cases": [{"if": 1, "then": 2}]})], "list of"),
        ([("lookup", {"table": "users", "key": "email", "value": "password"})], "one of"),
        ([("trim", {}), ("html_to_text", {})], "must be the first"),
        ([("replace", {"old": "\x00", "new": ""})], "character"),
        ([("replace", {"old": "", "new": "x"})], "must not be empty"),
        ([("replace", {"old": "a", "new": "a" * 20})] * 2, "400 times"),
        ([("pad_left", {"length": 10_001})], "up to 10,000"),
        ([("case_when", {"cases": [{"when": {"operator": "near", "value": 1}, "then": 2}]})], "operator “near”"),
        ([("lookup", {"table": "billing_rates", "key": "name", "value": "user_id"})], "cannot be looked up by"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused(steps: Steps, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        chain(steps)
    assert said in str(caught.value)


def test_aliases_of_parameters_become_the_names() -> None:
    assert transform("pad_left", {"n": 3, "c": "x"}).params == {"length": 3, "fill": "x"}


def test_a_field_without_transformations_costs_no_step() -> None:
    accounts = catalog.get("accounts")
    plain = accounts.field("notes")
    assert plain is not None
    for steps in ([], [("trim", {})]):
        plan = LoadPlan(accounts, (Mapped(plain, "notes", transforms=chain(steps)),), 0, 0, {})
        text = prepared(plan, Bind()).as_string(None)
        assert text.count("LATERAL") == 1
        assert "fault:" not in text
        assert "made" not in text


def test_problems_of_a_mapping_stand_at_their_fields(target: psycopg.Connection) -> None:
    fields = [
        {"source": "c.id", "target": "external_id"},
        {"source": "c.a", "target": "name", "transformation": {"name": "split", "params": {"n": 1}}},
        {"source": "c.b", "target": "city", "transformation": ["map", "trim"], "validations": ["nonsense"]},
    ]
    spec = parse_spec({"base_table": "c", "target_type": "accounts", "fields": fields})
    assert [problem.path for problem in field_problems(spec)] == [
        "fields[1].transformation", "fields[2].transformation", "fields[2].validations",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "size"),
    [("a+", 1), (r"#(\d+)", 2), (r"(\d{1,3}\.){3}\d{1,3}", 15), ("((a{10}){10}){10}", 1000), ("[{}(]{4}", 4), ("[]a]{2,}", 2),
     (r"\({3}", 3), ("(?:a|b){5}", 10), ("[[:alpha:]]{3}x", 4)],
)  # fmt: skip
def test_the_size_of_a_pattern_counts_its_repetitions(pattern: str, size: int) -> None:
    assert written_out(pattern) == size


HOSTILE = [
    r"(a+)+$", r"(a|aa)+$", r"(a|a?)+$", r"(.*a){12}$", r"((a*)*)*b", r"(x+x+)+y", r"([a-z]+)*@([a-z]+)*\.c",
    r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(a?){30}a{30}", r"(\w+\s?)+$", r"(.*)(.*)(.*)(.*)(.*)x$",
]  # fmt: skip


@pytest.mark.req("M6")
def test_patterns_that_hang_other_engines_do_not_hang_this_one(target: psycopg.Connection) -> None:
    """The server would cancel a statement that hangs; each takes a few milliseconds."""
    texts = ["a" * 100_000 + "!", "xyz" * 30_000, "word " * 20_000]
    target.rollback()
    for pattern in HOSTILE:
        for text in texts:
            target.execute("SET LOCAL statement_timeout = '5s'")
            results(target, [text], [("regex_extract", {"pattern": pattern})])
            target.rollback()
