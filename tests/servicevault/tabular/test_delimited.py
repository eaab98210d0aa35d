"""CSV as people send it: each row of the specification's table of edge cases."""

from __future__ import annotations

import codecs
import csv
import io

import pytest

from servicevault.tabular.errors import CellRefused, FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.values import date_order, guard, parse, unguard
from servicevault.tabular.writing import write
from tests.servicevault.tabular.files import read

pytestmark = pytest.mark.req("F-084")


def test_it_takes_the_mark_off_the_header() -> None:
    result = read(codecs.BOM_UTF8 + b"id,name\n1,x\n")
    assert (result.headers, result.found.encoding) == (["id", "name"], "utf-8-sig")


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF16_LE + "id;n\n1;ü\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "id;n\n1;ü\n".encode("utf-16-be"),
        "id;n\n1;ü\n".encode("utf-16-le"),
        "id;n\n1;ü\n".encode("utf-16-be"),
    ],
)
def test_it_decodes_utf_16_with_and_without_a_mark(data: bytes) -> None:
    assert read(data).rows == [{"id": "1", "n": "ü"}]


def test_it_tells_windows_1252_by_its_bytes_and_says_which() -> None:
    result = read("id,n\n1,€ “ß”\n".encode("cp1252"))
    assert result.rows == [{"id": "1", "n": "€ “ß”"}]
    assert (result.found.encoding, "0x80" in result.found.encoding_reason) == ("windows-1252", True)
    assert "offset 7" in result.found.encoding_reason
    assert read("id,n\n1,ß\n".encode("latin-1")).found.encoding == "iso-8859-1"


def test_it_finds_the_one_byte_far_behind_the_head() -> None:
    data = b"id,n\n" + b"1,plain ascii\n" * 30_000 + "2,ß\n".encode("cp1252")
    assert read(data).records[-1].cells == ["2", "ß"]


def test_it_warns_of_characters_the_chosen_encoding_cannot_decode() -> None:
    result = read("id,n\n1,ok\n2,ß\n".encode("latin-1"), encoding="utf-8")
    assert (result.rows[1]["n"], result.notices) == ("\ufffd", ["replacement_characters"])


def test_it_reads_every_line_end_and_counts_lines_right() -> None:
    result = read(b'a,b\r\n1,x\n2,"y\nz"\r3,w\r\n')
    assert [(record.line, record.cells) for record in result.records] == [
        (2, ["1", "x"]),
        (3, ["2", "y\nz"]),
        (5, ["3", "w"]),
    ]


def test_it_keeps_a_quote_inside_an_unquoted_field() -> None:
    assert read('a,b\n1,5" pipe\n2,x\n').rows[0]["b"] == '5" pipe'


def test_it_keeps_empty_first_and_last_cells() -> None:
    assert [record.cells for record in read("a,b,c\n,1,\n").records] == [[None, "1", None]]


def test_it_ignores_a_delimiter_at_the_end_of_each_line() -> None:
    result = read("a;b;\n1;2;\n3;4;\n")
    assert (result.headers, result.rows[1], result.notices) == (
        ["a", "b"],
        {"a": "3", "b": "4"},
        ["trailing_delimiter"],
    )


def test_it_passes_over_the_separator_line_and_comments() -> None:
    result = read("sep=;\na;b,c\n# note\n1;2\n", comment_char="#")
    assert (result.headers, result.rows, result.records[0].line) == (["a", "b,c"], [{"a": "1", "b,c": "2"}], 4)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_it_finds_the_delimiter(delimiter: str) -> None:
    data = "\n".join(delimiter.join(row) for row in (["id", "amount", "note"], ["1", '"1,5; x"', "a"], ["2", "3", ""]))
    assert read(data).found.delimiter == delimiter


def test_it_finds_single_quotes() -> None:
    assert read("'id','n'\n'1','a,b'\n'2','c'\n").rows[0] == {"id": "1", "n": "a,b"}


def test_it_skips_empty_rows_but_not_zeros() -> None:
    assert [(record.line, record.cells) for record in read("a,b\n\n0,0\n,\n1,2\n").records] == [
        (3, ["0", "0"]),
        (5, ["1", "2"]),
    ]


def test_it_never_shifts_short_and_long_rows() -> None:
    result = read("a,b,c\n1,2\n1,2,3,4\n5,6,7\n")
    assert result.rows[0] == {"a": "1", "b": "2", "c": None}
    assert (result.problems, result.notices) == ([(3, "too_many_columns")], ["short_row"])


def test_it_names_repeated_and_blank_headers() -> None:
    result = read("name,name,,name_2\n1,2,3,4\n")
    assert result.headers == ["name", "name_2", "column_3", "name_2_2"]
    assert result.notices.count("duplicate_header") == 2


def test_it_reads_without_headers_and_behind_a_preamble() -> None:
    assert read("1,2\n3,4\n", has_headers=False).rows == [
        {"column_1": "1", "column_2": "2"},
        {"column_1": "3", "column_2": "4"},
    ]
    result = read("Report of today\n\nid,n\n1,x\n", skip_rows=2)
    assert (result.headers, result.records[0].line) == (["id", "n"], 4)


