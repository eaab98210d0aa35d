"""One look at a time: a person's newer preview ends the older one on the source itself (F9)."""

from __future__ import annotations

from psycopg import sql

from importer.sources.session import SourceSession

_CANCEL = sql.SQL(
    "SELECT pg_catalog.count(pg_catalog.pg_cancel_backend(pid)) FROM pg_catalog.pg_stat_activity"
    " WHERE application_name = %s AND usename = CURRENT_USER AND pid <> pg_catalog.pg_backend_pid()"
    " AND state = 'active'"
)


def cancel_older(session: SourceSession, application_name: str) -> int:
    """Cancel the running statements of other sessions of this login and name; returns how many there were."""
    return int(session.fetch_all(_CANCEL, (application_name,))[0][0])
