"""CSV and JSON written by PostgreSQL itself: the same bytes as our writers, several times as quick.

COPY makes the lines; what the options ask for is in the expressions. It is used for the types and options listed
here; `lines` answers None for everything else, which the writers of `servicevault.tabular` do.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from exporter.selection import Selection, column_of
from importer.query.composing import identifier
from servicevault.tables import Column
from servicevault.tabular.options import WriteOptions
from servicevault.tabular.writing import write

PIECE = 256 * 1024
_TEXT = {"text", "varchar", "bpchar", "name", "citext"}
_PLAIN = {"int2", "int4", "int8", "oid", "numeric", "float4", "float8", "uuid", "bytea", "time"}
_DATES = {"date", "timestamp", "timestamptz"}
_BLANKS = " \t\n\r\f\v\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # of Python's \s
# As `servicevault.tabular.values.FORMULA` and `PLAIN_NUMBER`.
_FORMULA = f"^'*[{_BLANKS}]*[=+\\-@\t\r]"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]infinity$"
_TOKENS = {"YYYY": "YYYY", "YY": "YY", "MM": "MM", "DD": "DD", "HH": "HH24", "mm": "MI", "SS": "SS"}
_FIRST, _LAST = "0001-01-01", "9999-12-31"  # what Python's calendar holds


@dataclass(frozen=True)
class Lines:
    """A COPY whose messages are the rows of the file, and what stands around them."""

    statement: sql.Composed
    values: dict[str, object]
    before: bytes
    between: bytes
    after: bytes
    empty: bytes  # the whole file without rows
    finish: Callable[[bytes], bytes]  # of a piece: what COPY wrote otherwise than the file wants it

    def pieces(self, connection: psycopg.Connection, on_rows: Callable[[int], None]) -> Iterator[bytes]:
        """The file piece by piece; `on_rows` hears of rows as they pass."""
        rows = size = 0
        held: list[bytes] = []
        lead = self.before
        with connection.cursor().copy(self.statement, self.values) as copy:
            for line in copy:  # PostgreSQL sends each row as one message, ended by a line feed
                held.append(bytes(line))  # a copy is quicker than libpq's buffers kept for a while
                size += len(line)
                if size > PIECE:
                    yield lead + self._joined(held)
                    rows += len(held)
                    on_rows(len(held))
                    lead, held, size = self.between, [], 0
        if held:
            yield lead + self._joined(held)
            on_rows(len(held))
            rows += len(held)
        yield self.after if rows else self.empty

    def _joined(self, rows: list[bytes]) -> bytes:
        piece = b"".join(rows)
        if piece.count(b"\n") == len(rows):  # no cell has a line feed of its own
            piece = piece[:-1].replace(b"\n", self.between)
        else:
            piece = self.between.join([row[:-1] for row in rows])
        return self.finish(piece)


def lines(selection: Selection, format_name: str, options: WriteOptions) -> Lines | None:
    """How PostgreSQL can write this file; None when the options or a column's type need our own writer."""
    if options.timezone != "UTC":
        return None
    columns = [selection.table.by_name[name] for name in selection.columns]
    if format_name == "csv":
        return _csv(selection, columns, options)
    if format_name in {"json", "jsonl"}:
        return _json(selection, columns, format_name, options)
    return None


# -- CSV


def _csv(selection: Selection, columns: list[Column], options: WriteOptions) -> Lines | None:
    if (
        not options.delimiter.isascii()
        or len(columns) < 2  # a lone NULL would be a blank line
        or options.null_value
        or options.decimal_separator != "."
        or options.encoding not in {"utf-8", "utf-8-sig"}
    ):
        return None
    cells = [_cell(column, options) for column in columns]
    if None in cells:
        return None
    query, values = selection.shaped([cell for cell in cells if cell is not None])
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, ENCODING 'UTF8', DELIMITER {}, QUOTE {}, ESCAPE {})").format(
        query, *map(sql.Literal, (options.delimiter, options.quote_char, options.quote_char))
    )
    head, end = _head("csv", selection, options), options.line_ending.encode()
    return Lines(
        statement,
        dict(values),
        before=head,
        between=end,
        after=end,
        empty=head,
        finish=lambda piece: piece,
    )


