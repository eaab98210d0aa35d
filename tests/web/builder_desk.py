"""A source for the builder's tests: ten small tables without one foreign key, made once a session."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from importer.sources.params import ConnectionParams
from tests.importer.desk import READER, READER_PASSWORD, make_reader

HOSTILE = '"><img src=x onerror=alert(1)><b hx-get="/logout" hx-trigger="load">'[:60]
TABLES = """
CREATE TABLE people (id integer PRIMARY KEY, full_name text NOT NULL, email text, org_id integer, active boolean,
    created_at timestamptz);
CREATE TABLE orgs (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE cases (id integer PRIMARY KEY, person_id integer, title text, description text, state integer,
    opened_at timestamptz);
CREATE TABLE notes (id integer PRIMARY KEY, case_id integer, body text);
CREATE TABLE labels (id integer PRIMARY KEY, name text);
CREATE TABLE case_labels (case_id integer, label_id integer, PRIMARY KEY (case_id, label_id));
CREATE TABLE phones (id integer PRIMARY KEY, person_id integer, number text);
CREATE TABLE settings (name text PRIMARY KEY, value text);
CREATE TABLE sessions (id integer PRIMARY KEY, started timestamptz);
CREATE TABLE "Odd table" (id integer PRIMARY KEY, "two words" text);
COMMENT ON TABLE cases IS 'What customers asked';
INSERT INTO orgs SELECT i, 'Org ' || i FROM generate_series(1, 3) i;
INSERT INTO people SELECT i, 'Person ' || i, 'p' || i || '@shop.example', 1 + i % 3, i % 2 = 0, '2024-01-01'
    FROM generate_series(1, 12) i;
INSERT INTO cases SELECT i, 1 + i % 12, 'Case ' || i, 'It is broken.', 1 + i % 2, '2024-02-01'
    FROM generate_series(1, 30) i;
INSERT INTO sessions VALUES (1, now());
DELETE FROM sessions;
INSERT INTO phones SELECT i, 1 + i % 6, '555-' || i FROM generate_series(1, 18) i;
"""
HOSTILE_TABLES = """
CREATE TABLE "{name}" (id integer PRIMARY KEY, "{name}" text);
COMMENT ON TABLE "{name}" IS '{text}';
COMMENT ON COLUMN "{name}"."{name}" IS '{text}';
INSERT INTO "{name}" VALUES (1, '{text}'), (2, NULL);
"""


def make_source(source_database: Callable[..., str]) -> ConnectionParams:
    """The ten tables and a hostile one, readable for the test's reader."""
    url = source_database("builder")
    with psycopg.connect(url, autocommit=True) as source:
        make_reader(source)
        source.execute(TABLES)
        source.execute(HOSTILE_TABLES.format(name=HOSTILE.replace('"', '""'), text=HOSTILE))
        source.execute(f"ANALYZE; GRANT USAGE ON SCHEMA public TO {READER}")
        source.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return ConnectionParams(
        host=str(parts["host"]), port=int(str(parts["port"])), database=str(parts["dbname"]), username=READER,
        password=READER_PASSWORD,
    )  # fmt: skip
