"""What a person may import into and export from a table: the one place that reads the rows (F-125, F-126).

A person's own row replaces the row of their role. No row: nothing (DEC-08). Superusers have the global limits.
Every limit is the lower of the row's and the installation's (F-121 to F-124).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Q, QuerySet

from permissions import preferences
from permissions.models import ExportPermission, ImportPermission
from permissions.models.tables import TablePermission

# DEC-13: names people write for a format, and what they mean.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "excel": ("xlsx", "xls"),
    "yml": ("yaml",),
    "tsv": ("csv",),
    "ndjson": ("jsonl",),
}
P = TypeVar("P", bound=TablePermission)


@dataclass(frozen=True)
class ImportAllowance:
    """What may be imported into one table; the defaults are what nobody granted."""

    can_import: bool = False
    can_validate: bool = False
    can_preview: bool = False
    max_file_size_mb: int = 0
    max_rows_per_import: int = 0
    allowed_formats: tuple[str, ...] = ()  # real names, aliases expanded
    requires_approval: bool = False
    allowed_columns: tuple[str, ...] = ()  # empty: all that are not sensitive
    max_imports_per_hour: int | None = None
    max_imports_per_day: int | None = None


@dataclass(frozen=True)
class ExportAllowance:
    """What may be exported from one table; the defaults are what nobody granted."""

    can_export: bool = False
    can_preview: bool = False
    max_rows_per_export: int = 0
    allowed_formats: tuple[str, ...] = ()
    allowed_columns: tuple[str, ...] = ()
    requires_approval: bool = False
    row_filter: Mapping[str, Any] = field(default_factory=dict)
    file_retention_hours: int = 0
    max_exports_per_hour: int | None = None
    max_exports_per_day: int | None = None


def import_allowance(user: Any, table_name: str) -> ImportAllowance:
    """What the person may import into the table. Two queries; one for superusers."""
    if not _is_active(user):
        return ImportAllowance()
    limits = preferences.values()
    if user.is_superuser:
        return ImportAllowance(
            can_import=True,
            can_validate=True,
            can_preview=True,
            max_file_size_mb=limits["IMPORT_MAX_FILE_SIZE"],
            max_rows_per_import=settings.IMPORT_MAX_ROWS,
            allowed_formats=tuple(limits["IMPORT_ALLOWED_EXTENSIONS"]),
            requires_approval=limits["IMPORT_REQUIRE_APPROVAL"],
        )
    row = import_row(user, table_name)
    return ImportAllowance() if row is None else _import_of(row, limits)


def export_allowance(user: Any, table_name: str) -> ExportAllowance:
    """What the person may export from the table. One query; none for superusers."""
    if not _is_active(user):
        return ExportAllowance()
    if user.is_superuser:
        return ExportAllowance(
            can_export=True,
            can_preview=True,
            max_rows_per_export=settings.EXPORT_MAX_ROWS,
            allowed_formats=tuple(settings.EXPORT_ALLOWED_FORMATS),
            file_retention_hours=settings.EXPORT_FILE_RETENTION_HOURS,
        )
    row = export_row(user, table_name)
    return ExportAllowance() if row is None else _export_of(row)


def import_row(user: Any, table_name: str) -> ImportPermission | None:
    """The row that counts for the person: their own, else their role's."""
    return _counting(ImportPermission.objects.filter(table_name=table_name), user).get(table_name)


def export_row(user: Any, table_name: str) -> ExportPermission | None:
    """The row that counts for the person: their own, else their role's."""
    return _counting(ExportPermission.objects.filter(table_name=table_name), user).get(table_name)


def allowances(
    user: Any,
) -> dict[str, tuple[ImportAllowance, ImportPermission | None, ExportAllowance, ExportPermission | None]]:
    """By table: what the person may do, and the rows that say so. Three queries, however many tables."""
    limits = preferences.values()
    imports = _counting(ImportPermission.objects.select_related("role"), user)
    exports = _counting(ExportPermission.objects.select_related("role"), user)
    return {
        name: (
            _import_of(imports[name], limits) if name in imports else ImportAllowance(),
            imports.get(name),
            _export_of(exports[name]) if name in exports else ExportAllowance(),
            exports.get(name),
        )
        for name in {*imports, *exports}
    }


