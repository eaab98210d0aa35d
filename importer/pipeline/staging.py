"""Staging: rows on their way. One generic form for databases and files: key, hash, the row as JSON text.

Two kinds of table: a temporary one per slice, and, for a source that cannot be read by ranges of its key,
one table per run that holds the whole result until its chunks are done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

NUL = b"\\u0000"
KEY_BYTES = 1024  # a longer key is no external id (E23: 255 characters) and does not fit an index entry
SLICE_BYTES = 8 * 1024 * 1024  # X13
FETCHED_BYTES = 4 * 1024 * 1024  # in memory beside the slice
RANGE_ROWS = 5_000  # of a whole result that is gone through in one transaction
RANGE_FETCHED = 500

Made = Callable[[bytes], bytes]


@dataclass(slots=True)
class Row:
    """One source row as it was read."""

    key: bytes
    data: bytes  # JSON text, as the source sent it
    ordinal: int = 0  # 1, 2, ... when the key was seen before
    problem: str = ""  # what already stops it: a code, or what a file's reader said of it, as JSON
    line: int | None = None  # of a file
    digest: bytes = b""

    @property
    def size(self) -> int:
        return len(self.data) + len(self.key)


@dataclass(frozen=True)
class Slice:
    """Rows that are committed together, with the key after which the next slice starts."""

    rows: list[Row]
    last_key: str


def read_rows(cells: Iterable[tuple[bytes | None, bytes | None]]) -> Iterator[Row]:
    """Rows of (key, JSON) pairs in key order: hashed, repeats of a key numbered, unreadable ones marked."""
    return told_apart(
        Row(
            key or b"(row %d)" % number,
            b"{}" if data is None else data,
            problem="row_too_large" if data is None else "" if key else "external_id_empty",
        )
        for number, (key, data) in enumerate(cells, start=1)
    )


def told_apart(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, which come in key order: hashed, repeats of a key numbered."""
    previous: bytes | None = None
    ordinal = 0
    for row in rows:
        ordinal = ordinal + 1 if row.key == previous else 0
        row.ordinal, previous = ordinal, row.key
        row.digest = hashlib.sha256(row.data).digest()
        if holds_nul(row.data):
            row.data, row.problem = row.data.replace(NUL, b"\\ufffd"), "nul_byte"
        yield row


def slices(
    rows: Iterable[Row], *, max_rows: int, max_bytes: int = SLICE_BYTES, shrunk: Callable[[], int] = lambda: 1
) -> Iterator[Slice]:
    """Cut where a key ends, so that repeats of a key are always judged together.

    Both limits are divided by `shrunk`, which is asked at each cut.
    """
    held: list[Row] = []
    size, divisor = 0, shrunk()
    for row in rows:
        full = len(held) * divisor >= max_rows or (size + row.size) * divisor > max_bytes
        if held and row.ordinal == 0 and full:
            yield Slice(held, held[-1].key.decode())
            held, size, divisor = [], 0, shrunk()
        held.append(row)
        size += row.size
    if held:
        yield Slice(held, held[-1].key.decode())


def create_slice_tables(connection: psycopg.Connection, work: sql.Composed) -> None:
    """The temporary tables of this connection; made anew for each query because `work` follows its columns."""
    connection.execute("DROP TABLE IF EXISTS pg_temp.stage, pg_temp.incoming, pg_temp.work")
    connection.execute(
        'CREATE TEMPORARY TABLE stage (n integer, key text COLLATE "C", ordinal integer, hash bytea, problem text, '
        "line bigint, row json, made json)"
    )
    connection.execute('CREATE TEMPORARY TABLE incoming (n integer, key text COLLATE "C", hash bytea)')
    connection.execute(work)


def stage(connection: psycopg.Connection, rows: Iterable[tuple[int, Row]], *, made: Made | None = None) -> None:
    """COPY the slice's rows in; what an earlier slice left is gone first.

    `made` gives beside a row's JSON the values that Python makes of it, as JSON.
    """
    connection.execute("TRUNCATE pg_temp.stage, pg_temp.work")
    statement = "COPY pg_temp.stage (n, key, ordinal, hash, problem, line, row, made) FROM STDIN"
    with connection.cursor().copy(statement) as copy:
        buffer = bytearray()
        for number, row in rows:
            buffer += b"%d\t%b\t%d\t\\\\x%b\t%b\t%b\t%b\t%b\n" % (
                number,
                _escaped(stored_key(row.key)),
                row.ordinal,
                row.digest.hex().encode(),
                _escaped(row.problem.encode()) or b"\\N",
                b"\\N" if row.line is None else b"%d" % row.line,
                row.data.replace(b"\\", b"\\\\") if b"\\" in row.data else row.data,
                b"\\N" if made is None else made(row.data).replace(b"\\", b"\\\\"),
            )
            if len(buffer) > 65_536:
                copy.write(bytes(buffer))
                buffer.clear()
        copy.write(bytes(buffer))


