"""Reading rows on Django's connection: counts and pages for previews and the table pages."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from django.db import DatabaseError, OperationalError, connection, transaction

from exporter import cells
from exporter.errors import InvalidFields, ReadFailed
from exporter.selection import Selection, Statement
from servicevault.tabular.options import WriteOptions
from servicevault.tabular.values import guard, render
from servicevault.wording import say

COUNT_SECONDS = 0.8  # create answers within a second (F-115)
PAGE_SECONDS = 10.0


def count(selection: Selection, *, seconds: float = COUNT_SECONDS) -> tuple[int, bool]:
    """The number of rows and whether it is exact: where counting takes too long, the planner's guess."""
    try:
        return int(_fetch(selection.counting(), seconds)[0][0]), True
    except OperationalError:  # it took too long
        plan = _fetch(selection.explaining(), PAGE_SECONDS)[0][0]
        return int((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"]), False


def page(selection: Selection, *, limit: int, offset: int, native_json: bool = True) -> list[tuple[Any, ...]]:
    """Some rows in their order. Raises ReadFailed when that takes too long."""
    try:
        return _fetch(selection.rows(limit=limit, offset=offset), PAGE_SECONDS, native_json=native_json)
    except OperationalError as error:
        raise ReadFailed(
            say("The rows could not be read within {page_seconds:.0f} seconds.", page_seconds=PAGE_SECONDS),
            code="timeout",
            hint=say("Narrow the filters, or sort by the primary key."),
        ) from error


def _fetch(statement: Statement, seconds: float, *, native_json: bool = True) -> list[tuple[Any, ...]]:
    """Run a statement that may take only so long. Raises OperationalError when it takes longer."""
    query, values = statement
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])
            # A cursor of psycopg's own: Django's reads JSON as text and dates its own way.
            with psycopg.Cursor(connection.connection) as own:
                cells.prepare(own, native_json=native_json)
                own.execute(query, values)
                rows = own.fetchall()
            cursor.execute("SELECT set_config('statement_timeout', '0', true)")
    except (psycopg.errors.QueryCanceled, psycopg.OperationalError) as error:
        raise OperationalError(str(error)) from error
    except (psycopg.DataError, psycopg.ProgrammingError, DatabaseError) as error:
        if isinstance(error, OperationalError):
            raise
        raise InvalidFields({"filters": [say("The database does not take these filters or this order.")]}) from error
    return rows


def shown(value: Any, options: WriteOptions | None = None, *, guards: bool = False) -> Any:
    """A value for JSON: as the file would have it with these options, else as the API writes values (C4)."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return guard(value) if guards else value
        case float() | Decimal():
            return _number(value)
        case dict():
            return {str(key): shown(each) for key, each in value.items()}
        case list() | tuple():
            return [shown(each) for each in value]
        case datetime() if options is None:
            return _instant(value)
        case date() if options is None:
            return value.isoformat()
        case _:
            return render(value, options or WriteOptions())


def _number(value: float | Decimal) -> float | int | str:
    """A JSON number where that loses no digit, else text."""
    exact = Decimal(str(value))
    if not exact.is_finite():
        return str(value)
    near = float(exact)
    if exact == exact.to_integral_value() and abs(exact) < 2**53 and exact.as_tuple().exponent == 0:
        return int(exact)
    return near if Decimal(repr(near)) == exact else str(value)


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
