"""JSON, JSON Lines, XML and YAML: each row of the specification's table of edge cases."""

from __future__ import annotations

import pytest

from servicevault.tabular.errors import FileRejected
from servicevault.tabular.options import ReadOptions
from servicevault.tabular.values import parse
from tests.servicevault.tabular.files import read

pytestmark = pytest.mark.req("F-084")


@pytest.mark.parametrize(
    ("data", "path", "rows"),
    [
        ('[{"a": "1"}, {"a": "2"}]', "", [{"a": "1"}, {"a": "2"}]),
        ('{"whatever": [{"a": "1"}], "n": 3}', "whatever", [{"a": "1"}]),
        ('{"a": "1", "b": null}', "$", [{"a": "1", "b": None}]),
        ('{"data": {"items": [{"a": "1"}, {"a": "2"}]}, "x": [{"a": 1}]}', "data.items", [{"a": "1"}, {"a": "2"}]),
    ],
)
def test_it_finds_the_records_of_json(data: str, path: str, rows: list[object]) -> None:
    result = read(data)
    assert (result.found.record_path, result.rows) == (path, rows)


def test_it_offers_the_other_lists() -> None:
    result = read('{"a": [{"x": 1}], "b": [{"x": 1}, {"x": 2}], "tags": ["t"]}')
    assert [(each.path, each.count) for each in result.found.record_paths] == [("b", 2), ("a", 1)]
    assert result.notices == ["several_record_paths"]
    assert len(read('{"a": [{"x": 1}], "b": [{"x": 1}, {"x": 2}]}', record_path="/a").rows) == 1
    with pytest.raises(FileRejected, match="There is: a"):
        read('{"a": [{"x": 1}]}', record_path="c")


def test_a_bad_line_of_json_lines_is_an_error_of_that_line() -> None:
    result = read('{"a": 1}\n{"a": \n\n{"a": 3}\n')
    assert (result.found.format, result.problems) == ("jsonl", [(2, "invalid_json")])
    assert [record.line for record in result.records] == [1, 2, 4]


def test_it_unites_the_keys_of_all_records() -> None:
    assert read('[{"a": "1"}, {"b": "2"}]').rows == [{"a": "1", "b": None}, {"a": None, "b": "2"}]


def test_it_flattens_or_keeps_nested_values() -> None:
    data = '[{"a": {"b": {"c": 1.50}}, "l": [1, {"x": null}]}]'
    assert read(data).rows == [{"a.b.c": "1.50", "l": '[1, {"x": null}]'}]
    kept = read(data, flatten=False)
    assert (kept.rows[0]["a"], kept.records[0].hints) == ('{"b": {"c": 1.50}}', {0: "json", 1: "json"})


def test_numbers_and_booleans_keep_their_type_and_digits() -> None:
    result = read('[{"i": 12345678901234567890, "f": 1.0, "t": true, "s": "1"}]')
    assert result.records[0].cells == ["12345678901234567890", "1.0", "true", "1"]
    assert result.records[0].hints == {0: "number", 1: "number", 2: "boolean"}
    assert parse("integer", "1.0", ReadOptions(), hint="number") == 1


def test_it_names_repeated_keys_and_half_characters() -> None:
    result = read('[{"a": 1, "a": 2}, {"a": "\\ud800"}, {"a": "\\u0000"}]')
    assert result.problems == [(1, "duplicate_key"), (2, "lone_surrogate"), (3, "nul_byte")]


def test_it_reads_json_across_the_window() -> None:
    rows = ",".join(f'{{"id": {number}, "text": "{"x" * 90}"}}' for number in range(9_000))
    assert read(f'{{"meta": {{"v": 1}}, "rows": [{rows}]}}').records[-1].cells[0] == "8999"


def test_it_reads_xml_records_attributes_and_namespaces() -> None:
    data = (
        '<?xml version="1.0"?><r:users xmlns:r="urn:x" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        '<r:user id="1"><r:name>Zoë &amp; co</r:name></r:user><!-- note -->'
        '<r:user id="2"><r:name xsi:nil="true"/><r:tag>a</r:tag><r:tag>b</r:tag></r:user></r:users>'
    )
    result = read(data)
    assert result.found.record_path == "users.user"
    assert result.rows == [
        {"@id": "1", "name": "Zoë & co", "tag": None},
        {"@id": "2", "name": None, "tag": '["a", "b"]'},
    ]


def test_it_reads_xml_in_the_encoding_it_declares() -> None:
    data = '<?xml version="1.0" encoding="iso-8859-1"?><a><b><c>ß</c></b><b><c>x</c></b></a>'.encode("latin-1")
    assert read(data).rows[0] == {"c": "ß"}


def test_it_reads_yaml_lists_mappings_and_documents() -> None:
    assert read("- a: '1'\n  b: x\n- a: '2'\n").rows == [{"a": "1", "b": "x"}, {"a": "2", "b": None}]
    assert read("users:\n  - a: x\n  - a: y\n").rows == [{"a": "x"}, {"a": "y"}]
    assert read("---\n- a: x\n---\n- a: y\n").rows == [{"a": "x"}, {"a": "y"}]
    assert read("---\na: x\n---\na: y\n").rows == [{"a": "x"}, {"a": "y"}]


def test_yaml_words_stay_text() -> None:
    result = read("- {a: NO, b: 01234, c: 12:30:45, d: 010, e: 2024-01-31, f: ~, g: true, h: 1.50, i: '5'}\n")
    assert result.records[0].cells == ["NO", "01234", "12:30:45", "010", "2024-01-31", None, "true", "1.50", "5"]
    assert result.records[0].hints == {6: "boolean", 7: "number"}


def test_yaml_aliases_and_merges_are_read_within_reason() -> None:
    data = "defaults: &d\n  role: agent\nusers:\n  - {<<: *d, name: a}\n  - {<<: *d, name: b, role: admin}\n"
    assert read(data, format="yaml").rows == [{"name": "a", "role": "agent"}, {"name": "b", "role": "admin"}]


def test_content_decides_and_a_contradiction_names_both() -> None:
    assert read('[{"a": "1"}]').found.format == "json"
    with pytest.raises(FileRejected, match=r"declared as XML.*content is JSON"):
        read('[{"a": "1"}]', format="xml")
    with pytest.raises(FileRejected, match=r"declared as Excel.*content is CSV"):
        read("a,b\n1,2\n", format="excel")
