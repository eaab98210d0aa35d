"""Records as lines of PostgreSQL's COPY: number, key, problems, and the cells as one JSON object.

Made by the reading child, so that whoever stores them touches no row. A line is
`<number> TAB <key> TAB <problems or \\N> TAB <json>`; the key is the record's line with leading zeros, so that texts
sort as the file does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from operator import add

from servicevault.tabular.records import BOOLEAN, JSON, NUMBER, Record

KEY_DIGITS = 10
JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,4})?")
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
_quoted = json.encoder.encode_basestring  # of one text; a tenth of what an encoder takes for a row


class RowTexts:
    """Writes cells as JSON objects by a header list that may still grow."""

    def __init__(self, headers: list[str]) -> None:
        self._headers = headers
        self._members: list[str] = []  # `"header": `

    def of(self, record: Record) -> str:
        """The record as JSON text: numbers, truths and nested values as their file wrote them, the rest as texts."""
        if len(self._members) != len(self._headers):
            self._members = [f"{_quoted(header)}: " for header in self._headers]
        hints = record.hints
        if hints:
            values = [_value(cell, hints.get(place, "")) for place, cell in enumerate(record.cells)]
        else:
            values = ["null" if cell is None else _quoted(cell) for cell in record.cells]
        return "{" + ", ".join(map(add, self._members, values)) + "}"


def copy_line(record: Record, texts: RowTexts) -> str:
    """The record's line; a NUL, which no JSON of PostgreSQL holds, is replaced where it is named as a problem."""
    row = texts.of(record)
    problems = "\\N"
    if record.problems:
        row = row.replace("\\u0000", "\ufffd")
        told = _encode([_told(problem._asdict()) for problem in record.problems])
        problems = _escaped(told.replace("\\u0000", "\ufffd"))
    return f"{record.number}\t{record.line:0{KEY_DIGITS}d}\t{problems}\t{_escaped(row)}\n"


def _told(problem: Mapping[str, str]) -> dict[str, str]:
    return {"code": problem["code"], "message": problem["message"], "column": problem["column"]}


def _value(cell: str | None, hint: str) -> str:
    if cell is None:
        return "null"
    if (hint == NUMBER and JSON_NUMBER.fullmatch(cell)) or (hint == BOOLEAN and cell in {"true", "false"}):
        return str(cell)
    return str(cell) if hint == JSON else _quoted(cell)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\") if "\\" in text else text
