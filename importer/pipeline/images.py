"""Images: a target row as JSON, as its record keeps it, without what nobody is shown (G15)."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from importer.pipeline.binding import name
from servicevault import tables


def of_row(connection: psycopg.Connection, table: str) -> sql.Composable:
    """Row `t` of the target's table."""
    found = connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = (quote_ident(%s))::regclass AND attnum > 0 "
        "AND NOT attisdropped ORDER BY attnum",
        (table,),
    ).fetchall()
    columns = [column for (column,) in found]
    return of_columns([column for column in columns if not tables.is_sensitive(table, column)], of=len(columns))


def of_columns(columns: Sequence[str], *, of: int) -> sql.Composable:
    """These columns of row `t`, which has so many."""
    if len(columns) == of:
        return sql.SQL("row_to_json(t)")
    picked = sql.SQL(", ").join(name("t", column) for column in columns)
    return sql.SQL("(SELECT row_to_json(o) FROM (SELECT {}) o)").format(picked)
