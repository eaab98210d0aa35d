"""Files and people that mean harm, or are merely odd: nothing breaks, nothing gets lost, nothing leaks."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from importer.models import ImportRecord
from importer.operations import Conflict, files
from importer.operations.files import FileRefused, ImportInvalid, TooManyImports, parts, rights, starting
from importer.options import InvalidOption
from permissions import granting
from permissions.models import AuditEntry, ImportPermission
from servicevault import metrics
from tests.conftest import person
from tests.importer.files.conftest import imported, outcomes, uploaded

GOOD = "sku,name\nA1,Anvil\n"


def zipped(*members: tuple[str, str]) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    packed.seek(0)
    return packed


@pytest.fixture
def clerk(shop: psycopg.Connection) -> Any:
    clerk = person("clerk")
    ImportPermission.objects.create(user=clerk, table_name="products")
    return clerk


@pytest.mark.req("F-041", "F-085")
def test_a_zip_loses_no_file_and_a_damaged_one_is_refused(clerk: Any) -> None:
    with pytest.raises(FileRefused, match="several files for products"):
        files.upload_zip(clerk, zipped(("a/products.csv", GOOD), ("b/public.products.csv", GOOD)))
    (job,) = files.upload_zip(clerk, zipped(("public.products.csv", GOOD)))
    assert job.file.table_name == "products"
    (job,) = files.upload_zip(
        clerk, zipped(("products.csv", GOOD), ("__MACOSX/._products.csv", "\0"), (".DS_Store", "\0"))
    )
    assert job.file.table_name == "products"  # what macOS puts beside a file unasked is none
    damaged = bytearray(zipped(("products.csv", GOOD)).getvalue())
    damaged[45] ^= 0xFF  # within the packed content
    with pytest.raises(FileRefused, match="damaged"):
        files.upload_zip(clerk, io.BytesIO(bytes(damaged)))


@pytest.mark.req("F-025", "F-120", "F-132", "G16", "G22")
def test_a_table_has_one_name_to_ask_rights_by(clerk: Any) -> None:
    ImportPermission.objects.filter(user=clerk).update(requires_approval=True)
    assert uploaded(GOOD, user=clerk, system=False, table="public.products").file.table_name == "products"
    boss = person("boss", is_superuser=True)
    row = granting.grant("import", by=boss, table_name="public.makers", values={}, user=clerk)
    assert row.table_name == "makers"


@pytest.mark.req("F-084", "F-054")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"sku,na\x00me\nA1,x\n"),
        ("a.json", rb'[{"sku": "A1", "na\u0000me": 1}]'),
        ("a.json", rb'[{"sku": "A1", "\ud800": 1}]'),
    ],
)
def test_a_column_whose_name_nothing_can_hold_is_refused(shop: Any, name: str, content: bytes) -> None:
    with pytest.raises(FileRefused, match="name of a column"):
        uploaded(content, name=name)


@pytest.mark.req("F-065", "F-075")
@pytest.mark.parametrize(
    "options",
    [
        {"timeout": "abc"},
        {"timeout": -5},
        {"timeout": 10**9},
        {"skip_rows": 10**20},
        {"validation_rules": [{"column": "name", "rule": "not_empty", "message": {"a": 1}}]},
        {"validation_rules": [{"column": "name", "rule": "not_empty"}] * 501},
    ],
)
def test_options_that_would_break_or_block_a_worker_are_refused(shop: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        uploaded(GOOD, options=options)


@pytest.mark.req("F-055", "F-065")
def test_what_costs_more_than_it_is_worth_is_refused(shop: Any) -> None:
    many = [{"source_column": "sku", "target_column": "sku", "transform": ["upper"] * 51}]
    with pytest.raises(InvalidOption, match="51 transformations"):
        uploaded(GOOD, mappings=many)
    late = uploaded(GOOD, options={"skip_rows": 2**31 - 1})  # lines that are not there are not counted one by one
    assert not files.validate(late, None, system=True)["isValid"]


@pytest.mark.req("F-057", "F-075")
def test_values_that_do_not_compare_recognise_no_row(shop: psycopg.Connection) -> None:
    shop.execute("ALTER TABLE products ADD COLUMN raw json, ADD COLUMN place point")
    for column in ("raw", "place"):
        rules = [{"column": column, "rule": "unique"}]
        for options in ({"duplicate_key": [column]}, {"validation_rules": rules}):
            job = uploaded(f"sku,{column}\nA1,1\n", options=options)
            with pytest.raises(InvalidOption, match="compare"):
                files.validate(job, None, system=True)


@pytest.mark.req("G33", "F-040")
def test_what_a_person_may_store_has_an_end(clerk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "STORED_BYTES", 100)
    uploaded(GOOD, user=clerk, system=False)
    with pytest.raises(TooManyImports, match="at most 100"):
        uploaded(GOOD * 5, user=clerk, system=False)
    with pytest.raises(TooManyImports):
        parts.begin(clerk, "big.csv", 90)
    part = parts.begin(clerk, "small.csv", 9)
    assert parts.append(clerk, part.pk, 0, io.BytesIO(b"")).parts == []  # nothing sent, nothing stored


@pytest.mark.req("F-086", "F-022")
def test_a_process_that_died_leaves_no_file_for_ever(clerk: Any, settings: Any) -> None:
    kept = uploaded(GOOD, user=clerk, system=False).file.path
    folder = settings.IMPORT_TEMP_DIR
    old, young, foreign = folder / ("a" * 32), folder / ("b" * 32), folder / "notes.txt"
    for path in (old, young, foreign):
        path.write_bytes(b"x")
    for path in (old, foreign, Path(kept)):
        os.utime(path, (0, 0))
    assert files.expire() == 1
    assert [path.exists() for path in (old, young, foreign, Path(kept))] == [False, True, True, True]


@pytest.mark.req("G15")
def test_an_import_shows_nothing_of_sensitive_columns(shop: psycopg.Connection) -> None:
    shop.execute("ALTER TABLE products ADD COLUMN api_token text DEFAULT 'hidden-value'")
    job = imported(GOOD)
    assert outcomes(job)["created"] == 1
    record = ImportRecord.objects.get(run__job=job)
    assert record.after_image["sku"] == "A1"
    assert "hidden-value" not in json.dumps(record.after_image)


@pytest.mark.req("G25", "F-139", "F-141", "F-069")
def test_templates_and_files_are_on_record_under_the_names_of_the_log(clerk: Any) -> None:
    template = files.templates.save(
        clerk, {"name": "Goods", "table_name": "products", "field_mappings": {}, "import_options": {}}
    )
    files.templates.save(clerk, {"is_public": True}, template)
    files.templates.delete(clerk, template)
    uploaded(GOOD, user=clerk, system=False)
    done = AuditEntry.objects.filter(user_id=clerk.pk).order_by("timestamp")
    assert list(done.values_list("operation", flat=True)) == [
        "template_created", "template_updated", "template_deleted", "file_uploaded",
    ]  # fmt: skip
    assert done.last().details == {  # type: ignore[union-attr]
        "filename": "products.csv", "file_size": len(GOOD), "estimated_rows": 1, "format": "csv",
    }  # fmt: skip
    assert metrics.measure("hour")["file_sizes"]["p50"] == len(GOOD)


@pytest.mark.req("F-029", "F-030", "DEC-22")
def test_what_is_started_is_what_was_validated(clerk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = uploaded(GOOD, user=clerk, system=False)
    files.validate(job, clerk)

    def meanwhile(*_: Any) -> None:
        """Another request maps the file otherwise, between the check and the start."""
        files.configure(type(job).objects.get(pk=job.pk), clerk, mappings={"sku": "sku", "name": "note"})

    monkeypatch.setattr(starting.rights, "check_rows", meanwhile)
    with pytest.raises(ImportInvalid, match="meanwhile"):
        files.start(job, clerk)
    monkeypatch.undo()
    files.validate(job, clerk)
    late = type(job).objects.get(pk=job.pk)

    def started(*_: Any, **__: Any) -> None:
        files.start(type(job).objects.get(pk=job.pk), clerk)

    monkeypatch.setattr("importer.file_targets.check_mappings", started)
    with pytest.raises(Conflict, match="started already"):
        files.configure(late, clerk, mappings={"sku": "sku"})
    job.file.refresh_from_db()
    assert [each["target_column"] for each in job.file.field_mappings] == ["sku", "note"]
