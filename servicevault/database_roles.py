"""The database roles of exports, imports and rollbacks: what a forgotten check lets through, PostgreSQL refuses.

They cannot log in and own nothing. That of exports may read the open columns (G15) of tables that are exported, and no
other table; those of imports and of rollbacks, which alone may remove rows, are told of in `writer_role`. `migrate` makes them where our own role may create roles;
elsewhere exports and imports have our own rights, and `manage.py check --deploy` says so.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import DatabaseError, connection, transaction
from psycopg import sql

from servicevault.tables import Table

logger = logging.getLogger("servicevault.database_roles")

LOCK = 0x5EC0_0001  # grants on one table by two jobs at once would fail each other
EXPORT, IMPORT, ROLLBACK = "export", "import", "undo"


def name(purpose: str = EXPORT) -> str:
    """The role's name: roles belong to the whole server, so it carries the database's."""
    return f"{connection.settings_dict['NAME'][:56]}_{purpose}"


def exists(purpose: str = EXPORT) -> bool:
    """Whether the role is there and our sessions may take it on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", [name(purpose)]
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def create(**kwargs: Any) -> None:
    """Make the roles unless they are there or our own may not; takes what `post_migrate` sends."""
    for purpose in (EXPORT, IMPORT, ROLLBACK):
        if not exists(purpose):
            _create(purpose)


def _create(purpose: str) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            role = sql.Identifier(name(purpose))
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name(purpose)])
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(role))
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
    except DatabaseError as error:
        logger.warning("%ss have our own rights: the role %s could not be made (%s)", purpose, name(purpose), error)


def reader_of(table: Table) -> str | None:
    """The role, now allowed to read the table's open columns and nothing more of it; None to read as ourselves.

    That is where the role is missing, the table is not ours to grant, or its rows are hidden from others by policies:
    rows would be missing without a word.
    """
    if not exists():
        return None
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            quoted = table.identifier.as_string(cursor.connection)
            cursor.execute(
                "SELECT c.relrowsecurity, array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid "
                "AND NOT a.attisdropped AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')) "
                "FROM pg_class c WHERE c.oid = to_regclass(%s)",
                [name(), quoted],
            )
            row = cursor.fetchone()
            if row is None or row[0]:
                return None
            wanted = {column.name for column in table.open_columns}
            if not table.primary_key:  # its rows are in order of where they lie
                wanted |= {"ctid", "tableoid"}
            if set(row[1]) != wanted:
                _grant(cursor, table, wanted)
    except DatabaseError as error:
        logger.warning("%s is exported as ourselves: %s", table.name, error)
        return None
    return name()


def _grant(cursor: Any, table: Table, columns: set[str]) -> None:
    role = sql.Identifier(name())
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(table.schema), role))
    cursor.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(table.identifier, role))
    if columns:
        listed = sql.SQL(", ").join(map(sql.Identifier, sorted(columns)))
        cursor.execute(sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(listed, table.identifier, role))
