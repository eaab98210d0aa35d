"""Other ways in: parts that go on, pasted text, zips of several files, templates (F-040, F-041, F-068, F-069)."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import psycopg
import pytest

from importer import runner
from importer.operations import InvalidFields, files
from importer.operations.files import FileTooLarge, ImportDenied, NotThere, parts
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.files.conftest import outcomes

MAY = {"can_import": True, "can_validate": True, "can_preview": True, "max_file_size_mb": 8, "max_rows_per_import": 1000,
       "allowed_formats": ["csv"]}  # fmt: skip


@pytest.fixture
def clerk(shop: psycopg.Connection) -> Any:
    clerk = person("clerk")
    for table in ("products", "makers"):
        ImportPermission.objects.create(user=clerk, table_name=table, **MAY)
    return clerk


@pytest.mark.req("F-040")
def test_parts_are_joined_and_a_wrong_offset_is_told(clerk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 8)
    data = b"sku,name\nA,one\nB,two\n"
    upload = parts.begin(clerk, "../p.csv", len(data), hashlib.sha256(data).hexdigest())
    assert (upload.filename, upload.offset) == ("p.csv", 0)
    parts.append(clerk, upload.pk, 0, io.BytesIO(data[:8]))
    with pytest.raises(parts.WrongOffset) as refused:
        parts.append(clerk, upload.pk, 0, io.BytesIO(data[:8]))
    assert refused.value.offset == 8
    with pytest.raises(FileTooLarge):
        parts.append(clerk, upload.pk, 8, io.BytesIO(data[8:]))
    parts.append(clerk, upload.pk, 8, io.BytesIO(data[8:16]))
    upload = parts.append(clerk, upload.pk, 16, io.BytesIO(data[16:]))
    job = files.upload(clerk, parts.content_of(upload), upload.filename, table_name="products")
    assert files.validate(job, clerk)["totalRows"] == 2
    with pytest.raises(NotThere):
        parts.find(person("other"), upload.pk)
    parts.discard(upload)


@pytest.mark.req("F-040")
def test_another_content_than_announced_is_refused(clerk: Any) -> None:
    upload = parts.begin(clerk, "p.csv", 3, "0" * 64)
    with pytest.raises(InvalidFields, match="not what was announced"):
        parts.append(clerk, upload.pk, 0, io.BytesIO(b"abc"))
    assert parts.find(clerk, upload.pk).offset == 0
    with pytest.raises(FileTooLarge):
        parts.begin(clerk, "p.csv", 9 * 1024 * 1024)
    with pytest.raises(ImportDenied):
        parts.begin(person("other"), "p.csv", 3)


@pytest.mark.req("F-041")
def test_a_zip_becomes_a_job_a_file_parents_first(clerk: Any, shop: psycopg.Connection) -> None:
    def packed(**members: str) -> io.BytesIO:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name, text in members.items():
                archive.writestr(f"{name}.csv", text)
        return io.BytesIO(data.getvalue())

    jobs = files.upload_zip(clerk, packed(products="sku,maker\nA,new\n", makers="code,name\nnew,New\n"))
    assert [job.file.table_name for job in jobs] == ["makers", "products"]
    for job in jobs:
        files.validate(job, clerk)
        files.start(job, clerk)
        runner.work(job.pk)
        assert outcomes(job) == {"read": 1, "created": 1}
    ImportPermission.objects.filter(table_name="makers").delete()
    with pytest.raises(ImportDenied):
        files.upload_zip(clerk, packed(products="sku\nB\n", makers="code,name\nx,X\n"))


@pytest.mark.req("F-068")
def test_pasted_text_is_a_file(clerk: Any) -> None:
    job = files.upload_text(clerk, "sku\tname\nA\tx\n", table_name="products")
    assert files.validate(job, clerk)["isValid"]
    with pytest.raises(FileTooLarge):
        files.upload_text(clerk, "x" * (1024 * 1024 + 1), table_name="products")


@pytest.mark.req("F-069")
def test_a_template_is_used_again_and_tells_what_differs(clerk: Any) -> None:
    job = files.upload(clerk, io.BytesIO(b"Art;name\nA;x\n"), "p.csv", table_name="products",
                       options={"delimiter": ";"}, mappings={"Art": "sku", "name": "name"})  # fmt: skip
    template = files.templates.of_job(clerk, job, "Weekly")
    with pytest.raises(InvalidFields):
        files.templates.of_job(clerk, job, "Weekly")
    other_file = files.upload(clerk, io.BytesIO(b"Art;Colour\nA;x\n"), "q.csv", table_name="products", mappings=[])
    found = files.apply(template, other_file, clerk)
    other_file.refresh_from_db()
    assert [mapping["target_column"] for mapping in other_file.file.field_mappings] == ["sku"]
    assert other_file.file.import_options == {"delimiter": ";"}
    assert [(each.part, each.missing_columns, each.new_columns) for each in found] == [("", ("name",), ("Colour",))]
    template.refresh_from_db()
    assert template.usage_count == 1
    other = person("other")
    with pytest.raises(NotThere):
        files.templates.fetch(other, template.pk)
    files.templates.save(clerk, {"is_public": True}, template)
    assert files.templates.fetch(other, template.pk) == template
    with pytest.raises(Exception, match=r"data\.permissions\.manage"):
        files.templates.fetch(other, template.pk, change=True)
