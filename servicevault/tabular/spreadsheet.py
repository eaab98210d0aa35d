"""The parts of an XLSX package, read as a stream: sheets, styles, shared texts, rows. Nothing is ever run."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import IO, Any, NamedTuple

from lxml import etree

from servicevault.tabular.containers import Capped, open_zip
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.records import BOOLEAN, DATE, DATETIME, NUMBER, TIME
from servicevault.wording import say

REFERENCE = re.compile(r"([A-Z]{1,4})(\d{1,8})")
MERGED = re.compile(rb'<(?:\w+:)?mergeCell [^>]*?ref="([A-Z]{1,4}\d{1,8}):([A-Z]{1,4}\d{1,8})"')
DIMENSION = re.compile(rb'<(?:\w+:)?dimension [^>]*?ref="(?:[A-Z]+\d+:)?([A-Z]{1,4}\d{1,8})"')
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
# ECMA-376 part 1, 18.8.30: number formats that are dates and times without being written out.
BUILT_IN = {**dict.fromkeys((14, 15, 16, 17), DATE), 22: DATETIME, **dict.fromkeys((18, 19, 20, 21, 45, 46, 47), TIME)}
NO_DATE_IN_FORMAT = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.I)
MERGES = 100_000


class Cell(NamedTuple):
    """A cell as text with its hint; `problem` is a code where it has no usable value."""

    text: str | None
    hint: str = ""
    problem: str = ""


@dataclass(frozen=True)
class SheetPart:
    """A sheet and where it lies in the package."""

    name: str
    hidden: bool
    part: str


@dataclass(frozen=True)
class Range:
    """A merged range; rows and columns are 0-based and inclusive."""

    top: int
    left: int
    bottom: int
    right: int


class Row(NamedTuple):
    """A row of a sheet: 1-based number, cells by position."""

    number: int
    cells: dict[int, Cell]
    hidden: bool


class Package:
    """An XLSX file. Shared texts stay in memory, rows do not."""

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        self._archive = open_zip(stream, limits)
        self._size = stream.seek(0, 2)
        self._limits = limits
        self._texts: list[str] | None = None
        names = set(self._archive.namelist())
        if any("vbaproject" in name.lower() for name in names):
            raise FileRejected(say("The workbook holds macros. Save it as .xlsx without macros and send it again."))
        workbook = self._tree("xl/workbook.xml")
        if workbook is None:
            raise FileRejected(say("The archive is no Excel workbook: it has no xl/workbook.xml."))
        properties = workbook.find("{*}workbookPr")
        self._is_1904 = properties is not None and properties.get("date1904") in {"1", "true"}
        self.sheets = self._sheets(workbook, names)
        self._kinds, self._widths = self._styles()

    def _open(self, part: str) -> IO[bytes]:
        return Capped(self._archive.open(part), self._size, self._limits)  # type: ignore[return-value]

    def _tree(self, part: str) -> Any:
        if part not in self._archive.namelist():
            return None
        with _workbook_errors(part):
            root = None
            for _, root in etree.iterparse(self._open(part), events=("start",), **SAFE):
                _refuse_doctype(root)
            return root.getroottree().getroot() if root is not None else None

    def _sheets(self, workbook: Any, names: set[str]) -> list[SheetPart]:
        relations = self._tree("xl/_rels/workbook.xml.rels")
        targets = {} if relations is None else {each.get("Id"): each.get("Target", "") for each in relations}
        sheets = []
        for sheet in workbook.iterfind("{*}sheets/{*}sheet"):
            identity = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
            target = targets.get(identity, "")
            part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            if part in names and "worksheet" in part:
                sheets.append(SheetPart(sheet.get("name", ""), sheet.get("state", "visible") != "visible", part))
        if not sheets:
            raise FileRejected(say("The workbook has no sheet with cells. Send one that holds a table."))
        return sheets

    def _styles(self) -> tuple[list[str], list[int]]:
        """Return for each cell style the kind of value it shows, and the width it pads numbers to."""
        styles = self._tree("xl/styles.xml")
        if styles is None:
            return [], []
        codes = {each.get("numFmtId"): each.get("formatCode", "") for each in styles.iterfind("{*}numFmts/{*}numFmt")}
        kinds, widths = [], []
        for style in styles.iterfind("{*}cellXfs/{*}xf"):
            identity = style.get("numFmtId", "0")
            code = codes.get(identity, "")
            kinds.append(_kind(code) if code else BUILT_IN.get(int(identity) if identity.isdigit() else 0, ""))
            widths.append(len(code) if re.fullmatch("0{2,50}", code) else 0)
        return kinds, widths

    def size(self, sheet: SheetPart) -> tuple[int, int]:
        """Return rows and columns the sheet claims; 0, 0 where it does not."""
        with _workbook_errors(sheet.part), self._open(sheet.part) as content:
            found = DIMENSION.search(content.read(64 * 1024))
        if not found:
            return 0, 0
        row, column = position(found[1].decode())
        return row + 1, column + 1

    def merged(self, sheet: SheetPart) -> list[Range]:
        """Return the merged ranges, which a sheet names after its rows: one pass over the unpacked bytes."""
        ranges: list[Range] = []
        tail = b""
        with _workbook_errors(sheet.part), self._open(sheet.part) as content:
            while data := content.read(256 * 1024):
                for found in MERGED.finditer(tail + data):
                    (top, left), (bottom, right) = position(found[1].decode()), position(found[2].decode())
                    ranges.append(Range(top, left, bottom, right))
                tail = data[-200:] if b"mergeCell" in data[-200:] else b""
                if len(ranges) > MERGES:
                    raise FileRejected(
                        say(
                            "The sheet `{sheet}` has more than {merges:,} merged ranges. Unmerge them and send it again.",
                            sheet=sheet.name,
                            merges=MERGES,
                        )
                    )
        return sorted(set(ranges), key=lambda each: (each.top, each.left))

    def rows(self, sheet: SheetPart) -> Iterator[Row]:
        """Yield the rows that exist in the sheet."""
        if self._texts is None:
            self._texts = self._shared_texts()
        number = 0
        with _workbook_errors(sheet.part):
            events = etree.iterparse(self._open(sheet.part), events=("end",), tag="{*}row", **SAFE)
            for _, element in events:
                if number == 0:
                    _refuse_doctype(element)
                number = self._row_number(element.get("r"), number)
                yield Row(number, self._cells(element), element.get("hidden") in {"1", "true"})
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]

    def _row_number(self, written: str | None, before: int) -> int:
        number = int(written) if written and written.isdigit() and len(written) < 9 else before + 1
        if number > self._limits.sheet_rows or number <= before:
            raise FileRejected(
                say("The workbook is damaged: row {number:,} follows row {before:,}.", number=number, before=before)
            )
        return number

    def _cells(self, row: Any) -> dict[int, Cell]:
        cells: dict[int, Cell] = {}
        column = -1
        for element in row:
            reference = element.get("r")
            column = position(reference)[1] if reference else column + 1
            cell = self._cell(element)
            if cell.text is None and not cell.problem:
                continue
            if column >= self._limits.columns:
                raise FileRejected(
                    say(
                        "The sheet uses column {column:,}; at most {columns:,} are read.",
                        column=column + 1,
                        columns=self._limits.columns,
                    )
                )
            cells[column] = cell
        return cells

    def _cell(self, element: Any) -> Cell:
        kind, value, has_formula = element.get("t", "n"), None, False
        for child in element:
            name = child.tag.rpartition("}")[2]
            if name == "v":
                value = child.text or ""
            elif name == "f":
                has_formula = True
            elif name == "is":
                return Cell(_rich_text(child))
        if value is None or (value == "" and kind != "str"):
            return Cell(None, problem="formula_without_value" if has_formula else "")
        if kind == "s":
            return self._shared(value)
        if kind == "b":
            return Cell("true" if value in {"1", "true"} else "false", BOOLEAN)
        if kind == "e":
            return Cell(value, problem="cell_error")
        if kind == "str":
            return Cell(unescaped(value))
        if kind == "d":
            return Cell(value, DATE if len(value) == 10 else DATETIME)
        return self._number(value, element.get("s"))

    def _shared(self, value: str) -> Cell:
        index = int(value) if value.isdigit() and len(value) < 10 else -1
        if self._texts is None or not 0 <= index < len(self._texts):
            return Cell(None, problem="missing_text")
        return Cell(self._texts[index])

    def _number(self, value: str, style: str | None) -> Cell:
        index = int(style) if style and style.isdigit() else 0
        kind = self._kinds[index] if index < len(self._kinds) else ""
        try:
            number = float(value)
        except ValueError:
            return Cell(value, problem="cell_error")
        if kind:
            return serial_date(number, kind, is_1904=self._is_1904)
        text = value if value.isdigit() and len(value) < 16 else plain_number(number)
        width = self._widths[index] if index < len(self._widths) else 0
        return Cell(text.rjust(width, "0") if width and text.isdigit() else text, NUMBER)

    def _shared_texts(self) -> list[str]:
        if "xl/sharedStrings.xml" not in self._archive.namelist():
            return []
        texts: list[str] = []
        with _workbook_errors("xl/sharedStrings.xml"):
            for _, element in etree.iterparse(self._open("xl/sharedStrings.xml"), events=("end",), tag="{*}si", **SAFE):
                texts.append(_rich_text(element))
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
        return texts


SAFE: dict[str, Any] = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}


class _workbook_errors:  # noqa: N801 - used as a context manager only
    def __init__(self, part: str) -> None:
        self._part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(
            error, etree.XMLSyntaxError | zipfile.BadZipFile | EOFError | OSError | ValueError | OverflowError
        ):
            cause = re.sub(r"\s+", " ", str(error))[:200]
            raise FileRejected(
                say("The workbook is damaged in its part {part}: {cause}.", part=self._part, cause=cause)
            ) from error
        if isinstance(error, NotImplementedError) or type(error).__module__ == "zlib":
            raise FileRejected(
                say("The workbook's part {part} cannot be unpacked. Save it again and send that.", part=self._part)
            ) from error


def _refuse_doctype(element: Any) -> None:
    if element.getroottree().docinfo.doctype:
        raise FileRejected(
            say("The workbook holds a document type (DTD), which Excel never writes. Save it in Excel and send that.")
        )


def position(reference: str) -> tuple[int, int]:
    """Return the 0-based row and column of a reference like B7."""
    found = REFERENCE.fullmatch(reference)
    if not found:
        raise FileRejected(say("The workbook is damaged: {reference!r} is no cell.", reference=reference[:20]))
    column = 0
    for letter in found[1]:
        column = column * 26 + ord(letter) - 64
    return int(found[2]) - 1, column - 1


def _rich_text(element: Any) -> str:
    """Return the text of all runs; phonetic readings beside it are left out."""
    parts = []
    for child in element:
        name = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
        if name == "t":
            parts.append(child.text or "")
        elif name == "r":
            parts.extend(text.text or "" for text in child.iterfind("{*}t"))
    return unescaped("".join(parts))


def unescaped(text: str) -> str:
    """Return a text with Excel's `_x000D_` turned into the characters they stand for."""
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _kind(code: str) -> str:
    """Return date, datetime or time for a number format that shows one, else empty text."""
    letters = NO_DATE_IN_FORMAT.sub("", code.split(";", maxsplit=1)[0]).lower()
    if "general" in letters:
        return ""
    has_date = "y" in letters or "d" in letters or ("m" in letters and not re.search("[hs]", letters))
    has_time = "h" in letters or "s" in letters
    return DATETIME if has_date and has_time else DATE if has_date else TIME if has_time else ""


def serial_date(number: float, kind: str, *, is_1904: bool) -> Cell:
    """Return Excel's day number as an ISO date, moment or time of day; the time of day is never dropped."""
    if not 0 <= number < 2_958_466:  # 9999-12-31 is 2,958,465
        return Cell(plain_number(number), NUMBER)
    if kind == TIME and number >= 1:
        return Cell(plain_number(number), NUMBER)  # a duration
    # Excel believes in 29 February 1900: days before it count from one day later.
    start = datetime(1904, 1, 1) if is_1904 else datetime(1899, 12, 31 if number < 60 else 30)
    try:
        moment = start + timedelta(milliseconds=round(number * 86_400_000))
    except OverflowError:
        return Cell(plain_number(number), NUMBER)
    if kind == TIME:
        return Cell(moment.time().isoformat(), TIME)
    if kind == DATE and moment.time() == datetime.min.time():
        return Cell(moment.date().isoformat(), DATE)
    return Cell(moment.isoformat(sep=" "), DATETIME)


def plain_number(number: float) -> str:
    """Return the shortest digits of a number that mean it, without exponent."""
    if not math.isfinite(number):
        return str(number)
    return format(Decimal(repr(number)).normalize(), "f") if number else "0"
