"""Rows for any schema with declared keys: references point at rows that exist, everything else is noise."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from importer.sources.schema import Column, ForeignKey, SourceSchema, Table

LOOKUP_ROWS = 7
ROWS = 160


def fill(connection: psycopg.Connection[Any], schema: SourceSchema, *, rows: Mapping[str, int] | None = None) -> None:
    """Insert rows into every table, parents first; the same ones each time."""
    dice = random.Random(7)
    written: dict[str, list[dict[str, Any]]] = {}
    for table in _parents_first(schema):
        references = bool(table.foreign_keys)
        number = (rows or {}).get(table.name, ROWS if references or table.name in PLENTY else LOOKUP_ROWS)
        written[table.full_name] = []
        for row_number in range(1, number + 1):
            row = _row(table, row_number, written, dice)
            query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
                sql.Identifier(table.schema, table.name),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join([sql.Placeholder()] * len(row)),
            )
            if connection.execute(query, list(row.values())).rowcount:
                written[table.full_name].append(row)
    connection.execute("ANALYZE")


PLENTY = {"users", "customers", "people", "hd_staff"}


def _parents_first(schema: SourceSchema) -> list[Table]:
    left, done, order = list(schema.tables), set(), []
    while left:
        ready = [
            t for t in left if all((k.ref_schema, k.ref_table) in done | {(t.schema, t.name)} for k in t.foreign_keys)
        ]
        assert ready, f"a circle of keys among {[table.name for table in left]}"
        order += ready
        done |= {(table.schema, table.name) for table in ready}
        left = [table for table in left if table not in ready]
    return [table for table in order if table.kind == "table"]


def _row(table: Table, number: int, written: dict[str, list[dict[str, Any]]], dice: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {column.name: _value(column, number, dice) for column in table.columns}
    # Composite keys last: their columns may be part of a single key too, and must fit both.
    for key in sorted(table.foreign_keys, key=lambda key: len(key.columns)):
        row |= _reference(table, key, written, dice)
    return row


def _reference(
    table: Table, key: ForeignKey, written: dict[str, list[dict[str, Any]]], dice: random.Random
) -> dict[str, Any]:
    parents = written[f"{key.ref_schema}.{key.ref_table}"]
    optional = all(table.column_map[name].nullable for name in key.columns)
    if not parents or (optional and dice.random() < 0.2):
        return dict.fromkeys(key.columns)
    parent = dice.choice(parents)
    return {own: parent[theirs] for own, theirs in zip(key.columns, key.ref_columns, strict=True)}


def _value(column: Column, number: int, dice: random.Random) -> Any:
    base = column.base_type
    if column.default and "nextval" in column.default:
        return number
    if base == "uuid":
        return uuid.UUID(int=dice.getrandbits(128))
    if base in ("smallint", "integer", "bigint"):
        return dice.randint(0, 400)
    if base in ("numeric", "double precision", "real"):
        return dice.randint(0, 9000) / 100
    if base == "boolean":
        return dice.random() < 0.5
    if base.startswith("timestamp") or base == "date":
        return f"2024-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
    if base == "character":
        return "ABCDEFGHIJ"[number % 10] + "XYZ"[: int(column.type.split("(")[1].rstrip(")")) - 1]
    longest = int(column.type.split("(")[1].rstrip(")")) if "(" in column.type else 40
    return f"{dice.getrandbits(40):x} {column.name}"[:longest]
