"""What is written is read back the same, for every format and every type of value."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from servicevault.tabular.errors import OptionRefused, RowNotWritable
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.values import Numeral, parse, to_json
from servicevault.tabular.writing import write
from tests.servicevault.tabular.files import read
from tests.thoroughness import rounds

FORMATS = ["csv", "json", "jsonl", "xlsx", "xml", "yaml"]
# XML cannot hold control characters and XLSX no long texts: both say so, which other tests show.
ANY_TEXT = st.text(
    st.one_of(
        st.sampled_from("=+-@'\"\t\r\n ,;|<>&_x0041#:{}[]\\%😀\u200f\u05d0\u4e2d\u0301"), st.characters(codec="utf-8")
    ),
    max_size=40,
).map(lambda text: "".join(each for each in text if each in "\t\n\r" or (each >= " " and each not in "\ufffe\uffff")))
SAMPLES = [
    "",
    "00123",
    "NO",
    "null",
    "~",
    "=1+1",
    "'=1",
    "-5",
    "1e5",
    "2024-01-01",
    "true",
    "  x ",
    "שלום",
    "a\r\nb",
    "_x0041_",
    "👩‍👩‍👧",
    "- a",
    "#x",
    "{}",
    "\x7f\x85\u2028",
]
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.one_of(st.sampled_from(SAMPLES), ANY_TEXT),
    "integer": st.one_of(st.integers(), st.sampled_from([2**53 + 1, -(2**63), 10**30])),
    "number": st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6),
    "boolean": st.booleans(),
    "date": st.dates(),
    "datetime": st.datetimes(timezones=st.just(UTC)),
    "time": st.times(),
    "json": st.one_of(
        st.just([]),
        st.just({}),
        st.lists(st.integers()),
        st.dictionaries(st.text("ab= \"'", max_size=4), st.integers(), min_size=1),
    ),
}
ROW = st.tuples(*(st.none() | strategy for strategy in KINDS.values()))


def written(format_name: str, columns: list[str], rows: list[Any], **options: Any) -> bytes:
    target = io.BytesIO()
    assert write(target, format_name, columns, rows, WriteOptions.parse(options)) == len(rows)
    return target.getvalue()


@pytest.mark.req("F-110", "F-165", "F-174")
@pytest.mark.parametrize("format_name", FORMATS)
@settings(max_examples=rounds(60, 15), deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=4))
def test_it_reads_back_what_it_wrote(format_name: str, rows: list[tuple[Any, ...]]) -> None:
    columns = [*KINDS, "last"]
    rows = [(*row, "end") for row in rows]
    result = read(written(format_name, columns, rows), format=format_name, flatten=False)
    assert result.headers == columns
    for row, record in zip(rows, result.records, strict=True):
        assert record.problems == []
        for at, kind in enumerate(KINDS):
            value = parse(kind, record.cells[at], ReadOptions(), hint=record.hints.get(at, "text"))
            assert value == row[at], (kind, record.cells[at])
    if format_name == "json":
        assert json.loads(written("json", columns, rows))[0]["text"] == rows[0][0]


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_same_rows_give_the_same_bytes(format_name: str) -> None:
    rows = [[1, "x", date(2024, 1, 1)], [2, None, None]]
    for compression in ("none", "gzip", "zip"):
        once, again = (written(format_name, ["a", "b", "c"], rows, compression=compression) for _ in range(2))
        assert once == again
        assert read(once).rows[1] == {"a": "2", "b": None, "c": None}


@pytest.mark.parametrize("format_name", [each for each in FORMATS if each != "jsonl"])  # no lines are an empty file
def test_it_writes_no_rows_as_a_valid_file(format_name: str) -> None:
    assert read(written(format_name, ["a", "b"], []), format=format_name).rows == []


@pytest.mark.req("F-111")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_it_writes_every_encoding(encoding: str) -> None:
    data = written("csv", ["n"], [["ß"], ["é"]], encoding=encoding)
    assert [row["n"] for row in read(data).rows] == ["ß", "é"]


@pytest.mark.req("F-111")
def test_it_names_row_and_character_an_encoding_cannot_hold() -> None:
    with pytest.raises(RowNotWritable, match=r"Row 2: .* U\+20AC|Row 2: .*\(U\+20AC\)"):
        written("csv", ["n"], [["x"], ["€"]], encoding="iso-8859-1")
    assert b"?" in written("csv", ["n"], [["€"]], encoding="ascii", encodingErrors="replace")


@pytest.mark.req("F-111")
def test_it_writes_dates_numbers_and_nulls_as_asked() -> None:
    options = {"dateFormat": "DD.MM.YYYY", "delimiter": ";", "decimal_separator": ",", "null_value": "\\N"}
    row = [date(33, 2, 1), datetime(2024, 2, 1, 23, 30, tzinfo=UTC), Decimal("1.50"), None, "", "\\N"]
    data = written("csv", list("abcdef"), [row], timezone="Europe/Berlin", line_ending="lf", **options)
    assert data.decode().splitlines()[1] == '01.02.0033;02.02.2024 00:30:00;1,50;\\N;"";"\\N"'


def test_it_refuses_what_a_format_cannot_hold() -> None:
    with pytest.raises(RowNotWritable, match="XML cannot hold U\\+0001"):
        written("xml", ["a"], [["\x01"]])
    with pytest.raises(RowNotWritable, match="32,767"):
        written("xlsx", ["a"], [["x" * 32_768]])
    with pytest.raises(OptionRefused, match="Choose xlsx"):
        written("xls", ["a"], [])
    assert read(written("xlsx", ["a"], [["\x01_x0041_"]])).rows == [{"a": "\x01_x0041_"}]


def test_it_keeps_the_digits_inside_json() -> None:
    assert to_json({"a": [Numeral("1.50"), 2**70, Decimal("0.10"), time(12, 30)]}) == (
        '{"a": [1.50, 1180591620717411303424, 0.10, "12:30:00"]}'
    )
    assert b'"9007199254740993"' in written("json", ["a"], [[2**53 + 1]], big_numbers="string")


@pytest.mark.req("F-165")
@pytest.mark.parametrize("format_name", ["json", "jsonl", "yaml"])
def test_it_reads_back_names_however_long_they_are(format_name: str) -> None:
    """A reader of YAML looks for a name's colon in its first 1,024 characters, unless a question mark announces it."""
    for length in (999, 1_024, 5_000):
        document = {"n" * length: {"\x85" * length: [1, {"é" * length: None}]}, "b": Decimal("1.50")}
        data = written(format_name, ["facts", "l" * length], [[document, "end"]])
        record = read(data, format=format_name, flatten=False).records[0]
        assert record.cells[1] == "end"
        assert json.loads(record.cells[0], parse_float=Decimal) == document
        if format_name == "yaml":
            assert list(yaml.safe_load(data)[0]["facts"]) == list(document)


@pytest.mark.req("F-112")
def test_it_cleans_the_names_of_elements() -> None:
    data = written("xml", ["Full name", "2nd", "xml", "2nd"], [["a", "b", "c", "d"]], root_name="my table")
    assert read(data).headers == ["Full_name", "_2nd", "_xml", "_2nd_2"]
