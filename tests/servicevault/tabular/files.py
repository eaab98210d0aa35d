"""Files made by code, and their records as the tests want to see them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl

from servicevault.tabular import detection
from servicevault.tabular.limits import DEFAULT, Limits
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.records import Detection, Record

EXCEL_97 = Path(__file__).parents[2] / "files" / "excel97.xls"


class Read(NamedTuple):
    """A file read to its end."""

    found: Detection
    headers: list[str]
    records: list[Record]
    notices: list[str]

    @property
    def rows(self) -> list[dict[str, str | None]]:
        return [record.mapping(self.headers) for record in self.records]

    @property
    def problems(self) -> list[tuple[int, str]]:
        return [(record.line, problem.code) for record in self.records for problem in record.problems]


def read(data: bytes | str, limits: Limits = DEFAULT, **options: Any) -> Read:
    content = data.encode() if isinstance(data, str) else data
    with detection.opened(io.BytesIO(content), ReadOptions.parse(options), limits) as (found, reading):
        records = list(reading.records)
    return Read(found, reading.headers, records, [notice.code for notice in reading.notices])


def workbook(fill: Callable[[openpyxl.Workbook], None]) -> bytes:
    book = openpyxl.Workbook()
    fill(book)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def rows_workbook(*rows: list[Any]) -> bytes:
    def fill(book: openpyxl.Workbook) -> None:
        for row in rows:
            book.active.append(row)

    return workbook(fill)


def zipped(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def changed_part(book: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """Return a workbook with one part rewritten."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, change(content.decode()) if name == part else content)
    return target.getvalue()
