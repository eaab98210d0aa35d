"""One session: read-only, one snapshot, one statement a message, deadlines kept, settings proven."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from psycopg import sql

from importer.errors import SourceError, SourceLost, SourceTimeout
from importer.sources import handshake
from importer.sources.connection import (
    Cause,
    ConnectionFailed,
    ConnectionParams,
    SourceLimits,
    SourceQueryError,
    identifier,
    open_session,
)  # fmt: skip
from tests.importer.sources.conftest import POLICY, OpenSource

Create = Callable[..., str]


@pytest.fixture(scope="module")
def url(source_database: Create) -> str:
    made = source_database("session")
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one')")
    return made


@pytest.mark.req("P19")
def test_it_sets_and_proves_the_recipe(url: str, open_source: OpenSource) -> None:
    session = open_source(url, statement_timeout_seconds=7)
    wanted = {
        "transaction_read_only": "on", "default_transaction_read_only": "on", "transaction_isolation": "repeatable read",
        "search_path": "pg_catalog, pg_temp", "TimeZone": "UTC", "statement_timeout": "7s", "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "2min", "standard_conforming_strings": "on", "jit": "off",
        "plan_cache_mode": "force_custom_plan", "application_name": "service-vault/test", "client_encoding": "UTF8",
    }  # fmt: skip
    for name, value in wanted.items():
        assert session.fetch_all(sql.SQL("SELECT current_setting(%s)"), [name]) == [(value,)], name


@pytest.mark.req("P19")
def test_it_cannot_write(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    for statement in (
        "CREATE TABLE x ()",
        "DELETE FROM public.items",
        "WITH d AS (DELETE FROM public.items RETURNING 1) SELECT 1",
    ):
        with pytest.raises(SourceQueryError) as caught:
            session.fetch_all(sql.SQL(statement))
        assert caught.value.sqlstate == "25006"


@pytest.mark.req("P21")
@pytest.mark.parametrize("params", [(), None, [1]])
def test_it_sends_one_statement_a_message(url: str, open_source: OpenSource, params: object) -> None:
    text = "SELECT 1; SELECT 2" if not params else "SELECT %s; SELECT 2"
    session = open_source(url)
    for call in (session.fetch_all, session.describe, lambda *args: list(session.stream(*args))):
        with pytest.raises(SourceQueryError, match="multiple commands"):
            call(sql.SQL(text), params)


def test_it_survives_a_failing_query_with_its_snapshot(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    before = session.fetch_all(sql.SQL("SELECT pg_current_snapshot()::text, now()"))
    for text in ("SELECT 1/0", "SELECT nope", "SELECT 'x'::int", "SELECT * FROM nowhere"):
        with pytest.raises(SourceQueryError):
            session.fetch_all(sql.SQL(text))
        with pytest.raises(SourceQueryError):
            list(session.stream(sql.SQL(text)))
    assert session.fetch_all(sql.SQL("SELECT pg_current_snapshot()::text, now()")) == before


def test_it_says_what_the_server_says_about_a_query_and_nothing_about_rows(url: str, open_source: OpenSource) -> None:
    with pytest.raises(SourceQueryError) as caught:
        open_source(url).describe(sql.SQL("SELECT nmae FROM public.items"))
    assert caught.value.message == 'column "nmae" does not exist'
    assert (caught.value.sqlstate, caught.value.position) == ("42703", 8)
    assert caught.value.__cause__ is None


def test_it_describes_without_running(url: str, open_source: OpenSource) -> None:
    query = sql.SQL(
        "SELECT pg_sleep(60), %s::numeric(10, 2) AS amount, 'x'::varchar(9) AS v, 1/0 AS boom FROM public.items"
    )
    columns = open_source(url).describe(query, [1])
    assert [(column.name, column.type_name) for column in columns] == [
        ("pg_sleep", "void"), ("amount", "numeric(10,2)"), ("v", "character varying(9)"), ("boom", "integer"),
    ]  # fmt: skip
    assert columns[3].oid == 23


def test_it_shares_one_snapshot_between_sessions(url: str, open_source: OpenSource) -> None:
    first = open_source(url)
    name = first.export_snapshot()
    with psycopg.connect(url, autocommit=True) as writer:
        writer.execute("INSERT INTO items VALUES (2, 'two')")
    second, third = open_source(url, snapshot_id=name), open_source(url)
    counts = [s.fetch_all(sql.SQL("SELECT count(*) FROM public.items"))[0][0] for s in (first, second, third)]
    assert counts == [1, 1, 2]


@pytest.mark.parametrize("name", ["'; DROP TABLE x; --", "00000003-0000001B-1' OR", "", "00000003-00000BAD-1"])
def test_it_says_when_a_snapshot_is_gone(url: str, open_source: OpenSource, name: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(url, snapshot_id=name)
    assert caught.value.code == "snapshot_gone"


def test_it_streams_raw_bytes_and_python_values(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    query = sql.SQL("SELECT n, 'é' || n, NULL, '{{\"a\": 1}}'::jsonb, %s::text FROM generate_series(1, 1234) n")
    raw = list(
        session.stream(
            sql.SQL("SELECT n, 'é' || n, NULL, array[n] FROM generate_series(1, 1234) n"), raw=True, size=100
        )
    )
    assert len(raw) == 1234
    assert raw[-1] == (b"1234", "é1234".encode(), None, b"{1234}")
    assert next(iter(list(session.stream(query.format(), ["50 %"])))) == (1, "é1", None, '{"a": 1}', "50 %")


def test_it_binds_named_parameters(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    query, params = (
        sql.SQL("SELECT %(name)s::text AS name, 7 %% 4 AS rest, %(name)s::text AS again"),
        {"name": "a'; --"},
    )
    assert [column.name for column in session.describe(query, params)] == ["name", "rest", "again"]
    assert session.fetch_all(query, params) == [("a'; --", 3, "a'; --")]
    assert list(session.stream(query, params, raw=True)) == [(b"a'; --", b"3", b"a'; --")]


def test_it_keeps_values_python_cannot_hold_as_text(url: str, open_source: OpenSource) -> None:
    query = sql.SQL(
        "SELECT '99999-01-01'::date, 'infinity'::timestamp, 'NaN'::numeric, repeat('9', 5000)::numeric, '24:00'::time, '{1,2}'::int[],"
        " 1.50::numeric, true, '2024-02-29 10:00+02'::timestamptz, '\\xff00'::bytea"
    )
    (row,) = open_source(url).fetch_all(query)
    assert row[:2] == ("99999-01-01", "infinity")
    assert row[2].is_nan()
    assert row[3:6] == ("9" * 5000, "24:00:00", "{1,2}")
    assert row[6:] == (Decimal("1.50"), True, datetime.datetime(2024, 2, 29, 8, tzinfo=datetime.UTC), b"\xff\x00")


@pytest.mark.req("P20")
def test_it_ends_a_slow_statement_at_its_deadline_and_stays_usable(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    started = time.monotonic()
    with pytest.raises(SourceTimeout):
        session.fetch_all(sql.SQL("SELECT pg_sleep(30)"), timeout_seconds=0.5)
    assert time.monotonic() - started < 2
    assert session.fetch_all(sql.SQL("SELECT 1")) == [(1,)]


@pytest.mark.req("P20")
def test_it_cuts_a_statement_that_switched_the_server_timeout_off(url: str, open_source: OpenSource) -> None:
    session = open_source(url, limits=SourceLimits(watchdog_margin_seconds=0.5))
    session.fetch_all(sql.SQL("SELECT set_config('statement_timeout', '0', false)"), timeout_seconds=0.5)
    started = time.monotonic()
    with pytest.raises(SourceTimeout):
        session.fetch_all(sql.SQL("SELECT pg_sleep(30)"), timeout_seconds=0.5)
    assert 0.9 < time.monotonic() - started < 2
    assert not session.is_open


def test_it_leaves_a_stream_early_without_reading_the_rest(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    rows = session.stream(sql.SQL("SELECT generate_series(1, 2000000000), repeat('x', 1000)"))
    assert next(iter(rows))[0] == 1
    started = time.monotonic()
    rows.close()
    assert time.monotonic() - started < 1
    assert not session.is_open
    with pytest.raises(SourceLost):
        session.fetch_all(sql.SQL("SELECT 1"))


def test_it_does_not_count_the_time_the_caller_takes(url: str, open_source: OpenSource) -> None:
    session = open_source(url, statement_timeout_seconds=0.3, limits=SourceLimits(watchdog_margin_seconds=0.1))
    seen = 0
    for seen, _row in enumerate(session.stream(sql.SQL("SELECT generate_series(1, 20)"), size=10), 1):
        if seen in (1, 11):
            time.sleep(0.8)
    assert seen == 20


def test_it_refuses_a_row_that_is_too_large(url: str, open_source: OpenSource) -> None:
    session = open_source(url, limits=SourceLimits(max_row_bytes=1_000_000))
    with pytest.raises(SourceError) as caught:
        list(session.stream(sql.SQL("SELECT repeat('x', 3000000)"), raw=True))
    assert caught.value.code == "too_large"


def test_it_can_be_cancelled_from_another_thread(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    timer = threading.Timer(0.3, session.cancel)
    timer.start()
    with pytest.raises(SourceError) as caught:
        session.fetch_all(sql.SQL("SELECT pg_sleep(30)"))
    timer.join()
    assert caught.value.code == "cancelled"


def test_it_reports_a_connection_that_broke(url: str, open_source: OpenSource) -> None:
    session = open_source(url)
    ((pid,),) = session.fetch_all(sql.SQL("SELECT pg_backend_pid()"))
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])
    with pytest.raises(SourceLost):
        session.fetch_all(sql.SQL("SELECT 1"))


def test_it_does_not_wait_long_for_a_lock(url: str, open_source: OpenSource) -> None:
    session = open_source(url, limits=SourceLimits(lock_timeout_seconds=0.2))
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SourceTimeout, match="locked"):
            session.fetch_all(sql.SQL("SELECT * FROM public.items"))
    assert session.is_open


def test_it_looks_names_up_in_the_chosen_schemas_after_the_built_in_ones(url: str, open_source: OpenSource) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute('CREATE SCHEMA "Odd, ""schema"; CREATE TABLE "Odd, ""schema".only_here (id int)')
        admin.execute("CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'TROJAN' $$")
    session = open_source(url, search_schemas=["public", 'Odd, "schema'])
    assert session.fetch_all(sql.SQL("SELECT lower('X'::text) FROM (SELECT count(*) FROM only_here) AS c")) == [("x",)]


def test_it_quotes_percent_signs_in_names(url: str, open_source: OpenSource) -> None:
    query = sql.SQL("SELECT %s::int AS {}").format(identifier('50%s "of"'))
    assert open_source(url).describe(query, [1])[0].name == '50%s "of"'


@pytest.mark.req("P24")
@pytest.mark.parametrize(
    ("change", "cause"),
    [({"password": "Wr0ng-Pa55"}, Cause.PASSWORD_WRONG), ({"database": "no_such_db"}, Cause.DATABASE_MISSING),
     ({"username": "nobody_here"}, Cause.PASSWORD_WRONG), ({"port": 1}, Cause.REFUSED),
     ({"ssl_mode": "require"}, Cause.TLS_FAILED), ({"host": "no-such-name.invalid"}, Cause.NAME_UNKNOWN)],
)  # fmt: skip
def test_it_names_the_cause_and_a_remedy(
    url: str, caplog: pytest.LogCaptureFixture, change: dict[str, object], cause: Cause
) -> None:
    params, _ = ConnectionParams.from_url(url)
    params = replace(params, **change)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectionFailed) as caught:
        open_session(params, policy=POLICY, limits=SourceLimits(), application_name="t")
    assert caught.value.cause == cause
    assert caught.value.hint
    assert caught.value.__cause__ is None
    assert params.password not in caplog.text + str(caught.value)
    assert "FATAL" not in str(caught.value)


@pytest.mark.req("P24")
def test_it_names_too_many_connections(source_database: Create, open_source: OpenSource) -> None:
    url = source_database("crowded")
    params, _ = ConnectionParams.from_url(url)
    role = f"only_one_{time.monotonic_ns()}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw' CONNECTION LIMIT 0").format(sql.Identifier(role)))
        try:
            with pytest.raises(ConnectionFailed) as caught:
                open_session(
                    replace(params, username=role, password="pw"),
                    policy=POLICY,
                    limits=SourceLimits(),
                    application_name="t",
                )
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert caught.value.cause == Cause.TOO_MANY_CONNECTIONS


def test_it_takes_nothing_from_the_environment(
    url: str, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in psycopg.pq.Conninfo.get_defaults():
        if option.envvar:
            monkeypatch.setenv(option.envvar.decode(), "bogus")
    monkeypatch.setenv("PGSERVICEFILE", "/dev/null")
    assert open_source(url).fetch_all(sql.SQL("SELECT 1")) == [(1,)]


def test_it_takes_no_password_from_a_password_file(url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    params, _ = ConnectionParams.from_url(url)
    home = str(tmp_path)
    with open(f"{home}/.pgpass", "w") as file:
        file.write(f"*:*:*:*:{params.password}\n")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("PGPASSFILE", f"{home}/.pgpass")
    with pytest.raises(ConnectionFailed):
        open_session(replace(params, password=""), policy=POLICY, limits=SourceLimits(), application_name="t")


@pytest.mark.parametrize(
    "hostile", ["x host=/tmp user=postgres", "a' host='evil", "a\\' options='-c x=1", "b dbname=postgres"]
)
def test_it_passes_values_as_values(hostile: str) -> None:
    params = ConnectionParams("db", 5432, hostile, hostile, hostile)
    given = handshake.keywords(params, address="10.0.0.1", limits=SourceLimits(), application_name="t", root="")
    parsed = psycopg.conninfo.conninfo_to_dict(psycopg.conninfo.make_conninfo(**given))
    assert (parsed["user"], parsed["password"], parsed["dbname"]) == (hostile,) * 3
    assert (parsed["host"], parsed["hostaddr"], parsed["options"]) == ("db", "10.0.0.1", "")
