"""The package stands alone: no Django, no ORM, no statement from plain text."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import importer.sources
from tests.parsing import parsed

FOLDER = Path(importer.sources.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def test_it_imports_no_django() -> None:
    names = ", ".join(f"importer.sources.{name}" for name in MODULES)
    code = f"import {names}, sys; sys.exit(any(name.split('.')[0] == 'django' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parents[1], check=False).returncode == 0


def test_it_executes_in_one_place_only_and_prepared() -> None:
    calls = [
        (path.name, {keyword.arg for keyword in node.keywords})
        for path in FOLDER.glob("*.py")
        for node in ast.walk(parsed(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("execute", "executemany")
    ]
    assert calls
    assert all(name == "session.py" and "prepare" in keywords for name, keywords in calls)


def test_its_files_stay_short() -> None:
    assert {path.name for path in FOLDER.glob("*.py") if len(path.read_text().splitlines()) > 350} == set()
