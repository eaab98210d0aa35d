"""Stage: a file's records in a table of the run, and the slice of them that is being worked on.

The reading child writes the lines of COPY itself (`tabular.lines`), so no row passes through Python here. Keys are
line numbers with leading zeros.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from importer.pipeline import staging
from servicevault.wording import say

SLICE_BYTES = staging.SLICE_BYTES
KEY_DIGITS = 10  # as `tabular.lines` writes them

END = "9" * 12  # after every line
WHOLE = "whole"  # said of a table that has every row


@dataclass(frozen=True)
class Span:
    """Staged rows after the key `lo` up to and with `hi`; None is the beginning and the end."""

    lo: str | None
    hi: str | None

    @property
    def rows(self) -> Span:
        return self

    @property
    def last_key(self) -> str:
        return self.hi or END

    @property
    def limits(self) -> dict[str, str | None]:
        """Parameters of a statement about the span."""
        return {"lo": self.lo, "hi": self.hi}


def stage_lines(
    connection: psycopg.Connection, run_id: int, blocks: Iterable[bytes], *, temporary: bool = False
) -> None:
    """Copy the lines into the run's table, in the open transaction."""
    _create(connection, run_id, temporary=temporary)
    _copy(connection, run_id, blocks)
    _seal(connection, run_id)


def pieces(connection: psycopg.Connection, run_id: int, blocks: Iterable[bytes], *, max_rows: int) -> Iterator[Span]:
    """Copy the lines into the run's table and commit about so many at a time; other sessions see each span given.

    The table counts as staged once all are taken.
    """
    _create(connection, run_id)
    waiting, lo = iter(blocks), None
    while True:
        counted = _Counted(waiting, max_rows)
        _copy(connection, run_id, counted)
        if not counted.rows:
            break
        connection.execute("SELECT brin_summarize_new_values(%s::regclass)", (f"{_name(run_id)}_key",))
        connection.commit()
        yield (span := Span(lo, counted.last_key))
        lo = span.hi
    _seal(connection, run_id)
    connection.commit()


class _Counted:
    """The next blocks of a stream until they hold so many rows, with their number and the key of the last."""

    def __init__(self, blocks: Iterator[bytes], most: int) -> None:
        self._blocks = blocks
        self._most = most
        self._last = b""
        self.rows = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.rows < self._most and (block := next(self._blocks, None)) is not None:
            self.rows += block.count(b"\n")
            self._last = block or self._last
            yield block

    @property
    def last_key(self) -> str:
        line = self._last[self._last.rfind(b"\n", 0, -1) + 1 :]
        return line.split(b"\t", 2)[1].decode()


def _create(connection: psycopg.Connection, run_id: int, *, temporary: bool = False) -> None:
    table = staging.run_table(run_id)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(
        sql.SQL('CREATE {} {} (n bigint, key text COLLATE "C", problem text, row json)').format(
            sql.SQL("TEMPORARY TABLE" if temporary else "TABLE"), table
        )
    )
    # Rows lie in the order of their keys: the smallest index there is finds a range of them.
    connection.execute(
        sql.SQL("CREATE INDEX {} ON {} USING brin (key) WITH (pages_per_range = 8)").format(
            sql.Identifier(f"{_name(run_id)}_key"), table
        )
    )


def _copy(connection: psycopg.Connection, run_id: int, blocks: Iterable[bytes]) -> None:
    statement = sql.SQL("COPY {} (n, key, problem, row) FROM STDIN").format(staging.run_table(run_id))
    with connection.cursor().copy(statement) as copy:
        for block in blocks:
            copy.write(block)


def _seal(connection: psycopg.Connection, run_id: int) -> None:
    connection.execute("SELECT brin_summarize_new_values(%s::regclass)", (f"{_name(run_id)}_key",))
    table = staging.run_table(run_id)
    connection.execute(sql.SQL("ANALYZE {} (key)").format(table))
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(WHOLE)))


def _name(run_id: int) -> str:
    return f"importer_stage_{run_id}"


def lines_of(cells: Iterable[tuple[bytes | None, bytes | None]]) -> Iterator[bytes]:
    """The rows of a database as lines, numbered from 1 in the order in which they come; unreadable ones are marked."""
    for number, (_, read) in enumerate(cells, start=1):
        data, problem = read or b"{}", b"\\N"
        if read is None:
            problem = _said("row_too_large", say("The row is larger than this server accepts."))
        elif staging.holds_nul(read):
            data = read.replace(staging.NUL, b"\\ufffd")
            problem = _said("nul_byte", say("The row contains a NUL character, which PostgreSQL cannot store."))
        yield b"%d\t%0*d\t%b\t%b\n" % (number, KEY_DIGITS, number, problem, data.replace(b"\\", b"\\\\"))


