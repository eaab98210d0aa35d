"""Tables of the application's own database, as the catalog of PostgreSQL has them this moment (F-001 to F-014).

A table that was made by SQL a moment ago is found without code. Internal tables (G14) are never found: the
framework's, those of every app but the help desk itself, staging tables and the schemas of extensions.
Sensitive columns (G15) are found, marked, and never read nor written by an import or export.
Who may use a table is asked in `permissions.tables`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import NotSupportedError, connection, transaction
from psycopg import sql

from servicevault.wording import say

_INTERNAL = re.compile(
    r"^(django_|auth_|authtoken_|celery_|channels_|guardian_|idempotent_|importer_stage_|notifications$|pg_)"
)
_SENSITIVE = re.compile(r"password|secret|token|hash|api_key|salt|private_key|mfa|otp_", re.IGNORECASE)
_OF_USERS = frozenset({"is_superuser", "is_staff", "role", "role_id", "permissions"})
_DOMAIN_APP = "servicevault"

_SERIAL = re.compile(r"^nextval\(")
_SHORT = {
    "int4": "INTEGER",
    "int8": "BIGINT",
    "int2": "SMALLINT",
    "bool": "BOOLEAN",
    "float4": "REAL",
    "float8": "DOUBLE PRECISION",
}
_DATA_TYPES = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8", "money", "oid"), "number"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "date"),
    **dict.fromkeys(("json", "jsonb"), "json"),
    "bool": "boolean",
}


class UnknownTable(LookupError):
    """No table of that name, or an internal one: the answer is the same (DEC-23)."""


@dataclass(frozen=True)
class Column:
    """One column as the database declares it."""

    name: str
    sql_type: str  # as format_type prints it: "character varying(255)"
    base: str  # pg_type name without length: "varchar", "_text" for an array
    nullable: bool
    default: str | None  # SQL text
    identity: bool  # GENERATED ... AS IDENTITY
    generated: bool  # GENERATED ALWAYS AS (...) STORED
    max_length: int | None
    comment: str
    labels: tuple[str, ...]  # of an enum
    sensitive: bool = False
    readable: bool = True  # whether this PostgreSQL takes any text for a value of the type at all

    @property
    def autoincrement(self) -> bool:
        """Whether the database numbers new rows by itself."""
        return self.identity or bool(self.default and _SERIAL.match(self.default))

    @property
    def is_array(self) -> bool:
        return self.base.startswith("_")

    @property
    def is_text(self) -> bool:
        return self.base in {"text", "varchar", "bpchar", "citext", "name"}

    @property
    def writable(self) -> bool:
        """Whether an import may fill it: not what the database computes or cannot read, nor what is sensitive."""
        return not self.generated and not self.sensitive and self.readable

    @property
    def type(self) -> str:
        """The type as people write it in SQL (F-006): VARCHAR(255), TIMESTAMP WITH TIME ZONE, TEXT[]."""
        text = _SHORT.get(self.base) or self.sql_type.replace("character varying", "varchar").replace(
            "character(", "char("
        )
        text = text.replace(" without time zone", "")
        return text if '"' in text else text.upper()

    @property
    def data_type(self) -> str:
        """number, string, boolean, date or json (F-013)."""
        return "json" if self.is_array else _DATA_TYPES.get(self.base, "string")


@dataclass(frozen=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    referred_schema: str
    referred_relation: str
    referred_columns: tuple[str, ...]

    @property
    def referred_table(self) -> str:
        """As `Table.name`."""
        return _named(self.referred_schema, self.referred_relation)

    @property
    def identifier(self) -> sql.Identifier:
        """Of the referred table."""
        return sql.Identifier(self.referred_schema, self.referred_relation)


@dataclass(frozen=True)
class Index:
    name: str
    columns: tuple[str, ...]  # of plain columns; an expression is given as its SQL
    unique: bool
    partial: bool
    expressions: bool


@dataclass(frozen=True)
class Table:
    """A table anyone with a permission row may import into or export."""

    schema: str
    relation: str
    comment: str
    row_estimate: int  # the planner's; 0 while never analysed
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]
    indexes: tuple[Index, ...]
    checks: tuple[tuple[str, str], ...]  # (constraint, its SQL)
    check_columns: tuple[tuple[str, ...], ...] = ()  # that each of them names

    @property
    def name(self) -> str:
        """How people and permission rows name it: `products`, `archive.products` outside of public (F-014)."""
        return self.relation if self.schema == "public" else f"{self.schema}.{self.relation}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.relation)

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @property
    def open_columns(self) -> tuple[Column, ...]:
        """Columns that may be shown and exported."""
        return tuple(column for column in self.columns if not column.sensitive)

    @property
    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """Sets of plain columns whose values tell rows apart, the primary key first."""
        keys = [self.primary_key] if self.primary_key else []
        keys += [
            index.columns for index in self.indexes if index.unique and not index.partial and not index.expressions
        ]
        return tuple(dict.fromkeys(keys))

    def is_unique(self, column: str) -> bool:
        return (column,) in self.unique_keys


@dataclass(frozen=True)
class Listed:
    """A table in the list, without its columns."""

    name: str
    comment: str
    row_estimate: int


_OWN = """
    c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e'
        AND (d.objid = c.oid AND d.classid = 'pg_class'::regclass
             OR d.objid = n.oid AND d.classid = 'pg_namespace'::regclass))
"""
_LIST = f"""
    SELECT n.nspname::text, c.relname::text, coalesce(obj_description(c.oid, 'pg_class'), ''), greatest(c.reltuples, 0)::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN}
