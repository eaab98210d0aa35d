"""Failures of files, foreseen and safe to show: what happened, where, and what to do next."""

from __future__ import annotations


class FileRejected(Exception):
    """The file as a whole cannot be read. `code` is stable, `line` is 1-based or 0 where no line is to blame."""

    def __init__(self, message: str, *, code: str = "file_rejected", line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.line = line


class OptionRefused(ValueError):
    """An option is unknown or its value is none of the allowed ones; `option` names it."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class CellRefused(ValueError):
    """A text is no value of the wanted type; `code` is stable."""

    def __init__(self, message: str, *, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.code = code


class RowNotWritable(Exception):
    """A value cannot be written in the chosen format or encoding; the message names row and column."""
