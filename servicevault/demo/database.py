"""Where the demo's source lives: a database beside the application's, and a login that can only read it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from importer.errors import ImporterError
from servicevault.demo import rows
from servicevault.wording import say

FOLDER = Path(__file__).resolve().parent
MARK = "Service Vault demo"  # begins the comment of databases that may be replaced
NAME_BYTES = 63  # NAMEDATALEN - 1


class DemoError(ImporterError):
    """The demo's source cannot be made on this server."""

    code = "demo_unavailable"


@dataclass(frozen=True)
class DemoSource:
    """The demo's source and its reader's login."""

    url: str  # of the reader; holds its password
    database: str
    role: str
    is_new: bool  # False: one from an earlier time is current and was kept
    rows: int = 0


def generate(url: str, *, today: date | None = None) -> DemoSource:
    """The demo's source beside the database of `url`, made new unless it is there and current.

    The reader gets a fresh password each time. Raises DemoError when the role of `url` may not create databases and
    roles, or when another database has the name.
    """
    server = urlsplit(url)
    with psycopg.connect(url, autocommit=True) as connection:
        _require_rights(connection)
        database, role = _names(connection.info.dbname)
        mark = f"{MARK} {_digest()}"
        found = _comment(connection, database)
        if found is not None and not found.startswith(MARK):
            raise DemoError(
                say("There is a database “{database}” that is not a demo of ours.", database=database),
                hint=say("Rename or drop it, then run again."),
            )
        owner_url = urlunsplit(server._replace(path=f"/{quote(database)}"))
        count = 0
        if found != mark:
            _create_database(connection, database)
            count = _fill(owner_url, rows.make(today or date.today()))
        password = _reader(connection, owner_url, database, role)
        if found != mark:
            # Last, so that a half-made database is made again.
            connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), mark))
    place = f"{server.hostname}:{server.port or 5432}"
    reader_url = f"postgresql://{quote(role)}:{quote(password, safe='')}@{place}/{quote(database)}"
    return DemoSource(reader_url, database, role, is_new=found != mark, rows=count)


def remove(url: str) -> bool:
    """Drop the demo's source and its reader; False when there is none. Raises DemoError for a database not ours."""
    with psycopg.connect(url, autocommit=True) as connection:
        database, role = _names(connection.info.dbname)
        found = _comment(connection, database)
        if found is None:
            return False
        if not found.startswith(MARK):
            raise DemoError(
                say("There is a database “{database}” that is not a demo of ours.", database=database),
                hint=say("It is left alone."),
            )
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
    return True


@contextmanager
def owner_connection(url: str, source: DemoSource) -> Iterator[psycopg.Connection[Any]]:
    """A read-only connection to the source with the rights of `url`."""
    with psycopg.connect(urlunsplit(urlsplit(url)._replace(path=f"/{quote(source.database)}"))) as connection:
        connection.read_only = True
        yield connection


def _names(application: str) -> tuple[str, str]:
    """Names of the database and the reader; roles belong to the whole server, so both carry the application's."""
    base = application[: NAME_BYTES - len("_demo_reader")]
    return f"{base}_demo", f"{base}_demo_reader"


def _digest() -> str:
    """Changes with anything that makes the rows."""
    texts = b"".join((FOLDER / name).read_bytes() for name in ("schema.sql", "people.py", "rows.py", "vocabulary.py"))
    return hashlib.sha256(texts).hexdigest()[:16]


def _require_rights(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(
        "SELECT rolname, rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None or not row[1]:
        name = row[0] if row else "current_user"
        raise DemoError(
            say("The role “{name}” may not create the demo's database and its reader.", name=name),
            hint=say(
                "Unset DATABASE_URL to use the embedded server, or run: ALTER ROLE {role} CREATEDB CREATEROLE;",
                role=sql.Identifier(name).as_string(None),
            ),
        )


def _comment(connection: psycopg.Connection[Any], database: str) -> str | None:
    """The database's comment, "" without one, None when there is no such database."""
    row = connection.execute(
        "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = %s", (database,)
    ).fetchone()
    return None if row is None else str(row[0])


def _create_database(connection: psycopg.Connection[Any], database: str) -> None:
    name = sql.Identifier(database)
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
    # template0: nobody can be connected to it, which CREATE DATABASE requires of its template.
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, f"{MARK}, being made"))


def _fill(url: str, tables: rows.Tables) -> int:
    """Create the tables and copy the rows; returns their number."""
    with psycopg.connect(url) as connection:
        connection.execute((FOLDER / "schema.sql").read_bytes())
        count = copy_rows(connection, tables)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return count


def copy_rows(connection: psycopg.Connection[Any], tables: rows.Tables) -> int:
    """Copy the rows into tables that exist; returns their number. Columns a row leaves out get their default."""
    count = 0
    for table, columns, listed in rows.filled(tables):
        count += len(listed)
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        defaults = _defaults(connection, table, columns)
        with connection.cursor().copy(statement) as copy:
            for row in listed:
                copy.write_row([row.get(name, defaults.get(name)) for name in columns])
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), {})").format(table, listed[-1]["id"])
        )
    return count


def _defaults(connection: psycopg.Connection[Any], table: str, columns: list[str]) -> dict[str, Any]:
    """Constants that columns default to: COPY would take their absence in a row for NULL."""
    found = connection.execute(
        "SELECT a.attname, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a "
        "JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
        "WHERE a.attrelid = %s::regclass AND a.attname = ANY(%s) AND a.attidentity = ''",
        (table, columns),
    ).fetchall()
    return {name: text.split("::")[0].strip("'") for name, text in found}


def _reader(connection: psycopg.Connection[Any], url: str, database: str, role: str) -> str:
    """Make the reader, or give it a new password; it may connect to this database and select."""
    password = secrets.token_urlsafe(24)
    # Hashed here: a statement may end up in the server's log.
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    name = sql.Identifier(role)
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = sql.SQL("ALTER ROLE" if exists else "CREATE ROLE")
    connection.execute(
        sql.SQL("{} {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {}").format(
            verb, name, hashed
        )
    )
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), name))
    connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name))
    with psycopg.connect(url, autocommit=True) as source:
        source.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        source.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name))
        source.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
    return password