"""  # noqa: S608 - two fixed texts of ours
_COLUMNS = """
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text, NOT a.attnotnull,
        CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.attidentity <> '', a.attgenerated <> '',
        CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
        coalesce(col_description(a.attrelid, a.attnum), ''),
        ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_KEYS = """
    SELECT k.conname::text, k.contype::text, n.nspname::text, r.relname::text,
        ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY p(no, at)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.no ORDER BY p.at),
        ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY p(no, at)
              JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.no ORDER BY p.at),
        CASE WHEN k.contype = 'c' THEN pg_get_constraintdef(k.oid) END
    FROM pg_constraint k LEFT JOIN pg_class r ON r.oid = k.confrelid LEFT JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE k.conrelid = %s::regclass AND k.contype IN ('p', 'f', 'c') ORDER BY k.conname
"""
_INDEXES = """
    SELECT c.relname::text, i.indisunique AND i.indisvalid, i.indpred IS NOT NULL, i.indexprs IS NOT NULL,
        ARRAY(SELECT coalesce(a.attname::text, pg_get_indexdef(i.indexrelid, p.at::integer, false))
              FROM unnest(i.indkey) WITH ORDINALITY p(no, at)
              LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.no AND p.no > 0
              WHERE p.at <= i.indnkeyatts ORDER BY p.at)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass
    ORDER BY NOT i.indisprimary, c.relname
"""


def parents_first(found: Iterable[Table]) -> list[Table]:
    """Tables behind those their foreign keys name; a ring is taken as it comes."""
    left, done = sorted(found, key=lambda table: table.name), list[Table]()
    while left:
        names = {table.name for table in left}
        free = [
            table for table in left if not {key.referred_table for key in table.foreign_keys} & (names - {table.name})
        ]
        free = free or left[:1]
        done += free
        left = [table for table in left if table not in free]
    return done


def listed() -> list[Listed]:
    """Every table that is not internal, sorted by name; one query. Who may use them is asked elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute(_LIST)
        found = [
            Listed(_named(schema, relation), comment, estimate)
            for schema, relation, comment, estimate in cursor.fetchall()
            if not is_internal(schema, relation)
        ]
    return sorted(found, key=lambda table: table.name)


def find(name: str) -> Table:
    """The table with its columns, keys and indexes; four queries. Raises UnknownTable, for internal tables too."""
    with connection.cursor() as cursor:
        cursor.execute(
            _LIST + " AND (n.nspname = 'public' AND c.relname = %(name)s OR n.nspname || '.' || c.relname = %(name)s) "
            "ORDER BY n.nspname <> 'public' LIMIT 1",
            {"name": name},
        )
        row = cursor.fetchone()
        if row is None or is_internal(row[0], row[1]):
            raise UnknownTable(say("There is no table “{name}”.", name=name))
        schema, relation, comment, estimate = row
        quoted = sql.Identifier(schema, relation).as_string(cursor.connection)
        cursor.execute(_COLUMNS, [quoted])
        columns = tuple(_column(relation, schema, values) for values in cursor.fetchall())
        cursor.execute(_KEYS, [quoted])
        keys = cursor.fetchall()
        cursor.execute(_INDEXES, [quoted])
        indexes = tuple(
            Index(index, tuple(names), unique, partial, expressions)
            for index, unique, partial, expressions, names in cursor.fetchall()
        )
    return Table(
        schema=schema,
        relation=relation,
        comment=comment,
        row_estimate=estimate,
        columns=columns,
        primary_key=next((tuple(names) for _, kind, _, _, names, _, _ in keys if kind == "p"), ()),
        foreign_keys=tuple(
            ForeignKey(key, tuple(names), referred_schema, referred, tuple(referred_names))
            for key, kind, referred_schema, referred, names, referred_names, _ in keys
            if kind == "f"
        ),
        indexes=indexes,
        checks=tuple((key, text) for key, kind, *_, text in keys if kind == "c"),
        check_columns=tuple(tuple(names) for _, kind, _, _, names, _, _ in keys if kind == "c"),
    )


def exists(name: str) -> bool:
    try:
        find(name)
    except UnknownTable:
        return False
    return True


def is_internal(schema: str, relation: str) -> bool:
    """Whether a table belongs to the framework, to security or to this system itself (G14)."""
    return schema == "public" and (relation in _tables_of_apps() or bool(_INTERNAL.match(relation)))


def is_sensitive(table: str, column: str) -> bool:
    """Whether a column never leaves and is never written (G15); `table` as `Table.name`."""
    full = f"{table}.{column}"
    if full in settings.DATA_SENSITIVE_COLUMNS:
        return True
    if table == "users" and (column in _OF_USERS or _SENSITIVE.search(column)):
        return True
    return bool(_SENSITIVE.search(column)) and full not in settings.DATA_ALLOWED_COLUMNS


def _tables_of_apps() -> frozenset[str]:
    """Tables of every model but the help desk's own; those that only join two models are internal too."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label != _DOMAIN_APP or model._meta.auto_created:
            found.append(model._meta.db_table)
    return frozenset(found)


def _reads_xml() -> bool:
    """Whether PostgreSQL was built with libxml; asked only where a table has a column of XML."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_input_is_valid('<a/>', 'xml')")
    except NotSupportedError:
        return False
    return True


def _named(schema: str, relation: str) -> str:
    return relation if schema == "public" else f"{schema}.{relation}"


def _column(relation: str, schema: str, values: Iterable[Any]) -> Column:
    name, sql_type, base, nullable, default, identity, generated, length, comment, labels = values
    return Column(
        name=name,
        sql_type=sql_type,
        base=base,
        nullable=nullable,
        default=default,
        identity=identity,
        generated=generated,
        max_length=length,
        comment=comment,
        labels=tuple(labels),
        readable=base.removeprefix("_") != "xml" or _reads_xml(),
        sensitive=is_sensitive(_named(schema, relation), name),
    )
