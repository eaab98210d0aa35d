"""Imports run on connections of their own, so their tests commit and are swept afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.importer.desk import Desk, make_desk


@pytest.fixture
def desk(committed_db: None, source_database: Callable[..., str]) -> Desk:
    """An empty source database with a profile."""
    return make_desk(source_database("desk"))


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
