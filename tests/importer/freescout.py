"""FreeScout databases for tests: the product's own schema where it is at hand, else the demo's, and rows by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from importer.models import ImportJob
from templates_registry import apply
from tests.importer.desk import READER, Desk

PROJECT = Path(__file__).resolve().parents[2]
DEMO_SCHEMA = PROJECT / "servicevault" / "demo" / "schema.sql"
REAL_SCHEMA = Path(os.environ.get("FREESCOUT_SCHEMA", PROJECT.parent / "shared" / "sources" / "freescout.schema.sql"))

# Columns that every row of a table needs and no test is about.
NEEDED: dict[str, dict[str, Any]] = {
    "users": {"last_name": "", "password": "x"},
    "conversations": {
        "type": 1, "folder_id": 1, "status": 1, "state": 2, "preview": "", "mailbox_id": 1, "source_via": 1,
        "source_type": 1,
    },
    "threads": {"type": 1, "state": 2, "source_via": 1, "source_type": 1},
    "attachments": {"type": 0},
    "timelogs": {"finished": True},
}  # fmt: skip
NUMBERED_FROM = 1041  # conversations.number lies this far above the id


def create_tables(url: str, *, real: bool = False) -> None:
    """Load the schema; the product's own dump when asked for and there."""
    path = REAL_SCHEMA if real and REAL_SCHEMA.exists() else DEMO_SCHEMA
    lines = [line for line in path.read_text().splitlines() if not line.startswith("\\")]
    text = "\n".join(line for line in lines if " OWNER TO " not in line and "transaction_timeout" not in line)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text)  # type: ignore[arg-type]


def insert(desk: Desk, table: str, *rows: dict[str, Any]) -> None:
    """Insert rows; what every row of the table needs is filled in."""
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("SET search_path = public")
        for row in rows:
            given = NEEDED.get(table, {}) | row
            if table == "conversations":
                given.setdefault("number", row["id"] + NUMBERED_FROM)
            connection.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, given)),
                    sql.SQL(", ").join([sql.Placeholder()] * len(given)),
                ),
                list(given.values()),
            )


def let_reader_in(desk: Desk) -> None:
    desk.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")


def person(number: int, **fields: Any) -> dict[str, Any]:
    """A user with a name and an address."""
    return {"id": number, "first_name": f"Agent{number}", "email": f"agent{number}@desk.example", **fields}


def message(number: int, conversation: int, **fields: Any) -> dict[str, Any]:
    """A published customer message."""
    return {"id": number, "conversation_id": conversation, "body": f"<p>message {number}</p>", **fields}


def import_rows(desk: Desk, *, real: bool = False, **tables: list[dict[str, Any]]) -> ImportJob:
    """Make the tables, insert the rows, apply the template and import; the application's zone is Europe/Berlin."""
    create_tables(desk.url, real=real)
    if "mailboxes" not in tables:
        insert(desk, "mailboxes", {"id": 1, "name": "Support", "email": "support@desk.example"})
    for table, rows in tables.items():
        insert(desk, table, *rows)
    return import_again(desk)


def import_again(desk: Desk) -> ImportJob:
    """Bring the template up to date with the source and import once more."""
    let_reader_in(desk)
    desk.profile.source_timezone = "Europe/Berlin"
    desk.profile.save()
    apply.ensure_template(desk.profile, "freescout")
    job = desk.run()
    assert job.status == "completed", job.error_message
    return job


def codes(desk: Desk, job: ImportJob, external_id: int, key: str) -> set[str]:
    """The codes of a row's warnings."""
    return {warning["code"] for warning in desk.record(job, str(external_id), key).warnings or ()}
