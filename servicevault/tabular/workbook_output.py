"""XLSX written as a stream: one sheet, texts inline, the same rows give the same bytes."""

from __future__ import annotations

import itertools
import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

from servicevault.tabular.containers import new_member
from servicevault.tabular.errors import RowNotWritable
from servicevault.tabular.options import WriteOptions
from servicevault.tabular.values import render
from servicevault.wording import say, say_count

DATA_ROWS = 1_048_575  # Excel's 1,048,576 less the header
CELL_CHARS = 32_767  # Excel refuses longer texts
EXACT_DIGITS = 15  # more are lost in Excel's doubles: written as text
WIDEST = 60
MEASURED_ROWS = 100
DATE_STYLE, MOMENT_STYLE, BOLD_STYLE = 1, 2, 3
FIRST_DAY = date(1899, 12, 30)
FIRST_SAFE_DAY = date(1900, 3, 1)  # Excel's calendar is wrong before
# Excel's escape for characters XML forbids, and for texts that look like the escape.
TO_ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_(?=x[0-9A-Fa-f]{4}_)")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><numFmts count="1">'
    '<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="4"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="14" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/></cellXfs></styleSheet>',
}


def write(target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions) -> int:
    """Write the workbook and return the number of rows; memory holds the first rows, to measure widths."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, text in PARTS.items():
            _put(archive, name, text)
        sheet = f'<sheets><sheet name={quoteattr(options.sheet_name)} sheetId="1" r:id="rId1"/></sheets>'
        _put(archive, "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{sheet}</workbook>')
        with new_member(archive, "xl/worksheets/sheet1.xml") as stream:
            return _write_sheet(stream, columns, iter(rows), options)


def _put(archive: zipfile.ZipFile, name: str, text: str) -> None:
    with new_member(archive, name) as stream:
        stream.write((DECLARATION + text).encode())


def _write_sheet(
    stream: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
) -> int:
    iterator = iter(rows)
    ahead = list(itertools.islice(iterator, MEASURED_ROWS))
    stream.write(_before_rows(columns, ahead, options).encode())
    line = 0
    if options.include_headers:
        line = 1
        stream.write(f'<row r="1">{"".join(_text(name, BOLD_STYLE) for name in columns)}</row>'.encode())
    number, parts, chars = 0, list[str](), 0
    for number, row in enumerate(itertools.chain(ahead, iterator), start=1):
        if number > DATA_ROWS:
            raise RowNotWritable(
                say("An Excel sheet ends at {data_rows:,} rows. Split the rows or choose CSV.", data_rows=DATA_ROWS)
            )
        cells = [_cell(value, number, columns[at], options) for at, value in enumerate(row)]
        parts.append(f'<row r="{line + number}">{"".join(cells)}</row>')
        chars += len(parts[-1])
        if chars > 64 * 1024:
            stream.write("".join(parts).encode())
            parts, chars = [], 0
    stream.write(("".join(parts) + "</sheetData></worksheet>").encode())
    return number


def _before_rows(columns: Sequence[str], ahead: list[Sequence[Any]], options: WriteOptions) -> str:
    freeze, widths = "", ""
    if options.freeze_headers and options.include_headers:
        freeze = (
            '<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" '
            'state="frozen"/></sheetView></sheetViews>'
        )
    if options.auto_fit_columns and columns:
        longest = (
            max([len(name), *(len(str(row[at])) for row in ahead if row[at] is not None)])
            for at, name in enumerate(columns)
        )
        widths = "".join(
            f'<col min="{at}" max="{at}" width="{min(chars + 2, WIDEST)}" customWidth="1"/>'
            for at, chars in enumerate(longest, start=1)
        )
        widths = f"<cols>{widths}</cols>"
    return f'{DECLARATION}<worksheet xmlns="{MAIN}">{freeze}{widths}<sheetData>'


def _cell(value: Any, number: int, column: str, options: WriteOptions) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{value:d}</v></c>'
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, date) and options.date_format == "iso" and (cell := _moment(value, options)):
        return cell
    text = render(value, options)
    assert text is not None
    if len(text) > CELL_CHARS:
        raise RowNotWritable(
            say_count(
                "Row {number:,}, column `{column}`: {count} character; an Excel cell holds {cell_chars:,}. Choose CSV or JSON.",
                "Row {number:,}, column `{column}`: {count:,} characters; an Excel cell holds {cell_chars:,}. Choose CSV or JSON.",
                len(text),
                number=number,
                column=column,
                cell_chars=CELL_CHARS,
            )
        )
    return _text(text, 0)


def _number(value: float | Decimal) -> str:
    """Return a number, or its text where Excel's doubles would change it."""
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        return _text(str(value), 0)
    if not isinstance(value, float) and len(exact.as_tuple().digits) > EXACT_DIGITS:
        return _text(format(exact, "f"), 0)
    return f"<c><v>{value!s}</v></c>"


def _moment(value: date, options: WriteOptions) -> str:
    """Return a date as Excel's day number; empty text where its calendar or precision cannot hold it."""
    if not isinstance(value, datetime):
        return f'<c s="{DATE_STYLE}"><v>{(value - FIRST_DAY).days}</v></c>' if value >= FIRST_SAFE_DAY else ""
    if value.tzinfo is not None:
        return ""  # an instant: its text keeps the zone
    if value.date() < FIRST_SAFE_DAY or value.microsecond % 1000:
        return ""
    passed = value - datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day)
    return f'<c s="{MOMENT_STYLE}"><v>{passed.total_seconds() / 86_400!r}</v></c>'


def _text(text: str, style: int) -> str:
    escaped = escape(TO_ESCAPE.sub(lambda found: f"_x{ord(found[0]):04X}_", text))
    styled = f' s="{style}"' if style else ""
    return f'<c{styled} t="inlineStr"><is><t xml:space="preserve">{escaped}</t></is></c>'
