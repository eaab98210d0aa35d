"""Who may do what with files and tables (F-025), and how much of it: what people are asked before a file is taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from importer.file_failures import ImportDenied, TooManyImports
from importer.file_rights import (
    allowance_of,
    check_rows,
    goal_of,
    require,
    require_file,
    require_parts,
    seen,
    table_of,
    tables_of,
    whole,
)
from importer.models import FileImport, FileUpload
from permissions import tables as granted
from permissions.models import AuditEntry
from permissions.tables import ImportAllowance
from servicevault.wording import say

__all__ = [
    "allowance_of",
    "check_pace",
    "check_room",
    "check_rows",
    "goal_of",
    "require",
    "require_any",
    "require_file",
    "require_parts",
    "seen",
    "table_of",
    "tables_of",
    "whole",
]

STORED_BYTES = 2 * 1024**3  # G33


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
                say(
                    "You may start {limit:,} imports into {table_name} in one {word}.",
                    limit=limit,
                    table_name=table_name,
                    word=word,
                ),
                hint=say("Try again later."),
                limit=limit,
            )


def check_room(user: Any, more_bytes: int) -> None:
    """Raise TooManyImports when the person's stored files would take more than they may (G33)."""
    files = FileImport.objects.filter(job__created_by=user.pk).exclude(path="")
    uploads = FileUpload.objects.filter(created_by=user.pk, expires_at__gt=timezone.now())
    stored = (files.aggregate(size=Sum("file_size"))["size"] or 0) + (uploads.aggregate(size=Sum("size"))["size"] or 0)
    if stored + more_bytes > STORED_BYTES:
        raise TooManyImports(
            say(
                "Your stored files have {stored:,} bytes; at most {stored_bytes:,} are kept.",
                stored=stored,
                stored_bytes=STORED_BYTES,
            ),
            hint=say("Start or cancel imports that wait, or wait a day after their end."),
            limit=STORED_BYTES,
        )
