"""Damaged files: each is refused with a sentence or read as far as it goes; no reader breaks over one."""

from __future__ import annotations

import io
import tempfile
import warnings

import pytest

from servicevault.tabular import detection, sandbox
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import DEFAULT
from servicevault.tabular.options import ReadOptions
from tests.servicevault.tabular.damaged import DAMAGE, HONEST

MOST_ROWS = 200_000  # more than any of them can hold: a reader that goes round in circles
# Its reader aborts or takes all memory; the product only ever calls it in the child.
ONLY_IN_A_CHILD = {"xls"}


@pytest.mark.req("F-084", "F-085", "F-087")
@pytest.mark.parametrize("name", HONEST)
def test_no_damage_breaks_a_reader(name: str) -> None:
    honest = HONEST[name]()
    end = in_a_child if name in ONLY_IN_A_CHILD else outcome
    assert end(honest) == "read"
    ends = {damage: end(spoil(honest)) for damage, spoil in DAMAGE.items()}
    assert "refused" in ends.values()
    assert {damage: end for damage, end in ends.items() if end not in {"read", "refused"}} == {}


def outcome(data: bytes) -> str:
    """How reading to the end goes: read, refused with a sentence, or the exception that nobody foresaw."""
    try:
        with warnings.catch_warnings(), detection.opened(io.BytesIO(data), ReadOptions(), DEFAULT) as (_, reading):
            warnings.simplefilter("ignore")
            for number, record in enumerate(reading.records):
                assert number < MOST_ROWS, "no end"
                assert len(record.cells) <= len(reading.headers) or record.problems, "cells that belong to no column"
    except FileRejected as error:
        return "refused" if error.message.rstrip().endswith((".", "!", "?", "”")) else f"no sentence: {error.message}"
    except Exception as error:  # noqa: BLE001 - the finding itself
        return repr(error)
    return "read"


def in_a_child(data: bytes) -> str:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            sandbox.inspect(file, ReadOptions())
        except FileRejected:
            return "refused"
    return "read"
