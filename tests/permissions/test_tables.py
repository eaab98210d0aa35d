"""Rows for tables: whose row counts, and that the installation's limit is never exceeded (F-120 to F-126, F-130)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from permissions import tables
from permissions.models import ExportPermission, ImportPermission

pytestmark = pytest.mark.django_db


@pytest.mark.req("F-120", "F-130")
def test_a_row_starts_with_the_guides_defaults(charlie: Any) -> None:
    ImportPermission.objects.create(user=charlie, table_name="products")
    ExportPermission.objects.create(user=charlie, table_name="products")
    assert tables.import_allowance(charlie, "products") == tables.ImportAllowance(
        can_import=True,
        can_validate=True,
        can_preview=True,
        max_file_size_mb=10,
        max_rows_per_import=10_000,
        allowed_formats=("csv", "json", "xlsx", "xls"),
    )
    assert tables.export_allowance(charlie, "products") == tables.ExportAllowance(
        can_export=True,
        can_preview=True,
        max_rows_per_export=100_000,
        allowed_formats=("csv", "json", "xlsx"),
        file_retention_hours=24,
    )


@pytest.mark.req("F-125")
def test_no_row_allows_nothing(charlie: Any, anonymous: Any) -> None:
    assert tables.import_allowance(charlie, "products") == tables.ImportAllowance()
    assert tables.export_allowance(charlie, "products") == tables.ExportAllowance()
    assert tables.importable_tables(charlie) == tables.exportable_tables(charlie) == set()


@pytest.mark.req("F-125")
def test_each_flag_stands_alone(charlie: Any) -> None:
    ImportPermission.objects.create(user=charlie, table_name="products", can_import=False, can_validate=False)
    ImportPermission.objects.create(
        user=charlie, table_name="orders", can_import=False, can_validate=False, can_preview=False
    )
    ExportPermission.objects.create(user=charlie, table_name="products", can_export=False)
    allowance = tables.import_allowance(charlie, "products")
    assert (allowance.can_import, allowance.can_validate, allowance.can_preview) == (False, False, True)
    assert tables.importable_tables(charlie) == {"products"}
    assert tables.exportable_tables(charlie) == {"products"}


@pytest.mark.req("F-126")
def test_an_own_row_replaces_the_roles(charlie: Any) -> None:
    ImportPermission.objects.create(role=charlie.role, table_name="products", max_rows_per_import=500)
    assert tables.import_allowance(charlie, "products").max_rows_per_import == 500
    ImportPermission.objects.create(
        user=charlie, table_name="products", can_import=False, can_validate=False, can_preview=False
    )
    assert not tables.import_allowance(charlie, "products").can_import
    assert tables.importable_tables(charlie) == set()


@pytest.mark.req("F-121", "F-122", "F-123", "F-124")
def test_the_lower_of_row_and_installation_counts(charlie: Any, settings: Any) -> None:
    settings.IMPORT_MAX_FILE_SIZE, settings.IMPORT_MAX_ROWS = 20, 300
    settings.IMPORT_ALLOWED_EXTENSIONS, settings.IMPORT_REQUIRE_APPROVAL = ["csv", "xls"], True
    ImportPermission.objects.create(user=charlie, table_name="big", max_file_size_mb=21, max_rows_per_import=301)
    ImportPermission.objects.create(user=charlie, table_name="small", max_file_size_mb=19, max_rows_per_import=299)
    big, small = (tables.import_allowance(charlie, name) for name in ("big", "small"))
    assert (big.max_file_size_mb, big.max_rows_per_import) == (20, 300)
    assert (small.max_file_size_mb, small.max_rows_per_import) == (19, 299)
    assert big.allowed_formats == ("csv", "xls")
    assert big.requires_approval


@pytest.mark.req("F-126")
def test_super_admins_have_the_limits_of_the_installation(root: Any, settings: Any) -> None:
    settings.IMPORT_MAX_ROWS = 77
    assert tables.importable_tables(root) is None
    assert tables.import_allowance(root, "anything").max_rows_per_import == 77


@pytest.mark.parametrize(
    ("name", "is_allowed"), [("csv", True), ("tsv", True), ("excel", True), ("xls", False), ("yml", False)]
)
@pytest.mark.req("F-123")
def test_a_format_may_be_named_by_its_alias(name: str, is_allowed: bool) -> None:
    allowance = tables.ExportAllowance(allowed_formats=("csv", "xlsx"))
    assert tables.allows_format(allowance, name) is is_allowed


@pytest.mark.req("F-120", "F-130")
@pytest.mark.parametrize("model", [ImportPermission, ExportPermission])
def test_a_row_is_for_one_person_or_one_role_and_exists_once(model: Any, charlie: Any) -> None:
    model.objects.create(user=charlie, table_name="products")
    model.objects.create(role=charlie.role, table_name="products")
    for wrong in (
        {"user": charlie, "role": charlie.role, "table_name": "orders"},
        {"table_name": "orders"},
        {"user": charlie, "table_name": "products"},
        {"role": charlie.role, "table_name": "products"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(**wrong)