def test_it_finds_nothing_in_an_empty_file_and_no_records_below_a_header() -> None:
    for empty in (b"", b" \n\n", codecs.BOM_UTF8):
        with pytest.raises(FileRejected, match="empty") as caught:
            read(empty)
        assert caught.value.code == "empty_file"
    assert (read("a,b\n").headers, read("a,b\n").rows) == (["a", "b"], [])


def test_it_names_nul_bytes_and_huge_fields_and_reads_on() -> None:
    tight = Limits(cell_chars=1000, record_chars=3000)
    data = "a,b\n1,x\0y\n2," + "z" * 2000 + '\n3,"' + "line\n" * 900 + '"\n4,ok\n'
    result = read(data, tight)
    assert result.problems == [(2, "nul_byte"), (3, "cell_too_big"), (4, "cell_too_big")]
    assert result.records[-1].cells == ["4", "ok"]


def test_it_names_the_line_of_a_quote_nobody_closes() -> None:
    result = read('a,b\n1,x\n2,"open\n3,y\n4,z\n')
    assert result.problems == [(3, "unclosed_quote")]
    assert [record.cells[0] for record in result.records] == ["1", '2,"open', "3", "4"]


def test_it_tells_an_empty_text_from_null_where_the_writer_did() -> None:
    assert [record.cells for record in read('a,b,c\n"",,x\n"q""q","",""\n').records] == [
        ["", None, "x"],
        ['q"q', "", ""],
    ]
    assert read('"a","b"\n"1",""\n').rows == [{"a": "1", "b": None}]  # quotes around everything mean nothing


def test_it_applies_null_words_only_when_asked() -> None:
    assert read("a,b\nnull,x\n").rows[0]["a"] == "null"
    assert read("a,b\nnull,\n", null_values=["null"]).rows[0] == {"a": None, "b": ""}


def test_it_stops_at_the_most_rows_and_says_so() -> None:
    result = read("a\n1\n2\n3\n", max_rows=2)
    assert (len(result.records), result.notices) == (2, ["max_rows"])


@pytest.mark.req("F-174")
def test_it_imports_formulas_as_text_and_takes_the_mark_off() -> None:
    assert [row["a"] for row in read("a,b\n=1+1,x\n'=1+1,x\n''=1,x\n'quoted,x\n-5,x\n").rows] == [
        "=1+1",
        "=1+1",
        "'=1",
        "'quoted",
        "-5",
    ]


@pytest.mark.req("F-174")
@pytest.mark.parametrize(
    "text", ["=1", "+x", "-x", "@a", "\tx", "\rx", "  =1", "'=1", "''@", "-5", "+1.5e3", "'", "x="]
)
def test_its_guard_has_an_exact_inverse(text: str) -> None:
    assert unguard(guard(text)) == text
    assert guard(text) == text or guard(text) == "'" + text


@pytest.mark.parametrize(
    ("kind", "text", "options", "value"),
    [
        ("text", "00123", {}, "00123"),
        ("integer", "00123", {}, 123),
        ("integer", "12345678901234567890", {}, 12345678901234567890),
        ("integer", "-5", {}, -5),
        ("integer", "1,000", {"thousands_separator": ","}, 1000),
        ("integer", "", {}, None),
        ("boolean", "NO", {}, False),
        ("text", "NO", {}, "NO"),
    ],
)
def test_it_lets_the_column_decide_the_type(kind: str, text: str, options: dict[str, str], value: object) -> None:
    assert parse(kind, text, ReadOptions.parse(options)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1,000"),
        ("integer", "3.7"),
        ("integer", "1e3"),
        ("integer", "abc"),
        ("integer", "0x10"),
        ("number", "NaN"),
        ("number", "1e1000000"),
        ("boolean", "perhaps"),
        ("date", "31.02.2024"),
        ("json", "[" * 100_000),
    ],
)
def test_it_refuses_what_is_no_such_value(kind: str, text: str) -> None:
    with pytest.raises(CellRefused):
        parse(kind, text, ReadOptions())


def test_it_asks_when_a_date_can_be_two() -> None:
    auto = ReadOptions.parse({"date_format": "auto"})
    with pytest.raises(CellRefused) as caught:
        parse("date", "03/04/2025", auto)
    assert caught.value.code == "ambiguous_date"
    assert str(parse("date", "13/04/2025", auto)) == "2025-04-13"
    assert date_order(["03/04/2025", "13/04/2025"]) == "DMY"
    assert read("a,on\n1,03/04/2025\n").found.date_order == "ambiguous"


def test_a_date_alone_never_shifts() -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        assert str(parse("date", "2024-03-31", ReadOptions.parse({"timezone": zone}))) == "2024-03-31"


@pytest.mark.req("F-110", "F-111")
def test_another_parser_reads_the_same() -> None:
    target = io.BytesIO()
    rows = [["a\r\nb", 'q"q', None], ["=x", "ü, ☃", 5]]
    write(target, "csv", ["x", "y", "z"], rows, WriteOptions.parse({"delimiter": "semicolon", "lineEnding": "lf"}))
    text = target.getvalue().decode()
    assert list(csv.reader(io.StringIO(text, newline=""), delimiter=";")) == [
        ["x", "y", "z"],
        ["a\r\nb", 'q"q', ""],
        ["'=x", "ü, ☃", "5"],
    ]
