"""Files into the help desk: tickets with their customers, as rows of a database arrive (F-020, F-067)."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pytest
from django.core.management import call_command

from importer import runner
from importer.errors import ImporterError
from importer.models import ExternalRef, ImportJob, ImportRecord
from importer.operations import files
from importer.options import InvalidOption
from importer.pipeline import faults
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.files.conftest import imported, outcomes, uploaded
from tests.importer.pipeline.test_crash import in_a_process

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


@pytest.mark.req("F-067", "F-050")
@pytest.mark.parametrize("kind", ["zip", "xlsx", "yaml", "xml"])
def test_every_kind_of_document_has_parts(help_desk: psycopg.Connection, kind: str) -> None:
    people = [{"external_id": str(key), "name": f"P {key}", "email": f"p{key}@x.example"} for key in (7, 8)]
    tickets = [
        {"external_id": str(key), "title": "A", "description": "x", "customer_external_id": "7"} for key in (1, 2)
    ]
    data = packed(kind, {"tickets": tickets, "customers": people})
    job = files.upload_document(None, io.BytesIO(data), f"desk.{kind}", system=True)
    assert [(run.key, run.target_type) for run in job.runs.order_by("position")] == [
        (part, target) for part, target in job.file.import_options["tables"].items()
    ][::-1]
    assert run(job, accept_errors=False) == {"read": 5, "created": 5}  # a default account with them
    customers = "SELECT u.email FROM tickets t JOIN users u ON u.id = t.customer_id"
    assert help_desk.execute(customers).fetchall() == [("p7@x.example",)] * 2


def packed(kind: str, parts: dict[str, list[dict[str, str]]]) -> bytes:
    if kind == "yaml":
        return "".join(
            f"{name}:\n" + "".join(f"- {{{', '.join(f'{k}: {v!r}' for k, v in row.items())}}}\n" for row in rows)
            for name, rows in parts.items()
        ).encode()
    if kind == "xml":
        lists = "".join(
            f"<{name}>"
            + "".join("<row>" + "".join(f"<{k}>{v}</{k}>" for k, v in row.items()) + "</row>" for row in rows)
            + f"</{name}>"
            for name, rows in parts.items()
        )
        return f"<desk>{lists}</desk>".encode()
    data = io.BytesIO()
    if kind == "xlsx":
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in parts.items():
            sheet = book.create_sheet(name)
            for row in [list(rows[0]), *(list(each.values()) for each in rows)]:
                sheet.append(row)
        book.save(data)
        return data.getvalue()
    with zipfile.ZipFile(data, "w") as archive:
        for name, rows in parts.items():
            archive.writestr(f"{name}.csv", "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]))
    return data.getvalue()


@pytest.mark.alike
@pytest.mark.req("X23", "X26", "F-062")
@pytest.mark.parametrize("fate", ["after_stage:2", "after_insert:3", "before_commit:4", "after_commit:3"])
def test_a_killed_worker_loses_and_doubles_nothing(help_desk: psycopg.Connection, fate: str) -> None:
    customers = [
        {"external_id": number, "name": f"P {number}", "email": f"p{number}@x.example"} for number in range(60)
    ]
    tickets = [
        {"external_id": number, "title": f"T {number}", "description": "x", "customer_external_id": number % 60}
        for number in range(120)
    ]
    data = json.dumps({"tickets": tickets, "customers": customers}).encode()
    options = {"tables": {"tickets": "tickets", "customers": "customer_users"}, "batch_size": 25}
    job = uploaded(data, name="desk.json", options=options)
    files.validate(job, None, system=True)
    files.start(job, None, system=True)

    def act() -> None:
        faults.arm(fate)
        runner.work(job.pk)

    pid = in_a_process(act)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    runner.work(job.pk)
    job.refresh_from_db()
    assert (job.status, outcomes(job)) == ("completed", {"read": 181, "created": 181})
    assert help_desk.execute(
        "SELECT count(*), count(DISTINCT ticket_number), count(customer_id) FROM tickets"
    ).fetchone() == (120, 120, 120)
    assert ImportRecord.objects.filter(run__job=job, action="created").count() == 181
    assert help_desk.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'importer_stage_%'").fetchone() == (0,)


@pytest.mark.req("F-057", "F-044", "K2")
def test_rows_that_are_here_or_come_twice_are_skipped_updated_or_refused(help_desk: psycopg.Connection) -> None:
    first = "external_id,name,email\n1,Cora,cora@x.example\n1,Twin,twin@x.example\n2,Dan,dan@x.example\n"
    assert outcomes(imported(first, target_type="customer_users")) == {"read": 4, "created": 3, "skipped": 1}
    names = "SELECT array_agg(name ORDER BY name) FROM users WHERE user_type = 'account_user'"
    assert help_desk.execute(names).fetchone() == (["Cora", "Dan"],)
    changed = "external_id,name,email\n1,Cora A,cora@x.example\n1,Cora B,cora@x.example\n9,Dan N,dan@x.example\n"
    skipped = imported(changed, target_type="customer_users")
    assert outcomes(skipped) == {"read": 3, "skipped": 3}
    codes = ImportRecord.objects.filter(run__job=skipped).order_by("source_row").values_list("code", flat=True)
    assert list(codes) == ["exists", "duplicate_in_source", "exists"]
    refused = uploaded(changed, target_type="customer_users", options={"on_duplicate": "error"})
    report = files.validate(refused, None, system=True)
    assert [(each["row"], each["code"]) for each in report["errors"]] == [
        (2, "duplicate"),
        (3, "duplicate"),
        (4, "duplicate"),
    ]
    updated = imported(changed, target_type="customer_users", options={"on_duplicate": "update"})
    assert outcomes(updated) == {"read": 3, "updated": 2, "skipped": 1}
    assert help_desk.execute(names).fetchone() == (["Cora B", "Dan N"],)  # the last counts; Dan is known by his address
    record = ImportRecord.objects.get(run__job=updated, source_identifier="1", action="updated")
    assert (record.source_row, record.before_image, record.after_image) == (3, {"name": "Cora"}, {"name": "Cora B"})


@pytest.mark.req("F-065", "F-071", "F-084", "E26", "E30")
def test_cells_are_read_as_the_file_writes_them(help_desk: psycopg.Connection) -> None:
    header = "external_id,title,description,created_at,estimated_hours,customer_external_id\n"
    rows = '1,A,x,03.04.2024,"1.234,50",\n2,B,x,2024-02-30,x,404\n3,C,x,,,\n'
    options = {"date_format": "DD.MM.YYYY", "decimal_separator": ",", "thousands_separator": "."}
    job = uploaded(header + rows, target_type="tickets", options=options)
    report = files.validate(job, None, system=True)
    assert [(each["row"], each["column"], each["code"]) for each in report["errors"]] == [
        (3, "estimated_hours", "not_a_number"),
        (3, "created_at", "bad_date"),
    ]
    assert run(job) == {"read": 4, "created": 3, "failed": 1, "warnings": 1}
    found = help_desk.execute(
        "SELECT created_at::date::text, estimated_hours FROM tickets WHERE title = 'A'"
    ).fetchone()
    assert found == ("2024-04-03", Decimal("1234.50"))
    missing = imported(header + "4,D,x,,,404\n", target_type="tickets")
    assert outcomes(missing) == {"read": 1, "created": 1, "warnings": 1}
    warnings, _ = files.errors(missing, severity="warning")
    assert [(each["row"], each["code"], each["value"]) for each in warnings] == [(2, "unresolved_reference", "404")]
    comments = "external_id,ticket_external_id,content\n1,4,hello\n2,77,lost\n"
    blocked = imported(comments, target_type="ticket_comments")
    assert outcomes(blocked) == {"read": 2, "created": 1, "failed": 1}
    assert [(each["row"], each["code"]) for each in files.errors(blocked)[0]] == [(3, "blocked_by_parent")]


@pytest.mark.req("F-020", "F-054", "E14")
def test_what_cannot_be_right_is_refused_by_name(help_desk: psycopg.Connection) -> None:
    def refused(text: str = "id,title\n1,A\n", **given: Any) -> str:
        with pytest.raises(ImporterError) as error:
            uploaded(text, **given)
        return str(error.value)

    assert "“letters” is not a target type" in refused(target_type="letters")
    assert "Say where the file goes" in refused(target_type="")
    assert "“colour” is not a field of Tickets" in refused(target_type="tickets", mappings={"title": "colour"})
    by = [{"source_column": "title", "target_column": "customer_external_id", "reference": {"by": "colour"}}]
    assert "cannot be found by “colour”. Use external_id, id, email, name." in refused(
        target_type="tickets", mappings=by
    )
    meant = [{"source_column": "title", "target_column": "status", "value_map": {"A": "lost"}}]
    assert "“lost” is no value of status" in refused(target_type="tickets", mappings=meant)
    assert "The file has no “letters”" in refused(
        packed("zip", {"tickets": [{"a": "b"}]}), options={"tables": {"letters": "tickets"}}
    )  # type: ignore[arg-type]
    assert "holds one table" in refused(options={"tables": {"x": "tickets"}})
    assert "No records at `x`" in refused('{"y": [{"a": 1}]}', options={"tables": {"x": "tickets"}})
    job = uploaded("id,title\n1,A\n", target_type="tickets", mappings={"title": "title"})
    errors = files.validate(job, None, system=True)["errors"]
    unmapped = [each["field"] for each in errors if each["code"] == "unmapped_required"]
    assert unmapped == ["external_id", "description"]
    with pytest.raises(files.ImportInvalid):
        files.start(job, None, accept_errors=True, system=True)


@pytest.mark.req("F-025", "F-131", "G16", "F-059")
def test_the_right_on_the_table_counts(help_desk: psycopg.Connection) -> None:
    clerk = person("clerk", role="Import Operator")
    with pytest.raises(files.ImportDenied):
        uploaded("a\n1\n", user=clerk, system=False, target_type="tickets")
    given = {"max_rows_per_import": 2, "allowed_columns": ["title", "description"]}
    ImportPermission.objects.create(user=clerk, table_name="tickets", **given)
    text = "external_id,title,description,status\n1,A,x,open\n2,B,x,open\n3,C,x,open\n"
    job = uploaded(text, user=clerk, system=False, target_type="tickets")
    assert [each["target_column"] for each in job.file.field_mappings] == ["external_id", "title", "description"]
    with pytest.raises(ImporterError, match="You may not write “status”"):
        files.configure(job, clerk, mappings={"status": "status"})
    assert "too_many_rows" in [each["code"] for each in files.validate(job, clerk)["errors"]]
    with pytest.raises(files.ImportDenied):
        uploaded(document(), user=clerk, system=False, name="desk.json", options={"tables": TABLES})


@pytest.mark.req("X11", "F-080")
def test_thousands_of_rows_are_a_matter_of_few_statements(
    help_desk: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = [
        {"external_id": number, "name": f"P {number}", "email": f"p{number}@x.example"} for number in range(1000)
    ]
    tickets = [
        {"external_id": number, "title": f"T {number}", "description": "x", "customer_external_id": number % 1000}
        for number in range(3000)
    ]
    data = json.dumps({"tickets": tickets, "customers": customers}).encode()
    job = uploaded(data, name="desk.json", options={"tables": {"tickets": "tickets", "customers": "customer_users"}})
    statements = []
    execute = psycopg.Connection.execute

    def counted(self: Any, query: Any, *given: Any, **more: Any) -> Any:
        statements.append(query)
        return execute(self, query, *given, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", counted)
    assert run(job, accept_errors=False) == {"read": 4001, "created": 4001}
    assert len(statements) < 200, len(statements)


@pytest.mark.req("F-020", "F-067")
def test_the_command_takes_target_types_and_documents(
    help_desk: psycopg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "people.csv").write_text("external_id,name,email\n7,Cora,cora@x.example\n")
    (tmp_path / "tickets.csv").write_text("id,subject,body,who\n1,A,x,cora@x.example\n")
    (tmp_path / "desk.json").write_bytes(document(accounts=[], tickets=[]))
    call_command("import_file", str(tmp_path / "people.csv"), "--target-type", "customer_users", "--json")
    mapping = ["id=external_id", "subject=title", "body=description", "who=customer_external_id:email"]
    call_command(
        "import_file", str(tmp_path / "tickets.csv"), "--target-type", "tickets", "--mapping", *mapping, "--json"
    )
    assert help_desk.execute("SELECT u.name FROM tickets t JOIN users u ON u.id = t.customer_id").fetchall() == [
        ("Cora",)
    ]
    parts = ["customers=customer_users"]
    call_command("import_file", str(tmp_path / "desk.json"), "--parts", *parts, "--source-key", "other", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["status"] for each in told] == ["completed"] * 3
    assert help_desk.execute("SELECT count(*) FROM users WHERE user_type = 'account_user'").fetchone() == (3,)


@pytest.mark.req("F-025", "F-059")
def test_a_name_made_of_its_halves_needs_the_right_to_write_names(help_desk: psycopg.Connection) -> None:
    imported("external_id,name,email\n1,Cora,cora@acme.example\n", target_type="customer_users")
    clerk = person("clerk", role="Import Operator")
    ImportPermission.objects.create(user=clerk, table_name="users", allowed_columns=["email", "phone"])
    mapping = {"id": "external_id", "first": "first_name", "last": "last_name", "email": "email", "phone": "phone"}
    job = uploaded(
        "id,first,last,email,phone\n1,Eve,Il,cora@acme.example,123\n", user=clerk, system=False,
        target_type="customer_users", options={"on_duplicate": "update"}, mappings=mapping,
    )  # fmt: skip
    files.validate(job, clerk)
    files.start(job, clerk, accept_errors=True)
    runner.work(job.pk)
    found = help_desk.execute("SELECT name, phone FROM users WHERE email = 'cora@acme.example'").fetchone()
    assert found == ("Cora", "123")


@pytest.mark.req("F-020", "F-025")
def test_only_the_help_desks_own_types_are_target_types(help_desk: psycopg.Connection) -> None:
    with pytest.raises(InvalidOption, match="not a target type"):
        uploaded("name\nAcme\n", target_type="table:accounts")


@pytest.mark.req("F-080", "X18")
def test_nobody_waits_for_rows_that_a_validation_tries(help_desk: psycopg.Connection) -> None:
    imported("external_id,name,email\n1,Cora,cora@acme.example\n", target_type="customer_users")
    changed = "external_id,name,email\n1,Cora,cora@new.example\n"
    job = uploaded(changed, target_type="customer_users", options={"on_duplicate": "update"})
    waited = []

    def somebody_works(read: int) -> None:
        if not waited:
            waited.append(read)
            help_desk.execute("SET lock_timeout = '5s'")
            help_desk.execute("UPDATE users SET phone = '123' WHERE email = 'cora@acme.example'")

    report = files.validate(job, None, system=True, on_progress=somebody_works)
    assert (waited, report["wouldUpdate"], report["isValid"]) == ([1], 1, True)
    found = help_desk.execute("SELECT email, phone FROM users WHERE name = 'Cora'").fetchone()
    assert found == ("cora@acme.example", "123")
