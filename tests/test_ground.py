"""What tests/conftest.py promises."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from django.db import connection


def test_it_gives_each_test_source_databases_of_its_own(source_database: Callable[..., str]) -> None:
    first, second = source_database("Help Desk 1"), source_database()
    with psycopg.connect(first) as client:
        client.execute("CREATE TABLE only_here (id int)")
    with psycopg.connect(second) as client:
        assert client.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


@pytest.mark.django_db
def test_it_keeps_the_developers_database_out_of_the_tests() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone()[0].startswith("test_")
