"""Databases to measure in: a source with generated tickets, and a target of the product's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

PROJECT = Path(__file__).resolve().parent.parent
READER = "bench_reader"
PASSWORD = "bench-reader"
CUSTOMERS, AGENTS = 10_000, 50

SOURCE_DDL = f"""
CREATE TABLE agents (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL);
CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL);
CREATE TABLE tickets (id integer PRIMARY KEY, number integer NOT NULL, subject varchar(998), body text, status smallint,
    customer_id integer, user_id integer, created_at timestamp(0), updated_at timestamp(0), closed_at timestamp(0));
INSERT INTO agents SELECT i, 'Agent ' || i, 'agent' || i || '@desk.example' FROM generate_series(1, {AGENTS}) i;
INSERT INTO customers SELECT i, 'Customer ' || i, 'customer' || i || '@mail.example' FROM generate_series(1, {CUSTOMERS}) i;
"""
TICKETS = f"""
INSERT INTO tickets SELECT i, i + 1000, 'Ticket ' || i || ': the printer on floor ' || i %% 30 || ' does not print',
    repeat('It stopped after the update. ', 3), 1 + i %% 3, 1 + i %% {CUSTOMERS}, 1 + i %% {AGENTS},
    timestamp '2020-01-01' + i * interval '1 minute', timestamp '2020-01-02' + i * interval '1 minute',
    CASE WHEN i %% 3 = 2 THEN timestamp '2020-01-03' + i * interval '1 minute' END
FROM generate_series(1, %(rows)s::integer) i
"""
FIELDS = {
    "agents": {"external_id": "id", "name": "name", "email": "email"},
    "customers": {"external_id": "id", "name": "name", "email": "email"},
    "tickets": {
        "external_id": "id",
        "ticket_number": "number",
        "title": "subject",
        "description": "body",
        "status": "status",
        "customer_external_id": "customer_id",
        "assigned_user_external_id": "user_id",
        "created_at": "created_at",
        "updated_at": "updated_at",
        "closed_at": "closed_at",
    },
}
FIELDS["copies"] = {column: column for column in FIELDS["tickets"].values()}
TARGETS = {"agents": "agents", "customers": "customer_users", "tickets": "tickets", "copies": "table:bench_copies"}
# What a tool that copies tables would make of the source's: a key, no rule, no table that it refers to.
COPIES = """
CREATE TABLE bench_copies (id integer PRIMARY KEY, number integer, subject text, body text, status smallint,
    customer_id integer, user_id integer, created_at timestamp, updated_at timestamp, closed_at timestamp)
