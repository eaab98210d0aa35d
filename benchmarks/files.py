"""Reading and writing files: rows a second and peak memory beside the plain libraries, each in a fresh process."""

from __future__ import annotations

import csv
import json
import multiprocessing
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql
import yaml
from django.conf import settings
from lxml import etree

from benchmarks import report
from servicevault.tabular import detection, sandbox
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.writing import write

COLUMNS = ["id", "email", "subject", "body", "priority", "open", "opened_on", "hours", "team", "note"]
SMALLER = 5  # the other formats get a fifth of the rows of CSV


def rows(count: int) -> Iterator[list[Any]]:
    for number in range(count):
        body = f"Printer {number} says “no”, again and again; please help.\n" * 2
        yield [
            number,
            f"person{number}@example.com",
            f"Ticket {number}",
            body,
            number % 4,
            number % 3 == 0,
            date(2024, 1, 1 + number % 28),
            number / 4,
            f"Team {number % 9}",
            None if number % 2 else "",
        ]


def ours(path: Path) -> None:
    with path.open("rb") as file, detection.opened(file, ReadOptions()) as (_, reading):
        deque(reading.records, maxlen=0)


def in_a_child(path: Path) -> None:
    with path.open("rb") as file, sandbox.opened(file, ReadOptions()) as (_, reading):
        deque(reading.records, maxlen=0)


def with_csv(path: Path) -> None:
    with path.open(newline="") as file:
        deque(csv.reader(file), maxlen=0)


def with_copy(path: Path) -> None:
    database = settings.DATABASES["default"]
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=database["PASSWORD"],
        dbname=database["NAME"],
    ) as connection:
        names = psycopg.sql.SQL(", ").join(
            psycopg.sql.SQL("{} text").format(psycopg.sql.Identifier(name)) for name in COLUMNS
        )
        connection.execute(psycopg.sql.SQL("CREATE TEMP TABLE copied ({})").format(names))
        with connection.cursor().copy("COPY copied FROM STDIN (FORMAT csv, HEADER)") as copy, path.open("rb") as file:
            while data := file.read(1024 * 1024):
                copy.write(data)


def with_json(path: Path) -> None:
    json.loads(path.read_text())


def with_json_lines(path: Path) -> None:
    with path.open() as file:
        deque(map(json.loads, file), maxlen=0)


def with_openpyxl(path: Path) -> None:
    import openpyxl

    deque(openpyxl.load_workbook(path, read_only=True).active.iter_rows(values_only=True), maxlen=0)


def with_iterparse(path: Path) -> None:
    for _, element in etree.iterparse(str(path), tag="row"):
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]


def with_yaml(path: Path) -> None:
    with path.open("rb") as file:
        yaml.load(file, Loader=yaml.CSafeLoader)


def write_ours(path: Path, format_name: str, count: int) -> None:
    with path.open("wb") as file:
        write(file, format_name, COLUMNS, rows(count), WriteOptions())


def write_csv(path: Path, count: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows(count))


def write_json(path: Path, count: int) -> None:
    with path.open("w") as file:
        json.dump([dict(zip(COLUMNS, row, strict=True)) for row in rows(count)], file, default=str)


def write_openpyxl(path: Path, count: int) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows(count):
        sheet.append(row)
    book.save(path)


READING: dict[str, dict[str, Callable[[Path], None]]] = {
    "csv": {"csv.reader": with_csv, "COPY FROM STDIN": with_copy},
    "json": {"json.loads": with_json},
    "jsonl": {"json.loads a line": with_json_lines},
    "xlsx": {"openpyxl read_only": with_openpyxl},
    "xml": {"lxml.iterparse": with_iterparse},
    "yaml": {"yaml.CSafeLoader": with_yaml},
}
WRITING: dict[str, dict[str, Callable[[Path, int], None]]] = {
    "csv": {"csv.writer": write_csv},
    "json": {"json.dump": write_json},
    "xlsx": {"openpyxl write_only": write_openpyxl},
}


def measured(work: Callable[..., None], *arguments: Any, before: Callable[[], None] | None = None) -> tuple[float, int]:
    """Return seconds and peak memory in MiB (with children) of a call in a process of its own.

    `before` is called first and counts towards memory only.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, work, arguments, before))
    process.start()
    sender.close()
    seconds, kibibytes = receiver.recv()
    process.join()
    return seconds, kibibytes // 1024


def _measure(
    sender: Any, work: Callable[..., None], arguments: tuple[Any, ...], before: Callable[[], None] | None
) -> None:
    if before is not None:
        before()
    started = time.perf_counter()
    work(*arguments)
    seconds = time.perf_counter() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sender.send((seconds, peak))


def run(*, count: int, write_report: bool) -> None:
    """Measure every format, print the table, put it into docs/performance.md where asked."""
    lines = ["| what | format | rows | rows/s | peak MiB | time as a ratio to ours |", "|---|---|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, peers in READING.items():
            path, size = Path(folder) / f"data.{name}", count if name == "csv" else max(count // SMALLER, 1)
            written = measured(write_ours, path, name, size)
            _add(lines, "write: ours", name, size, result=written, base=written)
            for label, peer in WRITING.get(name, {}).items():
                _add(
                    lines,
                    f"write: {label}",
                    name,
                    size,
                    result=measured(peer, path.with_suffix(".peer"), size),
                    base=written,
                )
            read = measured(ours, path)
            _add(lines, "read: ours", name, size, result=read, base=read)
            _add(lines, "read: ours, in a child", name, size, result=measured(in_a_child, path), base=read)
            for label, peer_read in peers.items():
                _add(lines, f"read: {label}", name, size, result=measured(peer_read, path), base=read)
            path.unlink()
    text = "\n".join(lines)
    if write_report:
        report.write("files", text)


def _add(
    lines: list[str], what: str, name: str, size: int, *, result: tuple[float, int], base: tuple[float, int]
) -> None:
    seconds, peak = result
    lines.append(f"| {what} | {name} | {size:,} | {size / seconds:,.0f} | {peak} | {seconds / base[0]:.2f} |")
    print(lines[-1], flush=True)