def _head(format_name: str, selection: Selection, options: WriteOptions) -> bytes:
    """What our own writer puts before the first row."""
    target = io.BytesIO()
    write(target, format_name, selection.columns, [], options)
    return target.getvalue()


def _cell(column: Column, options: WriteOptions) -> sql.Composable | None:
    value = column_of(column.name)
    if column.base in _TEXT:
        return _guarded(sql.SQL("{}::text").format(value) if column.base == "bpchar" else value, options)
    if column.labels or column.base == "json":
        return _guarded(sql.SQL("{}::text").format(value), options)
    if column.base in _PLAIN:
        return value
    if column.base in {"bool", "jsonb"}:
        return sql.SQL("{}::text").format(value)
    if column.base in _DATES:
        return _date(column, value, options)
    return None


def _guarded(value: sql.Composable, options: WriteOptions) -> sql.Composable:
    """An apostrophe before what a spreadsheet would run (F-174). The first letter or digit tells most cells at once; 0 is the empty text."""
    if not options.formula_guard:
        return value
    return sql.SQL(
        "CASE WHEN (ascii({v}) > 64 AND ascii({v}) < 133) OR ascii({v}) = 0 OR ascii({v}) BETWEEN 48 AND 57 "
        "OR ascii({v}) > 12288 "
        "OR {v} !~ {formula} OR {v} ~ {number} THEN {v} ELSE '''' || {v} END"
    ).format(v=value, formula=sql.Literal(_FORMULA), number=sql.Literal(_NUMBER))


def _date(column: Column, value: sql.Composable, options: WriteOptions) -> sql.Composable | None:
    pattern = "" if options.date_format == "iso" else _pattern(column.base, options.date_format)
    if pattern is None:
        return None
    if not pattern and column.base == "date":
        return value
    # Without blanks, with the offset as +00:00; the session's clock is UTC.
    iso = sql.SQL("btrim(to_json({})::text, '\"')").format(value)
    if not pattern:
        return iso
    return sql.SQL("CASE WHEN {v} >= {first} AND {v} < {end} THEN to_char({v}, {pattern}) ELSE {iso} END").format(
        v=value,
        first=sql.Literal(_FIRST),
        end=sql.SQL("({}::date + 1)").format(sql.Literal(_LAST)),
        pattern=sql.Literal(pattern),
        iso=iso,
    )


def _pattern(base: str, wanted: str) -> str | None:
    """A date format as to_char takes it; None for `timestamp`, which is not a pattern."""
    if wanted == "timestamp":
        return None
    if base == "date":
        wanted = re.sub(r"[^A-Za-z]*(HH|mm|SS).*", "", wanted)
    elif "H" not in wanted:
        wanted = f"{wanted} HH:mm:SS"
    if '"' in wanted or "\\" in wanted:
        return None
    parts = re.split("(YYYY|YY|MM|DD|HH|mm|SS)", wanted)
    return "".join(_TOKENS.get(part) or (f'"{part}"' if part else "") for part in parts)


# -- JSON


def _json(selection: Selection, columns: list[Column], format_name: str, options: WriteOptions) -> Lines | None:
    if options.big_numbers != "number" or (options.pretty_print and format_name == "json"):
        return None
    if options.date_format != "iso" or len(set(selection.columns)) < len(selection.columns):
        return None
    members: list[sql.Composable] = []
    for column in columns:
        value = column_of(column.name)
        if column.base not in _TEXT | _PLAIN | _DATES | {"bool", "jsonb"} and not column.labels:
            return None
        shown = sql.SQL("{}::text").format(value) if column.base == "bpchar" else value
        members.append(sql.SQL("{} AS {}").format(shown, identifier(column.name)))
    query, values = selection.shaped(members)
    statement = sql.SQL("COPY (SELECT row_to_json(r) FROM ({}) AS r) TO STDOUT (FORMAT text, ENCODING 'UTF8')").format(
        query
    )
    is_list = format_name == "json"
    return Lines(
        statement,
        dict(values),
        before=b"[\n" if is_list else b"",
        between=b",\n" if is_list else b"\n",
        after=b"\n]\n" if is_list else b"\n",
        empty=b"[]\n" if is_list else b"",
        # JSON has no raw control character, so the only thing FORMAT text escapes are backslashes.
        finish=lambda piece: piece.replace(b"\\\\", b"\\"),
    )