def changed(
    connection: psycopg.Connection, rows: list[Row], *, entity_id: int, version_id: int, alive: sql.Composable
) -> set[int]:
    """Positions of rows that must be looked at: new ones, changed ones, and those whose target is gone.

    The rest is exactly as it was when it was last imported under the same mapping.
    """
    connection.execute("TRUNCATE pg_temp.incoming")
    with connection.cursor().copy("COPY pg_temp.incoming (n, key, hash) FROM STDIN") as copy:
        copy.write(
            b"".join(
                b"%d\t%b\t\\\\x%b\n" % (number, _escaped(row.key), row.digest.hex().encode())
                for number, row in enumerate(rows)
                if not row.ordinal and not row.problem
            )
        )
    found = connection.execute(
        sql.SQL(
            "SELECT i.n FROM pg_temp.incoming i LEFT JOIN LATERAL (SELECT e.target_id FROM external_refs e "
            "WHERE e.entity_id = %(entity)s AND e.external_id = i.key AND e.source_hash = i.hash "
            "AND e.mapping_version_id = %(version)s AND {alive} OFFSET 0) e ON true WHERE e.target_id IS NULL"
        ).format(alive=alive),
        {"entity": entity_id, "version": version_id},
        prepare=True,
    )
    odd = {number for number, row in enumerate(rows) if row.ordinal or row.problem}
    return odd | {number for (number,) in found}


# -- a whole result, staged before its chunks --------------------------------------------------------------------


def run_table(run_id: int) -> sql.Identifier:
    return sql.Identifier(f"importer_stage_{run_id}")


def ordered_table(run_id: int) -> sql.Identifier:
    return sql.Identifier(f"importer_stage_{run_id}_ordered")


def create_ordered(connection: psycopg.Connection, run_id: int, *, temporary: bool = False) -> sql.Identifier:
    """The empty table for a whole result in the order of its keys.

    Logged, not UNLOGGED: a server crash empties an unlogged table, and a resumed job would find nothing.
    """
    table = ordered_table(run_id)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(
        sql.SQL('CREATE {} {} (n bigint, key text COLLATE "C", line bigint, problem text, row text)').format(
            sql.SQL("TEMPORARY TABLE" if temporary else "TABLE"), table
        )
    )
    return table


def seal_ordered(connection: psycopg.Connection, run_id: int) -> None:
    """Let ranges of keys be found quickly, once the rows are in."""
    connection.execute(sql.SQL("CREATE INDEX ON {} (key, n)").format(ordered_table(run_id)))
    connection.execute(sql.SQL("ANALYZE {}").format(ordered_table(run_id)))


def stage_whole(connection: psycopg.Connection, run_id: int, cells: Iterable[tuple[bytes | None, bytes | None]]) -> int:
    """Copy a whole result into the run's table; returns the number of rows."""
    table = create_ordered(connection, run_id)
    count = 0
    with connection.cursor().copy(sql.SQL("COPY {} (n, key, row) FROM STDIN").format(table)) as copy:
        for count, (key, data) in enumerate(cells, start=1):
            copy.write(
                b"%d\t%b\t%b\n"
                % (
                    count,
                    b"" if key is None else _escaped(stored_key(key)),
                    b"\\N" if data is None else data.replace(b"\\", b"\\\\"),
                )
            )
    seal_ordered(connection, run_id)
    return count


def staged_bounds(connection: psycopg.Connection, run_id: int, chunk_rows: int) -> list[str]:
    """Last key of each chunk of the staged result."""
    found = connection.execute(
        sql.SQL(
            "SELECT max(key) FROM (SELECT key, (row_number() OVER (ORDER BY key, n) - 1) / %s AS block FROM {}) k "
            "GROUP BY block ORDER BY block"
        ).format(ordered_table(run_id)),
        (chunk_rows,),
    )
    return list(dict.fromkeys(key for (key,) in found))


_STAGED = sql.SQL("SELECT key, row, line, problem FROM {} ")


_RANGE = sql.SQL(
    "{} WHERE (%(lo)s::text IS NULL OR key > %(lo)s) AND (%(hi)s::text IS NULL OR key <= %(hi)s) ORDER BY key, n"
)


