"""What an operation on files refuses with: the codes of guide B, each with its status and what it adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from importer.errors import ImporterError
from servicevault.wording import say

MIB = 1024 * 1024


class FileFailure(ImporterError):
    """A refusal with a status of its own; `more` are the members that its answer adds."""

    status = 422

    def __init__(self, message: str, *, hint: str = "", **more: Any) -> None:
        super().__init__(message, hint=hint)
        self.more = more


class FileTooLarge(FileFailure):
    """IMPORT_001: more bytes than the person or the installation allows (F-022)."""

    code, status = "IMPORT_001", 413

    def __init__(self, size_bytes: int, limit_mb: int) -> None:
        size = round(size_bytes / MIB, 2)
        super().__init__(
            say("The file has {size:,} MB or more; at most {limit_mb:,} MB are allowed.", size=size, limit_mb=limit_mb),
            hint=say("Split it, or ask for a higher limit."),
            limit_mb=limit_mb,
            size_mb=size,
        )


class FileRefused(FileFailure):
    """IMPORT_002: not a file that can or may be read (F-024, F-085)."""

    code, status = "IMPORT_002", 415

    def __init__(self, message: str, *, allowed_formats: Sequence[str], hint: str = "") -> None:
        super().__init__(message, hint=hint, allowed_formats=list(allowed_formats))


class ImportDenied(FileFailure):
    """IMPORT_003: no permission to import into the table (F-025)."""

    code, status = "IMPORT_003", 403

    def __init__(
        self,
        table_name: str,
        wanted: str = say("import into"),
        *,
        hint: str = say("Ask a super admin for an import permission."),
    ) -> None:
        super().__init__(
            say("You may not {wanted} {table_name}.", wanted=wanted, table_name=table_name or say("any table")),
            hint=hint,
            table_name=table_name,
        )


class ImportInvalid(FileFailure):
    """IMPORT_004: the content keeps the import from starting (F-029, F-059)."""

    code, status = "IMPORT_004", 422


class TooManyImports(FileFailure):
    """More imports into the table than the person's permission allows in an hour or a day (G30)."""

    code, status = "rate_limited", 429


class NotThere(ImporterError):
    """No such upload or template, or somebody else's."""

    code = "not_found"


class UnknownTable(ImporterError):
    """No table of that name, or an internal one."""

    code = "not_found"
