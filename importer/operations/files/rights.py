"""Who may do what with files and tables, asked before anything is read (F-025)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from importer.file_parts import Part, parts_of
from importer.models import FileImport, FileUpload
from importer.operations.files.failures import ImportDenied, TooManyImports, UnknownTable
from permissions import policy, preferences, roles
from permissions import tables as granted
from permissions.models import AuditEntry
from permissions.tables import ImportAllowance
from servicevault import tables
from servicevault.tables import Table

PEOPLE = "users"
STORED_BYTES = 2 * 1024**3  # G33
WORDS = {"can_import": "import into", "can_validate": "validate files for", "can_preview": "preview files for"}


def table_of(table_name: str) -> Table:
    """The table as it is now. Raises UnknownTable, for internal ones too (F-009)."""
    try:
        return tables.find(table_name)
    except tables.UnknownTable as error:
        raise UnknownTable(str(error)) from None


def require(user: Any, table_name: str, action: str = "can_import", *, system: bool = False) -> ImportAllowance:
    """What the person may import into the table. Raises UnknownTable, then ImportDenied.

    `system` is the installation itself: only its own limits count.
    """
    table_name = table_of(table_name).name  # `public.users` is `users`
    if system:
        return whole()
    allowance = granted.import_allowance(user, table_name)
    if not getattr(allowance, action):
        raise ImportDenied(table_name, WORDS[action])
    if table_name == PEOPLE and action == "can_import" and not policy.has(user, *roles.EXECUTE):  # G16
        raise ImportDenied(table_name)
    return allowance


def require_parts(
    user: Any, parts: Sequence[Part], action: str = "can_import", *, system: bool = False
) -> ImportAllowance:
    """What the person may do with a file of these parts: what every table of them allows. Raises as `require` does."""
    return allowance_of([require(user, name, action, system=system) for name in tables_of(parts)])


def allowance_of(found: Sequence[ImportAllowance]) -> ImportAllowance:
    """What all of these allow together; columns, which are each table's own, are those of one table alone."""
    if len(found) == 1:
        return found[0]
    return ImportAllowance(
        can_import=all(each.can_import for each in found),
        can_validate=all(each.can_validate for each in found),
        can_preview=all(each.can_preview for each in found),
        max_file_size_mb=min(each.max_file_size_mb for each in found),
        max_rows_per_import=min(each.max_rows_per_import for each in found),
        allowed_formats=tuple(
            name for name in found[0].allowed_formats if all(name in each.allowed_formats for each in found)
        ),
        requires_approval=any(each.requires_approval for each in found),
    )


def seen_allowance(user: Any, file: FileImport) -> ImportAllowance:
    """The same of a stored file, for pages: nothing is raised."""
    return allowance_of([granted.import_allowance(user, name) for name in tables_of(parts_of(file))])


def columns_of(user: Any, part: Part, *, system: bool = False) -> tuple[str, ...]:
    """The columns of the part's table that may be filled; none: all."""
    return () if system else granted.import_allowance(user, part.table_name).allowed_columns


def tables_of(parts: Sequence[Part]) -> list[str]:
    return list(dict.fromkeys(part.table_name for part in parts))


def require_any(user: Any, *, system: bool = False) -> ImportAllowance:
    """The widest of the person's rights, for a file that is only looked at. Raises ImportDenied without any."""
    if system:
        return whole()
    names = granted.importable_tables(user)
    if names is None:
        return whole()
    if not names:
        raise ImportDenied("", "import into")
    all_of = [granted.import_allowance(user, name) for name in sorted(names)]
    formats = dict.fromkeys(each for allowance in all_of for each in allowance.allowed_formats)
    return ImportAllowance(
        can_preview=True,
        max_file_size_mb=max(allowance.max_file_size_mb for allowance in all_of),
        max_rows_per_import=max(allowance.max_rows_per_import for allowance in all_of),
        allowed_formats=tuple(formats),
    )


def check_pace(user: Any, table_name: str) -> None:
    """Raise TooManyImports when the person started as many imports into the table as the permission allows."""
    allowance = granted.import_allowance(user, table_name)
    for limit, hours, word in ((allowance.max_imports_per_hour, 1, "hour"), (allowance.max_imports_per_day, 24, "day")):
        if limit is None:
            continue
        since = timezone.now() - timedelta(hours=hours)
        started = AuditEntry.objects.filter(
            user_id=user.pk, operation="import_started", table_name=table_name, timestamp__gt=since
        ).count()
        if started >= limit:
            raise TooManyImports(
                f"You may start {limit:,} imports into {table_name} in one {word}.",
                hint="Try again later.",
                limit=limit,
            )


def check_room(user: Any, more_bytes: int) -> None:
    """Raise TooManyImports when the person's stored files would take more than they may (G33)."""
    files = FileImport.objects.filter(job__created_by=user.pk).exclude(path="")
    uploads = FileUpload.objects.filter(created_by=user.pk, expires_at__gt=timezone.now())
    stored = (files.aggregate(size=Sum("file_size"))["size"] or 0) + (uploads.aggregate(size=Sum("size"))["size"] or 0)
    if stored + more_bytes > STORED_BYTES:
        raise TooManyImports(
            f"Your stored files have {stored:,} bytes; at most {STORED_BYTES:,} are kept.",
            hint="Start or cancel imports that wait, or wait a day after their end.",
            limit=STORED_BYTES,
        )


def whole() -> ImportAllowance:
    """The installation's own limits and nothing else."""
    return ImportAllowance(
        can_import=True,
        can_validate=True,
        can_preview=True,
        max_file_size_mb=preferences.value("IMPORT_MAX_FILE_SIZE"),
        max_rows_per_import=settings.IMPORT_MAX_ROWS,
        allowed_formats=tuple(preferences.value("IMPORT_ALLOWED_EXTENSIONS")),
    )
