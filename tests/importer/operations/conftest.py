"""One small shop to look into, made once: these tests read the source and never change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from importer import operations
from importer.models import ImportProfile
from importer.sources.params import ConnectionParams
from tests.importer.desk import READER, READER_PASSWORD, make_reader

SHOP = f"""
CREATE TABLE people (id integer PRIMARY KEY, full_name text NOT NULL, email text, org_id integer, active boolean,
    created_at timestamp);
CREATE TABLE orgs (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE cases (id integer PRIMARY KEY, person_id integer, subject text, state integer, opened_at timestamp);
COMMENT ON TABLE cases IS 'What customers asked';
INSERT INTO orgs SELECT i, 'Org ' || i FROM generate_series(1, 3) i;
INSERT INTO people SELECT i, 'Person ' || i, 'p' || i || '@shop.example', 1 + i % 3, i % 2 = 0, '2024-01-01'
    FROM generate_series(1, 12) i;
INSERT INTO cases SELECT i, 1 + i % 12, 'Case ' || i, 1 + i % 2, '2024-02-01' FROM generate_series(1, 30) i;
ANALYZE;
GRANT USAGE ON SCHEMA public TO {READER};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER};
"""


@pytest.fixture(scope="session")
def shop_url(source_database: Callable[..., str]) -> str:
    url = source_database("shop")
    with psycopg.connect(url, autocommit=True) as source:
        make_reader(source)
        source.execute(SHOP)
    return url


@pytest.fixture
def shop_params(shop_url: str) -> ConnectionParams:
    parts = psycopg.conninfo.conninfo_to_dict(shop_url)
    return ConnectionParams(
        host=str(parts["host"]),
        port=int(str(parts["port"])),
        database=str(parts["dbname"]),
        username=READER,
        password=READER_PASSWORD,
    )


@pytest.fixture
def connection_values(shop_params: ConnectionParams) -> dict[str, Any]:
    """What a person types into the form of a new profile."""
    names = ("host", "port", "database", "username", "password")
    return {"name": "Shop", **{name: getattr(shop_params, name) for name in names}}


@pytest.fixture
def shop(db: None, shop_params: ConnectionParams, alice: Any) -> ImportProfile:
    """Alice's profile of the shop."""
    profile, _ = operations.profile_named("Shop", shop_params, created_by=alice)
    return profile


@pytest.fixture
def people_query() -> dict[str, Any]:
    """A query body without fault, in a guide's shape."""
    return {
        "key": "people",
        "base_table": "people",
        "joins": [{"type": "LEFT", "table": "orgs", "on": "people.org_id = orgs.id"}],
        "fields": [
            {"source": "people.id", "target": "external_id", "transformation": None},
            {"source": "people.full_name", "target": "name"},
            {"source": "people.email", "target": "email"},
            {"source": "orgs.name", "target": "company"},
        ],
        "filters": [{"field": "people.id", "operator": "<=", "value": 10}],
        "target_type": "customer_users",
    }
