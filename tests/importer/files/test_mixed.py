"""One document with tables as they are beside target types of the help desk, in each form that holds several (F-067)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import openpyxl
import psycopg
import pytest
import yaml

from importer.models import ImportRecord
from importer.operations import files
from tests.importer.files.conftest import outcomes, uploaded
from tests.importer.files.test_desk import help_desk, run  # noqa: F401 - a fixture
from tests.importer.files.test_rehearsal import rehearsed

# In the wrong order, each: a ticket before its customer, a device before its maker.
PARTS: dict[str, list[dict[str, Any]]] = {
    "tickets": [
        {"external_id": "t1", "title": "Printer", "description": "on fire", "customer_external_id": "c1"},
        {"external_id": "t2", "title": "Mouse", "description": "gone", "customer_external_id": "c9"},
    ],
    "devices": [
        {"serial": "S1", "maker": "acme", "bought": "2024-03-01"},
        {"serial": "S2", "maker": "none", "bought": "2024-03-02"},
    ],
    "customers": [{"external_id": "c1", "name": "Cora", "email": "cora@acme.example", "account_external_id": "a1"}],
    "makers": [{"code": "acme", "title": "Acme"}],
    "accounts": [{"external_id": "a1", "name": "Acme"}],
}
TABLES = {
    "tickets": "tickets",
    "customers": "customer_users",
    "accounts": "accounts",
    "devices": "table:devices",
    "makers": "table:makers_of_devices",
}


def xml(parts: dict[str, list[dict[str, Any]]]) -> bytes:
    def record(row: dict[str, Any]) -> str:
        return "<row>" + "".join(f"<{name}>{value}</{name}>" for name, value in row.items()) + "</row>"

    listed = "".join(f"<{name}>{''.join(map(record, rows))}</{name}>" for name, rows in parts.items())
    return f"<desk>{listed}</desk>".encode()


def workbook(parts: dict[str, list[dict[str, Any]]]) -> bytes:
    book, data = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.worksheets[0])
    for name, rows in parts.items():
        sheet = book.create_sheet(name)
        sheet.append(list(rows[0]))
        for row in rows:
            sheet.append(list(row.values()))
    book.save(data)
    return data.getvalue()


FORMS: dict[str, tuple[Callable[[dict[str, list[dict[str, Any]]]], bytes], str]] = {
    "json": (lambda parts: json.dumps(parts).encode(), "{}"),
    "yaml": (lambda parts: yaml.safe_dump(parts).encode(), "{}"),
    "xml": (xml, "/desk/{}/row"),
    "xlsx": (workbook, "{}"),
}


@pytest.fixture
def devices(help_desk: psycopg.Connection) -> Iterator[psycopg.Connection]:  # noqa: F811
    drop = "DROP TABLE IF EXISTS devices, makers_of_devices"
    help_desk.execute(drop)
    help_desk.execute(
        "CREATE TABLE makers_of_devices (id serial PRIMARY KEY CHECK (id > 0), code text NOT NULL UNIQUE, title text)"
    )
    help_desk.execute(
        "CREATE TABLE devices (no serial UNIQUE, serial text PRIMARY KEY, bought date, "
        "maker text NOT NULL REFERENCES makers_of_devices (code))"
    )
    yield help_desk
    help_desk.execute(drop)


@pytest.mark.alike
@pytest.mark.req("F-067", "E28", "F-042", "F-080")
@pytest.mark.parametrize("form", FORMS)
def test_tables_and_target_types_come_in_one_document_each_after_what_it_needs(
    devices: psycopg.Connection, form: str
) -> None:
    write, place = FORMS[form]
    tables = {place.format(name): goal for name, goal in TABLES.items()}
    job = uploaded(write(PARTS), name=f"desk.{form}", options={"tables": tables})
    report = files.validate(job, None, system=True)
    assert [(each["part"], each["field"], each["code"]) for each in report["errors"]] == [
        (place.format("devices"), "maker", "foreign_key")
    ]
    unknown = [each for each in report["warnings"] if each["code"] == "unresolved_reference"]
    assert [(each["part"], each["value"]) for each in unknown] == [(place.format("tickets"), "c9")]
    numbers = "SELECT (SELECT is_called FROM makers_of_devices_id_seq), (SELECT is_called FROM devices_no_seq)"
    assert devices.execute(numbers).fetchone() == (False, False)  # neither has the check used one up
    planned = rehearsed(job) if form == "json" else None
    assert devices.execute(numbers).fetchone() == (False, False)
    made = run(job)
    assert made == {"read": 8, "created": 7, "failed": 1, "warnings": 1}  # and the default account of the second ticket
    assert planned is None or outcomes(planned) == made
    assert devices.execute(
        "SELECT t.title, u.name, a.name FROM tickets t LEFT JOIN users u ON u.id = t.customer_id "
        "LEFT JOIN accounts a ON a.id = t.account_id ORDER BY t.title"
    ).fetchall()[1] == ("Printer", "Cora", "Acme")
    assert devices.execute("SELECT d.serial, m.title, d.bought::text FROM devices d JOIN makers_of_devices m ON m.code = d.maker").fetchall() == [("S1", "Acme", "2024-03-01")]  # fmt: skip
    assert [run.key for run in job.runs.order_by("position")][:3] == [place.format(n) for n in ("accounts", "customers", "tickets")]  # fmt: skip
    assert ImportRecord.objects.filter(run__job=job, action="failed").count() == 1
    if form == "json":
        again = uploaded(write(PARTS), name="desk.json", options={"tables": tables, "on_duplicate": "update"})
        settled = run(again)
        assert (settled.get("created", 0), settled.get("updated", 0), settled["failed"]) == (0, 0, 1)
