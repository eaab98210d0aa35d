"""Excel workbooks: XLSX by our own streaming reader and writer, XLS by calamine."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import IO, Any

import python_calamine

from servicevault.tabular import headers, workbook_output
from servicevault.tabular.containers import ZIP_MAGICS, is_workbook, open_zip
from servicevault.tabular.contract import Format, Head, with_notices
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import (
    BOOLEAN,
    DATE,
    DATETIME,
    NUMBER,
    TIME,
    Detection,
    Notice,
    Problem,
    Reading,
    Record,
    Sheet,
)
from servicevault.tabular.spreadsheet import Cell, Package, Range, Row, plain_number
from servicevault.wording import say, say_count

OLE = bytes.fromhex("d0cf11e0a1b11ae1")
MOST_NOTICES = 100
SHOWN_CELLS = 10
PROBLEMS = {
    "formula_without_value": say("The formula has no saved value. Open the workbook in Excel, save it, send it again."),
    "cell_error": say("The cell holds an error value."),
    "missing_text": say("The workbook is damaged: the cell names a text that is not there."),
}


class Xlsx(Format):
    """Excel since 2007."""

    name = "xlsx"
    label = "Excel (XLSX)"
    extensions = ("xlsx",)
    aliases = ("excel",)
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    is_text = False

    def recognise(self, head: Head) -> str:
        """A zip archive with the parts of a workbook."""
        if not head.data.startswith(ZIP_MAGICS):
            return ""
        return say("a zip archive with the parts of a workbook") if is_workbook(_members(head)) else ""

    def inspect(self, stream: IO[bytes], options: ReadOptions, limits: Limits, found: Detection) -> Detection:
        """List the sheets with their size and first cells; the first visible one is chosen."""
        package = Package(stream, limits)
        sheets = []
        for part in package.sheets[:100]:
            rows, columns = package.size(part)
            first = next(package.rows(part), None)
            cells = [cell.text or "" for cell in list(first.cells.values())[:SHOWN_CELLS]] if first else []
            sheets.append(Sheet(part.name, rows, columns, part.hidden, cells))
        return _with_sheets(found, tuple(sheets), options)

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Read row by row."""
        package = Package(stream, limits)
        part = next((each for each in package.sheets if each.name == options.sheet), None)
        if part is None:
            part = package.sheets[_chosen([each.name for each in package.sheets], [], options)]
        merged = package.merged(part)
        return _reading(package.rows(part), merged, options, limits)

    def write(
        self, target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
    ) -> int:
        """Write one sheet; numbers, booleans and dates as such, texts never as formulas."""
        return workbook_output.write(target, columns, rows, options)


