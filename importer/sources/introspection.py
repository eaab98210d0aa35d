"""The map of a source: tables, columns, keys, estimates and sizes, in five catalogue statements."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from importer.errors import QueryError, SourceTimeout
from importer.sources.catalogue import catalogue_query
from importer.sources.failures import SourceQueryError, understood
from importer.sources.roles import column_role
from importer.sources.schema import Column, ForeignKey, Index, PackView, SourceSchema, Table
from importer.sources.session import Row, SourceSession, identifier
from servicevault.wording import say

FREQUENT_SCAN_ROWS = 50_000  # what the most frequent values are counted in; never a whole table


def introspect(session: SourceSession, *, schemas: Sequence[str] | None = None) -> SourceSchema:
    """Return everything the login may read, or only these schemas. Five statements whatever the number of tables.

    Row counts and sizes are what the catalogue says; nothing is counted.
    """
    tables = session.fetch_all(catalogue_query("tables"), None)
    columns = session.fetch_all(catalogue_query("columns"), None)
    foreign_keys = session.fetch_all(catalogue_query("foreign_keys"), None)
    indexes = session.fetch_all(catalogue_query("indexes"), None)
    sizes = _sizes(session)
    with understood():
        parts = _by_table(columns), _by_table(foreign_keys), _by_table(indexes)
        size_of: dict[int, int] = dict(sizes)
        found = [
            _table(row, *(part[row[0]] for part in parts), size=size_of.get(row[0]))
            for row in tables
            if schemas is None or row[1] in schemas
        ]
    return SourceSchema(
        tables=tuple(found),
        search_schemas=_search_schemas(found, schemas),
        server_version=session.server_version,
        database=session.database,
    )


def resolve_types(session: SourceSession, views: Iterable[PackView]) -> tuple[PackView, ...]:
    """Return the views with the columns their SQL yields here; prepared, never run.

    Raises QueryError with the name of the view in `where` when the source does not accept its SQL.
    """
    resolved = []
    for view in views:
        try:
            columns = session.describe(sql.SQL(view.sql), None)  # a pack's own text
        except SourceQueryError as error:
            raise QueryError(f'View "{view.name}": {error.message}', hint=error.hint, where=view.name) from None
        named = tuple(Column(name=column.name, type=column.type_name) for column in columns)
        resolved.append(replace(view, columns=named))
    return tuple(resolved)


def fingerprint(schema: SourceSchema) -> str:
    """Return a hash that changes when a table, a column or a type does, and with nothing else."""
    described = sorted(
        [table.schema, table.name, table.kind, [[column.name, column.type] for column in table.columns]]
        for table in schema.tables
    )
    return hashlib.sha256(json.dumps(described, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def samples(session: SourceSession, table: Table, limit: int = 3) -> list[dict[str, Any]]:
    """Return a few rows as dicts, whichever the source gives first."""
    query = sql.SQL("SELECT {} FROM {} LIMIT %s").format(
        sql.SQL(", ").join(identifier(column.name) for column in table.columns), identifier(table.schema, table.name)
    )
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in session.fetch_all(query, (limit,))] if names else []


def frequent_values(session: SourceSession, table: Table, column: str, limit: int = 5) -> list[tuple[str | None, int]]:
    """Return the most frequent values of a column as text, with their number among the first 50,000 rows."""
    if table.column(column) is None:
        raise QueryError(
            say("Table {table} has no column {column}.", table=table.full_name, column=column),
            hint=say("Look at its columns anew."),
            where=column,
        )
    query = sql.SQL(
        "SELECT left(value, 200), count(*) FROM (SELECT {}::text AS value FROM {} LIMIT %s) AS sampled"
        " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %s"
    ).format(identifier(column), identifier(table.schema, table.name))
    return [(value, count) for value, count in session.fetch_all(query, (FREQUENT_SCAN_ROWS, limit))]


def _table(row: Row, columns: list[Row], foreign_keys: list[Row], indexes: list[Row], *, size: int | None) -> Table:
    _, schema, name, kind, row_estimate, comment = row
    found = [(index[1], index[2], index[3], _names(index[4])) for index in indexes]
    primary = next((names for _, is_primary, _, names in found if is_primary), ())
    unique = {names for _, is_primary, is_unique, names in found if is_unique and not is_primary and all(names)}
    return Table(
        schema=schema,
        name=name,
        kind=kind,
        columns=tuple(_column(*column[1:]) for column in columns),
        primary_key=primary,
        unique_keys=tuple(sorted(unique - {primary})),
        foreign_keys=tuple(
            ForeignKey(_names(own), ref_schema, ref_table, _names(theirs), key_name)
            for _, key_name, ref_schema, ref_table, own, theirs in foreign_keys
        ),
        indexes=tuple(Index(index_name, names, is_unique) for index_name, _, is_unique, names in found),
        row_estimate=row_estimate,
        size_bytes=size,
        comment=comment,
    )


def _column(name: str, type_name: str, nullable: bool, default: str | None, comment: str | None) -> Column:
    return Column(name, type_name, nullable, default, comment, column_role(name, type_name))


def _names(text: str | None) -> tuple[str, ...]:
    """Column names of a JSON list; an empty name stands for an expression."""
    return tuple(name or "" for name in json.loads(text or "[]"))


def _by_table(rows: list[Row]) -> defaultdict[int, list[Row]]:
    grouped: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[0]].append(row)
    return grouped


def _sizes(session: SourceSession) -> list[Row]:
    """Sizes by table; none when a table is locked, for they are not worth waiting or failing."""
    try:
        return session.fetch_all(catalogue_query("sizes"), None)
    except (SourceTimeout, SourceQueryError):
        if not session.is_open:
            raise
        return []


def _search_schemas(tables: Sequence[Table], schemas: Sequence[str] | None) -> tuple[str, ...]:
    """public first, as PostgreSQL does, then the others with the most tables first."""
    if schemas is not None:
        return tuple(schemas)
    counts: defaultdict[str, int] = defaultdict(int)
    for table in tables:
        counts[table.schema] += 1
    return tuple(sorted(counts, key=lambda name: (name != "public", -counts[name], name))) or ("public",)