def importable_tables(user: Any) -> set[str] | None:
    """Tables the person may do anything with towards importing; None: all (superusers). One query."""
    if _is_active(user) and user.is_superuser:
        return None
    rows = _counting(ImportPermission.objects.all(), user)
    return {name for name, row in rows.items() if row.can_import or row.can_validate or row.can_preview}


def exportable_tables(user: Any) -> set[str] | None:
    """Tables the person may do anything with towards exporting; None: all (superusers). One query."""
    if _is_active(user) and user.is_superuser:
        return None
    rows = _counting(ExportPermission.objects.all(), user)
    return {name for name, row in rows.items() if row.can_export or row.can_preview}


def largest_upload_mb(user: Any) -> int:
    """The largest file the person may import into any table, in MB; 0 for none. Two queries."""
    if not _is_active(user):
        return 0
    if user.is_superuser:
        return int(preferences.values()["IMPORT_MAX_FILE_SIZE"])
    limits, rows = preferences.values(), _counting(ImportPermission.objects.all(), user).values()
    usable = [row for row in rows if row.can_import or row.can_validate or row.can_preview]
    return max((_import_of(row, limits).max_file_size_mb for row in usable), default=0)


def allows_format(allowance: ImportAllowance | ExportAllowance, name: str) -> bool:
    """Whether a format, by its name or an alias such as `excel`, may be used."""
    return any(each in allowance.allowed_formats for each in expanded([name]))


def expanded(names: list[str]) -> list[str]:
    """The formats these names mean, each once: `excel` is xlsx and xls."""
    found = [real for name in names for real in ALIASES.get(name.lower().lstrip("."), (name.lower().lstrip("."),))]
    return list(dict.fromkeys(found))


def _is_active(user: Any) -> bool:
    return bool(getattr(user, "is_authenticated", False) and user.is_active)


def _counting(rows: QuerySet[P], user: Any) -> dict[str, P]:
    """Table → the row that counts, own rows before the role's."""
    if not _is_active(user):
        return {}
    of_person = Q(user=user.pk) | (Q(role=user.role_id) if user.role_id else Q(pk__in=[]))
    found: dict[str, P] = {}
    for row in rows.filter(of_person):
        if row.user_id or row.table_name not in found:
            found[row.table_name] = row
    return found


def _import_of(row: ImportPermission, limits: Mapping[str, Any]) -> ImportAllowance:
    return ImportAllowance(
        can_import=row.can_import,
        can_validate=row.can_validate,
        can_preview=row.can_preview,
        max_file_size_mb=min(row.max_file_size_mb, limits["IMPORT_MAX_FILE_SIZE"]),
        max_rows_per_import=min(row.max_rows_per_import, settings.IMPORT_MAX_ROWS),
        allowed_formats=_both(row.allowed_formats, limits["IMPORT_ALLOWED_EXTENSIONS"]),
        requires_approval=row.requires_approval or limits["IMPORT_REQUIRE_APPROVAL"],
        allowed_columns=tuple(row.allowed_columns),
        max_imports_per_hour=row.max_imports_per_hour,
        max_imports_per_day=row.max_imports_per_day,
    )


def _export_of(row: ExportPermission) -> ExportAllowance:
    return ExportAllowance(
        can_export=row.can_export,
        can_preview=row.can_preview,
        max_rows_per_export=min(row.max_rows_per_export, settings.EXPORT_MAX_ROWS),
        allowed_formats=_both(row.allowed_formats, settings.EXPORT_ALLOWED_FORMATS),
        allowed_columns=tuple(row.allowed_columns),
        requires_approval=row.requires_approval,
        row_filter=row.row_filter,
        file_retention_hours=(
            settings.EXPORT_FILE_RETENTION_HOURS
            if row.file_retention_hours is None
            else min(row.file_retention_hours, settings.EXPORT_FILE_RETENTION_HOURS)
        ),
        max_exports_per_hour=row.max_exports_per_hour,
        max_exports_per_day=row.max_exports_per_day,
    )


def _both(of_row: list[str], of_installation: list[str]) -> tuple[str, ...]:
    return tuple(name for name in expanded(of_row) if name in of_installation)
