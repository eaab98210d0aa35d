"""A table of goods with every type, who may do what with it, and a place for files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from permissions import roles
from permissions.models import ExportPermission, Role
from tests.conftest import person

GOODS = """
CREATE TYPE goods_size AS ENUM ('S', 'M', '=L');
CREATE TABLE goods (id serial PRIMARY KEY, name text, sku varchar(40) UNIQUE, price numeric(12,2), stock integer, sold bigint,
    ratio double precision, weight real, active boolean, made_on date, made_at timestamptz, seen timestamp, opens time,
    size goods_size, tags text[], facts jsonb, raw json, code uuid, picture bytea, land char(3), span interval, api_key text);
"""


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def fill(count: int) -> None:
    run(
        f"""INSERT INTO goods (name, sku, price, stock, sold, ratio, weight, active, made_on, made_at, seen, opens, size, tags,
            facts, raw, code, picture, land, span, api_key)
        SELECT CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN '=1+' || i ELSE 'Ware “' || i || '”, gut' END, 'S' || i,
            i / 4.0, i, 10::bigint ^ 15 + i, i / 7.0, i / 8.0, i % 2 = 0, date '2024-01-01' + i,
            timestamptz '2024-01-01 00:00+00' + i * interval '90061.25 seconds', timestamp '2024-01-01' + i * interval '1 hour',
            time '08:00' + i * interval '1 minute', 'S', ARRAY['a', 'b "' || i], jsonb_build_object('n', i / 4.0, 't', '\\'),
            '{{"x": 1}}', md5(i::text)::uuid, decode('00ff', 'hex'), 'DE', interval '1 day', 'secret'
        FROM generate_series(1, {count}) i"""
    )


@pytest.fixture(autouse=True)
def files(settings: Any, tmp_path: Path) -> Path:
    """Where exports lie during the test."""
    settings.EXPORT_TEMP_DIR = tmp_path / "exports"
    return settings.EXPORT_TEMP_DIR


@pytest.fixture
def goods(db: None) -> str:
    """Twelve goods, in the test's own transaction."""
    run(GOODS)
    fill(12)
    return "goods"


@pytest.fixture
def stored_goods(committed_db: None) -> Iterator[Callable[[int], None]]:
    """Goods that really are there, for exports that read on a connection of their own: `stored_goods(12)`."""

    def make(count: int) -> None:
        run(GOODS)
        fill(count)

    run("DROP TABLE IF EXISTS goods", "DROP TYPE IF EXISTS goods_size")
    yield make
    run("DROP TABLE IF EXISTS goods", "DROP TYPE IF EXISTS goods_size")


@pytest.fixture
def dora(stored_goods: Any) -> Any:
    """An agent whose exports really run: everything is committed."""
    return person("dora", name="Dora Lin", role=roles.AGENT)


def permit(who: Any, table: str = "goods", **limits: Any) -> ExportPermission:
    values = {"allowed_formats": ["csv", "json", "jsonl", "excel", "xml", "yaml"]} | limits
    return ExportPermission.objects.create(
        table_name=table, **({"role": who} if isinstance(who, Role) else {"user": who}), **values
    )
