"""Imports run on connections of their own, so their tests commit and are swept afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.importer.desk import Desk, make_desk

EMPTIED = """
DO $$ DECLARE name text; BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""
PLAIN = """
SELECT datacl IS NULL AND NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
    AND NOT EXISTS (SELECT FROM pg_extension WHERE extname <> 'plpgsql') AND NOT EXISTS (SELECT FROM pg_event_trigger)
FROM pg_database WHERE datname = current_database()
"""


@pytest.fixture
def desk(committed_db: None, source_database: Callable[..., str], spare_databases: list[str]) -> Iterator[Desk]:
    """An empty source database with a profile."""
    url = spare_databases.pop() if spare_databases else source_database("desk")
    yield make_desk(url)
    with suppress(psycopg.OperationalError), psycopg.connect(url, options="-c lock_timeout=5s") as source:
        source.execute(EMPTIED)
        if source.execute(PLAIN).fetchone() == (True,):
            spare_databases.append(url)


@pytest.fixture
def target(committed_db: None) -> Iterator[psycopg.Connection]:
    """A plain connection to the application's database, for looking at rows."""
    database = settings.DATABASES["default"]
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        dbname=connection.settings_dict["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
        autocommit=True,
    ) as found:
        yield found
