"""Whatever a source holds: the job ends, every row has one outcome, and what is stored is what the source says."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from importer.models import ImportJob, ImportQuery, ImportRecord
from servicevault.models import Account, Ticket, TimeEntry
from tests.importer.desk import Desk
from tests.thoroughness import rounds

pytestmark = pytest.mark.usefixtures("committed_db")

ODD_TEXTS = (
    "", " ", "\t", "\n", "\\", "\\N", "\\.", "'", '"', "''", "%s", "{}", "\\x41", "\\u0000", "\x01\x1f\x7f", "\x85\u2028",
    "null", "NULL", "a\r\nb", "ü", "u\u0308", "漢字", "😀👩‍👩‍👧", "\u202eabc", "\ufeff", "ẞßİı", "x" * 255, "x" * 256, "😀" * 255,
    "y" * 3000, "<script>", "=1+1", "$$", "--", "/*", "[]", "[1", '{"a": 1}', "1e400", "NaN",
)  # fmt: skip
texts = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40),
)
nullable = st.one_of(st.none(), texts)
names = st.one_of(st.sampled_from(["Acme", "Ann Lee", "日本"]), texts)
instants = st.one_of(
    st.none(),
    st.datetimes().map(str),
    st.sampled_from(
        [
            "infinity",
            "-infinity",
            "0044-03-15 BC",
            "99999-01-01",
            "294276-12-31 23:59:59",
            "2024-03-31 02:30:00",
            "epoch",
        ]
    ),
)
numbers = st.one_of(
    st.none(),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9).map(str),
    st.sampled_from(["99999999.99", "99999999.995", "100000000", "-0.005", "1e-20", "123456789012345678901234567890"]),
)
wholes = st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1), st.integers(-2000, 2000))
flags = st.one_of(st.none(), st.sampled_from(["t", "FALSE", "yes", "0", " on ", "maybe", ""]))
documents = st.one_of(
    st.none(),
    st.sampled_from([
        '{"a": [1, null, "x"]}', '["\\u0001"]', '["\\u0000"]', '{"\\u0000": 1}', "1e999", '{"a": 1, "a": 2}', '["\\ud83d\\ude00"]',
        '["C:\\\\u0000"]', "true",
    ]),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One target type: its columns at the source, and what SQL at the source says is stored for each."""

    table: str
    columns: Mapping[str, tuple[str, Any]]  # name → (type at the source, strategy)
    fields: Mapping[str, Any]  # target field → column
    stored: Mapping[str, tuple[str, str]]  # label → (SQL at the source, SQL at the target over t)


def kept(*columns: str) -> dict[str, tuple[str, str]]:
    """Columns stored as they are."""
    return {column: (f"s.{column}::text", f"t.{column}::text") for column in columns}


def stand_in(field: str, key: str, **reference: str) -> dict[str, Any]:
    return {"source": f"'{key}'", "reference": {"entity": field, **reference}}


