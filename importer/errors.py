"""Failures the importer foresees. Each says what happened, where, and what to do next."""

from __future__ import annotations


class ImporterError(Exception):
    """A foreseen failure, safe to show: never holds a secret nor the driver's raw text.

    `code` is stable and machine-readable (the spec's error codes), `where` names the place
    (a member path of a spec, a stage of a connection), `hint` says what to do.
    """

    code = "importer_error"

    def __init__(self, message: str, *, hint: str = "", where: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SourceError(ImporterError):
    """The source could not be reached, refused us, or answered in a way we do not accept."""

    code = "connection_failed"


class HostNotAllowed(SourceError):
    """The host policy refuses the address; says nothing about whether it is reachable."""

    code = "host_not_allowed"


class SourceTimeout(SourceError):
    """A statement outlived its deadline and the connection was cut from our side."""

    code = "timeout"


class SourceLost(SourceError):
    """An open source connection broke; the work can be resumed."""

    code = "source_lost"


class SourceExhausted(SourceError):
    """The source had not enough for a statement; with fewer rows it may do.

    `of_one_value`: a single value was larger than it can hold. Otherwise memory or space lacked, whoever took it.
    """

    code = "source_exhausted"

    def __init__(self, message: str, *, hint: str, of_one_value: bool) -> None:
        super().__init__(message, hint=hint)
        self.of_one_value = of_one_value


class QueryError(ImporterError):
    """A query specification cannot be compiled or run. `where` is the path in the spec."""

    code = "query_invalid"


class ExpressionError(QueryError):
    """A text lies outside the expression language. `position` is 0-based, `token` the text there."""

    code = "expression_rejected"

    def __init__(
        self, message: str, *, position: int, token: str = "", suggestion: str = "", hint: str = "", where: str = ""
    ) -> None:
        super().__init__(message, hint=hint, where=where)
        self.position = position
        self.token = token
        self.suggestion = suggestion


class PackError(ImporterError):
    """A pack definition is not acceptable. `where` is the path in the definition."""

    code = "pack_invalid"


class JobFailed(ImporterError):
    """The job ends as failed; `code` becomes its `error_code` (C16 of the spec)."""

    code = "internal_error"
