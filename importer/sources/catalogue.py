"""The catalogue queries of `sql/`, read once, and sent as they are."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from psycopg import sql

FOLDER = Path(__file__).parent / "sql"


@cache
def catalogue_query(name: str) -> sql.SQL:
    """Return the query of `sql/<name>.sql`. Send it with `params=None`: its percent signs are its own."""
    text = (FOLDER / f"{name}.sql").read_text(encoding="utf-8").rstrip().removesuffix(";")
    return sql.SQL(text)
