"""Hostile files: each ends in a sentence or in records, in time and within the limits."""

from __future__ import annotations

import json
import tempfile

import pytest

from servicevault.tabular import sandbox
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.options import ReadOptions
from tests.servicevault.tabular.files import read
from tests.servicevault.tabular.hostile import DOUBTFUL, HARMLESS, REFUSED

pytestmark = pytest.mark.req("F-084", "F-085", "F-087")
# Its reader is C code that dies or fills memory; only ever tried in the child.
ONLY_IN_A_CHILD = {"yaml-deep", "yaml-deep-mapping"}


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in ONLY_IN_A_CHILD])
def test_it_refuses_with_the_cause(name: str) -> None:
    make, cause = REFUSED[name]
    with pytest.raises(FileRejected, match=cause):
        read(make())


@pytest.mark.parametrize("name", sorted(ONLY_IN_A_CHILD))
def test_it_survives_what_kills_its_child(name: str) -> None:
    make, cause = REFUSED[name]
    with tempfile.TemporaryFile() as file:
        file.write(make())
        file.flush()
        with pytest.raises(FileRejected, match=cause):
            sandbox.inspect(file, ReadOptions())


@pytest.mark.parametrize("name", DOUBTFUL)
def test_it_names_the_one_bad_record(name: str) -> None:
    make, code = DOUBTFUL[name]
    result = read(make())
    assert [code for _, code in result.problems] == [code]
    assert result.records[-1].problems == []


@pytest.mark.parametrize("name", HARMLESS)
def test_it_reads_what_only_looks_dangerous(name: str) -> None:
    result = read(HARMLESS[name]())
    assert result.records
    assert "root:" not in json.dumps([record.cells for record in result.records])
