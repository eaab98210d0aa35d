"""Grants: what an owner of the source has to say so that a query may read what it names (J24)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from psycopg import sql

from importer.errors import ImporterError
from importer.sources.catalogue import catalogue_query
from importer.sources.session import SourceSession


def lacking(session: SourceSession, text: str) -> tuple[Sequence[str], str]:
    """Tables that `text` names and this login may not read, as `schema.table`, and the statements that let it.

    Both are empty when it may read them all, or the source cannot be asked any more.
    """
    try:
        rows = session.fetch_all(catalogue_query("unreadable"), None)
    except ImporterError:
        return (), ""
    words = set(re.findall(r"\w+", text))
    tables, statements = [], []
    for schema, name, usable, login in rows:
        if not set(re.findall(r"\w+", name)) <= words:
            continue
        tables.append(f"{schema}.{name}")
        if not usable:
            statements.append(sql.SQL("GRANT USAGE ON SCHEMA {} TO {};").format(*map(sql.Identifier, (schema, login))))
        statements.append(
            sql.SQL("GRANT SELECT ON {} TO {};").format(sql.Identifier(schema, name), sql.Identifier(login))
        )
    return tables, " ".join(dict.fromkeys(statement.as_string(None) for statement in statements))
