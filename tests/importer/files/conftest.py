"""A shop of tables to import into, and a short way from bytes to rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from importer import runner
from importer.models import ImportJob
from importer.operations import files

PRODUCTS = """
CREATE TYPE size AS ENUM ('S', 'M', 'L');
CREATE TABLE makers (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE products (id serial PRIMARY KEY, sku varchar(20) NOT NULL UNIQUE, name text, price numeric(10,2),
    stock integer, sold bigint, active boolean NOT NULL DEFAULT true, made_on date, made_at timestamptz, seen timestamp,
    size size, tags text[], facts jsonb, code uuid, maker text REFERENCES makers (code), barcode text UNIQUE,
    note text, CONSTRAINT stock_positive CHECK (stock >= 0));
INSERT INTO makers VALUES ('acme', 'Acme');
"""
DROP = "DROP TABLE IF EXISTS products, makers; DROP TYPE IF EXISTS size"


@pytest.fixture
def shop(committed_db: None, target: psycopg.Connection, settings: Any, tmp_path: Path) -> Iterator[psycopg.Connection]:
    """Tables nobody wrote code for; the connection looks at them."""
    settings.IMPORT_TEMP_DIR = tmp_path / "imports"
    target.execute(DROP)
    target.execute(PRODUCTS)
    yield target
    target.execute(DROP)


def uploaded(content: bytes | str, *, name: str = "products.csv", table: str = "", **given: Any) -> ImportJob:
    data = content.encode() if isinstance(content, str) else content
    given.setdefault("system", True)
    if "target_type" not in given and "tables" not in given.get("options", {}):
        table = table or "products"
    return files.upload(given.pop("user", None), io.BytesIO(data), name, table_name=table, **given)


def imported(content: bytes | str, *, accept_errors: bool = True, **given: Any) -> ImportJob:
    """Upload, validate, start and work until the job's end."""
    job = uploaded(content, **given)
    files.validate(job, None, system=True)
    files.start(job, None, accept_errors=accept_errors, system=True)
    runner.work(job.pk)
    job.refresh_from_db()
    return job


def outcomes(job: ImportJob) -> dict[str, int]:
    return {name: count for name, count in job.counters().items() if count}
