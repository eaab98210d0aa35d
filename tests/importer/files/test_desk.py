"""Files into the help desk: tickets with their customers, as rows of a database arrive (F-020, F-067)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from importer import runner
from importer.models import ExternalRef, ImportJob, ImportRecord
from importer.operations import files
from tests.importer.files.conftest import imported, outcomes, uploaded

HEADER = "Ticket ID,Subject,Body,Status,Priority,Customer email,Account,Created"
MAPPING = {
    "Ticket ID": "external_id",
    "Subject": "title",
    "Body": "description",
    "Status": "status",
    "Priority": "priority",
    "Customer email": "customer_email",
    "Account": "account_external_id",
    "Created": "created_at",
}
TABLES = {"accounts": "accounts", "customers": "customer_users", "tickets": "tickets"}
DOCUMENT: dict[str, list[dict[str, Any]]] = {
    "tickets": [
        {"external_id": 501, "title": "Printer", "description": "on fire", "status": "Open", "customer_external_id": 7},
        {"external_id": 502, "title": "Mouse", "description": "gone", "status": "Waiting", "customer_external_id": 8},
        {"external_id": 503, "title": "Screen", "description": "dark", "status": "open", "created_at": "31.02.2024"},
    ],
    "accounts": [{"external_id": "a", "name": "Acme"}, {"external_id": "b", "name": ""}],
    "customers": [
        {"external_id": 7, "name": "Cora", "email": "cora@acme.example", "account_external_id": "a"},
        {"external_id": 8, "name": "Dan", "email": "dan@acme.example", "account_external_id": "a"},
    ],
}


@pytest.fixture
def help_desk(committed_db: None, target: psycopg.Connection, settings: Any, tmp_path: Path) -> psycopg.Connection:
    settings.IMPORT_TEMP_DIR = tmp_path / "imports"
    return target


def document(**changed: Any) -> bytes:
    return json.dumps(DOCUMENT | changed).encode()


def corrected(job: ImportJob, cells: dict[str, dict[str, str]]) -> bytes:
    """The file of errors with these cells, by external id, written anew."""
    data = io.BytesIO()
    assert files.error_file(job, "csv", data) == len(cells)
    rows = list(csv.DictReader(io.StringIO(data.getvalue().decode("utf-8-sig"))))
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]))
    writer.writeheader()
    writer.writerows(row | cells[row["external_id"]] for row in rows)
    return written.getvalue().encode()


def run(job: ImportJob, *, accept_errors: bool = True) -> dict[str, int]:
    files.validate(job, None, system=True)
    files.start(job, None, accept_errors=accept_errors, system=True)
    runner.work(job.pk)
    job.refresh_from_db()
    assert job.status == "completed", job.error_message
    return outcomes(job)


@pytest.mark.req("F-020", "E19", "E25", "E35")
def test_a_csv_of_tickets_arrives_linked_to_its_customers(help_desk: psycopg.Connection) -> None:
    imported("name,email\nCora,cora@acme.example\n", target_type="customer_users")
    rows = (
        "4711,Printer,on fire,Open,High,CORA@acme.example,,2024-03-01 10:00\n4712,Mouse,gone,closed,low,,,2024-03-02\n"
    )
    job = imported(f"{HEADER}\n{rows}", target_type="tickets", mappings=MAPPING)
    assert outcomes(job) == {"read": 2, "created": 2}
    found = help_desk.execute(
        "SELECT t.title, t.status, t.priority, u.email, t.account_id = u.account_id, t.ticket_number ~ '^TKT-', t.created_at::text "
        "FROM tickets t LEFT JOIN users u ON u.id = t.customer_id ORDER BY t.title DESC"
    ).fetchall()
    assert found == [
        ("Printer", "open", "high", "cora@acme.example", True, True, "2024-03-01 10:00:00+00"),
        ("Mouse", "closed", "low", None, None, True, "2024-03-02 00:00:00+00"),
    ]
    reference = ExternalRef.objects.get(entity__source_key="files", entity__entity="tickets", external_id="4711")
    record = ImportRecord.objects.get(run__job=job, source_identifier="4711")
    assert (record.target_id, record.source_row, record.source_data["Subject"]) == (reference.target_id, 2, "Printer")
    assert record.after_image["title"] == "Printer"


@pytest.mark.req("F-067", "F-089", "E28", "E33")
def test_a_document_is_imported_corrected_and_left_alone(help_desk: psycopg.Connection) -> None:
    job = uploaded(document(), name="desk.json", options={"tables": TABLES})
    report = files.validate(job, None, system=True)
    assert [(e["part"], e["row"], e["column"], e["code"], e["value"]) for e in report["errors"]] == [
        ("accounts", 2, "name", "name_empty", ""),
        ("tickets", 2, "status", "unmapped_value", "Waiting"),
        ("tickets", 3, "created_at", "bad_date", "31.02.2024"),
    ]
    assert help_desk.execute("SELECT count(*) FROM tickets").fetchone() == (0,)
    assert run(job) == {"read": 7, "created": 4, "failed": 2, "review": 1}
    assert help_desk.execute(
        "SELECT t.title, u.name, a.name FROM tickets t JOIN users u ON u.id = t.customer_id JOIN accounts a ON a.id = t.account_id"
    ).fetchall() == [("Printer", "Cora", "Acme")]
    fixed = corrected(job, {"b": {"name": "Beta"}, "502": {"status": "pending"}, "503": {"created_at": "2024-02-28"}})
    again, refused = files.retry_from_file(job, None, io.BytesIO(fixed), "fixed.csv", system=True)
    assert refused == []
    assert run(again) == {"read": 4, "created": 4}  # the default account of the ticket without a customer among them
    with pytest.raises(files.ImportInvalid, match="No row"):
        files.retry_from_file(job, None, io.BytesIO(fixed), "fixed.csv", system=True)

    before = help_desk.execute("SELECT max(updated_at) FROM tickets").fetchone()
    good = document(
        tickets=[*DOCUMENT["tickets"][:1], DOCUMENT["tickets"][1] | {"status": "pending"}],
        accounts=DOCUMENT["accounts"][:1],
    )
    same = uploaded(good, name="desk.json", options={"tables": TABLES, "on_duplicate": "update"})
    assert run(same, accept_errors=False) == {"read": 5, "unchanged": 5}
    assert run(uploaded(good, name="desk.json", options={"tables": TABLES})) == {"read": 5, "skipped": 5}
    assert help_desk.execute("SELECT max(updated_at) FROM tickets").fetchone() == before
    changed = document(tickets=[DOCUMENT["tickets"][0] | {"title": "Printer 2"}], accounts=[], customers=[])
    assert run(uploaded(changed, name="desk.json", options={"tables": {"tickets": "tickets"}, "on_duplicate": "update"})) == {
        "read": 1, "updated": 1,
    }  # fmt: skip