"""


@dataclass(frozen=True)
class Measured:
    """What one run of the command did."""

    seconds: float  # of the job, without starting the process
    rows: int
    outcomes: dict[str, int]
    peak_rss_mib: float  # of the largest worker process
    job_id: str = ""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


class World:
    """A source of `rows` tickets and an empty target, on the embedded server; dropped by `close`."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.server = os.environ["DATABASE_URL"]
        self.source_url = self._make("bench_source")
        self.target_url = self._make("bench_target")
        self.environment = dict(os.environ) | {"DATABASE_URL": self.target_url, "SERVICEVAULT_EMBEDDED": "true"}
        self._manage("migrate", "-v0")
        with psycopg.connect(self.source_url, autocommit=True) as source:
            source.execute(SOURCE_DDL)
            source.execute(TICKETS, {"rows": rows})
            source.execute(
                f"DO $$ BEGIN CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            )
            source.execute(f"GRANT USAGE ON SCHEMA public TO {READER}")
            source.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")
            source.execute("VACUUM ANALYZE")
        self.empty_copies()
        self._profile()
        self.import_(queries=["agents", "customers"])

    def close(self) -> None:
        with psycopg.connect(self.server, autocommit=True) as server:
            server.execute("DROP DATABASE IF EXISTS bench_source WITH (FORCE)")
            server.execute("DROP DATABASE IF EXISTS bench_target WITH (FORCE)")

    def empty_tickets(self) -> None:
        """As if the tickets had never been imported."""
        with psycopg.connect(self.target_url, autocommit=True) as target:
            target.execute("TRUNCATE tickets CASCADE")
            target.execute("TRUNCATE importer_importrecord")
            target.execute(
                "DELETE FROM external_refs WHERE entity_id IN (SELECT id FROM importer_sourceentity WHERE entity = 'tickets')"
            )
            target.execute("VACUUM ANALYZE external_refs")

    def empty_copies(self) -> None:
        """As if the plain table had never been imported into."""
        with psycopg.connect(self.target_url, autocommit=True) as target:
            target.execute("DROP TABLE IF EXISTS bench_copies")
            target.execute(COPIES)
            target.execute("TRUNCATE importer_importrecord")
            target.execute("CHECKPOINT")

    def settle(self) -> None:
        """What autovacuum does in time between two syncs."""
        with psycopg.connect(self.target_url, autocommit=True) as target:
            target.execute("VACUUM ANALYZE external_refs")
            target.execute("VACUUM ANALYZE tickets")
            target.execute("CHECKPOINT")

    def change(self, share: int) -> None:
        """Change every `share`-th ticket in the source."""
        with psycopg.connect(self.source_url, autocommit=True) as source:
            source.execute(
                "UPDATE tickets SET subject = 'Changed ' || id || ' ' || clock_timestamp() WHERE id %% %s = 0", (share,)
            )
            source.execute("VACUUM ANALYZE tickets")

    def import_(self, *, workers: int = 1, queries: list[str] | None = None) -> Measured:
        """Run `import_profile` as a user would, and watch the memory of its processes."""
        command = [
            sys.executable,
            "manage.py",
            "import_profile",
            "--name",
            "Benchmark",
            "--workers",
            str(workers),
            "--json",
        ]
        command += ["--timeout", "7200", "--query", *(queries or ["tickets"])]
        report, peak_rss_mib = self._watched(command)
        outcomes: dict[str, int] = {}
        for query in report["queries"]:
            for name, number in query.items():
                if isinstance(number, int):
                    outcomes[name] = outcomes.get(name, 0) + number
        return Measured(report["seconds"], outcomes["read"], outcomes, peak_rss_mib, report["job_id"])

    def roll_back(self, job_id: str, *arguments: str) -> Measured:
        """Run `rollback_job` as a user would; outcomes are the buckets."""
        command = [sys.executable, "manage.py", "rollback_job", job_id, "--json", *arguments]
        report, peak_rss_mib = self._watched(command)
        buckets = report["buckets"]
        return Measured(report["seconds"], sum(buckets.values()), buckets, peak_rss_mib, report["job_id"])

    def _watched(self, command: list[str]) -> tuple[dict[str, Any], float]:
        """What the command reports, and the most memory one of its processes had, in MiB."""
        process = subprocess.Popen(
            command, cwd=PROJECT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        watch = PeakMemory(process.pid)
        watch.start()
        output, _ = process.communicate()
        watch.ended.set()
        watch.join()
        report: dict[str, Any] = json.loads(output)
        if report["status"] != "completed":
            raise RuntimeError(report["errors"])
        return report, watch.peak_kib / 1024

    def _make(self, name: str) -> str:
        with psycopg.connect(self.server, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {name}")
        return urlunsplit(urlsplit(self.server)._replace(path=f"/{name}"))

    def _manage(self, *arguments: str, code: str = "") -> None:
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=self.environment,
            check=True,
            input=code,
            text=True,
        )

    def _profile(self) -> None:
        """A profile with three builder queries, made in a process that uses the target database."""
        source = urlsplit(self.source_url)
        queries = [
            {
                "key": key,
                "base_table": "tickets" if key == "copies" else key,
                "target_type": TARGETS[key],
                "fields": [
                    {"target": target, "source": f"{'tickets' if key == 'copies' else key}.{column}"}
                    for target, column in fields.items()
                ],
            }
            for key, fields in FIELDS.items()
        ]
        maps = {"tickets": {"status": {"1": "open", "2": "pending", "3": "closed"}}}
        self._manage(
            "shell",
            "-v0",
            code=f"""
from importer import operations
from importer.models import ImportQuery
from importer.sources.params import ConnectionParams
profile, _ = operations.profile_named("Benchmark", ConnectionParams(host={source.hostname!r}, port={source.port!r},
    database="bench_source", username={READER!r}, password={PASSWORD!r}))
operations.set_timezone(profile, "Europe/Berlin")
profile.account_strategy = "single"
profile.save()
for place, spec in enumerate({queries!r}):
    ImportQuery.objects.create(profile=profile, key=spec["key"], name=spec["key"], entity=spec["key"],
        target_type=spec["target_type"], spec=spec, value_maps={maps!r}.get(spec["key"], {{}}), position=place)
""",
        )


class PeakMemory(threading.Thread):
    """The largest resident set of a process or one of its children, in KiB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.own_kib = self.children_kib = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            self.own_kib = max(self.own_kib, high_water(self.pid))
            for pid in children(self.pid):
                self.children_kib = max(self.children_kib, high_water(pid))
            time.sleep(0.1)

    @property
    def peak_kib(self) -> int:
        return max(self.own_kib, self.children_kib)


def children(pid: int) -> list[int]:
    """What a process started, and what that started."""
    try:
        own = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return own + [below for child in own for below in children(child)]
    except OSError:
        return []


def high_water(pid: int) -> int:
    """VmHWM of a process in KiB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def copy_seconds(world: World, *, bare: bool) -> float:
    """Raw COPY of the imported tickets through a pipe into an empty table: the limit.

    `bare` has a primary key and one unique key; otherwise the table has every index, CHECK and foreign key
    of the product's own.
    """
    columns = (
        "id, ticket_number, title, description, status, account_id, customer_id, agent_id, created_by_id, "
        "created_at, updated_at, closed_at"
    )
    with psycopg.connect(world.target_url, autocommit=True) as target, psycopg.connect(world.target_url) as source:
        target.execute("DROP TABLE IF EXISTS limit_tickets")
        if bare:
            target.execute(f"CREATE TABLE limit_tickets AS SELECT {columns} FROM tickets WITH NO DATA")
            target.execute("ALTER TABLE limit_tickets ADD PRIMARY KEY (id), ADD UNIQUE (ticket_number)")
        else:
            target.execute("CREATE TABLE limit_tickets (LIKE tickets INCLUDING ALL)")
            for column, table in _foreign_keys(target):
                target.execute(
                    f"ALTER TABLE limit_tickets ADD FOREIGN KEY ({column}) REFERENCES {table} DEFERRABLE INITIALLY DEFERRED"
                )
        started = time.perf_counter()
        with (
            source.cursor().copy(f"COPY (SELECT {columns} FROM tickets) TO STDOUT") as read,
            target.cursor().copy(f"COPY limit_tickets ({columns}) FROM STDIN") as write,
        ):
            for block in read:
                write.write(block)
        seconds = time.perf_counter() - started
        target.execute("DROP TABLE limit_tickets")
    return seconds


def _foreign_keys(target: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    return target.execute(
        "SELECT a.attname, c.confrelid::regclass::text FROM pg_constraint c "
        "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] "
        "WHERE c.conrelid = 'tickets'::regclass AND c.contype = 'f'"
    ).fetchall()
