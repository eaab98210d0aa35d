"""A CSV file into two tables: raw COPY, ours with validation and audit, and peers, in one run.

One table stands alone with a primary key, a unique key and a rule; the other also names rows of three others, as
tables of an application do.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks import report
from benchmarks.world import PROJECT, PeakMemory

DATABASE = "bench_files"
TABLE = "bench_articles"
COLUMNS = {
    "id": "bigint PRIMARY KEY",
    "sku": "varchar(30) NOT NULL UNIQUE",
    "name": "text NOT NULL",
    "email": "text",
    "price": "numeric(10,2)",
    "stock": "integer CHECK (stock >= 0)",
    "active": "boolean NOT NULL",
    "made_on": "date",
    "made_at": "timestamptz",
    "maker": "integer",
    "shelf": "integer",
    "editor": "integer",
    "note": "text",
}
REFERRED = {"maker": 5000, "shelf": 200, "editor": 50}  # rows of the tables that the second table's columns name
PEER_SHARE = 10  # peers get a tenth of the rows: they need minutes for all


@dataclass(frozen=True)
class Timed:
    """What one way of loading the file took."""

    seconds: float
    steps: dict[str, float]
    worker_mib: float = 0
    child_mib: float = 0


def run(*, rows: int, peers: bool, write: bool) -> None:
    """Load the same file in every way, print the table, put it into docs/performance.md where asked."""
    server = os.environ["DATABASE_URL"]
    url = urlunsplit(urlsplit(server)._replace(path=f"/{DATABASE}"))
    with tempfile.TemporaryDirectory() as folder:
        path, few = Path(folder) / "articles.csv", Path(folder) / "few.csv"
        write_csv(path, rows)
        write_csv(few, max(rows // PEER_SHARE, 1))
        environment = dict(os.environ) | {
            "DATABASE_URL": url,
            "SERVICEVAULT_EMBEDDED": "true",
            "IMPORT_TEMP_DIR": f"{folder}/kept",
        }
        _database(server, DATABASE)
        try:
            subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=PROJECT, env=environment, check=True)
            found = _measured(path, few, url, environment, peers=peers, rows=rows)
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    text = "\n".join(found)
    print(text)
    if write:
        report.write("file imports", text)


def write_csv(path: Path, count: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(1, count + 1):
            writer.writerow(
                [
                    number,
                    f"SKU-{number:08d}",
                    f"Article {number}, of the “{number % 97}” series",
                    f"maker{number % 5000}@example.com",
                    f"{number % 10_000}.{number % 100:02d}",
                    number % 1000,
                    "true" if number % 3 else "false",
                    f"20{10 + number % 15}-{1 + number % 12:02d}-{1 + number % 28:02d}",
                    f"2024-{1 + number % 12:02d}-{1 + number % 28:02d} {number % 24:02d}:{number % 60:02d}:00",
                    *(1 + number % count for count in REFERRED.values()),
                    "" if number % 4 else "Sold as it is; no returns after thirty days.",
                ]
            )


def _database(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")


def _measured(
    path: Path, few: Path, url: str, environment: dict[str, str], *, peers: bool, rows: int
) -> list[str]:  # fmt: skip
    lines = [
        "| what | rows | rows/s | ratio to COPY | steps | peak RSS: worker, reading child |",
        "|---|---:|---:|---:|---|---|",
    ]
    for kind, refers in (("alone", False), ("with three foreign keys", True)):
        limits = [_copied(path, url, refers=refers)]
        ours = {
            f"Service Vault: validation, audit, {workers} worker{'s' if workers > 1 else ''}": _ours(
                path, url, environment, workers=workers, refers=refers
            )
            for workers in (1, 2)
        }
        limits.append(_copied(path, url, refers=refers))
        limit = rows * len(limits) / sum(limits)
        lines.append(f"| **table {kind}:** COPY … FROM STDIN (FORMAT csv) | {rows:,} | {limit:,.0f} | 1.00 | | |")
        lines += [_line(what, rows, timed, limit) for what, timed in ours.items()]
        for what, name in _PEERS.items() if peers and not refers else ():
            seconds = _peer(name, few, url, environment)
            if seconds:
                count = max(rows // PEER_SHARE, 1)
                lines.append(_line(what, count, Timed(seconds, {}), limit))
    return lines


def _line(what: str, rows: int, timed: Timed, limit: float) -> str:
    rate = rows / timed.seconds
    steps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in timed.steps.items())
    memory = f"{timed.worker_mib:.0f} MiB, {timed.child_mib:.0f} MiB" if timed.worker_mib else ""
    return f"| {what} | {rows:,} | {rate:,.0f} | {rate / limit:.3f} | {steps} | {memory} |"


def _empty_table(url: str, *, refers: bool = False) -> None:
    columns = [
        f"{name} {kind}{f' REFERENCES bench_{name}' if refers and name in REFERRED else ''}"
        for name, kind in COLUMNS.items()
    ]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        for name, count in REFERRED.items():
            connection.execute(f"DROP TABLE IF EXISTS bench_{name}")
            connection.execute(
                f"CREATE TABLE bench_{name} (id integer PRIMARY KEY, name text NOT NULL DEFAULT 'somebody')"
            )
            connection.execute(f"INSERT INTO bench_{name} SELECT generate_series(1, {count})")
        connection.execute(f"CREATE TABLE {TABLE} ({', '.join(columns)})")
        connection.execute("CHECKPOINT")


def _copied(path: Path, url: str, *, refers: bool) -> float:
    """Seconds of what psql's \\copy does: the limit."""
    _empty_table(url, refers=refers)
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.perf_counter()
        with connection.cursor().copy(f"COPY {TABLE} FROM STDIN (FORMAT csv, HEADER)") as copy, path.open("rb") as file:
            while piece := file.read(1024 * 1024):
                copy.write(piece)
        return time.perf_counter() - started


