"""The same rows through django-import-export and dlt, beside ours, on a sample."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Literal

import psycopg

from benchmarks.world import PROJECT, World

PLAIN, TICKETS = "a plain table of the same columns", "the help desk's tickets: typed, linked, keys and rules held"
SLOW_ROWS = 20_000  # at most, for a peer that needs minutes for more
PEERS = {
    "dlt": (PLAIN, "dlt as it comes (sqlalchemy), merge"),
    "dlt_pyarrow": (PLAIN, "dlt, pyarrow, merge"),
    "dlt_into_tickets": (TICKETS, "dlt, pyarrow, then one INSERT that resolves the references; no audit"),
    "django_import_export": (TICKETS, "django-import-export, use_bulk; no audit"),
}


@dataclass(frozen=True)
class Peer:
    """One way of loading the rows, and how many a second it took into which kind of table."""

    into: str
    name: str
    rate: float
    ours: bool = False


def measure(rows: int) -> list[Peer]:
    """Ours and the peers, a first load each, side by side per kind of table."""
    world = World(rows)
    try:
        found = []
        for workers in (1, 2):
            name = f"Service Vault, {workers} worker{'s' if workers > 1 else ''}, complete audit"
            world.empty_copies()
            found.append(Peer(PLAIN, name, world.import_(workers=workers, queries=["copies"]).rate, ours=True))
            world.empty_tickets()
            found.append(Peer(TICKETS, name, world.import_(workers=workers).rate, ours=True))
        for module, (into, name) in PEERS.items():
            print(f"  {name}", flush=True)
            count = min(rows, SLOW_ROWS) if module == "django_import_export" else rows
            seconds = _in_a_process(world, module, count)
            if seconds:
                found.append(Peer(into, name, count / seconds))
        return found
    finally:
        world.close()


def _in_a_process(world: World, peer: str, rows: int) -> float | None:
    """Seconds the peer took, or None when it is not installed."""
    world.empty_tickets()
    with psycopg.connect(world.target_url) as target:
        target.execute("DROP SCHEMA IF EXISTS bench_dlt, bench_dlt_staging CASCADE")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", peer, world.source_url, str(rows)],
        cwd=PROJECT,
        env=world.environment | {"BENCH_TARGET": world.target_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"    not measured: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
        return None
    return float(done.stdout.strip().splitlines()[-1])


def django_import_export(source_url: str, rows: int) -> float:
    """CSV into the tickets table through a model resource with bulk inserts; writing the CSV is not counted."""
    import django

    django.setup()
    from import_export import resources
    from tablib import Dataset

    from servicevault.models import Account, Ticket, User

    class TicketResource(resources.ModelResource):
        class Meta:
            model = Ticket
            import_id_fields = ("ticket_number",)
            use_bulk = True
            batch_size = 1000
            fields = ("ticket_number", "title", "description", "status", "account", "customer", "agent", "created_by")

    account, _ = Account.objects.get_or_create(name="Peers")
    customers = list(User.objects.filter(user_type="account_user").values_list("pk", flat=True)[:1000])
    agents = list(User.objects.filter(user_type="agent", username=None).values_list("pk", flat=True))
    text = io.StringIO()
    write = csv.writer(text)
    write.writerow(TicketResource.Meta.fields)
    with psycopg.connect(source_url) as source:
        for number, subject, body, customer, agent in source.execute(
            "SELECT number, subject, body, customer_id, user_id FROM tickets LIMIT %s", (rows,)
        ):
            who = customers[customer % len(customers)]
            write.writerow([number, subject, body, "open", account.pk, who, agents[agent % len(agents)], who])
    dataset = Dataset().load(text.getvalue(), format="csv")
    started = time.perf_counter()
    result = TicketResource().import_data(dataset, raise_errors=True)
    assert not result.has_errors()
    return time.perf_counter() - started


def dlt(source_url: str, _: int, backend: Literal["sqlalchemy", "pyarrow"] = "sqlalchemy") -> float:
    """Extract, normalise and merge into a schema of its own; no audit."""
    import tempfile

    import dlt as tool
    from dlt.sources.sql_database import sql_table

    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    target = os.environ["BENCH_TARGET"]
    with tempfile.TemporaryDirectory() as folder:
        pipeline = tool.pipeline(
            pipeline_name="bench",
            destination=tool.destinations.postgres(credentials=target),
            dataset_name="bench_dlt",
            pipelines_dir=folder,
        )
        table = sql_table(
            credentials=source_url.replace("postgresql://", "postgresql+psycopg2://"),
            table="tickets",
            backend=backend,
        )
        table.apply_hints(primary_key="id", write_disposition="merge")
        started = time.perf_counter()
        pipeline.run(table).raise_on_failed_jobs()
        return time.perf_counter() - started


INTO_TICKETS = """
INSERT INTO tickets (id, ticket_number, title, description, status, priority, account_id, customer_id, agent_id,
    created_by_id, created_at, updated_at, closed_at)
SELECT gen_random_uuid(), d.number::text, d.subject, d.body, CASE d.status WHEN 1 THEN 'open' WHEN 2 THEN 'pending'
    WHEN 3 THEN 'closed' END, 'normal', c.account_id, c.id, a.target_id, c.id, d.created_at AT TIME ZONE 'Europe/Berlin',
    d.updated_at AT TIME ZONE 'Europe/Berlin', d.closed_at AT TIME ZONE 'Europe/Berlin'
FROM bench_dlt.tickets d
JOIN importer_sourceentity ce ON ce.entity = 'customers'
JOIN importer_sourceentity ae ON ae.entity = 'agents'
JOIN external_refs cr ON cr.entity_id = ce.id AND cr.external_id = d.customer_id::text
JOIN users c ON c.id = cr.target_id
LEFT JOIN external_refs a ON a.entity_id = ae.id AND a.external_id = d.user_id::text
"""


def dlt_pyarrow(source_url: str, rows: int) -> float:
    return dlt(source_url, rows, "pyarrow")


def dlt_into_tickets(source_url: str, rows: int) -> float:
    """The quicker dlt, and what is left to do before its rows are tickets: the same keys, checks and foreign keys as ours."""
    seconds = dlt_pyarrow(source_url, rows)
    with psycopg.connect(os.environ["BENCH_TARGET"]) as target:
        started = time.perf_counter()
        written = target.execute(INTO_TICKETS).rowcount
        target.commit()
        seconds += time.perf_counter() - started
    assert written == rows, written
    return seconds


if __name__ == "__main__":
    peer, url, number = sys.argv[1:4]
    peers = (django_import_export, dlt, dlt_pyarrow, dlt_into_tickets)
    print({function.__name__: function for function in peers}[peer](url, int(number)))
