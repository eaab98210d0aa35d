"""F-084 from the file to the row in the table: what readers find out is proved beside them, here is what becomes of it."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from importer.operations import files
from importer.operations.files import FileRefused, ImportInvalid
from tests.importer.files.conftest import imported, outcomes, uploaded


def first(shop: psycopg.Connection, column: str) -> Any:
    return shop.execute(f"SELECT {column} FROM products ORDER BY id LIMIT 1").fetchone()[0]  # type: ignore[index]


def workbook(rows: list[list[Any]], formats: dict[tuple[int, int], str] | None = None) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(row)
    for (row, column), form in (formats or {}).items():
        sheet.cell(row, column).number_format = form
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


GOOD = [
    ("utf8_bom", b"\xef\xbb\xbfsku,name\nA,x\n", {}, "name", "x"),
    ("utf16", "sku,name\nA,Grüße\n".encode("utf-16"), {}, "name", "Grüße"),
    ("windows_1252", "sku,name\nA,12 € für Straße\n".encode("windows-1252"), {}, "name", "12 € für Straße"),
    ("newline_in_quotes", b'sku,name\nA,"one\ntwo"\n', {}, "name", "one\ntwo"),
    ("quote_inside", b'sku,name\nA,5" pipe\n', {}, "name", '5" pipe'),
    ("sep_line", b"sep=;\nsku;name\nA;x\n", {}, "name", "x"),
    ("comment", b"#c\nsku,name\n#d\nA,x\n", {"comment_char": "#"}, "name", "x"),
    ("skip_rows", b"Report\n2024\nsku,name\nA,x\n", {"skip_rows": 2}, "name", "x"),
    ("leading_zeros_text", b"sku,name\nA,00123\n", {}, "name", "00123"),
    ("leading_zeros_number", b"sku,stock\nA,00123\n", {}, "stock", 123),
    ("negative", b"sku,facts\nA,-5\n", {}, "facts", -5),
    ("thousands", b"sku,stock\nA,\"1,000\"\n", {"thousands_separator": ","}, "stock", 1000),
    ("german_number", b"sku;price\nA;1.234,50\n", {"thousands_separator": ".", "decimal_separator": ","}, "price", Decimal("1234.50")),
    ("empty_is_null", b"sku,stock\nA,\n", {}, "stock", None),
    ("boolean_word", b"sku,active\nA,No\n", {}, "active", False),
    ("german_date", b"sku,made_on\nA,31.12.2024\n", {"date_format": "DD.MM.YYYY"}, "made_on::text", "2024-12-31"),
    ("auto_date", b"sku,made_on\nA,31/12/2024\n", {"date_format": "auto"}, "made_on::text", "2024-12-31"),
    ("date_never_shifts", b"sku,made_on\nA,2024-12-31\n", {"timezone": "America/New_York"}, "made_on::text", "2024-12-31"),
    ("local_instant", b"sku,made_at\nA,2024-07-01 12:00\n", {"timezone": "Europe/Berlin"}, "made_at AT TIME ZONE 'UTC' || ''", "2024-07-01 10:00:00"),
    ("local_time_stays", b"sku,seen\nA,2024-07-01 12:00\n", {"timezone": "Europe/Berlin"}, "seen || ''", "2024-07-01 12:00:00"),
    ("word_null", b"sku,name\nA,null\n", {}, "name", "null"),
    ("null_words", b"sku,name\nA,n/a\n", {"null_values": ["", "n/a"]}, "name", None),
    ("formula_is_text", b"sku,name\nA,=1+1\n", {}, "name", "=1+1"),
    ("guard_removed", b"sku,name\nA,'=1+1\n", {}, "name", "=1+1"),
    ("world", "sku,name\nA,😀 漢字 שלום \\n\n".encode(), {}, "name", "😀 漢字 שלום \\n"),
    ("big_number_text", b"sku,name\nA,12345678901234567890\n", {}, "name", "12345678901234567890"),
    ("array", b'sku,tags\nA,"{a,b}"\n', {}, "tags", ["a", "b"]),
    ("enum", b"sku,size\nA,M\n", {}, "size::text", "M"),
    ("json", b'[{"sku": "A", "stock": 1.0}]', {}, "stock", 1),
    ("json_object_property", b'{"meta": 1, "things": [{"sku": "A", "name": "x"}]}', {}, "name", "x"),
    ("json_flat_object", b'{"sku": "A", "name": "x"}', {}, "name", "x"),
    ("json_nested", b'[{"sku": "A", "facts": {"a": [1, 2]}}]', {"flatten": False}, "facts", {"a": [1, 2]}),
    ("json_array_column", b'[{"sku": "A", "tags": ["p", "q"]}]', {}, "tags", ["p", "q"]),
    ("json_boolean", b'[{"sku": "A", "active": false}]', {}, "active", False),
    ("jsonl", b'{"sku": "A", "name": "x"}\n{"sku": "B", "stock": 2}\n', {}, "name", "x"),
    ("xml", b"<all><row><sku>A</sku><name>x</name></row><row><sku>B</sku></row></all>", {}, "name", "x"),
    ("yaml_no_is_text", b"- sku: A\n  name: NO\n- sku: B\n", {}, "name", "NO"),
    ("yaml_zero_is_text", b"- sku: A\n  name: 01234\n- sku: B\n", {}, "name", "01234"),
    ("gzip", gzip.compress(b"sku,name\nA,x\n"), {}, "name", "x"),
]  # fmt: skip


@pytest.mark.alike
@pytest.mark.req("F-084", "F-050", "F-052")
@pytest.mark.parametrize(
    ("content", "options", "column", "wanted"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD]
)
def test_the_cell_arrives_as_it_is_meant(
    shop: psycopg.Connection, content: bytes, options: dict[str, Any], column: str, wanted: Any
) -> None:
    job = imported(content, options=options)
    assert job.status == "completed", job.error_message
    assert not job.counters()["failed"], files.errors(job)
    assert first(shop, column) == wanted


BAD = [
    ("not_whole", b"sku,stock\nA,3.7\n", "not_a_number"),
    ("group_without_option", b'sku,stock\nA,"1,000"\n', "not_a_number"),
    ("word", b"sku,stock\nA,abc\n", "not_a_number"),
    ("exponent", b"sku,stock\nA,1e3\n", "not_a_number"),
    ("hexadecimal", b"sku,stock\nA,0x1F\n", "not_a_number"),
    ("infinity", b"sku,stock\nA,Infinity\n", "not_a_number"),
    ("bigint_overflow", b"sku,sold\nA,12345678901234567890\n", "out_of_range"),
    ("precision", b"sku,price\nA,123456789.12\n", "out_of_range"),
    ("scale", b"sku,price\nA,1.234\n", "out_of_range"),
    ("boolean", b"sku,active\nA,maybe\n", "not_a_boolean"),
    ("no_date", b"sku,made_on\nA,2024-02-31\n", "bad_date"),
    ("date_word", b"sku,made_on\nA,today\n", "bad_date"),
    ("ambiguous", b"sku,made_on\nA,03/04/2025\n", "ambiguous_date"),
    ("uuid", b"sku,code\nA,123\n", "bad_uuid"),
    ("json", b"sku,facts\nA,{x\n", "bad_json"),
    ("enum", b"sku,size\nA,XXL\n", "not_one_of"),
    ("too_long", b"sku,name\n" + b"A" * 21 + b",x\n", "too_long"),
    ("blank", b"sku,name\n  ,x\n", "required_empty"),
    ("long_row", b"sku,name\nA,x,y\n", "too_many_columns"),
    ("nul", b"sku,name\nA,x\0y\n", "nul_byte"),
    ("foreign_key", b"sku,maker\nA,nobody\n", "foreign_key"),
    ("check", b"sku,stock\nA,-1\n", "check_violation"),
]  # fmt: skip


@pytest.mark.alike
@pytest.mark.req("F-071", "F-070", "F-079", "F-055", "F-084")
@pytest.mark.parametrize(("content", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_cell_that_cannot_be_is_an_error_of_its_row(shop: psycopg.Connection, content: bytes, code: str) -> None:
    options = {"date_format": "auto"} if code == "ambiguous_date" else {}
    content += b"GOOD\n" if content.startswith(b"sku\n") else b"GOOD,\n"
    job = uploaded(content, options=options)
    report = files.validate(job, None, system=True)
    assert [(error["row"], error["code"]) for error in report["errors"]] == [(2, code)]
    assert (report["validRows"], report["errorRows"]) == (1, 1)


REFUSED = [
    ("doctype", b'<!DOCTYPE x [<!ENTITY a "b">]><all><row><a>&a;</a></row></all>', {}, FileRefused),
    ("yaml_tag", b"- sku: !!python/object:os.system x\n", {}, FileRefused),
    ("wrong_format", b'[{"sku": "A"}]', {"format": "xml"}, FileRefused),
    ("program", b"\x7fELF\x02\x01\x01" + b"\0" * 100, {}, FileRefused),
    ("empty", b"", {}, ImportInvalid),
]  # fmt: skip


@pytest.mark.alike
@pytest.mark.req("F-084", "F-085", "F-024")
@pytest.mark.parametrize(
    ("content", "options", "failure"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_file_that_cannot_be_read_is_refused(
    shop: psycopg.Connection, content: bytes, options: dict[str, Any], failure: type[Exception]
) -> None:
    with pytest.raises(failure):
        uploaded(content, options=options)


@pytest.mark.req("F-084")
def test_workbooks_keep_texts_dates_and_percent(shop: psycopg.Connection) -> None:
    from datetime import datetime

    rows = [
        ["sku", "name", "price", "stock", "made_on", "seen"],
        ["00123", "7", 0.15, 42, 45000, datetime(2024, 5, 6, 7, 8)],
    ]
    job = imported(workbook(rows, {(2, 1): "@", (2, 3): "0%", (2, 4): "000000", (2, 5): "yyyy-mm-dd"}), name="p.xlsx")
    assert not job.counters()["failed"], files.errors(job)
    found = shop.execute("SELECT sku, price, stock, made_on::text, seen::text FROM products").fetchone()
    assert found == ("00123", Decimal("0.15"), 42, "2023-03-15", "2024-05-06 07:08:00")


@pytest.mark.req("F-084")
def test_a_file_with_a_header_only_is_taken_and_told_to_be_empty(shop: psycopg.Connection) -> None:
    job = uploaded("sku,name\n")
    report = files.validate(job, None, system=True)
    assert report["isValid"] is False
    assert [error["message"] for error in report["errors"]] == ["The file has no data rows."]
    with pytest.raises(ImportInvalid):
        files.start(job, None, system=True)


@pytest.mark.req("F-084", "F-088")
def test_the_name_of_a_file_is_only_a_label(shop: psycopg.Connection) -> None:
    job = uploaded("sku\nA\n", name='../../etc/"pass\r\nwd".csv')
    assert job.file.original_filename == "passwd.csv"


@pytest.mark.req("F-084")
def test_rows_keep_their_physical_lines(shop: psycopg.Connection) -> None:
    job = uploaded('sku,name,stock\r\nA,"two\r\nlines",1\n\n\nB,x,bad\rC,0,0\n')
    report = files.validate(job, None, system=True)
    assert [error["row"] for error in report["errors"]] == [6]
    assert report["totalRows"] == 3


@pytest.mark.req("F-084")
def test_a_zip_with_one_file_is_read_and_with_two_is_not(shop: psycopg.Connection) -> None:
    def packed(*names: str) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for name in names:
                archive.writestr(name, "sku\nA\n")
        return data.getvalue()

    assert outcomes(imported(packed("a.csv"), name="a.zip"))["created"] == 1
    with pytest.raises(FileRefused):
        uploaded(packed("a.csv", "b.csv"), name="a.zip")


@pytest.mark.req("F-084")
def test_one_bad_line_of_json_fails_alone(shop: psycopg.Connection) -> None:
    lines = [json.dumps({"sku": "A"}), '{"sku": ', json.dumps({"sku": "C"})]
    job = imported("\n".join(lines), name="p.jsonl")
    assert outcomes(job) == {"read": 3, "created": 2, "failed": 1}
