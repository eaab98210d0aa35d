"""What readers hand over: records of text cells with typed hints, notices about the file, and what detection found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

TEXT, NUMBER, BOOLEAN, DATE, DATETIME, TIME, JSON = "text", "number", "boolean", "date", "datetime", "time", "json"


class Problem(NamedTuple):
    """Why one record is not good; `column` is its header or empty."""

    code: str
    message: str
    column: str = ""


class Notice(NamedTuple):
    """A warning about the file; `line` is 0 where no line is to blame."""

    code: str
    message: str
    line: int = 0


class Record(NamedTuple):
    """One record. `cells` follow the reader's headers; missing ones at the end are NULL.

    A cell is text or None (NULL). `hints` names the type where the format has one, by position: a JSON number 1.50 is
    the text "1.50" with the hint "number"; nested values are JSON text with the hint "json".
    """

    line: int  # physical line of its first character, sheet row, or record number for other formats
    number: int  # 1-based number of the data record
    cells: list[str | None]
    hints: dict[int, str]
    problems: list[Problem]

    def mapping(self, headers: list[str]) -> dict[str, str | None]:
        """Return the record by header; missing cells are None."""
        return dict(zip(headers, self.cells + [None] * (len(headers) - len(self.cells)), strict=False))


@dataclass
class Reading:
    """An open file. `headers` and `notices` may grow while `records` are taken."""

    headers: list[str]
    records: Iterator[Record]
    notices: list[Notice] = field(default_factory=list)


@dataclass(frozen=True)
class Sheet:
    """A sheet of a workbook."""

    name: str
    rows: int  # 0 where the workbook does not say
    columns: int
    hidden: bool
    first_cells: list[str]


@dataclass(frozen=True)
class RecordPath:
    """A place in a document where records repeat."""

    path: str
    count: int


@dataclass(frozen=True)
class Detection:
    """What the file is and how to read it; each part can be overridden by options."""

    format: str
    reason: str = ""  # the content that decided the format
    container: str = ""  # gzip, zip or empty
    inner_name: str = ""  # name inside the archive
    encoding: str = ""
    encoding_reason: str = ""
    delimiter: str = ""
    quote_char: str = ""
    quotes_all: bool = False  # every cell is quoted, so a quoted empty cell means nothing special
    has_headers: bool = True
    separator_line: bool = False  # the first line is Excel's `sep=;`
    date_order: str = ""  # YMD, DMY, MDY, ambiguous, or empty without dates
    sheet: str = ""
    sheets: tuple[Sheet, ...] = ()
    record_path: str = ""
    record_paths: tuple[RecordPath, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """The parse result of F-026: detection, headers, the first records and the number of records."""

    detection: Detection
    headers: list[str]
    sample: list[Record]
    total_rows: int
    total_rows_exact: bool
    notices: list[Notice]


def to_wire(value: Any) -> Any:
    """Return a frozen result as plain JSON values."""
    if isinstance(value, tuple | list):
        return [to_wire(each) for each in value]
    if isinstance(value, Detection | Inspection | Sheet | RecordPath):
        return {each.name: to_wire(getattr(value, each.name)) for each in fields(value)}
    return value


def record_from_wire(parts: list[Any]) -> Record:
    """Return the record that crossed the pipe as a JSON array."""
    line, number, cells, hints, problems = parts
    return Record(line, number, cells, {int(key): kind for key, kind in hints.items()}, [Problem(*p) for p in problems])


def inspection_from_wire(parts: dict[str, Any]) -> Inspection:
    """Return the inspection that crossed the pipe."""
    found = dict(parts["detection"])
    found["sheets"] = tuple(Sheet(**each) for each in found["sheets"])
    found["record_paths"] = tuple(RecordPath(**each) for each in found["record_paths"])
    found["notices"] = tuple(Notice(*each) for each in found["notices"])
    return Inspection(
        detection=Detection(**found),
        headers=parts["headers"],
        sample=[record_from_wire(each) for each in parts["sample"]],
        total_rows=parts["total_rows"],
        total_rows_exact=parts["total_rows_exact"],
        notices=[Notice(*each) for each in parts["notices"]],
    )
