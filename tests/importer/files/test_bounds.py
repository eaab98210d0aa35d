"""What a page takes away from the rights of a person stays away until the rows are in, whoever asks by whatever road."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.test import Client

from importer import runner
from importer.file_bounds import Bounds
from importer.models import FileImport, ImportJob, ImportRecord
from importer.operations import Conflict, files
from importer.operations.files import FileRefused, FileTooLarge, ImportDenied, ImportInvalid
from importer.options import InvalidOption
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.files.conftest import outcomes, uploaded


@pytest.fixture
def clerk(shop: psycopg.Connection) -> Any:
    """May import up to ten rows into products, in CSV, JSON and workbooks."""
    clerk = person("clerk")
    ImportPermission.objects.create(
        user=clerk, table_name="products", max_file_size_mb=2, max_rows_per_import=10,
        allowed_formats=["csv", "json", "excel"],
    )  # fmt: skip
    return clerk


@pytest.fixture
def given(clerk: Any) -> Callable[..., ImportJob]:
    """`given("sku\\nA\\n", max_rows=2)`: the clerk gives a file to a page with these bounds."""

    def give(content: str, *, mappings: Any = None, options: Any = None, **bounds: Any) -> ImportJob:
        return uploaded(
            content, user=clerk, system=False, mappings=mappings, options=options or {}, within=Bounds(**bounds)
        )

    return give


def run(job: ImportJob, clerk: Any) -> ImportJob:
    files.validate(job, clerk)
    files.start(job, clerk, accept_errors=True)
    runner.work(job.pk)
    job.refresh_from_db()
    return job


@pytest.mark.req("F-163")
def test_columns_outside_cannot_be_mapped_by_any_road(given: Any, clerk: Any, shop: psycopg.Connection) -> None:
    job = given("sku,name,price\nA,x,1\n", columns=("sku", "price", "no_such"))
    assert [each["target_column"] for each in job.file.field_mappings] == ["sku", "price"]
    assert [column.name for column in files.targets(_part(job), clerk, job.file.bounds)] == ["sku", "price"]
    both = {"sku": "sku", "name": "name"}
    with pytest.raises(InvalidOption, match="You may not write “name”"):
        files.configure(ImportJob.objects.get(pk=job.pk), clerk, mappings=both)
    with pytest.raises(InvalidOption, match="You may not write “name”"):
        given("sku,name\nA,x\n", mappings=both, columns=("sku",))
    assert [each["target_column"] for each in files.map_anew(job, clerk).file.field_mappings] == ["sku", "price"]
    # A mapping that came into the database otherwise is refused by the check, by its first rows, and by the worker.
    mapped = [{"source_column": name, "target_column": name} for name in ("sku", "name")]
    files.validate(job, clerk)
    FileImport.objects.filter(pk=job.pk).update(field_mappings=mapped)
    job = ImportJob.objects.get(pk=job.pk)
    for look in (files.validate, files.validate_sample):
        with pytest.raises(InvalidOption, match="You may not write “name”"):
            look(job, clerk)
    ImportJob.objects.filter(pk=job.pk).update(awaits_start=False)
    assert runner.work(job.pk) == "failed"
    assert shop.execute("SELECT count(*) FROM products").fetchone() == (0,)


@pytest.mark.req("F-163", "F-059")
def test_more_rows_than_the_page_takes_are_refused_with_the_number(given: Any, clerk: Any) -> None:
    fits = given("sku\nA\nB\n", max_rows=2)
    assert files.validate(fits, clerk)["isValid"]
    beyond = given("sku\nA\nB\nC\n", max_rows=2)
    assert [error["code"] for error in files.validate(beyond, clerk)["errors"]] == ["too_many_rows"]
    with pytest.raises(ImportInvalid, match="at most 2") as refused:
        files.start(beyond, clerk, accept_errors=True)
    assert (refused.value.code, refused.value.more) == ("IMPORT_004", {"limit": 2, "rows": 3})
    more = given("sku\n" + "".join(f"{n}\n" for n in range(11)), max_rows=10**9)
    files.validate(more, clerk)
    with pytest.raises(ImportInvalid, match="at most 10"):  # the clerk's own limit
        files.start(more, clerk, accept_errors=True)
    files.start(fits, clerk)
    FileImport.objects.filter(pk=fits.pk).update(within=Bounds(max_rows=1).stored)
    assert runner.work(fits.pk) == "failed"
    fits.refresh_from_db()
    assert (fits.error_code, "at most 1 may" in fits.error_message) == ("source_limit", True)


@pytest.mark.req("F-163", "F-022", "F-024")
def test_size_and_format_are_refused_as_by_the_right(given: Any, clerk: Any) -> None:
    with pytest.raises(FileRefused) as refused:
        given("sku\nA\n", allowed_formats=("excel", "xml"))  # xml is not the clerk's
    assert (refused.value.code, refused.value.more) == ("IMPORT_002", {"allowed_formats": ["xlsx", "xls"]})
    with pytest.raises(FileTooLarge) as large:
        given("sku\n" + "A" * 1024 * 1024, max_file_size_mb=1)
    assert (large.value.code, large.value.more["limit_mb"]) == ("IMPORT_001", 1)
    job = given('[{"sku": "A"}]', allowed_formats=("json",))
    with pytest.raises(FileRefused):  # read otherwise, it would be another format
        files.configure(job, clerk, options={"format": "csv"})


@pytest.mark.req("F-163")
def test_a_page_can_forbid_previews_checks_and_imports(given: Any, clerk: Any) -> None:
    hidden = given("sku\nA\n", show_preview=False)
    with pytest.raises(ImportDenied):
        files.first_rows(hidden, clerk)
    assert files.validate(hidden, clerk)["isValid"]
    unchecked = given("sku\nA\n", can_validate=False)
    for look in (files.validate, files.validate_sample):
        with pytest.raises(ImportDenied):
            look(unchecked, clerk)
    with pytest.raises(ImportDenied):
        given("sku\nA\n", can_import=False)
    asked = given("sku\nA\n", requires_approval=True)
    files.validate(asked, clerk)
    with pytest.raises(Exception, match="approv"):  # there is nobody who could
        files.start(asked, clerk)


@pytest.mark.req("F-163", "F-029")
def test_a_start_without_a_check_is_refused_where_the_page_wants_it_seen(given: Any, clerk: Any) -> None:
    seen = given("sku\nA\n", require_validation=True)
    for start in (files.start, files.check_and_start):
        with pytest.raises(ImportInvalid, match="not validated") as refused:
            start(ImportJob.objects.get(pk=seen.pk), clerk)
        assert refused.value.code == "IMPORT_004"
    assert ImportJob.objects.get(pk=seen.pk).awaits_start
    files.validate(seen, clerk)
    assert not files.start(seen, clerk).awaits_start
    at_once = files.check_and_start(given("sku\nB\n"), clerk)
    assert runner.work(at_once.pk) == "completed"
    wrong = given("sku,price\nC,x\n")
    with pytest.raises(ImportInvalid, match="has errors"):
        files.check_and_start(wrong, clerk)
    assert files.is_current(FileImport.objects.get(pk=wrong.pk))


@pytest.mark.req("F-163", "F-089")
def test_corrections_and_retries_stay_within_the_bounds(given: Any, clerk: Any, shop: psycopg.Connection) -> None:
    rows = '[{"sku": "A", "price": 1}, {"sku": "B", "price": "x"}]'
    bounds = {"columns": ("sku", "price"), "allowed_formats": ("json",), "max_rows": 2}
    job = run(given(rows, **bounds), clerk)
    assert outcomes(job) == {"read": 2, "created": 1, "failed": 1}
    again = files.retry(job, clerk)
    assert again.file.bounds == job.file.bounds == Bounds(**bounds)
    data = io.BytesIO()
    files.error_file(job, "csv", data)
    with pytest.raises(FileRefused):  # a file of the person's own is held to the formats
        files.retry_from_file(job, clerk, io.BytesIO(data.getvalue()), "fixed.csv")
    data = io.BytesIO()
    files.error_file(job, "json", data)
    fixed, refused = files.retry_from_file(
        job, clerk, io.BytesIO(data.getvalue().replace(b'"x"', b'"2"')), "fixed.json"
    )
    assert (refused, fixed.file.bounds) == ([], Bounds(**bounds))
    with pytest.raises(InvalidOption, match="You may not write"):
        files.configure(ImportJob.objects.get(pk=fixed.pk), clerk, mappings={"sku": "name"})
    assert outcomes(run(fixed, clerk)) == {"read": 1, "created": 1}
    assert shop.execute("SELECT sku, price FROM products ORDER BY sku").fetchall() == [("A", 1), ("B", 2)]


@pytest.mark.req("F-163", "U52")
def test_the_grid_corrects_rows_within_the_bounds_whatever_formats_they_allow(
    given: Any, clerk: Any, logged_in: Callable[[Any], Client]
) -> None:
    clerk.grants.create(permission="pages.settings.data_import")
    bounds = {"columns": ("sku", "price"), "allowed_formats": ("json",)}
    job = run(given('[{"sku": "A", "price": "x"}, {"sku": "B", "price": 1}]', **bounds), clerk)
    record = ImportRecord.objects.get(run__job=job, action="failed")
    form = {f"{record.pk}:0": "A", f"{record.pk}:1": "2", "act": "import"}
    answer = logged_in(clerk).post(f"/settings/data-import/{job.pk}/correct", form)
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    again = ImportJob.objects.latest("number")
    assert (again.retry_of, again.file.bounds, again.file.file_format) == (job, Bounds(**bounds), "csv")
    assert runner.work(again.pk) == "completed"
    with pytest.raises(Conflict, match="no failed row"):
        files.retry(job, clerk)


@pytest.mark.req("F-163")
def test_an_approval_is_bound_to_the_bounds_too(given: Any) -> None:
    from importer.operations.files import consent

    job = given("sku\nA\n", max_rows=3)
    before = consent.digest(job.pk)
    FileImport.objects.filter(pk=job.pk).update(within={})
    assert consent.digest(job.pk) != before


@pytest.mark.req("F-163")
@pytest.mark.django_db
def test_bounds_of_two_sides_are_what_both_leave() -> None:
    page = Bounds(columns=("a", "b"), max_rows=5, allowed_formats=("excel",), show_preview=False)
    right = Bounds(
        columns=("b", "c"), max_rows=9, max_file_size_mb=1, allowed_formats=("xlsx", "csv"), can_validate=False
    )
    assert page.also(right) == Bounds(
        columns=("b",),
        max_file_size_mb=1,
        max_rows=5,
        allowed_formats=("xlsx",),
        can_validate=False,
        show_preview=False,
    )
    assert (Bounds().stored, Bounds.of(page.stored)) == ({}, page)


def _part(job: ImportJob) -> Any:
    from importer.file_parts import part_of

    return part_of(job.file)
