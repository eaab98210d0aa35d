"""A source may be any PostgreSQL from 10 on: tested, mapped, asked and imported like the newest.

Runs against every version that is here, see `servers.installed`: `make servers` fetches them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from importer import operations
from importer.errors import SourceError, SourceTimeout
from importer.models import ImportJob
from importer.query import preview as previews
from importer.query.compiler import compile_query
from importer.query.expressions import parse
from importer.query.parsing import parse_spec
from importer.sources.connection import ConnectionParams, SourceLimits, test_connection
from importer.sources.introspection import fingerprint, frequent_values, introspect, samples
from importer.sources.probe import STAGES
from importer.sources.relations import infer_relations
from importer.sources.schema import SourceSchema
from servicevault.demo import database as demo
from servicevault.demo import rows
from servicevault.demo.reconciliation import reconcile
from templates_registry import apply
from tests.importer.desk import READER, READER_PASSWORD, make_desk, make_reader
from tests.importer.freescout import create_tables, let_reader_in
from tests.importer.pipeline.ledger import wait_until, worker
from tests.importer.query.conftest import GUIDE_SHAPE, fetch, select_customers
from tests.importer.query.test_compiler import customers
from tests.importer.query.test_expression_results import EXPRESSIONS
from tests.importer.sources import servers
from tests.importer.sources.conftest import POLICY, OpenSource
from tests.importer.sources.test_introspection import DDL
from tests.importer.sources.test_relations import FIXTURES, edge, hide_keys, load

INSTALLED = servers.installed()
NUMBERS = count()
# From here on there are:
WITH_COVERING = 110000  # INCLUDE, and keys of partitioned tables
WITH_FILE_ROLES = 110000  # pg_read_server_files
WITH_UUIDS = 130000  # gen_random_uuid() without an extension
MISSING = "no PostgreSQL {} here; make servers"
TRUSTED = SourceLimits(allow_privileged=True)
PAIRS = customers(joins=[{"type": "left", "table": "emails", "on": "emails.customer_id = customers.id"}])


@pytest.fixture(scope="module", params=sorted({*INSTALLED, *servers.required()}) or ["of another version"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param not in INSTALLED:
        if request.param in servers.required():
            pytest.fail(MISSING.format(request.param))
        pytest.skip(MISSING.format(request.param))
    with servers.running(INSTALLED[request.param]) as url:
        yield url


@pytest.fixture
def database(server: str) -> str:
    """An empty database of that server."""
    name = f"source_{next(NUMBERS)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def version_of(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.info.server_version


def said_for(version: int, ddl: str) -> str:
    """The statements without what a version cannot say."""
    if version < WITH_COVERING:
        ddl = ddl.replace(" INCLUDE (shop_tag)", "").replace(
            "day date NOT NULL, PRIMARY KEY (id, day)", "day date NOT NULL"
        )
    return ddl if version >= WITH_UUIDS else ddl.replace("gen_random_uuid()", "md5(random()::text)::uuid")


def structure(schema: SourceSchema) -> list[Any]:
    """What depends neither on statistics nor on how a version names a constraint that nobody named."""
    return [
        (
            *(table.full_name, table.kind, table.columns, table.primary_key, sorted(table.unique_keys)),
            [replace(key, name="") for key in table.foreign_keys],
        )
        for table in sorted(schema.tables, key=lambda table: table.full_name)
    ]


@pytest.mark.req("P15", "P16", "P22", "P24")
def test_every_stage_of_the_connection_test_is_passed(database: str) -> None:
    version = version_of(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE tickets (id int PRIMARY KEY); REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        make_reader(connection)
        connection.execute(f"GRANT SELECT ON tickets TO {READER}")
    owner, _ = ConnectionParams.from_url(database)
    reader = replace(owner, username=READER, password=READER_PASSWORD)
    test = test_connection(reader, policy=POLICY, limits=SourceLimits())
    assert [(check.name, check.status) for check in test.checks] == [(name, "ok") for name in STAGES]
    assert test.database_info["table_count"] == 1
    assert str(version // 10000) in str(test.database_info["version"])


@pytest.mark.req("P15", "P22")
def test_power_over_the_server_is_seen(database: str) -> None:
    powers = {"createrole": "ALTER ROLE strong CREATEROLE", "write_rights": "GRANT UPDATE ON tickets TO strong"}
    with psycopg.connect(database, autocommit=True) as connection:
        if connection.info.server_version >= WITH_FILE_ROLES:
            powers["read_server_files"] = "GRANT pg_read_server_files TO strong"
        connection.execute("CREATE TABLE tickets (id int PRIMARY KEY); CREATE ROLE strong LOGIN PASSWORD 'strong-pw'")
        connection.execute("; ".join(powers.values()))
    owner, _ = ConnectionParams.from_url(database)
    strong = replace(owner, username="strong", password="strong-pw")
    for params, codes in ((strong, set(powers)), (owner, {"superuser", "write_rights"})):
        test = test_connection(params, policy=POLICY, limits=SourceLimits())
        assert (test.success, test.error_code) == (False, "privileged_role")
        assert codes <= {warning.code for warning in test.warnings}


@pytest.mark.req("I1", "I2", "I3", "I4")
def test_the_map_of_a_source_is_that_of_the_newest_version(
    database: str, source_database: Callable[..., str], open_source: OpenSource
) -> None:
    newest = source_database("newest")
    ddl = said_for(version_of(database), DDL)
    for url in (database, newest):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(ddl)
    old, new = (introspect(open_source(url, limits=TRUSTED)) for url in (database, newest))
    assert structure(old) == structure(new)
    assert fingerprint(old) == fingerprint(new)
    session, log = open_source(database, limits=TRUSTED), old.table("log", "public")
    assert log is not None
    assert log.row_estimate == 700
    assert log.size_bytes
    assert len(samples(session, log)) == 3
    assert len(frequent_values(session, log, "id")) == 5


@pytest.mark.req("N-001", "N-002", "N-009")
def test_joins_that_nobody_declared_are_found(
    database: str, source_database: Callable[..., str], open_source: OpenSource
) -> None:
    shapes = {fixture.stem: fixture for fixture in FIXTURES}
    ddl = shapes["clinic"].read_text()
    found = []
    for url in (database, source_database("newest")):
        schema = load(url, said_for(version_of(url), ddl), open_source)
        relations = infer_relations(open_source(url, limits=TRUSTED), hide_keys(schema), budget_seconds=60)
        found.append({edge(relation) for relation in relations})
    old, new = found
    assert new
    assert old == new


@pytest.mark.req("Q12", "Q13", "Q16")
def test_a_query_is_previewed_and_counted(database: str, open_source: OpenSource) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(said_for(connection.info.server_version, GUIDE_SHAPE) + "ANALYZE;")
    session = open_source(database, limits=TRUSTED, search_schemas=["public"])
    schema = introspect(session)
    compiled = compile_query(parse_spec(PAIRS), schema)
    assert previews.validate_on_source(session, compiled) == []
    assert len(previews.preview(session, compiled, 3).rows) == 3
    assert previews.count(session, compiled) == previews.Count(90, exact=True)
    assert previews.estimate(session, compiled) > 0
    (join,) = previews.analyze_joins(session, parse_spec(PAIRS), schema)
    assert (join.matched_records, join.unmatched_records, join.multiplicity) == (50, 10, "1:n")


@pytest.mark.req("Q27", "Q29")
def test_expressions_give_that_versions_own_results(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(said_for(connection.info.server_version, GUIDE_SHAPE))
        different = [text for text in EXPRESSIONS if _ours(connection, text) != _its(connection, text)]
    assert different == []


def _ours(connection: psycopg.Connection[Any], text: str) -> list[Any]:
    return fetch(connection, select_customers(parse(text)))


def _its(connection: psycopg.Connection[Any], text: str) -> list[Any]:
    return connection.execute(f"SELECT ({text})::text AS value FROM customers ORDER BY customers.id").fetchall()


@pytest.mark.req("X25")
def test_two_sessions_share_a_snapshot_and_neither_waits_for_ever(database: str, open_source: OpenSource) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE items (id int)")
        first = open_source(database, limits=TRUSTED)
        name = first.export_snapshot()
        connection.execute("INSERT INTO items VALUES (1)")
    sessions = first, open_source(database, limits=TRUSTED, snapshot_id=name), open_source(database, limits=TRUSTED)
    counts = [session.fetch_all(sql.SQL("SELECT count(*) FROM public.items")) for session in sessions]
    assert counts == [[(0,)], [(0,)], [(1,)]]

    with pytest.raises(SourceTimeout):
        sessions[0].fetch_all(sql.SQL("SELECT pg_sleep(30)"), timeout_seconds=0.2)
    threading.Timer(0.2, sessions[1].cancel).start()
    with pytest.raises(SourceError) as caught:
        sessions[1].fetch_all(sql.SQL("SELECT pg_sleep(30)"))
    assert caught.value.code == "cancelled"


@pytest.mark.req("X25", "J5")
@pytest.mark.usefixtures("committed_db")
def test_a_freescout_is_imported_whole_by_two_workers_and_again_and_cancelled(database: str) -> None:
    """The demo's rows, with every trap of a real help desk; counted on both sides."""
    desk = make_desk(database)
    create_tables(database)
    with psycopg.connect(database) as source:
        demo.copy_rows(source, rows.make(date(2026, 6, 1), conversations=1500))
    let_reader_in(desk)
    desk.profile.source_timezone = "Europe/Berlin"
    desk.profile.save()
    apply.ensure_template(desk.profile, "freescout")
    job = desk.start(options={"batch_size": 500})
    workers = [worker(job), worker(job)]
    assert [os.waitpid(pid, 0)[1] for pid in workers] == [0, 0]
    job.refresh_from_db()
    assert job.status == "completed", job.error_message
    with psycopg.connect(database) as source:
        lines = reconcile(job, source)
    assert len(lines) == 6
    assert [line for line in lines if not line.is_equal] == []

    again = desk.run()
    assert again.status == "completed", again.error_message
    assert not {"created", "updated", "failed"} & set(desk.outcomes(again))

    desk.execute("CREATE VIEW slow AS SELECT id, name FROM mailboxes, LATERAL pg_sleep(60)")
    desk.query("accounts", "slow", {"external_id": "id", "name": "name"})
    job = desk.start(options={"selected_queries": ["accounts"]})
    pid = worker(job, heartbeat_seconds=0.2)
    wait_until(lambda: bool(_asleep(database)))
    operations.cancel(job)
    os.waitpid(pid, 0)
    assert ImportJob.objects.get(pk=job.pk).status == "cancelled"
    wait_until(lambda: not _asleep(database))


def _asleep(url: str) -> list[Any]:
    """Statements of imports that the server is still busy with."""
    with psycopg.connect(url) as source:
        found = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND state = 'active' AND wait_event = 'PgSleep'"
        return source.execute(found, [READER]).fetchall()
