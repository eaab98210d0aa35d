"""Who may import what, and how much (F-022, F-024, F-025, F-059, F-030, F-032)."""

from __future__ import annotations

import io
import threading
from typing import Any

import psycopg
import pytest
from django.db import connections

from importer import runner
from importer.models import FileImport, ImportJob
from importer.operations import Conflict, files
from importer.operations.files import FileRefused, FileTooLarge, ImportDenied, ImportInvalid, UnknownTable
from permissions import policy
from permissions.models import AuditEntry, ImportPermission
from tests.conftest import person
from tests.importer.files.conftest import uploaded

MB = 1024 * 1024


@pytest.fixture
def clerk(shop: psycopg.Connection) -> Any:
    """May import up to three rows and one megabyte of CSV into products."""
    clerk = person("clerk")
    ImportPermission.objects.create(
        user=clerk, table_name="products", can_import=True, can_validate=True, can_preview=True, max_file_size_mb=1,
        max_rows_per_import=3, allowed_formats=["csv"],
    )  # fmt: skip
    return clerk


def given_by(clerk: Any, content: bytes | str, **more: Any) -> ImportJob:
    return uploaded(content, user=clerk, system=False, **more)


class Untouchable(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("read before the permission was asked")


@pytest.mark.req("F-025", "F-009")
def test_the_table_is_asked_before_the_file_is_read(clerk: Any) -> None:
    with pytest.raises(ImportDenied) as refused:
        files.upload(clerk, Untouchable(), "m.csv", table_name="makers")
    assert (refused.value.status, refused.value.code, refused.value.more) == (
        403,
        "IMPORT_003",
        {"table_name": "makers"},
    )
    for hidden in ("auth_permission", "importer_importjob", "nothing"):
        with pytest.raises(UnknownTable):
            files.upload(clerk, Untouchable(), "m.csv", table_name=hidden)


@pytest.mark.req("F-022")
def test_size_is_limited_while_it_streams(clerk: Any, settings: Any) -> None:
    before = set(settings.IMPORT_TEMP_DIR.glob("*")) if settings.IMPORT_TEMP_DIR.exists() else set()
    line = b"A,xxxxxxx\n"
    most = b"sku,name\n" + line * ((MB - 9) // 10)
    most += b" " * (MB - len(most))
    assert given_by(clerk, most).file.file_size == MB
    taken = []

    def endless() -> Any:
        for piece in range(1000):
            taken.append(piece)
            yield b"x" * 65536

    with pytest.raises(FileTooLarge) as refused:
        files.upload(clerk, endless(), "p.csv", table_name="products")
    assert refused.value.more["limit_mb"] == 1
    assert len(taken) == 17
    assert len(set(settings.IMPORT_TEMP_DIR.glob("*")) - before) == 1


@pytest.mark.req("F-024")
def test_a_format_that_is_not_allowed_is_refused(clerk: Any) -> None:
    with pytest.raises(FileRefused) as refused:
        given_by(clerk, b'[{"sku": "A"}]')
    assert (refused.value.status, refused.value.code, refused.value.more) == (
        415,
        "IMPORT_002",
        {"allowed_formats": ["csv"]},
    )


@pytest.mark.req("F-059")
def test_three_rows_are_allowed_and_four_are_not(clerk: Any) -> None:
    fits = given_by(clerk, "sku\nA\nB\nC\n")
    assert files.validate(fits, clerk)["isValid"]
    files.start(fits, clerk)
    beyond = given_by(clerk, "sku\nA\nB\nC\nD\n")
    found = files.validate(beyond, clerk)
    assert [error["code"] for error in found["errors"]] == ["too_many_rows"]
    with pytest.raises(ImportInvalid) as refused:
        files.start(beyond, clerk, accept_errors=True)
    assert refused.value.more == {"limit": 3, "rows": 4}


@pytest.mark.req("G30")
def test_one_import_an_hour_is_one(clerk: Any) -> None:
    ImportPermission.objects.update(max_imports_per_hour=1)
    first, second = given_by(clerk, "sku\nA\n"), given_by(clerk, "sku\nB\n")
    files.validate(first, clerk)
    files.validate(second, clerk)
    files.start(first, clerk)
    with pytest.raises(files.TooManyImports) as refused:
        files.start(second, clerk)
    assert (refused.value.status, refused.value.more) == (429, {"limit": 1})


@pytest.mark.req("F-125")
def test_only_permitted_columns_are_written(clerk: Any) -> None:
    ImportPermission.objects.update(allowed_columns=["sku"])
    job = given_by(clerk, "sku,name\nA,x\n")
    assert [mapping["target_column"] for mapping in job.file.field_mappings] == ["sku"]
    with pytest.raises(Exception, match="You may not write “name”"):
        given_by(clerk, "sku,name\nA,x\n", mappings={"sku": "sku", "name": "name"})


@pytest.mark.req("F-054", "G15", "G16")
def test_nobody_imports_secrets_and_people_need_more_than_a_row(clerk: Any, shop: psycopg.Connection) -> None:
    ImportPermission.objects.create(
        user=clerk, table_name="users", can_import=True, can_validate=True, can_preview=True
    )
    with pytest.raises(ImportDenied):
        given_by(clerk, "name\nAnn\n", table="users")
    for column in ("password", "is_superuser", "role_id"):
        with pytest.raises(Exception, match="never written"):
            uploaded(f"name,{column}\nAnn,x\n", table="users", mappings={"name": "name", column: column})


@pytest.mark.req("F-032")
def test_a_job_of_a_file_is_its_owners(clerk: Any) -> None:
    job = given_by(clerk, "sku\nA\n")
    other = person("other")
    assert policy.restrict(ImportJob.objects.all(), clerk).filter(pk=job.pk).exists()
    assert not policy.restrict(ImportJob.objects.all(), other).filter(pk=job.pk).exists()


@pytest.mark.req("F-030")
def test_of_two_simultaneous_starts_one_wins(clerk: Any) -> None:
    job = given_by(clerk, "sku\nA\nB\n")
    files.validate(job, clerk)
    both, found = threading.Barrier(2), []

    def begin() -> None:
        try:
            mine = ImportJob.objects.select_related("file").get(pk=job.pk)
            both.wait()
            files.start(mine, clerk)
            found.append("started")
        except Conflict:
            found.append("conflict")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["conflict", "started"]


@pytest.mark.req("G25", "F-172")
def test_each_step_is_in_the_audit_log(clerk: Any) -> None:
    job = given_by(clerk, "sku\nA\n")
    files.validate(job, clerk)
    files.start(job, clerk)
    entries = AuditEntry.objects.filter(job_id=job.pk).order_by("timestamp").values_list("operation", "table_name")
    assert list(entries) == [
        (operation, "products")
        for operation in ("file_uploaded", "validation_started", "validation_completed", "import_started")
    ]


@pytest.mark.req("F-086")
def test_a_day_after_its_end_nothing_of_the_file_is_left(clerk: Any, shop: psycopg.Connection) -> None:
    from pathlib import Path

    from importer import runner

    job = given_by(clerk, "sku\nA\n")
    path = Path(FileImport.objects.get(pk=job.pk).path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"sku" not in path.read_bytes()
    files.validate(job, clerk)
    files.start(job, clerk)
    runner.work(job.pk)
    assert files.expire() == 0
    shop.execute("UPDATE importer_importjob SET completed_at = now() - interval '25 hours' WHERE id = %s", (job.pk,))
    assert files.expire() == 1
    assert not path.exists()


@pytest.mark.req("F-039", "F-064", "J22", "J23")
def test_a_file_that_needs_an_approval_writes_nothing_before(clerk: Any, shop: psycopg.Connection) -> None:
    from importer import runner, tasks
    from permissions import approvals

    root = person("root", is_superuser=True)
    ImportPermission.objects.update(requires_approval=True)
    job = given_by(clerk, "sku\nA\n")
    files.validate(job, clerk)
    files.start(job, clerk)
    assert job.status == "awaiting_approval"
    runner.work(job.pk)
    assert shop.execute("SELECT count(*) FROM products").fetchone() == (0,)
    with pytest.raises((approvals.SelfApproval, policy.Denied)):
        approvals.decide_job(job.pk, by=clerk, approve=True)
    approvals.decide_job(job.pk, by=root, approve=True)
    tasks.run_job(str(job.pk))
    assert shop.execute("SELECT count(*) FROM products").fetchone() == (1,)


@pytest.mark.req("DEC-15")
def test_a_file_stands_among_the_jobs(clerk: Any, logged_in: Any) -> None:
    from importer import runner

    root = person("root", is_superuser=True)
    job = given_by(clerk, "sku\nA\n")
    browser = logged_in(root)
    for _ in range(2):
        for address in (
            "/import/jobs",
            f"/import/jobs/{job.pk}",
            f"/api/import/jobs/{job.pk}",
            "/api/import/jobs",
            "/",
        ):
            answer = browser.get(address)
            assert answer.status_code == 200, address
            if address.startswith("/import"):
                assert "products.csv" in answer.content.decode()
        files.validate(job, clerk) if job.awaits_start else None
        files.start(job, clerk) if job.awaits_start else None
        runner.work(job.pk)


@pytest.mark.req("F-025", "G16")
def test_the_job_of_somebody_who_is_deleted_writes_nothing(shop: psycopg.Connection) -> None:
    clerk = person("clerk")
    ImportPermission.objects.create(user=clerk, table_name="products")
    job = uploaded("sku,name\nA1,Anvil\n", user=clerk, system=False)
    files.validate(job, clerk)
    files.start(job, clerk)
    clerk.delete()
    assert runner.work(job.pk) == "failed"
    job.refresh_from_db()
    assert (job.error_code, job.counters()["created"]) == ("permission_denied", 0)
    assert shop.execute("SELECT count(*) FROM products").fetchone() == (0,)
