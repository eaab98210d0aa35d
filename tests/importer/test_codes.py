"""Every code that a record can have has words that can be translated (C14)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from importer.codes import WORDS, words
from importer.pipeline.checks import KINDS as CHECKS
from importer.pipeline.transforms import KINDS
from tests.parsing import parsed

PROJECT = Path(__file__).resolve().parents[2]
READ = (*sorted((PROJECT / "importer" / "pipeline").rglob("*.py")), PROJECT / "servicevault" / "targets.py")
CODE = re.compile(r"[a-z]+(_[a-z]+)+|exists|duplicate|rejected|renumbered")
VERDICT = re.compile(r"'?(?:failed|skipped|review) ([a-z_]+)'?")
OF_JOBS = {"target_unavailable", "storage_full", "source_limit", "permission_denied", "drift_detected"}


def codes_in(tree: ast.Module) -> Iterator[str]:
    """Texts in places where codes stand: before what is said of them, as `code=`, within a verdict."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call | ast.Tuple):
            parts = node.args if isinstance(node, ast.Call) else node.elts
            for one, after in pairwise(parts):
                if is_text(one) and isinstance(after, ast.Call) and getattr(after.func, "id", "") == "say":
                    yield one.value
        if isinstance(node, ast.Call):
            yield from (given.value.value for given in node.keywords if given.arg == "code" and is_text(given.value))
        if is_text(node) and (found := VERDICT.fullmatch(node.value)):
            yield found[1]


def is_text(node: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.req("C14")
def test_every_code_of_a_record_has_words() -> None:
    found = {code for path in READ for code in codes_in(parsed(path.read_text())) if CODE.fullmatch(code)}
    found |= {kind.code for kind in (*KINDS.values(), *CHECKS.values()) if kind.code}
    named = {kind.name for kind in (*KINDS.values(), *CHECKS.values())}
    assert len(found) > 30
    assert found - named - OF_JOBS - WORDS.keys() == set()
    assert words("of_a_plugin") == "of a plugin"


@pytest.mark.req("C14")
def test_every_parameter_of_a_transformation_has_a_label() -> None:
    assert all(parameter.label for kind in KINDS.values() for parameter in kind.parameters)
