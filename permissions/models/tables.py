"""What one person, or everybody with a role, may import into and export from one table (F-120, F-130)."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

TABLE_NAME_CHARACTERS = 127  # schema and name: 63 bytes each (NAMEDATALEN - 1) and the dot
FORMAT_CHARACTERS = 16
COLUMN_CHARACTERS = 63


def usual_formats() -> list[str]:
    """What a row allows unless it says otherwise; `excel` is xlsx and xls."""
    return ["csv", "json", "excel"]


def _columns() -> ArrayField[Any, Any]:
    return ArrayField(models.CharField(max_length=COLUMN_CHARACTERS), default=list, blank=True)  # empty: all


class TablePermission(models.Model):
    """A row for one person or one role and one table. No row means no (DEC-08)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="%(class)ss"
    )
    role = models.ForeignKey(
        "permissions.Role", null=True, blank=True, on_delete=models.CASCADE, related_name="%(class)ss"
    )
    table_name = models.CharField(max_length=TABLE_NAME_CHARACTERS)
    can_preview = models.BooleanField(default=True)
    allowed_formats = ArrayField(models.CharField(max_length=FORMAT_CHARACTERS), default=usual_formats)
    allowed_columns = _columns()
    requires_approval = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["table_name", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(user=None, role__isnull=False) | Q(role=None, user__isnull=False),
                name="%(class)s_user_or_role",
            ),
            models.UniqueConstraint(
                fields=["user", "table_name"], condition=Q(user__isnull=False), name="%(class)s_user_once"
            ),
            models.UniqueConstraint(
                fields=["role", "table_name"], condition=Q(role__isnull=False), name="%(class)s_role_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.role}: {self.table_name}"


class ImportPermission(TablePermission):
    """The right to import into a table, and its limits."""

    can_import = models.BooleanField(default=True)
    can_validate = models.BooleanField(default=True)
    max_file_size_mb = models.PositiveIntegerField(default=10)
    max_rows_per_import = models.PositiveIntegerField(default=10_000)
    max_imports_per_hour = models.PositiveIntegerField(null=True, blank=True)
    max_imports_per_day = models.PositiveIntegerField(null=True, blank=True)

    class Meta(TablePermission.Meta):
        db_table = "import_permissions"

    @property
    def most_rows(self) -> int:
        return self.max_rows_per_import


class ExportPermission(TablePermission):
    """The right to export from a table, and its limits."""

    can_export = models.BooleanField(default=True)
    max_rows_per_export = models.PositiveIntegerField(default=100_000)
    row_filter = models.JSONField(default=dict, blank=True)  # always ANDed to the export's own
    file_retention_hours = models.PositiveIntegerField(null=True, blank=True)
    max_exports_per_hour = models.PositiveIntegerField(null=True, blank=True)
    max_exports_per_day = models.PositiveIntegerField(null=True, blank=True)

    class Meta(TablePermission.Meta):
        db_table = "export_permissions"

    @property
    def most_rows(self) -> int:
        return self.max_rows_per_export
