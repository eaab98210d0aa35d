"""Whatever road a file takes in, its content, size and format are looked at first; and what it holds stays data."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.test import Client

from exporter.operations import DataExporter
from importer import runner
from importer.models import FileImport, ImportJob
from importer.operations import files
from importer.operations.files import FileRefused, FileTooLarge
from permissions.models import ExportPermission, ImportPermission
from tests.conftest import person
from tests.importer.files.conftest import uploaded
from tests.servicevault.tabular.hostile import REFUSED

MB = 1024 * 1024
Door = Callable[[Any, ImportJob, bytes], Any]


def _zip(clerk: Any, failed: ImportJob, content: bytes) -> Any:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("products.csv", content)
    return files.upload_zip(clerk, io.BytesIO(packed.getvalue()))


def _parts(clerk: Any, failed: ImportJob, content: bytes) -> Any:
    begun = files.parts.begin(clerk, "p.csv", len(content))
    sent = files.parts.append(clerk, begun.pk, 0, io.BytesIO(content))
    return files.upload(clerk, files.parts.content_of(sent), sent.filename, table_name="products")


DOORS: dict[str, Door] = {
    "upload": lambda clerk, failed, content: files.upload(clerk, io.BytesIO(content), "p.csv", table_name="products"),
    "parse": lambda clerk, failed, content: files.parse(clerk, io.BytesIO(content), table_name="products"),
    "validate": lambda clerk, failed, content: files.validate_file(
        clerk, io.BytesIO(content), "p.csv", table_name="products"
    ),
    "corrected": lambda clerk, failed, content: files.retry_from_file(failed, clerk, io.BytesIO(content), "p.csv"),
    "document": lambda clerk, failed, content: files.upload_document(
        clerk, io.BytesIO(content), "p.csv", options={"tables": {"products": "products"}}
    ),
    "zip": _zip,
    "parts": _parts,
}


@pytest.fixture
def clerk(shop: psycopg.Connection) -> Any:
    """May import one megabyte of CSV and JSON into products."""
    clerk = person("clerk")
    ImportPermission.objects.create(
        user=clerk, table_name="products", max_file_size_mb=1, allowed_formats=["csv", "json"]
    )
    return clerk


@pytest.fixture
def failed(clerk: Any) -> ImportJob:
    """A job with a row to correct."""
    job = uploaded("sku,price\nA,x\nB,1\n", user=clerk, system=False)
    files.validate(job, clerk)
    files.start(job, clerk, accept_errors=True)
    runner.work(job.pk)
    job.refresh_from_db()
    return job


@pytest.mark.req("F-134", "F-135")
@pytest.mark.parametrize("door", DOORS)
def test_every_door_asks_for_content_size_format_and_the_scanner(
    door: str, clerk: Any, failed: ImportJob, settings: Any
) -> None:
    kept = set(settings.IMPORT_TEMP_DIR.iterdir())
    send = DOORS[door]
    with pytest.raises(FileRefused, match=r"format yaml (are not allowed|holds)"):
        send(clerk, failed, b"- sku: A\n  name: the name says csv, the content says otherwise\n")
    with pytest.raises(FileTooLarge) as large:
        send(clerk, failed, b"sku\n" + b"A" * (MB + 1))
    assert large.value.more["limit_mb"] == 1
    with pytest.raises(FileRefused, match="program") as refused:
        send(clerk, failed, REFUSED["elf"][0]())
    assert (refused.value.code, refused.value.status) == ("IMPORT_002", 415)
    settings.IMPORT_SCAN_COMMAND = "sh -c '! grep -q EICAR'"
    with pytest.raises(FileRefused, match="scanner"):
        send(clerk, failed, b"sku\nEICAR\n")
    assert (FileImport.objects.count(), ImportJob.objects.count()) == (1, 1)
    left = set(settings.IMPORT_TEMP_DIR.iterdir()) - kept
    assert len(left) == (3 if door == "parts" else 0)  # of an upload in parts: it may be looked at again


SCANNED = (
    "exe",
    "shell",
    "php",
    "html",
    "xml-script",
    "xlsx-macro",
    "xls-macro",
    "polyglot-csv-zip",
    "polyglot-gif-zip",
)


@pytest.mark.req("F-135")
def test_programs_macros_scripts_and_double_files_are_refused_with_the_cause(clerk: Any, settings: Any) -> None:
    ImportPermission.objects.update(allowed_formats=["csv", "json", "excel", "xml", "yaml"])
    for name in SCANNED:
        make, cause = REFUSED[name]
        with pytest.raises(FileRefused, match=cause):
            DOORS["upload"](clerk, None, make())  # type: ignore[arg-type]
    settings.IMPORT_SCAN_COMMAND = "sh -c '! grep -q EICAR'"
    assert DOORS["upload"](clerk, None, b"sku\nA\n").file.headers == ["sku"]  # type: ignore[arg-type]
    settings.IMPORT_SCAN_CONTENT = False
    assert DOORS["upload"](clerk, None, b"sku\nEICAR\n").file.headers == ["sku"]  # type: ignore[arg-type]


HOSTILE = [
    "'); DROP TABLE products; --", '"; DELETE FROM products; --', "%s %(x)s {0} \\ $1", "<script>alert(1)</script>",
    "=cmd|' /C calc'!A1", "+1+1", "-1+1", "@SUM(A1)", "{{ 7 * 7 }}", "' OR '1'='1",
]  # fmt: skip


@pytest.mark.req("F-136", "F-174")
def test_what_a_file_holds_is_bound_escaped_and_guarded(
    clerk: Any, shop: psycopg.Connection, logged_in: Callable[[Any], Client]
) -> None:
    clerk.grants.create(permission="pages.settings.data_import")
    ExportPermission.objects.create(user=clerk, table_name="products")
    rows = [{"sku": f"S{n}", "name": text, '"><u id=x>': text} for n, text in enumerate(HOSTILE)]
    rows.append({"sku": "<img src=x>", "name": "bad", "price": "<script>alert(2)</script>"})
    job = uploaded(
        json.dumps(rows), user=clerk, system=False, mappings={"sku": "sku", "name": "name", "price": "price"}
    )
    files.validate(job, clerk)
    browser = logged_in(clerk)
    for page in ("read", "map", "check"):
        shown = browser.get(f"/settings/data-import/{job.pk}/{page}").content.decode()
        assert not any(raw in shown for raw in ("<script>alert", "<img src=x", '"><u id=x>')), page
        assert "&lt;script&gt;alert" in shown, page
    files.start(job, clerk, accept_errors=True)
    runner.work(job.pk)
    stored = shop.execute("SELECT name FROM products ORDER BY id").fetchall()
    assert [name for (name,) in stored] == HOSTILE
    for page in ("", "/correct"):
        shown = browser.get(f"/settings/data-import/{job.pk}{page}").content.decode()
        assert ("<script>alert" in shown, "&lt;script&gt;alert(2)" in shown) == (False, True), page
    left = DataExporter(clerk)
    lines = left.export_table("products", columns=["name"], sort=[{"column": "id"}]).content.decode().splitlines()
    assert [line.strip('"')[0] for line in lines[5:9]] == ["'"] * 4  # a spreadsheet calculates none of them
    found = left.export_table("products", filters={"name": "' OR '1'='1"}, columns=["sku"]).content.split()
    assert found == [b"sku", b"S9"]