class Xls(Format):
    """Excel until 2003, read only. The format ends at 65,536 rows, so it may stay in memory."""

    name = "xls"
    label = "Excel 97-2003 (XLS)"
    extensions = ("xls",)
    aliases = ("excel",)
    media_type = "application/vnd.ms-excel"
    is_text = False
    can_write = False

    def recognise(self, head: Head) -> str:
        """An OLE container; one that holds an encrypted or macro workbook is refused here with the cause."""
        if not head.data.startswith(OLE):
            return ""
        head.stream.seek(0)
        content = head.stream.read()
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise FileRejected(say("The workbook is protected by a password. Remove the password and send it again."))
        if "_VBA_PROJECT".encode("utf-16-le") in content:
            raise FileRejected(say("The workbook holds macros. Save it as .xlsx without macros and send it again."))
        if "Workbook".encode("utf-16-le") not in content and "Book".encode("utf-16-le") not in content:
            raise FileRejected(
                say("The file is an old Office document, but no Excel workbook. Save the table as .xlsx and send that.")
            )
        return say("an Office container with a workbook")

    def inspect(self, stream: IO[bytes], options: ReadOptions, limits: Limits, found: Detection) -> Detection:
        """List the sheets with their size and first cells."""
        book = _open_xls(stream)
        sheets = []
        for meta in book.sheets_metadata:
            if meta.typ != python_calamine.SheetTypeEnum.WorkSheet:
                continue
            sheet = book.get_sheet_by_name(meta.name)
            first = next(iter(sheet.to_python(skip_empty_area=False, nrows=1)), [])
            cells = [_typed(value).text or "" for value in first[:SHOWN_CELLS]]
            hidden = meta.visible != python_calamine.SheetVisibleEnum.Visible
            sheets.append(Sheet(meta.name, sheet.total_height, sheet.total_width, hidden, cells))
        return _with_sheets(found, tuple(sheets), options)

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Read row by row from the sheet in memory."""
        book = _open_xls(stream)
        names = book.sheet_names
        name = options.sheet if options.sheet in names else names[_chosen(names, [], options)]
        sheet = book.get_sheet_by_name(str(name))
        headers.check_columns(sheet.total_width, limits)
        merged = [Range(top, left, bottom, right) for (top, left), (bottom, right) in sheet.merged_cell_ranges or []]
        rows = (
            Row(number, {at: cell for at, cell in enumerate(map(_typed, values)) if cell.text is not None}, False)
            for number, values in enumerate(sheet.to_python(skip_empty_area=False), start=1)
        )
        return _reading(rows, merged, options, limits)


def _members(head: Head) -> list[str]:
    names = open_zip(head.stream, head.limits).namelist()
    return [name for name in names if not name.endswith("/")]


def _open_xls(stream: IO[bytes]) -> python_calamine.CalamineWorkbook:
    stream.seek(0)
    try:
        return python_calamine.CalamineWorkbook.from_filelike(stream)
    except python_calamine.PasswordError as error:
        raise FileRejected(
            say("The workbook is protected by a password. Remove the password, send it again.")
        ) from error
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise FileRejected(
            say("The workbook is damaged: {error}. Save it as .xlsx and send it.", error=str(error)[:200])
        ) from error


def _typed(value: Any) -> Cell:
    if value is None or value == "":
        return Cell(None)
    if isinstance(value, bool):
        return Cell("true" if value else "false", BOOLEAN)
    if isinstance(value, int | float):
        return Cell(plain_number(float(value)), NUMBER)
    if isinstance(value, datetime):
        return Cell(value.isoformat(sep=" "), DATETIME)
    if isinstance(value, date):
        return Cell(value.isoformat(), DATE)
    if isinstance(value, time):
        return Cell(value.isoformat(), TIME)
    if isinstance(value, timedelta):
        return Cell(plain_number(value / timedelta(days=1)), NUMBER)
    return Cell(str(value))


def _with_sheets(found: Detection, sheets: tuple[Sheet, ...], options: ReadOptions) -> Detection:
    names, hidden = [sheet.name for sheet in sheets], [sheet.hidden for sheet in sheets]
    if not sheets:
        raise FileRejected(say("The workbook has no sheet with cells. Send one that holds a table."))
    chosen = _chosen(names, hidden, options)
    found = replace(found, sheets=sheets, sheet=names[chosen])
    if sum(not each for each in hidden) > 1:
        message = say_count(
            "The workbook has {count} sheet; `{chosen}` is read.",
            "The workbook has {count} sheets; `{chosen}` is read.",
            len(sheets),
            chosen=names[chosen],
        )
        found = with_notices(found, Notice("several_sheets", message))
    if hidden[chosen]:
        found = with_notices(
            found, Notice("hidden_sheet", say("The sheet `{chosen}` is hidden.", chosen=names[chosen]))
        )
    return found


def _chosen(names: list[str], hidden: list[bool], options: ReadOptions) -> int:
    if options.sheet is None:
        return next((at for at, is_hidden in enumerate(hidden) if not is_hidden), 0)
    if isinstance(options.sheet, int) and options.sheet < len(names):
        return options.sheet
    if options.sheet in names:
        return names.index(str(options.sheet))
    raise FileRejected(
        say("There is no sheet {sheet!r}. There is: {names}.", sheet=options.sheet, names=", ".join(names[:20]))
    )


def _reading(rows: Iterable[Row], merged: list[Range], options: ReadOptions, limits: Limits) -> Reading:
    reading = Reading([], iter(()))
    if merged and not options.fill_merged:
        message = say_count(
            "{count} merged range: the value stands in the first cell, the others are NULL.",
            "{count} merged ranges: the value stands in the first cell, the others are NULL.",
            len(merged),
        )
        reading.notices.append(Notice("merged_cells", message, merged[0].top + 1))
    if merged and options.fill_merged:
        rows = _filled(rows, merged)
    wanted = (row for row in rows if row.number > options.skip_rows)
    reading.records = _records(wanted, options, limits, reading)
    return reading


def _filled(rows: Iterable[Row], merged: list[Range]) -> Iterator[Row]:
    """Yield the rows with the first cell of each merged range repeated in all of it."""
    waiting, active = iter(merged), list[tuple[Range, Cell | None]]()
    following = next(waiting, None)
    for row in rows:
        at = row.number - 1
        while following and following.top <= at:
            active.append((following, row.cells.get(following.left) if following.top == at else None))
            following = next(waiting, None)
        active = [each for each in active if each[0].bottom >= at]
        for area, cell in active:
            if cell is not None:
                row.cells.update(dict.fromkeys(range(area.left, min(area.right, 20_000) + 1), cell))
        yield row


def _records(rows: Iterator[Row], options: ReadOptions, limits: Limits, reading: Reading) -> Iterator[Record]:
    first = next((row for row in rows if row.cells), None)
    if first is None:
        return
    cells = _listed(first.cells)
    if options.has_headers is False:
        rows = itertools.chain([first], rows)
        reading.headers.extend(headers.numbered(len(cells), limits))
    else:
        texts = [cell.text for cell in cells]
        reading.headers.extend(headers.named(texts, first.number, reading.notices, limits))
    number, hidden = 0, 0
    for row in rows:
        if options.skip_empty_rows and not row.cells:
            continue
        number += 1
        if row.hidden:
            hidden += 1
            if hidden <= MOST_NOTICES:
                reading.notices.append(
                    Notice("hidden_row", say("Row {row} is hidden; it is read.", row=row.number), row.number)
                )
        yield _record(row, number, reading.headers)


def _listed(cells: dict[int, Cell]) -> list[Cell]:
    return [cells.get(at, Cell(None)) for at in range(max(cells, default=-1) + 1)]


def _record(row: Row, number: int, names: list[str]) -> Record:
    listed = _listed(row.cells)
    problems = []
    if len(listed) > len(names):
        message = say_count(
            "{count} cell, but the header has {names}.",
            "{count} cells, but the header has {names}.",
            len(listed),
            names=len(names),
        )
        problems.append(Problem("too_many_columns", message))
    hints = {}
    for at, cell in row.cells.items():
        if cell.hint:
            hints[at] = cell.hint
        if cell.problem:
            column = names[at] if at < len(names) else ""
            problems.append(Problem(cell.problem, PROBLEMS[cell.problem], column))
    return Record(row.number, number, [cell.text for cell in listed], hints, problems)
