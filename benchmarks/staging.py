"""JSON text or typed columns on the way in? The cost of both shapes, from the source to typed values."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

import psycopg

from benchmarks import report
from benchmarks.world import World
from importer.sources.values import register_raw

COLUMNS = (
    "id integer, number integer, subject text, body text, status smallint, customer_id integer, user_id integer, "
    "created_at timestamp, updated_at timestamp, closed_at timestamp"
)
NAMES = [column.split()[0] for column in COLUMNS.split(", ")]
SLICE = 5000


def run(*, rows: int, write: bool) -> None:
    """Read, hash, stage and type the same rows in both shapes; alternating rounds, best of three each."""
    world = World(rows)
    try:
        shapes = {"JSON text, one generic table": _json, "typed columns, one table a query": _typed}
        best = {name: min(_timed(world, shape, rows) for _ in range(3)) for name, shape in shapes.items()}
        whole = world.import_()
    finally:
        world.close()
    typed = best["typed columns, one table a query"]
    lines = ["| shape | µs a row | against typed |", "|---|---:|---:|"]
    lines += [f"| {name} | {seconds / rows * 1e6:.1f} | {seconds / typed:.2f} |" for name, seconds in best.items()]
    saved = (best["JSON text, one generic table"] - typed) / whole.seconds
    lines.append("")
    lines.append(
        f"Typed staging would shorten a whole first load of {rows:,} rows with one worker by {saved:.0%} at most."
    )
    text = "\n".join(lines)
    print(text)
    if write:
        report.write("staging", text)


def _timed(world: World, shape: Callable[[psycopg.Connection, psycopg.Connection, int], None], rows: int) -> float:
    with psycopg.connect(world.source_url) as source, psycopg.connect(world.target_url) as target:
        target.execute("SET jit=off")
        started = time.perf_counter()
        shape(source, target, rows)
        return time.perf_counter() - started


def _json(source: psycopg.Connection, target: psycopg.Connection, rows: int) -> None:
    target.execute("CREATE TEMPORARY TABLE staged (n integer, key text, hash bytea, row json)")
    target.execute(f"CREATE TEMPORARY TABLE typed ({COLUMNS})")
    texts = ", ".join(f"{name} text" for name in NAMES)
    casts = ", ".join(
        f"CASE WHEN pg_input_is_valid(j.{name}, '{kind}') THEN j.{name}::{kind} END" if kind != "text" else f"j.{name}"
        for name, kind in (column.split() for column in COLUMNS.split(", "))
    )
    for low in range(0, rows, SLICE):
        target.execute("TRUNCATE staged, typed")
        query = (
            f"SELECT id::text, row_to_json(t)::text FROM tickets t WHERE id > {low} AND id <= {low + SLICE} ORDER BY id"
        )
        with target.cursor().copy("COPY staged FROM STDIN") as copy:
            for number, (key, row) in enumerate(_raw(source, query)):
                digest = hashlib.sha256(row).hexdigest().encode()
                copy.write(b"%d\t%b\t\\\\x%b\t%b\n" % (number, key, digest, row.replace(b"\\", b"\\\\")))
        target.execute(
            f"INSERT INTO typed SELECT {casts} FROM staged s CROSS JOIN LATERAL json_to_record(s.row) AS j({texts})"
        )


def _typed(source: psycopg.Connection, target: psycopg.Connection, rows: int) -> None:
    target.execute(f"CREATE TEMPORARY TABLE staged ({COLUMNS}, hash bytea)")
    target.execute(f"CREATE TEMPORARY TABLE typed ({COLUMNS})")
    names = ", ".join(NAMES)
    for low in range(0, rows, SLICE):
        target.execute("TRUNCATE staged, typed")
        query = f"COPY (SELECT {names} FROM tickets WHERE id > {low} AND id <= {low + SLICE} ORDER BY id) TO STDOUT"
        with source.cursor().copy(query) as read, target.cursor().copy("COPY staged FROM STDIN") as copy:
            for block in read:
                line = bytes(block)
                copy.write(line[:-1] + b"\t\\\\x" + hashlib.sha256(line).hexdigest().encode() + b"\n")
        target.execute(f"INSERT INTO typed SELECT {names} FROM staged")


def _raw(source: psycopg.Connection, query: str) -> Iterator[tuple[bytes, bytes]]:
    """(key, JSON) as bytes, the way the product's session delivers them."""
    cursor = source.cursor()
    register_raw(cursor.adapters)
    return cursor.stream(query, size=50)
