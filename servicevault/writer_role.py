"""The database role that imports write as: a check that somebody forgets, PostgreSQL makes.

The role cannot log in and owns nothing. It may read, add and change rows of the help desk and of tables that were
imported into, and keep the importer's books; a second one, of rollbacks, may remove such rows too and keeps no books.
Passwords, super admins, permissions, sessions, tokens, connections and the audit log are beyond both, whatever a
mapping or a setting says.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import DatabaseError, connection, transaction
from psycopg import sql

from servicevault import catalog, database_roles, tables
from servicevault.tables import Table
from servicevault.wording import say

logger = logging.getLogger("servicevault.database_roles")

NEVER = {"users": frozenset({"password", "is_superuser", "is_staff"})}  # may not even be read
ONCE = {"users": frozenset({"role_id"})}  # an agent begins with the role that holds nothing; roles are not changed
READ = {"permissions_role": frozenset({"id", "name"})}  # to find that role
OWN_FUNCTIONS = ["time_entry_account_is_the_tickets", "time_entries_follow_their_ticket"]  # of our own triggers
_SEQUENCE = re.compile(r"nextval\('([^']+)'")


@dataclass(frozen=True)
class Rights:
    """What the role may do with one table."""

    relation: str
    schema: str = "public"
    whole: frozenset[str] = frozenset()  # privileges on the table as a whole
    read: frozenset[str] = frozenset()  # columns that others refer to
    written: bool = False  # rows may be read, added and changed
    removed: bool = False  # and removed: by rollbacks alone
    closed: frozenset[str] = frozenset()  # without these columns

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.relation)

    def wanted(self, columns: Iterable[str]) -> set[str]:
        """`SELECT` of the whole table, `SELECT name` of a column; `columns` are those the table has."""
        found = {*self.whole, *(f"SELECT {column}" for column in self.read)} | ({"DELETE"} if self.removed else set())
        if not self.written:
            return found
        never = self.closed | NEVER.get(self.relation, frozenset())
        once = ONCE.get(self.relation, frozenset())
        for column in columns:
            if column not in never or column in once:
                found |= {f"SELECT {column}", f"INSERT {column}"}
                found |= set() if column in once else {f"UPDATE {column}"}
        return found


def desk() -> list[Rights]:
    """The tables of all target types, and what their statements look up."""
    written = {target.table for target in catalog.all_targets()}
    looked_up = {lookup.table for lookup in catalog.lookups()} - written
    return [
        *(Rights(table, written=True) for table in sorted(written)),
        *(Rights(table, whole=frozenset({"SELECT"})) for table in sorted(looked_up)),
        *(Rights(table, read=columns) for table, columns in READ.items()),
    ]


def of_table(table: Table) -> list[Rights]:
    """One table as it is, and the keys its rows may name."""
    if table.schema == "public" and table.relation in {target.table for target in catalog.all_targets()}:
        return desk()
    closed = frozenset(column.name for column in table.columns if column.sensitive)
    own = Rights(table.relation, table.schema, written=True, closed=closed)
    return [own, *(
        Rights(key.referred_relation, key.referred_schema, read=frozenset(key.referred_columns))
        for key in table.foreign_keys
        if (key.referred_schema, key.referred_relation) != (table.schema, table.relation)
    )]  # fmt: skip


def remover(rights: Sequence[Rights]) -> str | None:
    """The role of rollbacks, now allowed to do this and to remove such rows; None to write as ourselves."""
    return writer([replace(each, removed=each.written) for each in rights], [], purpose=database_roles.ROLLBACK)


def writer(rights: Sequence[Rights], books: Sequence[Rights], *, purpose: str = database_roles.IMPORT) -> str | None:
    """The role, now allowed to do this and to keep the books; None to write as ourselves.

    That is where the role is missing, a table is not ours to grant, hides rows by policies, or calls functions of
    its own (triggers, defaults, rules), which may do what only we may.
    """
    for each in rights:
        if each.written and tables.is_internal(each.schema, each.relation):
            raise ValueError(say("{relation} is internal: nothing is imported into it.", relation=each.relation))
    if not database_roles.exists(purpose):
        return None
    role = database_roles.name(purpose)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [database_roles.LOCK])
            written = [_quoted(cursor, each) for each in rights if each.written]
            cursor.execute(_OWN_WAYS, {"tables": written, "known": OWN_FUNCTIONS})
            if cursor.fetchone() != (False,):
                logger.info("imports into %s write as ourselves: functions or policies of its own", ", ".join(written))
                return None
            _grant(cursor, role, [*rights, *books])
            _grant_around(cursor, role, written)
    except DatabaseError as error:
        logger.warning("imports write as ourselves: %s", error)
        return None
    return role


# -- parts


def _quoted(cursor: Any, rights: Rights) -> str:
    return rights.identifier.as_string(cursor.connection)


def _grant(cursor: Any, role: str, rights: Sequence[Rights]) -> None:
    """Give what lacks; of a table that is written, also take what is too much."""
    cursor.execute(_HELD, {"tables": [_quoted(cursor, each) for each in rights], "role": role})
    for each, (columns, held) in zip(rights, cursor.fetchall(), strict=True):
        wanted, kept = each.wanted(columns), set(held)
        if each.written and kept - wanted:
            cursor.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(each.identifier, sql.Identifier(role)))
            kept = set()
        if lacking := wanted - kept:
            cursor.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(
                    sql.SQL(", ").join(_privileges(lacking)), each.identifier, sql.Identifier(role)
                )
            )


def _privileges(wanted: Iterable[str]) -> Iterator[sql.Composable]:
    by_kind: dict[str, list[str]] = {}
    for each in sorted(wanted):
        kind, _, column = each.partition(" ")
        by_kind.setdefault(kind, []).extend([column] if column else [])
    for kind, columns in by_kind.items():
        listed = sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, columns))) if columns else sql.SQL("")
        yield sql.SQL("{}{}").format(sql.SQL(kind), listed)


def _grant_around(cursor: Any, role: str, written: list[str]) -> None:
    """The schemas and sequences that rows of these tables need."""
    named = [
        text for target in catalog.all_targets() for key in target.unique_keys for text in _SEQUENCE.findall(key.fresh)
    ]
    cursor.execute(_AROUND, {"tables": written, "named": named, "role": role})
    for kind, schema, name in cursor.fetchall():
        thing = sql.Identifier(schema, name) if name else sql.Identifier(schema)
        cursor.execute(sql.SQL("GRANT USAGE ON {} {} TO {}").format(sql.SQL(kind), thing, sql.Identifier(role)))


_HELD = """
    SELECT array(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        array(SELECT x.privilege_type FROM aclexplode(c.relacl) x WHERE x.grantee = r.oid)
        || array(SELECT x.privilege_type || ' ' || a.attname FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) x
                 WHERE a.attrelid = c.oid AND NOT a.attisdropped AND x.grantee = r.oid)
    FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS t(name, place)
    LEFT JOIN pg_class c ON c.oid = to_regclass(t.name) LEFT JOIN pg_roles r ON r.rolname = %(role)s
    ORDER BY t.place
