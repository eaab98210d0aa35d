"""What an export refuses with: each says what happened, where, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from servicevault.wording import say, say_count


class ExportError(Exception):
    """A foreseen failure, safe to show. `code` is stable; `more` is what the API adds to the body."""

    code = "validation_error"
    status = 422

    def __init__(self, message: str, *, hint: str = "", more: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.more: dict[str, Any] = dict(more or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class TooManyRows(ExportError):
    """More rows than the caller, the installation or the format allows; nothing is cut silently (F-093)."""

    code = "EXPORT_001"

    def __init__(self, rows: int, limit: int) -> None:
        super().__init__(
            say_count(
                "This is {count} row; at most {limit:,} may be exported at once.",
                "These are {count:,} rows; at most {limit:,} may be exported at once.",
                rows,
                limit=limit,
            ),
            hint=say("Add filters, or ask for a higher limit."),
            more={"rows": rows, "limit": limit},
        )


class NotPermitted(ExportError):
    """The table exists, and the caller may not do this with it."""

    code = "EXPORT_002"
    status = 403

    def __init__(self, table_name: str, what: str = "export") -> None:
        super().__init__(
            say("You may not {what} “{table_name}”.", what=what, table_name=table_name),
            hint=say("Ask a person who manages table permissions."),
            more={"table_name": table_name},
        )


class InvalidColumns(ExportError):
    """Columns that do not exist or may not leave: told alike, so that nobody learns which (F-092)."""

    code = "EXPORT_003"

    def __init__(self, table_name: str, columns: Sequence[str], *, why: str = "") -> None:
        names = ", ".join(f"`{name}`" for name in columns[:10])
        super().__init__(
            why
            or say(
                "“{table_name}” has no column that you may export by the name {names}.",
                table_name=table_name,
                names=names,
            ),
            hint="" if why else say("Correct the name, or leave the column out."),
            more={"invalid_columns": list(columns)},
        )


class UnknownTable(ExportError):
    """No table of that name, or an internal one."""

    code = "not_found"
    status = 404

    def __init__(self, table_name: str) -> None:
        super().__init__(
            say("There is no table “{table_name}”.", table_name=table_name), more={"table_name": table_name}
        )


class InvalidFields(ExportError):
    """Values that cannot be right: `errors` has the sentences of each member."""

    def __init__(self, errors: Mapping[str, Sequence[str]], **more: Any) -> None:
        found = {name: list(texts) for name, texts in errors.items()}
        super().__init__(next(iter(found.values()))[0], more={"errors": found, **more})
        self.errors = found


class Conflict(ExportError):
    """The object's state does not allow the action."""

    code = "conflict"
    status = 409


class VersionConflict(Conflict):
    """Somebody else saved the object since it was read (C10)."""

    code = "version_conflict"

    def __init__(self, name: str, *, changed_by: str, changed_at: datetime) -> None:
        super().__init__(
            say("“{name}” was changed meanwhile.", name=name),
            hint=say("Reload it and apply your change again."),
            more={"changed_by": changed_by, "changed_at": changed_at},
        )


class Expired(ExportError):
    """The file is not kept any more."""

    code = "expired"
    status = 410


class TooOften(ExportError):
    """More exports than the caller may have at once or in this time."""

    code = "rate_limited"
    status = 429


class ReadFailed(ExportError):
    """The database refused or broke off the reading; `code` is the job's error_code (C16)."""

    code = "query_failed"

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        if code:
            self.code = code