CASES = {
    "accounts": Case(
        "accounts",
        {"name": ("text", names), "description": ("text", nullable), "city": ("text", nullable),
         "made": ("timestamptz", instants), "doc": ("json", documents), "active": ("text", flags)},
        {"name": "name", "description": "description", "city": "city", "created_at": "made",
         "custom_fields.doc": "doc", "is_active": "active"},
        {**kept("name", "description", "city"), "made": ("s.made::text", "t.created_at::text"),
         "doc": ("CASE WHEN pg_input_is_valid(s.doc::text, 'jsonb') THEN s.doc::text::jsonb::text END", "(t.custom_fields -> 'doc')::text")},
    ),
    "agents": Case(
        "users",
        {"name": ("text", names), "phone": ("varchar(300)", nullable.map(lambda text: text and text[:300])), "title": ("text", nullable)},
        {"name": "name", "email": {"source": "NULL"}, "phone": "phone", "job_title": "title"},
        {**kept("name", "phone"), "title": ("s.title", "t.job_title")},
    ),
    "customer_users": Case(
        "users",
        {"name": ("text", names), "notes": ("text", nullable), "made": ("timestamp", instants)},
        {"name": "name", "email": {"source": "NULL"}, "notes": "notes", "created_at": "made"},
        {**kept("name"), "notes": ("s.notes", "t.custom_fields ->> 'notes'"),
         "made": ("(s.made AT TIME ZONE 'UTC')::text", "t.created_at::text")},
    ),
    "tickets": Case(
        "tickets",
        {"title": ("text", nullable), "body": ("text", nullable), "due": ("date", instants), "hours": ("numeric", numbers),
         "queue": ("text", nullable)},
        {"title": "title", "description": "body", "due_at": "due", "estimated_hours": "hours", "queue": "queue"},
        {"title": ("CASE WHEN btrim(s.title) <> '' THEN s.title ELSE '(no subject)' END", "t.title"),
         "body": ("s.body", "t.description"), "due": ("(s.due::timestamp AT TIME ZONE 'UTC')::text", "t.due_at::text"),
         "hours": ("round(s.hours, 2)::text", "t.estimated_hours::text"), "queue": ("s.queue", "t.queue")},
    ),
    "ticket_comments": Case(
        "ticket_comments",
        {"content": ("text", names), "author": ("text", nullable), "edited": ("timestamptz", instants)},
        {"ticket_external_id": stand_in("parent_tickets", "p1"), "content": "content", "author_name": "author",
         "edited_at": "edited"},
        {**kept("content"), "author": ("s.author", "t.author_name"), "edited": ("s.edited::text", "t.edited_at::text")},
    ),
    "time_entries": Case(
        "time_entries",
        {"note": ("text", nullable), "minutes": ("int", wholes), "began": ("timestamptz", instants), "rate": ("numeric", numbers)},
        {"description": "note", "duration": "minutes", "started_at": "began", "rate_override": "rate",
         "user_external_id": stand_in("parent_agents", "p1")},
        {"note": ("coalesce(s.note, '')", "t.description"), "minutes": ("s.minutes::text", "t.duration::text"),
         "began": ("s.began::text", "t.started_at::text"), "rate": ("round(s.rate, 2)::text", "t.rate_override::text")},
    ),
}  # fmt: skip
# Fields whose trouble fails a row, by what the source holds; a row without any of these must be created.
TROUBLE = {
    "accounts": "btrim(s.name) = '' OR s.name IS NULL OR char_length(s.name) > 255 OR char_length(s.city) > 255 "
    "OR NOT pg_input_is_valid(s.doc::text, 'jsonb') OR lower(btrim(s.active)) = 'maybe'",
    "agents": "btrim(s.name) = '' OR s.name IS NULL OR char_length(s.name) > 255 OR char_length(s.phone) > 255 OR char_length(s.title) > 255",
    "customer_users": "btrim(s.name) = '' OR s.name IS NULL OR char_length(s.name) > 255",
    "tickets": "char_length(s.title) > 998 OR char_length(s.queue) > 255 OR abs(round(s.hours, 2)) >= 100000000",
    "ticket_comments": "btrim(s.content) = '' OR s.content IS NULL OR char_length(s.author) > 255",
    "time_entries": "s.minutes IS NULL OR s.began IS NULL OR abs(s.minutes) >= 1000000000 OR abs(round(s.rate, 2)) >= 100000000",
}
NUMBER = itertools.count(1)


@pytest.fixture
def parents(desk: Desk) -> Desk:
    """One ticket and one agent that generated rows may point at."""
    desk.profile.matching = {"enabled": False}
    desk.profile.save()
    desk.execute("CREATE TABLE parents (id text PRIMARY KEY, name text); INSERT INTO parents VALUES ('p1', 'Parent')")
    desk.query(
        "agents", "parents", {"external_id": "id", "name": "name", "email": {"source": "NULL"}}, key="parent_agents"
    )
    desk.query(
        "tickets", "parents", {"external_id": "id", "title": "name", "description": "name"}, key="parent_tickets"
    )
    assert desk.run().status == "completed"
    return desk


def fill(desk: Desk, target_type: str, rows: list[dict[str, Any]]) -> str:
    """A table of generated rows, and the profile's only query: over it."""
    case, table = CASES[target_type], f"s{next(NUMBER)}"
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in case.columns.items())
    desk.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})")
    with psycopg.connect(desk.url) as source:
        for number, row in enumerate(rows):
            source.execute(
                sql.SQL("INSERT INTO {} (id, {}) VALUES (%s, {})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join([sql.Placeholder()] * len(row)),
                ),
                [number, *row.values()],
            )
    ImportQuery.objects.all().delete()
    desk.query(target_type, table, {"external_id": "id", **case.fields}, key=table)
    return table


