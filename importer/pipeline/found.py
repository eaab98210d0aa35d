"""Found: errors and warnings of a file's rows in the temporary table `found`, until somebody keeps or tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql

from importer.pipeline.plan import LoadPlan
from servicevault.wording import say

COLUMNS = ("part", "position", "row", "record", "place", "column", "field", "code", "message", "value", "severity")
IN_DOUBT = {  # rows that wait for a person, and say so by their code alone
    "ambiguous_match": say("More than one row here fits; which one is meant is not certain."),
    "uncertain_match": say("A row here is like it, but not certainly the same."),
    "unique_conflict": say("Another row here has a value that only one may have; it may be the same thing."),
}


def create(connection: psycopg.Connection) -> None:
    """The empty table; what was found before is forgotten."""
    connection.execute("DROP TABLE IF EXISTS pg_temp.found")
    connection.execute(
        "CREATE TEMPORARY TABLE found (part text NOT NULL DEFAULT '', position integer NOT NULL DEFAULT 0, "
        '"row" bigint, record bigint, place integer, "column" text, field text, code text, message text, value text, '
        "severity text)"
    )


def collect(connection: psycopg.Connection, load: LoadPlan, rows: sql.Composable, *, severity: str) -> None:
    """Add the findings of `rows`, which gives line, n and findings; each gets the column of the file it is about."""
    places = sql.SQL(", ").join(
        sql.SQL("({}, {}, {})").format(sql.Literal(mapped.field.name), sql.Literal(mapped.column), sql.Literal(place))
        for place, mapped in enumerate(load.mapped)
    )
    known = sql.SQL("VALUES {}").format(places) if load.mapped else sql.SQL("SELECT NULL, NULL, NULL::integer")
    connection.execute(
        sql.SQL(
            'INSERT INTO pg_temp.found ("row", record, place, "column", field, code, message, value, severity) '
            "SELECT w.line, w.n, coalesce(m.place, -1), coalesce(m.source, e ->> 'column', ''), "
            "coalesce(e ->> 'field', ''), e ->> 'code', e ->> 'message', e ->> 'value', {severity} FROM ({rows}) w "
            "CROSS JOIN LATERAL jsonb_array_elements(w.findings) e "
            "LEFT JOIN ({known}) m(field, source, place) ON m.field = e ->> 'field' "
            "WHERE e ->> 'code' <> 'parent'"  # which says no more than whose record a blocked row waits for
        ).format(severity=sql.Literal(severity), rows=rows, known=known)
    )


class Note(NamedTuple):
    """What concerns a part of a file as a whole, or one of its lines."""

    part: str = ""
    position: int = 0
    row: int = 0
    field: str = ""
    code: str = ""
    message: str = ""
    severity: str = "error"


def add(connection: psycopg.Connection, notes: Sequence[Note]) -> None:
    """Add notes to what was found."""
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO pg_temp.found (part, position, "row", field, code, message, severity, "column", place) '
            "VALUES (%s, %s, %s, %s, %s, %s, %s, '', -1)",
            notes,
        )


def take(inside: psycopg.Connection, outside: psycopg.Connection, *, part: str, position: int) -> None:
    """Copy what was found into the table of another session, as the findings of this part."""
    names = sql.SQL(", ").join(sql.Identifier(column) for column in COLUMNS)
    others = sql.SQL(", ").join(sql.Identifier(column) for column in COLUMNS[2:])
    read = sql.SQL("COPY (SELECT {}, {}, {} FROM pg_temp.found) TO STDOUT").format(
        sql.Literal(part), sql.Literal(position), others
    )
    with (
        inside.cursor().copy(read) as copy_out,
        outside.cursor().copy(sql.SQL("COPY pg_temp.found ({}) FROM STDIN").format(names)) as copy_in,
    ):
        for block in copy_out:
            copy_in.write(block)
