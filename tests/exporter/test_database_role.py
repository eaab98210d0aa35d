"""Exports read as a role of the database that may read what is exported and nothing else."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection

from exporter import operations, run
from exporter.wanted import Wanted
from servicevault import database_roles, tables
from servicevault.checks import separate_roles
from tests.conftest import person
from tests.exporter.conftest import permit

pytestmark = pytest.mark.usefixtures("committed_db")


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def made() -> Any:
    sql("DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (id int PRIMARY KEY, label text, api_key text)")
    sql("INSERT INTO ledger VALUES (1, 'one', 'geheim')")
    yield
    sql("DROP TABLE ledger")


@pytest.mark.req("G14", "G15")
def test_the_role_reads_the_open_columns_of_the_table_and_nothing_else(made: None) -> None:
    role = database_roles.reader_of(tables.find("ledger"))
    assert role == f"{connection.settings_dict['NAME']}_export"
    with run.snapshot(role) as reader:
        assert reader.execute("SELECT id, label FROM ledger").fetchall() == [(1, "one")]
    for refused in ("SELECT api_key FROM ledger", "SELECT * FROM ledger", "SELECT password FROM users"):
        with run.snapshot(role) as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(refused)
    with run.snapshot(role) as reader:
        reader.read_only = False
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("DELETE FROM ledger")


@pytest.mark.req("G15")
def test_a_column_that_is_closed_later_is_closed_to_the_role(made: None, settings: Any) -> None:
    role = database_roles.reader_of(tables.find("ledger"))
    settings.DATA_SENSITIVE_COLUMNS = ["ledger.label"]
    assert database_roles.reader_of(tables.find("ledger")) == role
    with run.snapshot(role) as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("SELECT label FROM ledger")


def test_rows_that_policies_hide_are_read_as_ourselves(made: None) -> None:
    sql("ALTER TABLE ledger ENABLE ROW LEVEL SECURITY")
    assert database_roles.reader_of(tables.find("ledger")) is None


def test_without_the_role_exports_go_on_and_the_check_says_so(made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert separate_roles(None) == []
    monkeypatch.setattr(database_roles, "name", lambda purpose="export": f"nobody has made this role of {purpose}s")
    assert database_roles.reader_of(tables.find("ledger")) is None
    warnings = separate_roles(None)
    assert [warning.id for warning in warnings] == ["servicevault.W004", "servicevault.W005", "servicevault.W006"]
    assert 'CREATE ROLE "nobody has made this role of exports"' in str(warnings[0].hint)


@pytest.mark.req("F-132", "F-167", "G15")
def test_what_only_orders_or_filters_the_rows_stops_no_export(made: None) -> None:
    """A table without a key lies as it lies; keys and row filters may be columns that nobody is shown."""
    sql("DROP TABLE IF EXISTS heap, passes; CREATE TABLE heap (label text); INSERT INTO heap VALUES ('a'), ('b')")
    sql("CREATE TABLE passes (token text PRIMARY KEY, label text); INSERT INTO passes VALUES ('geheim', 'a')")
    sql("INSERT INTO ledger VALUES (2, 'two', 'other')")
    dora = person("dora")
    permit(dora, "heap")
    permit(dora, "passes")
    permit(dora, "ledger", row_filter={"column": "api_key", "operator": "=", "value": "geheim"})
    rows = {}
    for name in ("heap", "passes", "ledger"):
        job = operations.create_export(Wanted(name), by=dora)
        assert run.work(job.pk) == "completed", name
        job.refresh_from_db()
        rows[name] = job.processed_rows
    assert rows == {"heap": 2, "passes": 1, "ledger": 1}
    assert database_roles.reader_of(tables.find("heap")) == database_roles.name()
    sql("DROP TABLE heap, passes")
