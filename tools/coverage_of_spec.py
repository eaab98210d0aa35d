"""List which requirements of the specification have a test: `make coverage-of-spec`.

A test proves the ids in its `@pytest.mark.req(...)`, on itself, its class or its module (`pytestmark`), and those
its docstring names in square brackets, as in "[P1, I17]". The specification lies beside the project (../shared/spec)
and is not part of it; without it only the ids that tests name are listed.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SPECIFICATION = PROJECT.parent / "shared" / "spec"

ID = r"(?:F-\d{3}|[A-Z]{1,2}-?\d{1,3}[a-z]?)"
BOLD = re.compile(rf"\*\*({ID})\*\*")  # how the specification marks a definition in a line
ROW = re.compile(rf"^\|\s*({ID})\s*\|")  # and in a table
IN_DOCSTRING = re.compile(rf"\[({ID}(?:,\s*{ID})*)\]")


def required_ids(folder: Path) -> dict[str, str]:
    """Return every id the specification defines, with the file that defines it."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.md")):
        for line in path.read_text().splitlines():
            for identifier in [*BOLD.findall(line), *ROW.findall(line)]:
                found.setdefault(identifier, path.name)
    return found


def proven_ids(folder: Path) -> dict[str, list[str]]:
    """Return the tests that name each id."""
    proven: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        tree = ast.parse(path.read_text(), filename=str(path))
        for node in ast.walk(tree):
            place = f"{path.relative_to(PROJECT)}"
            identifiers: list[str] = []
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.req"):
                identifiers = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for listed in IN_DOCSTRING.findall(ast.get_docstring(node) or ""):
                    identifiers += re.findall(ID, listed)
            for identifier in identifiers:
                proven[identifier.split("/")[0]].append(place)
    return proven


def series(identifier: str) -> str:
    return identifier[:2] if identifier.startswith("F-") else re.match(r"[A-Z]+", identifier)[0]


def number(identifier: str) -> tuple[int, str]:
    digits = re.search(r"\d+", identifier)[0]
    return int(digits), identifier


def main() -> None:
    proven = proven_ids(PROJECT / "tests")
    required = required_ids(SPECIFICATION) if SPECIFICATION.is_dir() else {}
    if not required:
        print("The specification is not beside this project; these ids are named by tests:")
    by_series: dict[str, list[str]] = defaultdict(list)
    for identifier in required or proven:
        by_series[series(identifier)].append(identifier)
    done = 0
    for name, identifiers in sorted(by_series.items()):
        with_test = sorted((each for each in identifiers if each in proven), key=number)
        without = sorted((each for each in identifiers if each not in proven), key=number)
        done += len(with_test)
        print(f"\n{name}: {len(with_test)} of {len(identifiers)} proven")
        print(f"  proven      {', '.join(with_test) or '-'}")
        if required:
            print(f"  not proven  {', '.join(without) or '-'}")
    unknown = sorted(set(proven) - set(required)) if required else []
    if unknown:
        print(f"\nnamed by tests, unknown to the specification: {', '.join(unknown)}")
    total = sum(map(len, by_series.values()))
    print(f"\n{done} of {total} requirements have a test.")


if __name__ == "__main__":
    main()