def staged_rows(
    connection: psycopg.Connection, run_id: int, lo: str | None, hi: str | None, *, read_ahead: int = 1
) -> Iterator[Row]:
    """A range of the staged result, in key order; streamed in its own transaction, so many rows at a time."""
    chosen = _RANGE.format(_STAGED.format(ordered_table(run_id)))
    with connection.cursor() as cursor:
        chunked = psycopg.capabilities.has_stream_chunked()
        yield from _staged(cursor.stream(chosen, {"lo": lo, "hi": hi}, size=read_ahead if chunked else 1))


def staged_width(connection: psycopg.Connection, run_id: int, lo: str | None, hi: str | None) -> int:
    """Bytes of the widest row of a range; its length is known without its text being read."""
    chosen = _RANGE.format(sql.SQL("SELECT octet_length(row) AS width FROM {}").format(ordered_table(run_id)))
    found = connection.execute(sql.SQL("SELECT max(width) FROM ({}) w").format(chosen), {"lo": lo, "hi": hi}).fetchone()
    return int(found[0] or 1) if found else 1


def staged_cursor(connection: psycopg.Connection, run_id: int) -> Iterator[Row]:
    """The whole staged result in key order, inside the connection's open transaction; a few megabytes at a time."""
    lo = None
    for hi in staged_bounds(connection, run_id, RANGE_ROWS):
        with connection.cursor(name=f"staged_{run_id}") as cursor:
            cursor.itersize = at_once(staged_width(connection, run_id, lo, hi), RANGE_FETCHED)
            cursor.execute(_RANGE.format(_STAGED.format(ordered_table(run_id))), {"lo": lo, "hi": hi})
            yield from _staged(cursor)
        lo = hi


def at_once(widest: int, most: int) -> int:
    """Rows to fetch at a time: at most so many, fewer of wide ones."""
    return max(1, min(most, FETCHED_BYTES // max(1, widest)))


def _staged(found: Iterable[tuple[str, str | None, int | None, str | None]]) -> Iterator[Row]:
    """Rows as they were staged. One of a database that has no key, or is too large, is marked here."""
    unnamed = 0
    for key, data, line, said in found:
        unnamed += not key
        problem = said or ("row_too_large" if data is None else "" if key else "external_id_empty")
        yield Row(key.encode() or b"(row %d)" % unnamed, (data or "{}").encode(), problem=problem, line=line)


def repeats_table(run_id: int) -> sql.Identifier:
    return sql.Identifier(f"importer_stage_{run_id}_repeats")


def judged_table(run_id: int) -> sql.Identifier:
    return sql.Identifier(f"importer_stage_{run_id}_judged")


def is_ordered(connection: psycopg.Connection, run_id: int) -> bool:
    """Whether the whole result in the order of its keys is there; it is made and filled in one transaction."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"importer_stage_{run_id}_ordered",)).fetchone()
    return bool(row and row[0])


def runs_staged(connection: psycopg.Connection) -> set[int]:
    """Runs of which anything is staged, in the connection's own schema."""
    found = connection.execute(
        "SELECT DISTINCT substring(relname::text FROM '^importer_stage_([0-9]{1,18})(?:_ordered|_repeats|_judged)?$')::bigint "
        "FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace "
        "AND starts_with(relname::text, 'importer_stage_')"
    )
    return {run_id for (run_id,) in found if run_id is not None}


def drop_run_table(connection: psycopg.Connection, run_id: int) -> None:
    """Drop all that is staged of the run."""
    connection.execute(
        sql.SQL("DROP TABLE IF EXISTS {}, {}, {}, {}").format(
            run_table(run_id), ordered_table(run_id), repeats_table(run_id), judged_table(run_id)
        )
    )


def stored_key(key: bytes) -> bytes:
    """The key as it is kept: one that is far too long is cut and told apart by its hash. Its row fails."""
    if len(key) <= KEY_BYTES:
        return key
    start = key[:200].decode("utf-8", "ignore").encode()
    return start + b"..." + hashlib.sha256(key).hexdigest().encode()


def holds_nul(data: bytes) -> bool:
    """Whether the JSON text holds an escaped NUL; an escaped backslash before "u0000" is not one."""
    if NUL not in data:
        return False
    start = data.find(NUL)
    while start >= 0:
        before = 0
        while start - before > 0 and data[start - before - 1 : start - before] == b"\\":
            before += 1
        if before % 2 == 0:
            return True
        start = data.find(NUL, start + 1)
    return False


def _escaped(text: bytes) -> bytes:
    """A key as COPY's text format takes it."""
    if b"\\" in text or b"\t" in text or b"\n" in text or b"\r" in text:
        return text.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return text
