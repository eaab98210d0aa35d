"""The demo: made once, imported for real, counted on both sides, and quick the second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from servicevault.demo import database, people, rows

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def application(source_database: Callable[..., str]) -> Iterator[str]:
    """URL of an empty application database; the demo beside it is dropped with it."""
    url = source_database("app")
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        name, role = database._names(connection.info.dbname)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def demo(url: str, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`manage.py demo` in a process of its own."""
    environment = dict(os.environ) | {
        "DATABASE_URL": url, "SERVICEVAULT_EMBEDDED": "true", "SERVICEVAULT_DATA_DIR": str(data_dir),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "demo", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.req("G38", "T30", "T32")
def test_it_imports_everything_once_and_nothing_twice(application: str, tmp_path: Path) -> None:
    first = demo(application, tmp_path, "--json")
    assert first.returncode == 0, first.stderr + first.stdout
    report = json.loads(first.stdout)
    lines = {line["entity"]: line for line in report["reconciliation"]}
    assert list(lines) == ["accounts", "agents", "customers", "tickets", "comments", "time_entries"]
    assert all(
        line["equal"] and line["source"] == line["read"] == line["created"] + line["review"] for line in lines.values()
    )
    assert report["equal"]
    assert (lines["customers"]["review"], lines["agents"]["target"]) == (people.CASE_PAIRS, people.AGENTS)
    secret = tmp_path / "secrets" / "DEMO_ADMIN_PASSWORD"
    assert secret.read_text().strip() == report["login"]["password"]
    assert secret.stat().st_mode & 0o077 == 0

    second = demo(application, tmp_path, "--once")
    assert second.returncode == 0, second.stderr + second.stdout
    assert "Reusing the help desk" in second.stdout
    assert "Every row is accounted for" in second.stdout
    with psycopg.connect(application) as connection:
        counts = connection.execute(
            "SELECT sum(created), sum(updated) FROM importer_queryrun"
            " WHERE job_id = (SELECT id FROM importer_importjob ORDER BY number DESC LIMIT 1)"
        )
        assert counts.fetchone() == (0, 0)


def test_it_lets_the_reader_read_and_nothing_else(application: str) -> None:
    source = database.generate(application)
    assert source.is_new
    with psycopg.connect(source.url, autocommit=True) as reader:
        assert reader.execute("SELECT count(*) FROM threads").fetchone()[0] > 15_000  # type: ignore[index]
        reader.execute("SET default_transaction_read_only = off")
        for statement in ("DELETE FROM users", "CREATE TABLE x (a int)", "CREATE ROLE other_role"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)
    again = database.generate(application)
    assert (again.is_new, again.database) == (False, source.database)
    assert again.url != source.url  # a password of its own each time


def test_it_leaves_a_database_alone_that_is_no_demo(application: str) -> None:
    with psycopg.connect(application, autocommit=True) as connection:
        name, _ = database._names(connection.info.dbname)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with pytest.raises(database.DemoError, match="not a demo of ours"):
        database.generate(application)


def test_it_says_what_the_role_lacks(application: str) -> None:
    role = f"plain_{os.getpid()}"
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw'").format(sql.Identifier(role)))
    parts = urlsplit(application)
    url = urlunsplit(parts._replace(netloc=f"{role}:pw@{parts.hostname}:{parts.port}"))
    try:
        with pytest.raises(database.DemoError, match="CREATEDB CREATEROLE"):
            database.generate(url)
    finally:
        with psycopg.connect(application, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_it_makes_the_same_rows_each_time_with_a_share_of_every_trap() -> None:
    tables = rows.make(date(2026, 6, 1))
    assert rows.make(date(2026, 6, 1)).rows == tables.rows
    threads, conversations = tables["threads"], tables["conversations"]
    assert len(conversations) == rows.CONVERSATIONS
    assert len(tables["customers"]) == people.CUSTOMERS + people.CASE_PAIRS
    assert 0.25 < sum(thread["type"] == 4 for thread in threads) / len(threads) < 0.4
    assert {row["status"] for row in conversations} >= {1, 2, 3, 4, 11, 12, 21, 31, 32}
    assert {row["state"] for row in conversations} == {1, 2, 3}
    assert max(len(thread["body"] or "") for thread in threads) > rows.MEGABYTE
    assert {row["created_at"].year for row in conversations} >= {1970, 2024, 2025, 2099}
    assert any(row["customer_id"] not in range(1, 1009) for row in conversations if row["customer_id"])
    seconds = [row["time_spent"] for row in tables["timelogs"]]
    assert min(seconds) < 0 < max(seconds)
    assert max(len(row["subject"] or "") for row in conversations) > 900
