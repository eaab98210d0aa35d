"""A source may be any PostgreSQL from 10 on: tested, mapped, asked and imported like the newest.

Runs against every version that is installed here, see `servers.installed`; without one there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from importer.query.expressions import parse
from importer.sources.connection import ConnectionParams, SourceLimits, test_connection
from importer.sources.introspection import fingerprint, introspect
from importer.sources.probe import STAGES
from importer.sources.schema import SourceSchema
from tests.importer.desk import READER, READER_PASSWORD, make_desk, make_reader
from tests.importer.freescout import import_rows, message, person
from tests.importer.query.conftest import GUIDE_SHAPE, fetch, select_customers
from tests.importer.query.test_expression_results import EXPRESSIONS
from tests.importer.sources import servers
from tests.importer.sources.conftest import POLICY, OpenSource
from tests.importer.sources.test_introspection import DDL

INSTALLED = servers.installed()
NUMBERS = count()
WITHOUT_UUIDS = 130000  # gen_random_uuid() is built in from here on

pytestmark = pytest.mark.skipif(
    not INSTALLED, reason="no other PostgreSQL here: none below /usr/lib/postgresql, none in SOURCE_POSTGRES_BIN"
)


@pytest.fixture(scope="module", params=sorted(INSTALLED) or [""])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with servers.running(Path(INSTALLED[request.param])) as url:
        yield url


@pytest.fixture
def database(server: str) -> str:
    """An empty database of that server."""
    name = f"source_{next(NUMBERS)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    return urlsplit(server)._replace(path=f"/{name}").geturl()


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
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE tickets (id int PRIMARY KEY); REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        make_reader(connection)
        connection.execute(f"GRANT SELECT ON tickets TO {READER}")
        version = connection.info.server_version
    owner, _ = ConnectionParams.from_url(database)
    reader = replace(owner, username=READER, password=READER_PASSWORD)
    test = test_connection(reader, policy=POLICY, limits=SourceLimits())
    assert [(check.name, check.status) for check in test.checks] == [(name, "ok") for name in STAGES]
    assert test.database_info["table_count"] == 1
    assert str(version // 10000) in str(test.database_info["version"])


@pytest.mark.req("I1", "I2", "I3", "I4")
def test_the_map_of_a_source_is_that_of_the_newest_version(
    database: str, source_database: Callable[..., str], open_source: OpenSource
) -> None:
    newest = source_database("newest")
    for url in (database, newest):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(DDL)
    limits = SourceLimits(allow_privileged=True)
    old, new = (introspect(open_source(url, limits=limits)) for url in (database, newest))
    assert structure(old) == structure(new)
    assert fingerprint(old) == fingerprint(new)


@pytest.mark.req("Q27", "Q29")
def test_expressions_give_that_versions_own_results(database: str) -> None:
    with psycopg.connect(database) as connection:
        shape = GUIDE_SHAPE
        if connection.info.server_version < WITHOUT_UUIDS:
            shape = shape.replace("gen_random_uuid()", "md5(random()::text)::uuid")
        connection.execute(shape)
        different = [text for text in EXPRESSIONS if _ours(connection, text) != _its(connection, text)]
    assert different == []


def _ours(connection: psycopg.Connection[Any], text: str) -> list[Any]:
    return fetch(connection, select_customers(parse(text)))


def _its(connection: psycopg.Connection[Any], text: str) -> list[Any]:
    return connection.execute(f"SELECT ({text})::text AS value FROM customers ORDER BY customers.id").fetchall()


@pytest.mark.req("N-140", "X25")
@pytest.mark.usefixtures("committed_db")
def test_a_freescout_is_imported_whole_and_again(database: str) -> None:
    desk = make_desk(database)
    job = import_rows(
        desk,
        users=[person(1)],
        customers=[{"id": number, "first_name": f"Customer{number}"} for number in (1, 2)],
        emails=[{"id": number, "customer_id": number, "email": f"c{number}@x.de", "type": 1} for number in (1, 2)],
        conversations=[
            {"id": number, "subject": f"Subject {number}", "customer_id": 1 + number % 2, "user_id": 1,
             "created_at": "2024-07-01 10:00", "updated_at": "2024-07-01 10:00"}
            for number in (1, 2, 3)
        ],
        threads=[
            message(number, number, created_by_customer_id=1 + number % 2, created_at="2024-07-01 10:00",
                    updated_at="2024-07-01 10:00")
            for number in (1, 2, 3)
        ],
    )  # fmt: skip
    found = desk.outcomes(job)
    assert "failed" not in found
    assert "review" not in found
    assert desk.outcomes(job, "tickets") == {"read": 3, "created": 3}
    again = desk.run()
    assert again.status == "completed", again.error_message
    assert not {"created", "updated", "failed"} & set(desk.outcomes(again))