"""
_OWN_WAYS = """
    WITH t AS (SELECT to_regclass(q) AS oid FROM unnest(%(tables)s::text[]) q),
    parts AS (
        SELECT 'pg_trigger'::regclass AS class, g.oid FROM pg_trigger g JOIN t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal
        UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k JOIN t ON t.oid = k.conrelid
        UNION ALL SELECT 'pg_attrdef'::regclass, d.oid FROM pg_attrdef d JOIN t ON t.oid = d.adrelid
        UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i JOIN t ON t.oid = i.indrelid)
    SELECT EXISTS (SELECT FROM t JOIN pg_class c ON c.oid = t.oid WHERE c.relrowsecurity) OR EXISTS (
        SELECT FROM parts JOIN pg_depend d ON d.classid = parts.class AND d.objid = parts.oid
        JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
        JOIN pg_language l ON l.oid = p.prolang
        WHERE p.pronamespace <> 'pg_catalog'::regnamespace AND NOT p.prosecdef AND l.lanname NOT IN ('c', 'internal')
        AND p.proname <> ALL (%(known)s))
"""
_AROUND = """
    WITH t AS (SELECT to_regclass(q) AS oid FROM unnest(%(tables)s::text[]) q),
    sequences AS (
        SELECT d.objid AS oid FROM pg_depend d JOIN t ON t.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        UNION SELECT d.refobjid FROM pg_depend d JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
        JOIN t ON t.oid = f.adrelid WHERE d.refclassid = 'pg_class'::regclass
        UNION SELECT to_regclass(q) FROM unnest(%(named)s::text[]) q),
    schemas AS (
        SELECT c.relnamespace AS oid FROM pg_class c JOIN t ON t.oid = c.oid
        UNION SELECT y.typnamespace FROM pg_attribute a JOIN t ON t.oid = a.attrelid JOIN pg_type y ON y.oid = a.atttypid
        WHERE a.attnum > 0)
    SELECT 'SCHEMA', n.nspname::text, '' FROM pg_namespace n JOIN schemas s ON s.oid = n.oid
    WHERE NOT has_schema_privilege(%(role)s, n.oid, 'USAGE')
    UNION ALL SELECT 'SEQUENCE', n.nspname::text, c.relname::text FROM pg_class c JOIN sequences s ON s.oid = c.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(%(role)s, c.oid, 'USAGE') END
"""
