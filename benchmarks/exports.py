"""Exporting a table: rows a second and peak memory beside psql's \\copy and the usual libraries, each in a process of its own."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import files, report

TABLE = "benchmark_exports"
SELECT = f"SELECT * FROM {TABLE} ORDER BY id"
SMALLER = 5  # the other formats and peers get a fifth of the rows
MAKE = f"""
CREATE UNLOGGED TABLE {TABLE} (id integer PRIMARY KEY, email text, subject text, body text, priority integer, open boolean,
    opened_on date, hours numeric(10,2), team varchar(40), note text, changed_at timestamptz)
"""
FILL = f"""
INSERT INTO {TABLE} SELECT i, 'person' || i || '@example.com', 'Ticket ' || i,
    repeat('Printer ' || i || ' says “no”, again and again; please help. ', 2), i %% 4, i %% 3 = 0, date '2024-01-01' + i %% 28,
    (i / 4.0)::numeric(10,2), 'Team ' || i %% 9, CASE WHEN i %% 2 = 0 THEN '' END, timestamptz '2024-01-01 00:00+00' + i * interval '1 second'
FROM generate_series(1, %s) i
"""


def connect() -> psycopg.Connection:
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def warm_up() -> None:
    """What a worker has done long before an export reaches it."""
    import django

    django.setup()
    importlib.import_module("exporter.run")


def ours(path: Path, format_name: str, compression: str) -> None:
    """The whole of an export but its job: plan, snapshot, COPY or rows, encryption, digest."""
    from exporter import run
    from exporter.planning import planned
    from exporter.wanted import Wanted
    from exporter.writing import write_file
    from servicevault import stored_files
    from servicevault.models import User

    options = {"compression": compression}
    plan = planned(Wanted(TABLE, format_name, export_options=options), User(is_superuser=True, is_active=True))
    with stored_files.Writer(path.parent) as writer, run.snapshot() as connection:
        target: Any = writer
        write_file(plan, connection, target, name="data", threshold=None, on_rows=lambda rows: None)
    writer.path.unlink()


def psql(path: Path, statement: str, options: str) -> None:
    command = f"\\copy ({statement}) to '{path}' {options}"
    subprocess.run(["psql", "-q", os.environ["DATABASE_URL"], "-c", command], check=True)


def with_pandas(path: Path) -> None:
    import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with connect() as connection:
        cursor = connection.execute(SELECT)
        names = [column.name for column in cursor.description or ()]
        pandas.DataFrame(cursor.fetchall(), columns=names).to_csv(path, index=False)


def with_tablib(path: Path) -> None:
    import tablib

    with connect() as connection:
        cursor = connection.execute(SELECT)
        data = tablib.Dataset(*cursor.fetchall(), headers=[column.name for column in cursor.description or ()])
    path.write_text(data.export("csv"), newline="")


def with_import_export(path: Path) -> None:
    from django.db import models
    from import_export import resources

    class Row(models.Model):
        email = models.TextField()
        subject = models.TextField()
        body = models.TextField()
        priority = models.IntegerField()
        open = models.BooleanField()
        opened_on = models.DateField()
        hours = models.DecimalField(max_digits=10, decimal_places=2)
        team = models.CharField(max_length=40)
        note = models.TextField(null=True)
        changed_at = models.DateTimeField()

        class Meta:
            app_label = "benchmarks"
            db_table = TABLE
            managed = False

        def __str__(self) -> str:
            return self.subject

    resource = resources.modelresource_factory(Row)()
    path.write_text(resource.export(Row._default_manager.order_by("id")).csv, newline="")


PEERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "pandas.to_csv": ("pandas", with_pandas),
    "tablib": ("tablib", with_tablib),
    "django-import-export": ("import_export", with_import_export),
}


def run(*, count: int, write_report: bool) -> None:
    """Measure CSV and JSON Lines against psql, the other formats against CSV, the peers with a fifth of the rows."""
    lines = [
        "| what | rows | rows/s | peak MiB | time as a ratio to the first of its size |",
        "|---|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "data"
        try:
            _fill(count)
            base = _add(lines, "psql \\copy, csv", count, measured(psql, path, SELECT, "csv header"))
            _add(lines, "csv", count, measured(ours, path, "csv", "none"), base)
            _add(lines, "csv, gzip", count, measured(ours, path, "csv", "gzip"), base)
            rows = f"SELECT row_to_json(r) FROM ({SELECT}) r"
            base = _add(lines, "psql \\copy, row_to_json", count, measured(psql, path, rows, ""))
            _add(lines, "jsonl", count, measured(ours, path, "jsonl", "none"), base)
            _add(lines, "json", count, measured(ours, path, "json", "none"), base)
            path.unlink(missing_ok=True)
            few = max(count // SMALLER, 1)
            _fill(few)
            base = _add(lines, "csv", few, measured(ours, path, "csv", "none"))
            for name in ("xlsx", "xml", "yaml"):
                _add(lines, name, few, measured(ours, path, name, "none"), base)
            for label, (module, peer) in PEERS.items():
                if importlib.util.find_spec(module):
                    _add(lines, f"{label}, csv", few, measured(peer, path), base)
        finally:
            with connect() as connection:
                connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
    if write_report:
        report.write("exports", "\n".join(lines))


def measured(work: Callable[..., None], *arguments: Any) -> tuple[float, int]:
    return files.measured(work, *arguments, before=warm_up)


def _fill(count: int) -> None:
    with connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        connection.execute(MAKE)
        connection.execute(FILL, [count])
        connection.execute(f"ANALYZE {TABLE}")


def _add(lines: list[str], what: str, rows: int, result: tuple[float, int], base: float = 0.0) -> float:
    seconds, peak = result
    ratio = f"{seconds / base:.2f}" if base else "1.00"
    lines.append(f"| {what} | {rows:,} | {rows / seconds:,.0f} | {peak} | {ratio} |")
    print(lines[-1], flush=True)
    return seconds
