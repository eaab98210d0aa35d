"""The registry of formats and the options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pytest

from servicevault.tabular import filenames, formats
from servicevault.tabular.contract import Format, Head
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import Reading, Record
from tests.servicevault.tabular.files import read


class Columns(Format):
    """Columns of a width of three characters, told by its first line."""

    name = "columns3"
    label = "Fixed columns"
    extensions = ("c3",)

    def recognise(self, head: Head) -> str:
        return "it begins with C3" if head.text.startswith("C3\n") else ""

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        stream.seek(3)
        lines = stream.read().decode(options.encoding).splitlines()
        rows = ([line[at : at + 3].strip() for at in range(0, len(line), 3)] for line in lines)
        return Reading(["a", "b"], (Record(at, at, list(row), {}, []) for at, row in enumerate(rows, start=1)))


@pytest.fixture
def _columns() -> Iterator[None]:
    before = dict(formats.FORMATS)
    formats.register(Columns())
    yield
    formats.FORMATS.clear()
    formats.FORMATS.update(before)


@pytest.mark.req("F-173")
@pytest.mark.usefixtures("_columns")
def test_a_new_format_is_one_class_and_one_entry() -> None:
    result = read("C3\nx  y  \n1     \n")
    assert (result.found.format, result.rows) == ("columns3", [{"a": "x", "b": "y"}, {"a": "1", "b": ""}])


@pytest.mark.req("F-050")
@pytest.mark.parametrize(
    ("alias", "names"),
    [
        ("excel", ["xlsx", "xls"]),
        ("yml", ["yaml"]),
        ("TSV", ["csv"]),
        (".txt", ["csv"]),
        ("jsonl", ["jsonl"]),
        ("ndjson", ["jsonl"]),
    ],
)
def test_it_knows_the_aliases(alias: str, names: list[str]) -> None:
    assert [each.name for each in formats.named(alias)] == names


def test_it_refuses_unknown_formats() -> None:
    with pytest.raises(OptionRefused, match="Known formats: csv, json"):
        formats.named("dbf")


@pytest.mark.req("F-065", "C8")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("delimeter", ","),
        ("delimiter", ",,"),
        ("delimiter", '"'),
        ("encoding", "klingon"),
        ("encoding", "hex"),
        ("skip_rows", -1),
        ("has_headers", "yes"),
        ("timezone", "Mars/Base"),
        ("null_values", "NULL"),
        ("date_format", "%s"),
        ("quotes_all", True),
    ],
)
def test_it_refuses_options_by_name(key: str, value: object) -> None:
    with pytest.raises(OptionRefused) as caught:
        ReadOptions.parse({key: value})
    assert caught.value.option == key


@pytest.mark.req("F-065", "F-111")
def test_it_knows_other_names_of_options() -> None:
    assert ReadOptions.parse({"include_headers": False, "skip_first_rows": 2, "delimiter": "tab"}) == ReadOptions(
        has_headers=False, skip_rows=2, delimiter="\t"
    )
    assert ReadOptions.parse({"on_duplicate": "skip"}, others={"on_duplicate"}) == ReadOptions()
    assert WriteOptions.parse({"includeHeaders": False, "dateFormat": "us"}) == WriteOptions(
        include_headers=False, date_format="MM/DD/YYYY"
    )


@pytest.mark.req("F-084", "F-088")
@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\people.csv", "people.csv"),
        ('a"b\r\nSet-Cookie: x.csv', "abSet-Cookie x.csv"),
        ("\u202evsc.exe", "vsc.exe"),
        ("..", "file"),
        ("", "file"),
        ("Kündigungen 2024.xlsx", "Kündigungen 2024.xlsx"),
        ("x" * 300 + ".csv", "x" * 146 + ".csv"),
    ],
)
def test_a_name_is_never_a_path(name: str, cleaned: str) -> None:
    assert filenames.cleaned(name) == cleaned
