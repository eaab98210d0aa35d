"""From rows to the encrypted file: by COPY where PostgreSQL can write the file, else row by row; compressed on the way."""

from __future__ import annotations

import gzip
import itertools
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import psycopg

from exporter import cells, copying
from exporter.planning import Plan
from servicevault.tabular.containers import new_member, packed
from servicevault.tabular.writing import write

FETCHED = 2_000  # rows of one round trip
GZIP_LEVEL = 1  # three times as quick as 6 for a tenth more bytes; an export is read once
PIECES_AHEAD = 8  # of 256 KiB, between the database and the file
NATIVE_JSON = {"json", "jsonl", "yaml"}


class Growing:
    """Takes content plain; once it is more than `threshold` bytes, everything is compressed (F-117)."""

    def __init__(self, target: IO[bytes], threshold: int) -> None:
        self._target = target
        self._threshold = threshold
        self._held: list[bytes] = []
        self._size = 0
        self._gzip: gzip.GzipFile | None = None

    @property
    def is_compressed(self) -> bool:
        return self._gzip is not None

    def write(self, data: bytes) -> int:
        if self._gzip is not None:
            return self._gzip.write(data)
        self._held.append(bytes(data))
        self._size += len(data)
        if self._size > self._threshold:
            self._gzip = gzip.GzipFile("", "wb", GZIP_LEVEL, self._target, mtime=0)
            self._gzip.writelines(self._held)
            self._held.clear()
        return len(data)

    def flush(self) -> None:
        """Nothing: the end decides."""

    def close(self) -> None:
        if self._gzip is not None:
            self._gzip.close()
        else:
            for piece in self._held:
                self._target.write(piece)


@dataclass(frozen=True)
class Written:
    """What became of the file."""

    rows: int
    filename: str
    media_type: str


def write_file(
    plan: Plan,
    connection: psycopg.Connection,
    target: IO[bytes],
    *,
    name: str,
    threshold: int | None,
    on_rows: Callable[[int], None],
) -> Written:
    """Write the export in constant memory; `threshold` bytes are where `auto` compresses, None where it never does.

    Raises RowNotWritable, and what `on_rows` raises to stop.
    """
    how = plan.extras.compression if plan.format.is_text else "none"  # a workbook is compressed already
    if plan.extras.split_rows:
        rows = _write_parts(plan, connection, target, name, on_rows)
        return Written(rows, f"{name.rpartition('.')[0]}.zip", "application/zip")
    if how == "auto" and threshold is not None:
        growing = Growing(target, threshold)
        rows = _write_one(plan, connection, cast("IO[bytes]", growing), on_rows)
        growing.close()
        how = "gzip" if growing.is_compressed else "none"
    else:
        how = "none" if how == "auto" else how
        with packed(target, how, name) as stream:
            rows = _write_one(plan, connection, stream, on_rows)
    media_types = {"gzip": "application/gzip", "zip": "application/zip"}
    return Written(rows, name + {"gzip": ".gz", "zip": ".zip"}.get(how, ""), media_types.get(how, _media_type(plan)))


def _media_type(plan: Plan) -> str:
    if plan.format.name == "csv":
        return f"text/csv; charset={plan.options.encoding.removesuffix('-sig')}"
    return plan.format.media_type


def _write_one(plan: Plan, connection: psycopg.Connection, target: IO[bytes], on_rows: Callable[[int], None]) -> int:
    if lines := copying.lines(plan.selection, plan.format.name, plan.options):
        counted = 0

        def count(rows: int) -> None:
            nonlocal counted
            counted += rows
            on_rows(rows)

        with _written_behind(target) as put:
            for piece in lines.pieces(connection, count):
                put(piece)
        return counted
    with _rows(plan, connection, on_rows) as rows:
        return write(target, plan.format.name, plan.selection.columns, rows, plan.options)


@contextmanager
def _written_behind(target: IO[bytes]) -> Iterator[Callable[[bytes], None]]:
    """Compress, digest and encrypt in a thread of its own, while the next rows arrive; what it raises is raised here."""
    waiting: deque[Future[int]] = deque()

    def put(piece: bytes) -> None:
        waiting.append(thread.submit(target.write, piece))
        if len(waiting) > PIECES_AHEAD:
            waiting.popleft().result()

    with ThreadPoolExecutor(1, "export-writer") as thread:
        yield put
        for written in waiting:
            written.result()


def _write_parts(
    plan: Plan, connection: psycopg.Connection, target: IO[bytes], name: str, on_rows: Callable[[int], None]
) -> int:
    """Several files of at most `split_rows` rows in one zip; an export of no rows is one empty file."""
    size = plan.extras.split_rows or 1
    stem, _, ending = name.rpartition(".")
    total = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, _rows(plan, connection, on_rows) as rows:
        for number in itertools.count(1):
            first = list(itertools.islice(rows, 1))
            if not first and number > 1:
                return total
            part = itertools.chain(first, itertools.islice(rows, size - 1))
            with new_member(archive, f"{stem}-{number:03}.{ending}") as stream:
                total += write(stream, plan.format.name, plan.selection.columns, part, plan.options)
    return total


@contextmanager
def _rows(
    plan: Plan, connection: psycopg.Connection, on_rows: Callable[[int], None]
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows through a cursor on the server."""
    with psycopg.ServerCursor(connection, "export") as cursor:
        cells.prepare(cursor, native_json=plan.format.name in NATIVE_JSON)
        cursor.execute(*plan.selection.rows())
        yield _fetched(cursor, on_rows)


def _fetched(cursor: psycopg.ServerCursor[Any], on_rows: Callable[[int], None]) -> Iterator[tuple[Any, ...]]:
    while batch := cursor.fetchmany(FETCHED):
        yield from batch
        on_rows(len(batch))