def readable(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        return connection.execute(statement).fetchall()


def state(target: psycopg.Connection, table: str) -> list[Any]:
    statements = (f"SELECT md5(string_agg(t::text, '|' ORDER BY t.id)) FROM {table} t",
                  "SELECT md5(string_agg(e::text, '|' ORDER BY e.entity_id, e.external_id)) FROM external_refs e")  # fmt: skip
    return [target.execute(statement).fetchone() for statement in statements]


def check(desk: Desk, target: psycopg.Connection, target_type: str, rows: list[dict[str, Any]]) -> None:
    case = CASES[target_type]
    table = fill(desk, target_type, rows)
    job = desk.run(options={"batch_size": 7})
    assert job.status == "completed", job.error_message
    run = job.runs.get(key=table)
    assert run.read == len(rows) == run.created + run.failed
    assert_failures_are_justified(desk, job, table, TROUBLE[target_type])
    assert_stored(desk, target, case, table)
    wrong = "SELECT count(*) FROM importer_importrecord WHERE code IS DISTINCT FROM 'nul_byte' AND source_data IS NOT NULL AND sha256(convert_to(source_data::text, 'UTF8')) <> source_hash"
    assert target.execute(wrong).fetchone() == (0,)

    before = state(target, case.table)
    again = desk.run(options={"batch_size": 7})
    second = again.runs.get(key=table)
    assert (second.read, second.unchanged, second.failed) == (run.read, run.created, run.failed)
    assert state(target, case.table) == before


def assert_failures_are_justified(desk: Desk, job: ImportJob, table: str, trouble: str) -> None:
    wanted = {key for (key,) in readable(desk.url, f"SELECT id::text FROM {table} s WHERE {trouble}")}
    failed = ImportRecord.objects.filter(run__job=job, run__key=table, action="failed")
    found = {record.source_identifier: record.problems for record in failed}
    # Whether an instant outside the product's years fails is another test's matter; every other one must be taken.
    odd = {key for key, problems in found.items() if problems[0]["code"] == "bad_date"}
    assert set(found) - odd == wanted - odd, found
    assert all(record.code and record.problems[0]["message"] for record in failed)


def assert_stored(desk: Desk, target: psycopg.Connection, case: Case, table: str) -> None:
    """Each created row reads back as SQL at the source gives it; a NULL instant may have a default."""
    at_source = ", ".join(source for source, _ in case.stored.values())
    wanted = {key: values for key, *values in readable(desk.url, f"SELECT s.id::text, {at_source} FROM {table} s")}
    at_target = ", ".join(found for _, found in case.stored.values())
    target.execute("SET timezone = 'UTC'")
    found = target.execute(
        f"SELECT e.external_id, {at_target} FROM external_refs e JOIN importer_sourceentity k ON k.id = e.entity_id "
        f"JOIN {case.table} t ON t.id = e.target_id WHERE k.entity = %s",
        [table],
    ).fetchall()
    for key, *values in found:
        for label, value, right in zip(case.stored, values, wanted[key], strict=True):
            if right is not None or label != "made":  # created_at has a default of its own
                assert value == right, (key, label)


def rows_of(target_type: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    columns = {name: strategy for name, (_, strategy) in CASES[target_type].columns.items()}
    return st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=20)


@pytest.mark.slow
@pytest.mark.req("E12", "E17", "E18", "E41", "X26", "J18", "O7")
@pytest.mark.parametrize("target_type", CASES)
def test_what_is_stored_is_what_the_source_says(parents: Desk, target: psycopg.Connection, target_type: str) -> None:
    @settings(
        max_examples=rounds(6, 2),
        deadline=None,
        derandomize=True,
        phases=(Phase.generate,),  # shrinking would run hundreds of imports
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(rows=rows_of(target_type))
    def holds(rows: list[dict[str, Any]]) -> None:
        check(parents, target, target_type, rows)

    holds()


@pytest.mark.req("E17", "E41")
@pytest.mark.parametrize("target_type", ["accounts", "agents", "ticket_comments"])
def test_each_odd_text_is_stored_as_it_is_or_refused(
    parents: Desk, target: psycopg.Connection, target_type: str
) -> None:
    columns = CASES[target_type].columns
    texts_of = [name for name, (kind, _) in columns.items() if kind in {"text", "varchar(300)"} and name != "active"]
    rows = [{name: (text[:300] if name in texts_of else None) for name in columns} for text in ODD_TEXTS]
    check(parents, target, target_type, rows)


# -- values that PostgreSQL takes and the product cannot use


def one_ticket(desk: Desk, due: str) -> ImportJob:
    desk.execute("CREATE TABLE one (id int PRIMARY KEY, title text, due timestamptz)")
    desk.execute("INSERT INTO one VALUES (1, 'a', %s), (2, 'b', now())", [due])
    desk.query("tickets", "one", {"external_id": "id", "title": "title", "description": "title", "due_at": "due"})
    return desk.run()


@pytest.mark.alike
@pytest.mark.req("E22", "E12")
@pytest.mark.parametrize("due", ["infinity", "-infinity", "99999-01-01", "0044-03-15 BC"])
def test_an_instant_the_product_cannot_show_fails_its_row(desk: Desk, due: str) -> None:
    job = one_ticket(desk, due)
    assert len(list(Ticket.objects.all())) == 1
    assert desk.record(job, "1").code == "bad_date"


@pytest.mark.req("E22")
def test_nan_is_no_amount(desk: Desk) -> None:
    desk.execute(
        "CREATE TABLE one (id int PRIMARY KEY, title text, hours numeric); INSERT INTO one VALUES (1, 'a', 'NaN')"
    )
    fields = {"external_id": "id", "title": "title", "description": "title", "estimated_hours": "hours"}
    desk.query("tickets", "one", fields)
    assert desk.record(desk.run(), "1").code == "not_a_number"


@pytest.mark.alike
@pytest.mark.req("E17")
@pytest.mark.parametrize("document", ['"open"', '"123"', '"true"', '"null"', '"{}"', '""'])
def test_a_json_text_stays_that_text(desk: Desk, document: str) -> None:
    desk.execute("CREATE TABLE one (id int PRIMARY KEY, name text, doc jsonb)")
    desk.execute("INSERT INTO one VALUES (1, 'a', %s)", [document])
    desk.query("accounts", "one", {"external_id": "id", "name": "name", "custom_fields.doc": "doc"})
    desk.run()
    assert Account.objects.get().custom_fields == {"doc": json.loads(document)}


@pytest.mark.alike
@pytest.mark.req("E18", "X24")
@pytest.mark.parametrize("unique", ["PRIMARY KEY", "NOT NULL"], ids=["ranges", "staged"])
@pytest.mark.parametrize(
    "length",
    [
        255,
        256,
        *(pytest.param(length) for length in (3000, 20_000)),
    ],
)
def test_a_very_long_external_id_fails_its_row_only(desk: Desk, unique: str, length: int) -> None:
    """Random, so that compression does not save it: an index entry holds at most 2,704 bytes."""
    if length > 2000 and unique == "PRIMARY KEY":
        unique = "NOT NULL"  # the source's own index refuses it too
    long = secrets.token_hex(length)[:length]
    desk.execute(f"CREATE TABLE one (id text {unique}, name text)")
    desk.execute("INSERT INTO one VALUES ('a', 'A'), (%s, 'Long'), ('zz', 'Z')", [long])
    desk.query("accounts", "one", {"external_id": "id", "name": "name"})
    job = desk.run()
    assert job.status == "completed", job.error_message
    assert Account.objects.count() == (3 if length == 255 else 2)


@pytest.mark.alike
@pytest.mark.req("E6", "X24")
@pytest.mark.parametrize(
    "tags",
    [
        pytest.param("[null]"),
        pytest.param('["a", null]'),
        pytest.param(",,"),
        "[1, true]",
        '[["a"]]',
        "[]",
        "a" * 65,
        "[",
        '["' + "b" * 65 + '"]',
        '["\\u0001"]',
    ],
)
def test_odd_tags_are_a_list_of_texts_or_fail_their_row(desk: Desk, tags: str) -> None:
    desk.execute("CREATE TABLE one (id int PRIMARY KEY, title text, tags text)")
    desk.execute("INSERT INTO one VALUES (1, 'a', %s), (2, 'b', 'x, y')", [tags])
    desk.query("tickets", "one", {"external_id": "id", "title": "title", "description": "title", "tags": "tags"})
    job = desk.run()
    assert job.status == "completed", job.error_message
    assert Ticket.objects.get(title="b").tags == ["x", "y"]
    for ticket in Ticket.objects.all():
        assert all(isinstance(tag, str) and tag and len(tag) <= 64 for tag in ticket.tags)


@pytest.mark.alike
@pytest.mark.req("E20", "X24")
@pytest.mark.parametrize(
    "spent",
    [
        "1e9",
        "NaN",
        "Infinity",
        "-",
        "1:99",
        "999999h",
        "999999999",
        "1e308",
        "0x10",
        "1_000",
        "٣",
        "1:30:00",
        "h",
        "1..5h",
    ],
)
def test_an_odd_duration_never_ends_the_job(desk: Desk, spent: str) -> None:
    desk.execute("CREATE TABLE logs (id int PRIMARY KEY, spent text, began timestamptz)")
    desk.execute("INSERT INTO logs VALUES (1, %s, now()), (2, '5', now())", [spent])
    desk.execute("CREATE TABLE staff (id int PRIMARY KEY, name text); INSERT INTO staff VALUES (1, 'Ann')")
    desk.query("agents", "staff", {"external_id": "id", "name": "name", "email": {"source": "NULL"}})
    desk.query(
        "time_entries",
        "logs",
        {"external_id": "id", "description": {"source": "'x'"}, "duration": "spent", "started_at": "began",
         "user_external_id": {"source": "'1'"}},
    )  # fmt: skip
    job = desk.run()
    assert job.status == "completed", job.error_message
    assert TimeEntry.objects.filter(duration=5).count() == 1
