"""The ground every test stands on: real PostgreSQL and Valkey, and source databases that are second databases."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from servicevault import embedded

# pytest-django reads the settings when it is configured, which is after this file is imported.
embedded.export()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "servicevault.settings")


# --- source databases ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def source_database() -> Iterator[Callable[..., str]]:
    """Return `source_database(name_hint="src")`, which creates an empty database and returns its owner's URL.

    Each call makes a new one, so tests in parallel workers never meet. All are dropped when the session ends, even
    when something is still connected.
    """
    server = urlsplit(os.environ["DATABASE_URL"])
    created: list[str] = []

    def create(name_hint: str = "src") -> str:
        name = f"{re.sub(r'[^a-z0-9_]', '_', name_hint.lower())[:30]}_{os.getpid()}_{secrets.token_hex(4)}"
        with psycopg.connect(server.geturl(), autocommit=True) as connection:
            # template0: nobody can be connected to it, which CREATE DATABASE requires of its template.
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        created.append(name)
        return urlunsplit(server._replace(path=f"/{name}"))

    yield create
    with psycopg.connect(server.geturl(), autocommit=True) as connection:
        for name in created:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


# --- people ----------------------------------------------------------------------------------------------------------
