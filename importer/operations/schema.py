"""What a profile's source contains: the map, kept for ten minutes, and looks into single tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.core.cache import cache
from django.utils import timezone

from importer import gateway
from importer.errors import QueryError
from importer.models import ImportProfile
from importer.planning import read_schema
from importer.query.problems import nearest
from importer.sources.audit import least_privilege_sql
from importer.sources.introspection import frequent_values, samples
from importer.sources.relations import infer_relations
from importer.sources.schema import Column, Relation, SourceSchema, Table
from importer.sources.session import SourceSession
from importer.sources.turns import cancel_older
from permissions import audit
from servicevault.wording import say

T = TypeVar("T")

KEPT_SECONDS = 600  # I4
MOST_TABLES = 20  # I5: of one call
EMAIL_ROLES = ("email",)
TIME_ROLES = ("amount_of_time", "time_start", "time_end")


@dataclass(frozen=True)
class SourceMap:
    """Everything the login may read, as it was at `read_at` (UTC)."""

    schema: SourceSchema
    read_at: datetime
    server_version: str
    database: str

    @property
    def hint(self) -> str:
        """The GRANT statements to copy when nothing is visible (I11)."""
        return "" if self.schema.tables else least_privilege_sql(self.database, ["public"])


@dataclass(frozen=True)
class Found:
    """A table that answers a search, and what of it did (I8)."""

    table: Table
    matched: tuple[str, ...] = ()  # "name", "comment", "column <name>"


def source_map(profile: ImportProfile, *, refresh: bool = False) -> SourceMap:
    """The map of the source, read anew when it is older than ten minutes, when the profile's connection or pack
    changed, or on request. Raises SourceError."""

    def read() -> SourceMap:
        with gateway.open_source(profile, purpose="schema", preview=True) as session:
            found = read_map(session, profile)
        audit.record("schema_read", profile_id=profile.pk, details={"tables": len(found.schema.tables)})
        return found

    return kept("source-map", profile, read, refresh=refresh)


def kept(kind: str, profile: ImportProfile, make: Callable[[], T], *more: str, refresh: bool = False) -> T:
    """What `make` gives, kept for ten minutes for this profile, connection and pack; `more` tells apart what of it."""
    key = _cache_key(kind, profile, *more)
    found: T | None = None if refresh else cache.get(key)
    if found is None:
        found = make()
        cache.set(key, found, KEPT_SECONDS)
    return found


def read_map(session: SourceSession, profile: ImportProfile) -> SourceMap:
    """The map as this session sees it, and not kept."""
    schema = read_schema(session, profile)
    version = f"{session.server_version // 10_000}.{session.server_version % 10_000}"
    return SourceMap(schema, timezone.now(), version, session.database)


def _cache_key(kind: str, profile: ImportProfile, *more: str) -> str:
    secret = bytes(profile.secret).hex() if profile.secret is not None else ""
    parts = [profile.host, profile.port, profile.database, profile.username, secret, profile.views, *more]
    return f"{kind}:{profile.pk}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]}"


@contextmanager
def looking(profile: ImportProfile, user: Any) -> Iterator[SourceSession]:
    """A short session for one person's preview; an older one of the same person and profile is cancelled (F9)."""
    person = hashlib.sha256(f"{profile.pk}/{getattr(user, 'pk', '')}".encode()).hexdigest()
    purpose = f"preview-{person[:12]}"
    with gateway.open_source(profile, purpose=purpose, preview=True) as session:
        cancel_older(session, f"service-vault/{purpose}")
        yield session


# -- tables ------------------------------------------------------------------------------------------------------


def search_tables(
    schema: SourceSchema, text: str = "", *, in_schema: str = "", hide_empty: bool = False
) -> list[Found]:
    """Tables whose name, comment or columns contain `text`, those that match by name first."""
    wanted = text.strip().casefold()
    found = []
    for table in schema.tables:
        if (in_schema and table.schema != in_schema) or (hide_empty and table.row_estimate == 0):
            continue
        matched = _matches(table, wanted) if wanted else ()
        if matched or not wanted:
            found.append(Found(table, matched))
    return sorted(found, key=lambda item: ("name" not in item.matched, item.table.schema, item.table.name))


def _matches(table: Table, wanted: str) -> tuple[str, ...]:
    found = []
    if wanted in table.name.casefold() or wanted in table.full_name.casefold():
        found.append("name")
    if wanted in (table.comment or "").casefold():
        found.append("comment")
    return (*found, *(f"column {column.name}" for column in table.columns if wanted in column.name.casefold()))


def table_of(schema: SourceSchema, name: str, in_schema: str = "") -> Table:
    """The table of that name; "schema.table" is understood too. Raises QueryError(code="not_found")."""
    table = schema.table(name, in_schema)
    if table is None and not in_schema and "." in name:
        table = schema.table(name.split(".", 1)[1], name.split(".", 1)[0])
    if table is None:
        closest = nearest(name, schema.names())
        raise QueryError(
            say("The source has no table “{name}”.", name=name),
            hint=say("Did you mean {closest}?", closest=closest) if closest else "",
            where="table_name",
            code="not_found",
        )
    return table


def columns_with_role(schema: SourceSchema, roles: Sequence[str]) -> list[tuple[Table, Column]]:
    """Columns that look as if they held this (I6, I12)."""
    return [(table, column) for table in schema.tables for column in table.columns if column.role in roles]


def table_samples(
    profile: ImportProfile, tables: Sequence[str], *, by: Any, rows: int = 3
) -> list[tuple[Table, list[dict[str, Any]]]]:
    """A few rows of each table, at most 20 tables a call (I5). Raises QueryError for an unknown one."""
    if len(tables) > MOST_TABLES:
        raise QueryError(
            say("At most {most_tables} tables can be looked into at once.", most_tables=MOST_TABLES),
            hint=say("Ask for fewer."),
            where="tables",
        )
    schema = source_map(profile).schema
    chosen = [table_of(schema, name) for name in tables]
    with looking(profile, by) as session:
        found = [(table, samples(session, table, rows)) for table in chosen]
    audit.record("preview_shown", user=by, profile_id=profile.pk, details={"tables": [table.name for table in chosen]})
    return found


def column_values(profile: ImportProfile, table: Table, column: str, *, by: Any) -> list[tuple[str | None, int]]:
    """The most frequent values of a column among the first 50,000 rows (I9)."""
    with looking(profile, by) as session:
        return frequent_values(session, table, column)


def suggest_joins(profile: ImportProfile, tables: Sequence[str], *, refresh: bool = False) -> list[Relation]:
    """Declared and inferred relations of these tables, the surest first (Q8, N-001); kept as long as the map."""
    schema = source_map(profile, refresh=refresh).schema

    def infer() -> list[Relation]:
        with gateway.open_source(profile, purpose="relations", preview=True) as session:
            return infer_relations(session, schema, tables=tables)

    return kept("relations", profile, infer, *sorted(tables), refresh=refresh)
