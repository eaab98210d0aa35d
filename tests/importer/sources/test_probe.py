"""Testing a connection names the first stage that fails, and says what a login may do that it should not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from importer.errors import SourceError
from importer.sources.audit import audit_role, least_privilege_sql, require_unprivileged
from importer.sources.connection import ConnectionParams, HostPolicy, SourceLimits, open_session, test_connection
from importer.sources.probe import STAGES
from tests.importer.sources.conftest import POLICY

LIMITS = SourceLimits()
ROLES = {
    "reader": ("NOSUPERUSER", set()),
    "writer": ("NOSUPERUSER", {"write_rights"}),
    "column_writer": ("NOSUPERUSER", {"write_rights"}),
    "creator": ("NOSUPERUSER", {"create_on_schema"}),
    "db_creator": ("CREATEDB", {"createdb"}),
    "role_creator": ("CREATEROLE", {"createrole"}),
    "replicator": ("REPLICATION", {"replication"}),
    "bypasser": ("BYPASSRLS", {"bypassrls"}),
    "file_reader": ("IN ROLE pg_read_server_files", {"read_server_files"}),
    "file_writer": ("IN ROLE pg_write_server_files", {"write_server_files"}),
    "program_runner": ("IN ROLE pg_execute_server_program", {"execute_server_program"}),
}
PRIVILEGED = {"role_creator", "replicator", "bypasser", "file_reader", "file_writer", "program_runner"}


@pytest.fixture(scope="module")
def logins(source_database: Callable[..., str]) -> Iterator[dict[str, ConnectionParams]]:
    """A database with one table, and a login for each kind of role; `admin` owns all of it."""
    url = source_database("probe")
    admin, _ = ConnectionParams.from_url(url)
    mark = f"_{time.monotonic_ns()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE tickets (id int PRIMARY KEY, title text); REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        )
        for name, (attributes, _) in ROLES.items():
            role = sql.Identifier(name + mark)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw' " + attributes).format(role))
            connection.execute(sql.SQL("GRANT SELECT ON tickets TO {}").format(role))
        connection.execute(sql.SQL("GRANT INSERT ON tickets TO {}").format(sql.Identifier("writer" + mark)))
        connection.execute(
            sql.SQL("GRANT UPDATE (title) ON tickets TO {}").format(sql.Identifier("column_writer" + mark))
        )
        connection.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier("creator" + mark)))
        yield {"admin": admin} | {name: replace(admin, username=name + mark, password="pw") for name in ROLES}
        for name in ROLES:
            role = sql.Identifier(name + mark)
            connection.execute(sql.SQL("DROP OWNED BY {0}").format(role))
            connection.execute(sql.SQL("DROP ROLE {0}").format(role))


@pytest.mark.req("P10", "P16")
def test_it_passes_every_stage_with_a_reading_role(logins: dict[str, ConnectionParams]) -> None:
    test = test_connection(logins["reader"], policy=POLICY, limits=LIMITS)
    assert test.success, test
    assert [(check.name, check.status) for check in test.checks] == [(name, "ok") for name in STAGES]
    assert {"version", "database", "user", "connection_time"} <= set(test.server_info)
    assert test.database_info["table_count"] == 1
    assert set(test.database_info) == {"version", "database", "table_count", "size"}
    json.dumps(test.as_dict())


@pytest.mark.req("P17")
def test_it_warns_of_an_unencrypted_connection(logins: dict[str, ConnectionParams]) -> None:
    test = test_connection(logins["reader"], policy=POLICY, limits=LIMITS)
    assert [warning.code for warning in test.warnings] == ["connection_not_encrypted"]


@pytest.mark.req("P22")
@pytest.mark.parametrize("name", ROLES)
def test_it_finds_what_a_role_may_do(logins: dict[str, ConnectionParams], name: str) -> None:
    with open_session(logins[name], policy=POLICY, limits=LIMITS, application_name="t") as session:
        findings = audit_role(session)
        assert {finding.code for finding in findings} == ROLES[name][1]
        assert all((finding.severity == "privileged") == (name in PRIVILEGED) for finding in findings)


@pytest.mark.req("P22")
def test_it_refuses_privileged_logins_unless_told_otherwise(logins: dict[str, ConnectionParams]) -> None:
    for name in ("admin", *PRIVILEGED):
        session = open_session(logins[name], policy=POLICY, limits=LIMITS, application_name="t")
        with session, pytest.raises(SourceError) as caught:
            require_unprivileged(session)
        assert caught.value.code == "privileged_role"
    allowing = SourceLimits(allow_privileged=True)
    with open_session(logins["admin"], policy=POLICY, limits=allowing, application_name="t") as session:
        require_unprivileged(session)
    with open_session(logins["writer"], policy=POLICY, limits=LIMITS, application_name="t") as session:
        require_unprivileged(session)


@pytest.mark.req("P22")
def test_it_offers_sql_that_makes_a_role_without_findings(logins: dict[str, ConnectionParams]) -> None:
    admin = logins["admin"]
    name = f"offered_{time.monotonic_ns()}"
    text = least_privilege_sql(admin.database, ["public"]).replace("service_vault_import", name)
    with psycopg.connect(host=admin.host, port=admin.port, dbname=admin.database, user=admin.username,
                         password=admin.password, autocommit=True) as connection:  # fmt: skip
        connection.execute(text.replace("choose a long one", "pw"))
        try:
            test = test_connection(replace(admin, username=name, password="pw"), policy=POLICY, limits=LIMITS)
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))
    assert test.success
    assert [warning.code for warning in test.warnings] == ["connection_not_encrypted"]


@pytest.mark.req("P16")
@pytest.mark.parametrize(
    ("change", "stage", "code"),
    [({"host": "169.254.169.254"}, "host_policy", "host_not_allowed"), ({"host": "a b"}, "host_policy", "host_not_allowed"),
     ({"port": 0}, "host_policy", "params_invalid"), ({"host": "no-such-name.invalid"}, "dns", "connection_failed"),
     ({"port": 1}, "tcp", "connection_failed"), ({"ssl_mode": "require"}, "tls", "connection_failed"),
     ({"password": "wrong"}, "login", "connection_failed"), ({"database": "none_such"}, "login", "connection_failed")],
)  # fmt: skip
def test_it_stops_at_the_first_stage_that_fails(
    logins: dict[str, ConnectionParams], change: dict[str, object], stage: str, code: str
) -> None:
    test = test_connection(replace(logins["reader"], **change), policy=POLICY, limits=LIMITS)
    at = STAGES.index(stage)
    assert [check.status for check in test.checks] == ["ok"] * at + ["failed"] + ["skipped"] * (len(STAGES) - at - 1)
    assert (test.success, test.error_code) == (False, code)
    assert test.checks[at].remedy


@pytest.mark.req("P22")
def test_it_fails_for_a_superuser(logins: dict[str, ConnectionParams]) -> None:
    test = test_connection(logins["admin"], policy=POLICY, limits=LIMITS)
    failed = [check.name for check in test.checks if check.status == "failed"]
    assert (failed, test.error_code) == (["read_only_role"], "privileged_role")


@pytest.mark.req("I11")
def test_it_gives_the_grants_when_no_table_is_visible(
    source_database: Callable[..., str], logins: dict[str, ConnectionParams]
) -> None:
    empty, _ = ConnectionParams.from_url(source_database("empty"))
    test = test_connection(replace(logins["reader"], database=empty.database), policy=POLICY, limits=LIMITS)
    assert test.success
    (warning,) = [warning for warning in test.warnings if warning.code == "no_table_visible"]
    assert "GRANT SELECT" in warning.remedy


@pytest.mark.req("P23")
def test_it_resolves_the_name_once(logins: dict[str, ConnectionParams]) -> None:
    asked = []

    def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    policy = HostPolicy(allow_loopback=True, lookup=lookup)
    assert test_connection(replace(logins["reader"], host="desk.example.org"), policy=policy, limits=LIMITS).success
    assert asked == ["desk.example.org"]