def _said(code: str, message: str) -> bytes:
    return json.dumps([{"code": code, "message": message, "column": ""}]).encode()


def is_staged(connection: psycopg.Connection, run_id: int) -> bool:
    """Whether the run's table is there with every row: one whose reading was interrupted is not."""
    row = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (_name(run_id),)).fetchone()
    return bool(row and row[0] == WHOLE)


def keep_only(connection: psycopg.Connection, run_id: int, lines: Sequence[int]) -> int:
    """Forget every other row; returns how many are left."""
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE NOT key::bigint = ANY(%s)").format(staging.run_table(run_id)), (list(lines),)
    )
    return count_rows(connection, run_id)


def count_rows(connection: psycopg.Connection, run_id: int, span: Span = Span(None, None)) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} s WHERE {}").format(staging.run_table(run_id), within("s")), span.limits
    ).fetchone()
    assert row is not None
    return int(row[0])


def bounds(connection: psycopg.Connection, run_id: int, max_rows: int) -> list[str]:
    """Last key of each slice: at most `max_rows` rows and about 8 MiB."""
    found = connection.execute(
        sql.SQL(
            "SELECT max(key) FROM (SELECT key, (row_number() OVER w - 1) / %s AS block, "
            "sum(octet_length(row::text)) OVER w / %s AS filled FROM {} WINDOW w AS (ORDER BY n)) k "
            "GROUP BY block, filled ORDER BY 1"
        ).format(staging.run_table(run_id)),
        (max_rows, SLICE_BYTES),
    )
    return [key for (key,) in found]


def spans(connection: psycopg.Connection, run_id: int, max_rows: int) -> list[Span]:
    keys = bounds(connection, run_id, max_rows)
    return [Span(lo, hi) for lo, hi in zip([None, *keys[:-1]], keys, strict=True)] if keys else []


def create_slice_tables(connection: psycopg.Connection, work: sql.Composed) -> None:
    """The temporary tables of this connection; `work` follows the mapped columns."""
    connection.execute("DROP TABLE IF EXISTS pg_temp.stage, pg_temp.work")
    connection.execute(
        'CREATE TEMPORARY TABLE stage (n integer, key text COLLATE "C", ordinal integer, problem text, row json, made json)'
    )
    connection.execute(work, {})


def clear(connection: psycopg.Connection) -> None:
    """Forget what an earlier slice left."""
    connection.execute("TRUNCATE pg_temp.stage, pg_temp.work")


def take(
    connection: psycopg.Connection,
    run_id: int,
    span: Span,
    *,
    made: staging.Made | None = None,
    besides: sql.Composable | None = None,
) -> int:
    """Bring the span's rows into `stage`, without those `s` for which `besides` holds; returns how many they are."""
    left_out = sql.SQL("") if besides is None else sql.SQL("AND NOT {}").format(besides)
    taken = connection.execute(
        sql.SQL(
            "INSERT INTO pg_temp.stage (n, key, ordinal, problem, row) SELECT s.n, s.key, 0, s.problem, s.row FROM {} s "
            "WHERE {} {} ORDER BY s.n"
        ).format(staging.run_table(run_id), within("s"), left_out),
        span.limits,
    ).rowcount
    if made is not None and taken:
        make(connection, made)
    return taken


def seen(run_id: int) -> sql.Composed:
    """The span's rows as `stage` has them, where they lie; takes lo and hi."""
    return sql.SQL(
        "(SELECT r.n::integer AS n, r.key, 0 AS ordinal, r.problem, r.row, NULL::json AS made FROM {} r WHERE {})"
    ).format(staging.run_table(run_id), within("r"))


def within(row: str) -> sql.Composable:
    """Whether a staged row lies in the span of lo and hi."""
    return sql.SQL("(%(lo)s::text IS NULL OR {key} > %(lo)s) AND (%(hi)s::text IS NULL OR {key} <= %(hi)s)").format(
        key=sql.Identifier(row, "key")
    )


def make(connection: psycopg.Connection, made: staging.Made) -> None:
    """Values that only Python can make, beside the rows they are made of."""
    rows = connection.execute("SELECT n, row::text FROM pg_temp.stage WHERE problem IS NULL").fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE pg_temp.stage SET made = %s::json WHERE n = %s",
            [(made(text.encode()).decode(), number) for number, text in rows],
        )


def halves(connection: psycopg.Connection, run_id: int, span: Span) -> tuple[Span, Span] | None:
    """The span in two parts of as many rows; None for one row."""
    row = connection.execute(
        sql.SQL("SELECT (array_agg(s.key ORDER BY s.key))[count(*) / 2] FROM {} s WHERE {}").format(
            staging.run_table(run_id), within("s")
        ),
        span.limits,
    ).fetchone()
    if row is None or row[0] is None:
        return None
    return Span(span.lo, row[0]), Span(row[0], span.hi)
