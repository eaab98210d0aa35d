"""An export from its request to its file, through the API, as people and programs see it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from exporter import operations, run, tasks, writing
from exporter.errors import Conflict, InvalidColumns, NotPermitted
from exporter.models import ExportJob
from exporter.operations import DataExporter
from exporter.wanted import Wanted
from permissions import approvals
from permissions.models import AuditEntry
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus
from tests.conftest import person
from tests.exporter.conftest import permit
from tests.exporter.conftest import run as sql

BASE = "/api/v1/data"


@pytest.fixture
def api(logged_in: Callable[[Any], Client], alice: Any) -> Client:
    return logged_in(alice)


def post(client: Client, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(f"{BASE}{path}", json.dumps(body or {}), content_type="application/json", headers=headers)


def create(client: Client, **body: Any) -> Any:
    return post(client, "/export/create", {"table_name": "goods", "export_format": "csv", **body})


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


@pytest.mark.req(
    "F-090", "F-091", "F-095", "F-096", "F-097", "F-098", "F-103", "F-115", "F-116", "F-118", "F-119", "F-180"
)
def test_it_exports_a_table_from_request_to_download(
    dora: Any, stored_goods: Callable[[int], None], logged_in: Callable[[Any], Client], files: Path
) -> None:
    stored_goods(1500)
    permit(dora)
    api = logged_in(dora)
    made = create(
        api, selected_columns=["name", "id"], filters=[{"column": "id", "operator": "greater_than", "value": 10}]
    )
    assert made.status_code == 201
    job = made.json()
    assert (job["status"], job["estimated_rows"], job["progress_percent"]) == ("pending", 1490, 0.0)
    assert job["selected_columns"] == ["name", "id"]
    assert job["filename"].startswith("goods_")
    place = f"{BASE}/export/{job['job_id']}"
    assert api.get(f"{place}/download").status_code == 409
    assert api.get(f"{place}/status").json()["download_url"] is None

    assert tasks.run_export(job["job_id"]) == JobStatus.COMPLETED
    status = api.get(f"{place}/status").json()
    assert (status["status"], status["progress_percent"], status["processed_rows"]) == ("completed", 100.0, 1490)
    assert "file_path" not in status
    assert status["expires_at"].endswith("Z")
    answer = api.get(status["download_url"])
    data = body_of(answer)
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert list(rows[0]) == ["name", "id"]
    assert [int(row["id"]) for row in rows] == list(range(11, 1501))
    assert hashlib.sha256(data).hexdigest() == status["sha256"] == answer["X-Content-SHA256"]
    assert len(data) == status["file_size"] == int(answer["Content-Length"])
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["X-Export-Rows"] == "1490"
    assert answer["Cache-Control"] == "private, no-store"
    assert "filename*=UTF-8''goods_" in answer["Content-Disposition"]
    assert b"Ware" not in next(files.iterdir()).read_bytes()  # encrypted at rest

    resumes(api, place, data, answer["ETag"])
    assert AuditEntry.objects.filter(operation="export_downloaded", job_id=job["job_id"]).count() == 5
    listed(api, job["job_id"])
    forgets(api, place, files)


def listed(api: Client, job_id: str) -> None:
    """Own exports, newest first, in pages, by status and table."""
    second = create(api).json()["job_id"]
    places = {"": [second, job_id], "limit=1": [second], "skip=1&limit=5": [job_id], "status_filter=pending": [second],
              "status_filter=completed&table_name=goods": [job_id], "table_name=elsewhere": []}  # fmt: skip
    for query, expected in places.items():
        found = api.get(f"{BASE}/export/jobs?{query}").json()
        assert [job["job_id"] for job in found["jobs"]] == expected, query
    assert (found["total_count"], found["skip"]) == (0, 0)


def resumes(api: Client, place: str, data: bytes, etag: str) -> None:
    """Resumed, conditional and impossible requests."""
    part = api.get(f"{place}/download", headers={"Range": "bytes=100-199"})
    assert (part.status_code, body_of(part)) == (206, data[100:200])
    assert part["Content-Range"] == f"bytes 100-199/{len(data)}"
    assert body_of(api.get(f"{place}/download", headers={"Range": "bytes=-7"})) == data[-7:]
    again = api.get(f"{place}/download", headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (again.status_code, len(body_of(again))) == (200, len(data))
    assert api.get(f"{place}/download", headers={"Range": "bytes=1-2,4-5"}).status_code == 200
    missing = api.get(f"{place}/download", headers={"Range": f"bytes={len(data)}-"})
    assert (missing.status_code, missing["Content-Range"]) == (416, f"bytes */{len(data)}")
    assert missing.json()["code"] == "range_not_satisfiable"
    assert api.get(f"{place}/download", headers={"If-None-Match": etag}).status_code == 304
    head = api.head(f"{place}/download")
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", str(len(data)))


def forgets(api: Client, place: str, files: Path) -> None:
    """After its time: 410, and the file is removed; the entry stays."""
    ExportJob.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert api.get(f"{place}/download").json()["code"] == "expired"
    call_command("export_cleanup", "--json", stdout=io.StringIO())
    assert list(files.iterdir()) == []
    assert api.get(f"{place}/status").json()["download_url"] is None
    assert api.delete(place).status_code == 200
    assert api.get(f"{place}/status").status_code == 404
    assert AuditEntry.objects.filter(operation="export_deleted").exists()


@pytest.mark.req("F-092", "F-093", "F-094", "F-102", "F-113", "F-131", "F-009")
def test_it_refuses_what_is_not_permitted_and_says_why(api: Client, alice: Any, goods: str) -> None:
    assert create(api).json() | {"request_id": ""} == {
        "message": "You may not export “goods”. Ask a person who manages table permissions.",
        "code": "EXPORT_002", "table_name": "goods", "request_id": "",
    }  # fmt: skip
    assert create(api, table_name="nothing").status_code == 404
    assert create(api, table_name="django_session").json()["code"] == "not_found"
    permit(alice, allowed_columns=["id", "name", "stock"], max_rows_per_export=11, allowed_formats=["csv", "excel"])
    for body in (
        {"selected_columns": ["id", "price"]},
        {"selected_columns": ["api_key"]},
        {"selected_columns": ["no_such"]},
        {"filters": [{"column": "price", "operator": "equals", "value": 1}]},
        {"sort": [{"column": "price"}]},
        {"search": "x", "search_columns": ["sku"]},
    ):
        answer = create(api, **body)
        assert (answer.status_code, answer.json()["code"]) == (422, "EXPORT_003"), body
        assert len(answer.json()["invalid_columns"]) == 1
    assert create(api, selected_columns=["id", "id"]).json()["code"] == "EXPORT_003"
    too_many = create(api).json()
    assert (too_many["code"], too_many["rows"], too_many["limit"]) == ("EXPORT_001", 12, 11)
    assert create(api, export_options={"row_limit": 11}).status_code == 201
    assert create(api, filters=[{"column": "id", "operator": "<", "value": 12}]).status_code == 201
    assert "json" not in create(api, export_format="json").json()["allowed_formats"]
    assert "xlsx" in create(api, export_format="xls").json()["message"]
    for wrong in (
        {"filters": [{"column": "id", "operator": "sounds_like", "value": 1}]},
        {"filters": [{"column": "id", "operator": "equals", "value": "many"}]},
        {"filters": [{"column": "id", "operator": "equals", "valeu": 1}]},
        {"filters": [{"column": "name", "operator": "~", "value": "("}]},
        {"filters": ["id > 3"]},
        {"export_options": {"delimeter": ";"}},
        {"export_options": {"format": "xlsx"}},
        {"sort": [{"column": "id", "direction": "up"}]},
    ):
        answer = create(api, **wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_error"), wrong
    assert create(api, export_options={"formula_guard": False}).json()["required_permission"] == "export.unguarded"


@pytest.mark.req("F-101", "F-113", "F-114", "F-166", "F-167")
def test_it_previews_what_the_file_would_hold(api: Client, alice: Any, goods: str) -> None:
    permit(alice, row_filter={"column": "id", "operator": "<=", "value": 10}, can_export=False)

    def preview(**body: Any) -> Any:
        return post(api, "/export/preview", {"table_name": "goods", "export_format": "csv", **body}).json()

    found = preview(selected_columns=["id", "name", "made_on"], export_options={"dateFormat": "eu"}, limit=3)
    assert found["columns"][1] == {"name": "name", "type": "TEXT", "data_type": "string"}
    assert found["sample_data"][1] == {"id": 2, "name": "'=1+2", "made_on": "03/01/2024"}
    assert (found["total_rows"], found["total_rows_exact"], found["warnings"]) == (10, True, [])
    assert 0 < found["estimated_size"] < 1000
    ids = lambda **body: [row["id"] for row in preview(**body)["sample_data"]]  # noqa: E731
    either = {
        "op": "or",
        "items": [{"column": "id", "operator": "in", "value": [3, 4, 99]}, {"column": "name", "operator": "is_null"}],
    }
    assert ids(filters=[either]) == [3, 4, 5, 10]
    assert ids(filters=[{"column": "name", "operator": "equals", "value": None}]) == [5, 10]
    assert ids(filters=[{"column": "made_at", "operator": ">", "value": {"relative": "-1 day"}}]) == []
    assert ids(filters=[{"column": "id", "operator": "between", "value": 2, "value2": 3}], offset=1) == [3]
    assert ids(search="WARE “3") == [3]
    assert ids(search="%") == []
    assert ids(sort=[{"column": "active", "direction": "desc"}])[:6] == [2, 4, 6, 8, 10, 1]
    assert create(api).status_code == 403


@pytest.mark.req("F-001", "F-004", "F-005", "F-006", "F-008", "F-009", "F-010", "F-011", "F-012", "F-014")
def test_it_shows_tables_as_far_as_they_are_permitted(
    api: Client, alice: Any, goods: str, root: Any, logged_in: Callable[[Any], Client]
) -> None:
    sql('CREATE TABLE "Odd/Näme" ("Größe %%" integer PRIMARY KEY, "a ""b" text)'.replace("%%", "%"))
    sql("""INSERT INTO "Odd/Näme" VALUES (1, '100 %')""")
    odd = f"{BASE}/tables/Odd%2FN%C3%A4me"
    assert api.get(f"{BASE}/tables/available").json() == {"tables": [], "total_count": 0}
    assert api.get(f"{BASE}/tables/goods/schema").json()["code"] == "EXPORT_002"
    assert api.get(f"{BASE}/tables/goods/permissions").json()["export_permission"]["can_export"] is False
    permit(alice, allowed_columns=["id", "name", "sku"])
    permit(alice, "Odd/Näme")
    listed = api.get(f"{BASE}/tables/available?detail=1").json()
    assert listed["tables"] == ["Odd/Näme", "goods"]
    assert listed["details"][1] | {"row_estimate": 0} == {
        "table_name": "goods", "label": "Goods", "row_estimate": 0, "can_import": False, "can_export": True,
        "target_type": "table:goods",
    }  # fmt: skip
    schema = api.get(f"{BASE}/tables/goods/schema").json()
    assert [column["name"] for column in schema["columns"]] == ["id", "name", "sku"]
    assert schema["columns"][0]["autoincrement"] is True
    assert schema["columns"][2]["type"] == "VARCHAR(40)"
    assert schema["columns"][2]["unique"] is True
    assert schema["sample_data"][0] == {"id": 1, "name": "", "sku": "S1"}
    assert len(schema["sample_data"]) == 3
    page = api.get(f"{BASE}/tables/goods/data?limit=2&offset=3&sort=-id&columns=id,name").json()
    assert page["data"] == [{"id": 9, "name": "Ware “9”, gut"}, {"id": 8, "name": "Ware “8”, gut"}]
    assert (page["total_rows"], page["returned_rows"], page["has_more"]) == (12, 2, True)
    assert api.get(f"{BASE}/tables/goods/data?columns=api_key").json()["code"] == "EXPORT_003"
    assert api.get(f"{BASE}/tables/goods/data?filters=nonsense").json()["code"] == "malformed_request"
    assert api.get(f"{odd}/data?search=100 %25").json()["data"] == [{"Größe %": 1, 'a "b': "100 %"}]
    filtered = json.dumps([{"column": "Größe %", "operator": ">", "value": 0}])
    assert api.get(f"{odd}/data", {"filters": filtered}).json()["total_rows"] == 1
    assert api.get(f"{BASE}/tables/users_roles/schema").status_code == 404
    everything = logged_in(root).get(f"{BASE}/tables/users/schema").json()
    assert "password" not in {column["name"] for column in everything["columns"]}
    moments = logged_in(root).get(f"{BASE}/tables/goods/data?limit=1&columns=made_at,price,facts").json()["data"][0]
    assert moments == {"made_at": "2024-01-02T01:01:01.250000Z", "price": 0.25, "facts": {"n": 0.25, "t": "\\"}}


@pytest.mark.req("F-110", "F-112", "F-117", "F-175", "F-176", "F-177", "F-168")
def test_a_program_exports_every_format_compressed_or_split(
    dora: Any, stored_goods: Callable[[int], None], settings: Any
) -> None:
    stored_goods(500)
    permit(dora)
    exporter = DataExporter(dora)
    for name, options, filename, media in (
        ("excel", {}, "goods.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("yml", {}, "goods.yaml", "application/yaml"),
        ("jsonl", {"compression": "gzip"}, "goods.jsonl.gz", "application/gzip"),
        ("xml", {"compression": "zip", "recordName": "item"}, "goods.xml.zip", "application/zip"),
        ("csv", {"split_rows": 200}, "goods.zip", "application/zip"),
    ):
        found = exporter.export_table("goods", name, {"active": True}, ["id", "name"], {"filename": "goods", **options})
        job = found.job
        assert (job.status, job.filename, job.media_type, job.processed_rows) == ("completed", filename, media, 250), (
            job.error_message
        )
        content = found.content
        assert hashlib.sha256(content).hexdigest() == job.sha256
        if name == "jsonl":
            assert len(gzip.decompress(content).splitlines()) == 250
        if name == "csv":
            archive = zipfile.ZipFile(io.BytesIO(content))
            assert archive.namelist() == ["goods-001.csv", "goods-002.csv"]
            assert len(archive.read("goods-002.csv").splitlines()) == 51
    settings.EXPORT_COMPRESS_THRESHOLD = 0
    large = exporter.export_table("goods", "csv").job
    assert large.filename.endswith(".csv.gz")
    once, again = (exporter.export_table("goods", "csv", columns=["id"]).job.sha256 for _ in range(2))
    assert once == again
    with pytest.raises(InvalidColumns):
        exporter.export_table("goods", "csv", {"nothing": 1})
    with pytest.raises(NotPermitted):
        exporter.export_table("users")


@pytest.mark.req("F-111", "F-108")
def test_a_character_the_encoding_lacks_fails_the_export_and_leaves_no_file(
    dora: Any, stored_goods: Callable[[int], None], files: Path
) -> None:
    stored_goods(5)
    permit(dora)
    job = DataExporter(dora).export_table("goods", options={"encoding": "iso-8859-1"}).job
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "Row 3" in job.error_message
    assert list(files.iterdir()) == []
    replaced = DataExporter(dora).export_table(
        "goods", options={"encoding": "iso-8859-1", "encoding_errors": "replace"}
    )
    assert b"Ware ?3?" in replaced.content


@pytest.mark.req("F-100", "F-116")
def test_a_running_export_tells_its_progress_and_stops_when_asked(
    dora: Any, stored_goods: Callable[[int], None], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_goods(3000)
    permit(dora)
    monkeypatch.setattr(writing, "FETCHED", 10)
    job = operations.create_export(_wanted(export_format="yaml"), by=dora)
    slow = threading.Event()

    class Slow:
        def update(self, progress: Any) -> None:
            slow.set()
            time.sleep(0.05)

    worker = threading.Thread(target=run.work, args=(job.pk,), kwargs={"sink": Slow()})
    worker.start()
    assert slow.wait(10)
    time.sleep(2)
    job.refresh_from_db()
    assert (job.status, 0 < job.processed_rows < 3000, 0 < job.progress_percent < 100) == ("running", True, True)
    with pytest.raises(Conflict):
        operations.delete_export(job, by=dora)
    operations.cancel_export(job, by=dora)
    worker.join(10)
    job.refresh_from_db()
    assert (job.status, job.error_code, job.file_path) == ("cancelled", "cancelled_by_user", "")
    assert list(files.iterdir()) == []
    with pytest.raises(Conflict):
        operations.cancel_export(job, by=dora)


def _wanted(**more: Any) -> Any:
    return Wanted("goods", **more)


@pytest.mark.req("F-108", "F-104", "J22")
def test_a_lost_worker_is_replaced_three_times(dora: Any, stored_goods: Callable[[int], None], files: Path) -> None:
    stored_goods(5)
    permit(dora)
    job = operations.create_export(_wanted(), by=dora)
    left = files / "left"
    for attempt in range(ExportJob.max_attempts):
        assert lifecycle.claim_alone(ExportJob, job.pk), attempt
        assert not lifecycle.claim_alone(ExportJob, job.pk)  # one worker at a time
        files.mkdir(exist_ok=True)
        left.write_bytes(b"half")
        ExportJob.objects.update(lease_until=timezone.now() - timedelta(seconds=1), file_path=str(left))
    assert run.work(job.pk) == "failed"
    job.refresh_from_db()
    assert job.error_code == "internal_error"
    ExportJob.objects.update(status="running", attempts=1, lease_until=timezone.now() - timedelta(seconds=1))
    assert run.work(job.pk) == "completed"
    assert not left.exists()


@pytest.mark.req("F-104", "J22", "G21")
def test_an_export_waits_for_a_second_person(dora: Any, stored_goods: Callable[[int], None]) -> None:
    stored_goods(5)
    permit(dora, requires_approval=True)
    with pytest.raises(Conflict, match="nobody besides you"):
        DataExporter(dora).export_table("goods")
    rita = person("rita", is_superuser=True)

    found = DataExporter(dora).export_table("goods")
    assert found.job.status == "awaiting_approval"
    dora.grants.create(permission="import.approve")
    dora._held_permissions = None
    with pytest.raises(approvals.SelfApproval):
        approvals.decide_job(found.job.pk, by=dora, approve=True)
    approvals.decide_job(found.job.pk, by=rita, approve=True)
    assert tasks.run_export(str(found.job.pk)) == "completed"


@pytest.mark.req("F-105")
def test_a_link_needs_no_session_and_serves_once(
    dora: Any, stored_goods: Callable[[int], None], client: Client, logged_in: Callable[[Any], Client]
) -> None:
    stored_goods(5)
    permit(dora)
    api = logged_in(dora)
    job = DataExporter(dora).export_table("goods").job
    assert post(api, f"/export/{job.pk}/link").json()["required_permission"] == "export.links"
    dora.grants.create(permission="export.links")
    assert post(api, f"/export/{job.pk}/link", {"expires_in": 10**7}).status_code == 422
    made = post(api, f"/export/{job.pk}/link", {"single_use": True, "expires_in": 60}).json()
    assert client.head(made["url"]).status_code == 200
    assert body_of(client.get(made["url"])).startswith(b"id,name")
    assert client.get(made["url"]).status_code == 410
    assert client.get(f"{BASE}/export/links/guessed").status_code == 404
    assert AuditEntry.objects.filter(operation="export_link_created").exists()


@pytest.mark.req("G37", "F-176")
def test_the_command_exports_with_the_rights_of_a_person(
    dora: Any, stored_goods: Callable[[int], None], tmp_path: Path
) -> None:
    stored_goods(7)
    said = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("export_table", "goods", "--as", dora.email, "--json", stdout=said)
    assert json.loads(said.getvalue())["code"] == "EXPORT_002"
    permit(dora)
    said = io.StringIO()
    call_command(
        "export_table", "goods", "--as", dora.email, "--json", "--columns", "id", "stock", "--sort", "id:desc",
        "--option", "delimiter=;", "row_limit=2", "--output", str(tmp_path / "out.csv"), stdout=said,
    )  # fmt: skip
    report = json.loads(said.getvalue())
    assert (report["status"], report["rows"]) == ("completed", 2)
    assert (tmp_path / "out.csv").read_text().split() == ["id;stock", "7;7", "6;6"]


@pytest.mark.req("G33", "F-130", "C9")
def test_it_holds_back_who_exports_too_often(api: Client, alice: Any, goods: str) -> None:
    row = permit(alice, max_exports_per_hour=1)
    first = post(api, "/export/create", {"table_name": "goods", "export_format": "csv"}, **{"Idempotency-Key": "k"})
    again = post(api, "/export/create", {"table_name": "goods", "export_format": "csv"}, **{"Idempotency-Key": "k"})
    assert first.json() == again.json()
    assert create(api).json()["code"] == "rate_limited"
    row.max_exports_per_hour = None
    row.save()
    for _ in range(9):
        assert create(api).status_code == 201
    assert "10" in create(api).json()["message"]
    assert post(api, f"/export/{first.json()['job_id']}/cancel").json()["status"] == "cancelled"