# -- ours ---------------------------------------------------------------------------------------------------------


def _ours(path: Path, url: str, environment: dict[str, str], *, workers: int, refers: bool) -> Timed:
    """Upload, validate and import in a process of its own, as `import_file` does; its memory is watched."""
    _empty_table(url, refers=refers)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.file_imports", "ours", str(path), str(workers)],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    watch = PeakMemory(process.pid)
    watch.start()
    output, _ = process.communicate()
    watch.ended.set()
    watch.join()
    told = json.loads(output.splitlines()[-1])
    return Timed(sum(told["steps"].values()), told["steps"], watch.own_kib / 1024, watch.children_kib / 1024)


def ours(path: Path, workers: int) -> dict[str, Any]:
    """Import the file; how long each step took."""
    import django

    django.setup()
    from importer import runner
    from importer.management import crew
    from importer.operations import files

    steps: dict[str, float] = {}

    def timed(name: str, act: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = act()
        steps[name] = time.perf_counter() - started
        return result

    with path.open("rb") as content:
        job = timed("upload", lambda: files.upload(None, content, path.name, table_name=TABLE, system=True))
    report_ = timed("validate", lambda: files.validate(job, None, system=True))
    assert report_["isValid"], report_["errors"][:3]
    files.start(job, None, system=True)

    def load() -> None:
        with crew.helping(job.pk, count=workers - 1):
            runner.work(job.pk)

    timed("load", load)
    job.refresh_from_db()
    assert job.status == "completed", job.error_message
    return {"steps": steps, "outcomes": job.counters()}


# -- peers --------------------------------------------------------------------------------------------------------

_PEERS = {
    "django-import-export, use_bulk, no audit": "django_import_export",
    "pandas read_csv, to_sql, no validation, no audit": "pandas",
}


def _peer(name: str, path: Path, url: str, environment: dict[str, str]) -> float | None:
    """Seconds the peer took, or None when it is not installed."""
    _empty_table(url)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.file_imports", name, str(path), url],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"  {name}: not measured: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        return None
    return float(done.stdout.strip().splitlines()[-1])


def django_import_export(path: Path, _: str) -> float:
    """The file through a model resource with bulk inserts."""
    import django

    django.setup()
    from django.db import models
    from import_export import resources
    from tablib import Dataset

    class Article(models.Model):
        id = models.BigIntegerField(primary_key=True)
        sku = models.CharField(max_length=30, unique=True)
        name = models.TextField()
        email = models.TextField(null=True)
        price = models.DecimalField(max_digits=10, decimal_places=2, null=True)
        stock = models.IntegerField(null=True)
        active = models.BooleanField()
        made_on = models.DateField(null=True)
        made_at = models.DateTimeField(null=True)
        maker = models.IntegerField(null=True)
        shelf = models.IntegerField(null=True)
        editor = models.IntegerField(null=True)
        note = models.TextField(null=True)

        class Meta:
            app_label = "servicevault"  # of the installed ones: no migration knows the model
            db_table = TABLE
            managed = False

    class ArticleResource(resources.ModelResource):
        class Meta:
            model = Article
            use_bulk = True
            batch_size = 1000

    started = time.perf_counter()
    result = ArticleResource().import_data(Dataset().load(path.read_text(), format="csv"), raise_errors=True)
    assert not result.has_errors()
    return time.perf_counter() - started


def pandas(path: Path, url: str) -> float:
    """The file through a data frame."""
    tool = importlib.import_module("pandas")  # measured where somebody installed it, with sqlalchemy
    sqlalchemy = importlib.import_module("sqlalchemy")
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    started = time.perf_counter()
    frame = tool.read_csv(path, parse_dates=["made_on", "made_at"])
    frame.to_sql(TABLE, engine, if_exists="append", index=False)
    return time.perf_counter() - started


if __name__ == "__main__":
    way, source, more = sys.argv[1:4]
    if way == "ours":
        print(json.dumps(ours(Path(source), int(more))))
    else:
        print({"django_import_export": django_import_export, "pandas": pandas}[way](Path(source), more))
