"""Excel workbooks: each row of the specification's table of edge cases."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from datetime import date, datetime

import openpyxl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from servicevault.tabular.errors import FileRejected
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.values import parse
from servicevault.tabular.writing import write
from tests.servicevault.tabular.files import EXCEL_97, changed_part, read, rows_workbook, workbook, zipped

pytestmark = pytest.mark.req("F-084")
SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize("is_1904", [False, True])
def test_it_turns_day_numbers_into_dates_in_both_systems(is_1904: bool) -> None:
    def fill(book: openpyxl.Workbook) -> None:
        if is_1904:
            book.epoch = CALENDAR_MAC_1904
        book.active.append(["on", "at"])
        book.active.append([date(2024, 2, 29), datetime(2024, 2, 29, 13, 45, 30)])

    record = read(workbook(fill)).records[0]
    assert record.cells == ["2024-02-29", "2024-02-29 13:45:30"]
    assert record.hints == {0: "date" if record.cells[0] and len(record.cells[0]) == 10 else "datetime", 1: "datetime"}


def test_it_takes_the_saved_value_of_a_formula_and_names_one_without() -> None:
    book = rows_workbook(["a", "b"], ["=1+1", "=2+2"])
    book = changed_part(
        book, SHEET, lambda text: re.sub(r"(<f>1\+1</f>)<v\s*/>|(<f>1\+1</f>)<v></v>", "<f>1+1</f><v>2</v>", text)
    )
    result = read(book)
    assert (result.records[0].cells[0], result.problems) == ("2", [(2, "formula_without_value")])
    assert result.records[0].problems[0].column == "b"


def test_it_reads_merged_cells_once_or_repeated() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        for row in (["team", "name"], ["Sales", "Ann"], [None, "Ben"], ["Support", "Cid"]):
            book.active.append(row)
        book.active.merge_cells("A2:A3")

    book = workbook(fill)
    assert [row["team"] for row in read(book).rows] == ["Sales", None, "Support"]
    assert read(book).notices == ["merged_cells"]
    assert [row["team"] for row in read(book, fill_merged=True).rows] == ["Sales", "Sales", "Support"]


def test_it_reads_hidden_rows_and_marks_hidden_sheets() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        book.active.title = "Secret"
        book.active.append(["x"])
        book.active.append([1])
        book.active.sheet_state = "hidden"
        seen = book.create_sheet("Seen")
        for row in (["y"], [2], [3]):
            seen.append(row)
        seen.row_dimensions[2].hidden = True
        book.active = 1

    book = workbook(fill)
    result = read(book)
    assert [(sheet.name, sheet.hidden, sheet.first_cells) for sheet in result.found.sheets] == [
        ("Secret", True, ["x"]),
        ("Seen", False, ["y"]),
    ]
    assert (result.found.sheet, result.rows, result.notices) == ("Seen", [{"y": "2"}, {"y": "3"}], ["hidden_row"])
    assert read(book, sheet="Secret").notices == ["hidden_sheet"]
    assert read(book, sheet=0).rows == [{"x": "1"}]
    with pytest.raises(FileRejected, match="There is: Secret, Seen"):
        read(book, sheet="Third")


def test_it_keeps_line_numbers_over_empty_rows() -> None:
    result = read(rows_workbook(["a", "b"], [0, 0], [], [1, 2]))
    assert [(record.line, record.cells) for record in result.records] == [(2, ["0", "0"]), (4, ["1", "2"])]


def test_formats_of_cells_do_not_change_values() -> None:
    def fill(book: openpyxl.Workbook) -> None:
        sheet = book.active
        sheet.append(["text", "percent", "padded", "money"])
        sheet.append(["00123", 0.15, 123, 1234.5])
        sheet["B2"].number_format = "0%"
        sheet["C2"].number_format = "000000"
        sheet["D2"].number_format = '#,##0.00 "€"'

    record = read(workbook(fill)).records[0]
    assert record.cells == ["00123", "0.15", "000123", "1234.5"]
    assert parse("integer", record.cells[2], ReadOptions(), hint=record.hints[2]) == 123


def test_too_many_cells_are_an_error_of_the_row() -> None:
    assert read(rows_workbook(["a"], [1, 2], [3])).problems == [(2, "too_many_columns")]


def test_it_refuses_macros_and_says_so() -> None:
    book = rows_workbook(["a"], [1])
    target = io.BytesIO(book)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"x")
    with pytest.raises(FileRejected, match="macros"):
        read(target.getvalue())


@pytest.mark.req("F-165", "F-174")
def test_another_reader_finds_types_and_no_formulas() -> None:
    target = io.BytesIO()
    rows = [["=1+1", 5, 1.5, True, date(2024, 2, 29), datetime(2024, 2, 29, 12, 0), 12345678901234567, None]]
    write(target, "xlsx", list("abcdefgh"), rows, WriteOptions.parse({"sheet_name": "A/B"}))
    sheet = openpyxl.load_workbook(target)["A_B"]
    assert [cell.value for cell in sheet[2]] == [
        "=1+1",
        5,
        1.5,
        True,
        datetime(2024, 2, 29),
        datetime(2024, 2, 29, 12, 0),
        "12345678901234567",
        None,
    ]
    assert sheet["A2"].data_type == "s"
    assert sheet.freeze_panes == "A2"


def test_it_reads_old_workbooks() -> None:
    book = EXCEL_97.read_bytes()
    result = read(book, format="excel")
    assert (result.found.format, [(sheet.name, sheet.hidden) for sheet in result.found.sheets]) == (
        "xls",
        [("Old", False), ("Hidden", True)],
    )
    assert [record.cells for record in result.records] == [
        ["00123", "1.5", "2024-02-29", "Sales"],
        ["Zoë", "7"],
    ]
    assert (result.records[0].hints, result.notices) == ({1: "number", 2: "date"}, ["merged_cells"])
    assert read(book, fill_merged=True).rows[1]["team"] == "Sales"


def test_it_reads_a_workbook_in_a_compressed_file() -> None:
    book = rows_workbook(["a"], [1])
    assert read(gzip.compress(book)).rows == read(zipped(**{"book.xlsx": book})).rows == [{"a": "1"}]
