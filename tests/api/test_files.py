"""Files by the API of guide B: sent, looked at, judged, started, corrected; and everything that is refused."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from importer import runner, tasks
from importer.models import ImportJob
from permissions.models import ImportPermission
from tests.conftest import person

pytestmark = pytest.mark.usefixtures("committed_db")
DATA = "/api/v1/data"
GUIDE = (
    "name,email,age,department\nJohn Doe,john@example.com,30,Engineering\nJane Smith,jane@example.com,25,Marketing\n"
)
PEOPLE = """CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, age integer,
    department text, password_hash text)"""


@pytest.fixture
def people(target: psycopg.Connection) -> Any:
    target.execute("DROP TABLE IF EXISTS people")
    target.execute(PEOPLE)
    yield target
    target.execute("DROP TABLE IF EXISTS people")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ImportJob]:
    """`worker(job_id)` does what a worker does with a message."""
    monkeypatch.setattr(tasks.run_job, "delay", lambda job_id: None)

    def work(job_id: str) -> ImportJob:
        runner.work(job_id, patient=False)
        return ImportJob.objects.get(pk=job_id)

    return work


@pytest.fixture
def bella(people: Any) -> Any:
    """May import into the table, and configures nothing else."""
    bella = person("bella", name="Bella Ng", role="Import Operator")
    ImportPermission.objects.create(user=bella, table_name="people")
    return bella


@pytest.fixture
def boss(people: Any) -> Any:
    """A super admin whose rows other connections see."""
    return person("boss", is_superuser=True)


@pytest.fixture
def stranger(people: Any) -> Any:
    """May nothing."""
    return person("stranger")


def sent(content: str | bytes, name: str = "users.csv", **fields: Any) -> dict[str, Any]:
    data = content.encode() if isinstance(content, str) else content
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    return {"file": SimpleUploadedFile(name, data), **texts}


def post(browser: Any, path: str, body: Any = None) -> Any:
    if isinstance(body, dict) and "file" in body:
        return browser.post(f"{DATA}{path}", body)
    return browser.post(f"{DATA}{path}", json.dumps(body or {}), content_type="application/json")


# What F-045 asks of a job.
NAMES = set(
    "job_id table_name status original_filename file_size file_format import_options field_mappings progress_percent"
    " total_rows processed_rows valid_rows error_rows validation_results import_results started_at completed_at"
    " error_message requires_approval approved_by approved_at approval_notes created_at updated_at created_by".split()
)


@pytest.mark.req("F-020", "F-021", "F-027", "F-028", "F-031", "F-035", "F-042", "F-045", "F-051")
def test_the_guides_file_goes_the_whole_way(
    bella: Any, logged_in: Any, worker: Callable[[str], ImportJob], people: psycopg.Connection
) -> None:
    browser = logged_in(bella)
    parsed = post(browser, "/import/parse", sent(GUIDE, table_name="people")).json()
    assert (parsed["headers"], parsed["total_rows"], parsed["format"]) == (
        ["name", "email", "age", "department"],
        2,
        "csv",
    )
    assert parsed["sample_rows"][0]["name"] == "John Doe"
    answer = post(browser, "/import/upload", sent(GUIDE, table_name="people", requires_approval="false"))
    assert answer.status_code == 201
    job = answer.json()
    assert (job["status"], job["progress_percent"], job["file_format"]) == ("pending", 0.0, "csv")
    assert {item["target_column"] for item in job["suggested_mappings"]} == {"name", "email", "age", "department"}
    report = post(browser, f"/import/{job['job_id']}/validate").json()
    assert (report["isValid"], report["totalRows"], report["validRows"], report["errorRows"]) == (True, 2, 2, 0)
    started = post(browser, f"/import/{job['job_id']}/start")
    assert (started.status_code, started.json()["status"], started.json()["id"]) == (202, "pending", job["id"])
    assert worker(job["job_id"]).status == "completed"
    status = browser.get(f"{DATA}/import/{job['job_id']}/status").json()
    assert (status["progress_percent"], status["created_rows"], status["error_rows"]) == (100.0, 2, 0)
    whole = browser.get(f"{DATA}/import/{job['job_id']}").json()
    assert set(whole) >= NAMES, NAMES - set(whole)
    assert (whole["original_filename"], whole["total_rows"], whole["processed_rows"], whole["valid_rows"]) == (
        "users.csv",
        2,
        2,
        2,
    )
    progress = browser.get(f"{DATA}/import/{job['job_id']}/progress").json()
    assert progress["stage"] == "result"
    assert {"file_uploaded", "validation_completed", "import_started"} <= {
        entry["operation"] for entry in progress["log"]
    }
    assert people.execute("SELECT name, age FROM people ORDER BY id").fetchall() == [
        ("John Doe", 30),
        ("Jane Smith", 25),
    ]


@pytest.mark.req("F-029", "F-061", "F-089", "F-037", "R5")
def test_rows_with_errors_are_accepted_downloaded_corrected_and_sent_again(
    bella: Any, logged_in: Any, worker: Callable[[str], ImportJob], people: psycopg.Connection
) -> None:
    browser = logged_in(bella)
    bad = GUIDE + "Bad,no-address,young,X\n"
    job_id = post(browser, "/import/upload", sent(bad, table_name="people")).json()["job_id"]
    early = post(browser, f"/import/{job_id}/start")
    assert (early.status_code, early.json()["code"]) == (422, "IMPORT_004")
    report = post(browser, f"/import/{job_id}/validate").json()
    assert (report["isValid"], report["errorRows"]) == (False, 1)
    error = next(item for item in report["errors"] if item["field"] == "age")
    assert (error["row"], error["column"], error["value"], error["severity"]) == (4, "age", "young", "error")
    refused = post(browser, f"/import/{job_id}/start")
    assert (refused.status_code, refused.json()["code"], refused.json()["errorRows"]) == (422, "IMPORT_004", 1)
    assert post(browser, f"/import/{job_id}/start", {"accept_errors": True}).status_code == 202
    assert post(browser, f"/import/{job_id}/start", {"accept_errors": True}).status_code == 409
    assert worker(job_id).counters()["failed"] == 1
    listed = browser.get(f"{DATA}/import/{job_id}/errors?field=age").json()
    assert (listed["total_count"], listed["errors"][0]["row"]) == (1, 4)
    file = browser.get(f"{DATA}/import/{job_id}/errors/download?format=csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(file).decode("utf-8-sig"))))
    assert (len(rows), rows[0]["name"], rows[0]["_row"]) == (1, "Bad", "4")
    rows[0] |= {"email": "bad@example.com", "age": "44"}
    corrected = io.StringIO()
    writer = csv.DictWriter(corrected, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    again = post(browser, f"/import/{job_id}/errors/upload", sent(corrected.getvalue()))
    assert (again.status_code, again.json()["refused"]) == (201, [])
    retry = again.json()["job"]["job_id"]
    assert post(browser, f"/import/{retry}/validate").json()["isValid"]
    post(browser, f"/import/{retry}/start")
    assert worker(retry).counters()["created"] == 1
    twice = post(browser, f"/import/{job_id}/errors/upload", sent(corrected.getvalue()))
    assert (twice.status_code, twice.json()["code"]) == (422, "IMPORT_004")
    assert people.execute("SELECT count(*) FROM people").fetchone() == (3,)
    assert browser.get(f"{DATA}/import/{job_id}/records").json()["total_count"] >= 1
    assert browser.get(f"{DATA}/import/jobs?table_name=people&limit=1").json()["total_count"] == 2


@pytest.mark.req("F-022", "F-023", "F-024", "F-025", "F-054", "F-121", "F-123", "F-125", "F-084")
def test_what_is_refused_says_why(bella: Any, logged_in: Any, people: Any, stranger: Any) -> None:
    browser = logged_in(bella)
    ImportPermission.objects.filter(user=bella).update(max_file_size_mb=1, allowed_formats=["csv"])

    def refused(body: dict[str, Any], path: str = "/import/upload", who: Any = browser) -> tuple[int, str]:
        answer = post(who, path, body)
        return answer.status_code, answer.json()["code"]

    assert refused(sent("a" * (1024 * 1024 + 1), table_name="people")) == (413, "IMPORT_001")
    assert refused(sent('{"users": [{"name": "x"}]}', "x.json", table_name="people")) == (415, "IMPORT_002")
    assert refused(sent(GUIDE, table_name="tickets")) == (403, "IMPORT_003")
    assert refused(sent(GUIDE, table_name="django_session")) == (404, "not_found")
    assert refused(sent(GUIDE, table_name="nothing")) == (404, "not_found")
    assert refused(sent("", table_name="people")) == (422, "IMPORT_004")
    assert refused(sent(GUIDE, table_name="people", import_options="{")) == (400, "malformed_request")
    assert refused(sent(GUIDE, table_name="people", field_mappings="[")) == (400, "malformed_request")
    assert refused(sent(GUIDE, table_name="people", import_options={"delimeter": ";"})) == (422, "validation_error")
    assert refused({"table_name": "people", "file": ""}) == (422, "validation_error")
    secret = [{"sourceColumn": "name", "targetColumn": "password_hash"}]
    assert refused(sent(GUIDE, table_name="people", field_mappings=secret)) == (422, "validation_error")
    twice = [{"sourceColumn": "name", "targetColumn": "name"}, {"source_column": "email", "target_column": "name"}]
    assert refused(sent(GUIDE, table_name="people", field_mappings=twice)) == (422, "validation_error")
    other = logged_in(stranger)
    assert refused(sent(GUIDE, table_name="people"), who=other) == (403, "IMPORT_003")
    assert refused(sent(GUIDE), "/import/parse", who=other) == (403, "IMPORT_003")
    assert not ImportJob.objects.exists()


@pytest.mark.req("F-032", "F-010")
def test_a_file_belongs_to_whoever_sent_it(bella: Any, stranger: Any, boss: Any, logged_in: Any, people: Any) -> None:
    job_id = post(logged_in(bella), "/import/upload", sent(GUIDE, table_name="people")).json()["job_id"]
    for who, wanted in ((bella, 200), (stranger, 404), (boss, 200)):
        assert logged_in(who).get(f"{DATA}/import/{job_id}/status").status_code == wanted
    assert post(logged_in(stranger), f"/import/{job_id}/start").status_code == 404
    assert logged_in(stranger).get(f"{DATA}/import/jobs").json()["total_count"] == 0
    assert logged_in(bella).get(f"{DATA}/import/{uuid4()}/status").status_code == 404


@pytest.mark.req("F-039", "F-064", "F-124", "F-038", "DEC-22", "G22")
def test_nothing_is_written_before_somebody_else_agrees(
    bella: Any, boss: Any, logged_in: Any, people: psycopg.Connection, worker: Callable[[str], ImportJob]
) -> None:
    browser = logged_in(bella)
    ImportPermission.objects.filter(user=bella).update(requires_approval=True)
    job_id = post(browser, "/import/upload", sent(GUIDE, table_name="people")).json()["job_id"]
    post(browser, f"/import/{job_id}/validate")
    assert post(browser, f"/import/{job_id}/start").json()["status"] == "awaiting_approval"
    assert worker(job_id).status == "awaiting_approval"
    assert people.execute("SELECT count(*) FROM people").fetchone() == (0,)
    bella.grants.create(permission="import.approve")
    assert (
        post(logged_in(type(bella).objects.get(pk=bella.pk)), f"/import/{job_id}/approve").json()["code"]
        == "self_approval"
    )
    waiting = logged_in(boss).get(f"{DATA}/approvals?status=pending&kind=import").json()["approvals"][0]
    assert (waiting["job_id"], waiting["table_name"]) == (job_id, "people")
    assert waiting["risk_flags"] == ["first_import_to_table"]
    approved = post(logged_in(boss), f"/import/{job_id}/approve", {"notes": "fine"})
    assert (approved.status_code, approved.json()["status"]) == (200, "pending")
    assert worker(job_id).status == "completed"
    assert people.execute("SELECT count(*) FROM people").fetchone() == (2,)


@pytest.mark.req("G30", "G33", "F-120")
def test_imports_of_an_hour_are_limited(
    bella: Any, logged_in: Any, people: Any, worker: Callable[[str], ImportJob]
) -> None:
    browser = logged_in(bella)
    ImportPermission.objects.filter(user=bella).update(max_imports_per_hour=1)
    found = []
    for number in range(2):
        content = GUIDE.replace("@", f"{number}@")
        job_id = post(browser, "/import/upload", sent(content, table_name="people")).json()["job_id"]
        post(browser, f"/import/{job_id}/validate")
        found.append(post(browser, f"/import/{job_id}/start").status_code)
    assert found == [202, 429]


@pytest.mark.req("F-043", "F-053")
def test_columns_are_proposed_with_reasons(bella: Any, logged_in: Any, people: Any) -> None:
    body = {"headers": ["Full Name", "e-mail", "years_old", "shoe"], "sample_rows": [["A", "a@b.example", "3", None]]}
    found = post(logged_in(bella), "/tables/people/suggest-mapping", body).json()
    assert {item["source_column"]: item["target_column"] for item in found["mappings"]}["e-mail"] == "email"
    assert "shoe" in found["unmapped_sources"]
    assert all(item["reason"] for item in found["mappings"])


@pytest.mark.req("F-033", "F-068")
def test_a_pasted_text_is_judged_without_being_kept(bella: Any, logged_in: Any, people: Any, settings: Any) -> None:
    answer = logged_in(bella).post(f"{DATA}/import/validate-file", {"text": GUIDE, "table_name": "people"})
    assert (answer.status_code, answer.json()["isValid"]) == (200, True)
    assert not ImportJob.objects.exists()


@pytest.mark.req("F-040")
def test_a_file_that_broke_off_goes_on_where_it_stopped(bella: Any, stranger: Any, logged_in: Any, people: Any) -> None:
    browser, data = logged_in(bella), GUIDE.encode()
    begun = post(browser, "/import/uploads", {"filename": "users.csv", "size": len(data)})
    assert (begun.status_code, begun.json()["offset"], begun.json()["chunk_size"]) == (201, 0, 5 * 1024 * 1024)
    place = f"{DATA}/import/uploads/{begun.json()['upload_id']}"

    def send(offset: int, part: bytes, who: Any = browser) -> Any:
        return who.patch(place, part, content_type="application/octet-stream", headers={"Upload-Offset": str(offset)})

    assert send(0, data[:20]).status_code == 204
    assert browser.head(place)["Upload-Offset"] == "20"
    early = post(
        browser, "/import/upload", {"file": b"", "table_name": "people", "upload_id": begun.json()["upload_id"]}
    )
    assert early.status_code == 409
    wrong = send(5, data[5:])
    assert (wrong.status_code, wrong.json()["offset"]) == (409, 20)
    assert send(20, data[20:], logged_in(stranger)).status_code == 404
    assert send(20, data[20:])["Upload-Offset"] == str(len(data))
    form = {"table_name": "people", "upload_id": begun.json()["upload_id"]}
    assert browser.post(f"{DATA}/import/upload", form).json()["original_filename"] == "users.csv"
    assert browser.get(place).status_code == 404
    large = post(browser, "/import/uploads", {"filename": "x", "size": 10**12})
    assert (large.status_code, large.json()["code"]) == (413, "IMPORT_001")


@pytest.mark.req("F-041", "F-069")
def test_a_zip_brings_several_tables_and_a_template_tells_how_to_read_them(
    bella: Any, stranger: Any, logged_in: Any, people: psycopg.Connection
) -> None:
    browser = logged_in(bella)
    kept = {
        "name": "Semicolons", "table_name": "people", "import_options": {"delimiter": ";"},
        "field_mappings": [{"sourceColumn": "n", "targetColumn": "name"}, {"sourceColumn": "e", "targetColumn": "email"}],
    }  # fmt: skip
    made = post(browser, "/import/templates", kept)
    assert (made.status_code, made.json()["usage_count"]) == (201, 0)
    assert post(browser, "/import/templates", kept).status_code == 422
    assert logged_in(stranger).get(f"{DATA}/import/templates").json()["total_count"] == 0
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("people.csv", "n;e\nA;a@b.example\n")
    answer = post(browser, "/import/upload-zip", sent(packed.getvalue(), "all.zip"))
    assert answer.status_code == 201
    (job,) = answer.json()["jobs"]
    assert (job["table_name"], {item["target_column"] for item in job["field_mappings"]}) == (
        "people",
        {"name", "email"},
    )
    place = f"{DATA}/import/templates/{made.json()['id']}"
    changed = browser.put(place, json.dumps({"is_public": True}), content_type="application/json").json()
    assert (changed["is_public"], changed["name"]) == (True, "Semicolons")
    assert logged_in(stranger).get(place).status_code == 200
    assert logged_in(stranger).delete(place).status_code == 403
    assert browser.delete(place).status_code == 204


@pytest.mark.req("F-034", "F-036", "F-099", "C6")
def test_jobs_are_listed_newest_first_and_cancelled(bella: Any, boss: Any, logged_in: Any, people: Any) -> None:
    browser = logged_in(bella)
    made = [post(browser, "/import/upload", sent(GUIDE, table_name="people")).json()["job_id"] for _ in range(3)]
    listed = browser.get(f"{DATA}/import/jobs?skip=1&limit=1").json()
    assert (listed["total_count"], listed["skip"], listed["limit"]) == (3, 1, 1)
    assert [job["job_id"] for job in listed["jobs"]] == [made[1]]
    assert browser.get(f"{DATA}/import/jobs?limit=501").status_code == 422
    assert post(browser, f"/import/{made[0]}/cancel").json()["status"] == "cancelled"
    assert post(browser, f"/import/{made[0]}/cancel").status_code == 409
    assert post(browser, f"/import/{made[0]}/start").status_code == 409
    cancelled = browser.get(f"{DATA}/import/jobs?status_filter=cancelled&table_name=people").json()
    assert [job["job_id"] for job in cancelled["jobs"]] == [made[0]]
    assert logged_in(boss).get(f"{DATA}/import/jobs").json()["total_count"] == 3
    assert browser.get(f"{DATA}/export/{made[0]}/debug").status_code == 404


@pytest.mark.req("F-020", "F-021", "F-043", "F-067", "C8")
def test_tickets_and_whole_documents_go_the_same_way(
    bella: Any, logged_in: Any, worker: Callable[[str], ImportJob], people: psycopg.Connection
) -> None:
    browser = logged_in(bella)
    refused = post(browser, "/import/upload", sent("external_id,title\n1,A\n", target_type="tickets"))
    assert (refused.status_code, refused.json()["code"], refused.json()["table_name"]) == (403, "IMPORT_003", "tickets")
    for table in ("tickets", "users", "accounts"):
        ImportPermission.objects.create(user=bella, table_name=table)
    nowhere = post(browser, "/import/upload", sent("external_id\n1\n"))
    assert (nowhere.status_code, list(nowhere.json()["errors"])) == (422, ["table_name"])
    letters = post(browser, "/import/upload", sent("external_id\n1\n", target_type="letters"))
    assert (letters.status_code, list(letters.json()["errors"])) == (422, ["target_type"])
    body = {"headers": ["Ticket ID", "Subject"], "sample_rows": [["1", "A"]], "target_type": "tickets"}
    proposed = post(browser, "/tables/tickets/suggest-mapping", body).json()
    assert [each["target_column"] for each in proposed["mappings"]] == ["external_id", "title"]
    assert proposed["unmapped_required"] == ["description"]

    desk = {
        "tickets": [{"external_id": 1, "title": "A", "description": "x", "customer_external_id": 7}],
        "contacts": [{"external_id": 7, "name": "Cora", "email": "cora@acme.example"}],
    }
    options = {"tables": {"tickets": "tickets", "contacts": "customer_users"}}
    answer = post(browser, "/import/upload", sent(json.dumps(desk), "desk.json", import_options=options))
    assert answer.status_code == 201, answer.content
    job = answer.json()
    assert [(part["place"], part["target_type"], part["table_name"]) for part in job["parts"]] == [
        ("contacts", "customer_users", "users"),
        ("tickets", "tickets", "tickets"),
    ]
    mapped = browser.put(
        f"{DATA}/import/{job['job_id']}",
        json.dumps({"field_mappings": {"people": []}}),
        content_type="application/json",
    )
    assert (mapped.status_code, list(mapped.json()["errors"])) == (422, ["field_mappings"])
    report = post(browser, f"/import/{job['job_id']}/validate").json()
    assert (report["isValid"], [part["wouldCreate"] for part in report["parts"]]) == (True, [1, 1])
    assert post(browser, f"/import/{job['job_id']}/start").status_code == 202
    assert worker(job["job_id"]).status == "completed"
    assert people.execute("SELECT u.email FROM tickets t JOIN users u ON u.id = t.customer_id").fetchall() == [
        ("cora@acme.example",)
    ]
    report = post(
        browser, "/import/validate-file", sent("external_id,title,description\n2,B,\n", target_type="tickets")
    ).json()
    assert (report["isValid"], report["totalRows"], ImportJob.objects.count()) == (True, 1, 1)
