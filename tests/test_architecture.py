"""Rules of the house that a machine can check. The layers themselves are import-linter's (pyproject.toml)."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parsing import parsed

PROJECT = Path(__file__).resolve().parent.parent
NOT_PACKAGES = {"tests", "tools", "benchmarks", "docs"}
PACKAGES = sorted(path.parent.name for path in PROJECT.glob("*/__init__.py") if path.parent.name not in NOT_PACKAGES)
MODULES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))
TEMPLATES = sorted([*(PROJECT / "templates").rglob("*.html"), *PROJECT.glob("*/templates/**/*.html")])

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "services", "mixins", "misc", "common"}
MAY_CATCH_EVERYTHING = {"importer/runner.py", "exporter/run.py"}
MAY_USE_GUARDIAN = {"permissions/policy.py"}
Rule = Callable[[str, ast.AST], bool]
MAX_LINES = 500  # split by noun near 350; this is where it is no longer a matter of taste


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def test_it_names_modules_by_noun() -> None:
    assert [name_of(path) for path in MODULES if path.stem in FORBIDDEN_NAMES] == []


def test_it_keeps_modules_short_enough_to_read() -> None:
    written = [path for path in MODULES if "migrations" not in path.parts]
    assert [name_of(path) for path in written if len(path.read_text().splitlines()) > MAX_LINES] == []


def test_it_checks_the_layers_of_every_package() -> None:
    configuration = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert sorted(configuration["tool"]["importlinter"]["root_packages"]) == PACKAGES


BROAD = {"Exception", "BaseException"}


def catches_everything(name: str, node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler) or name in MAY_CATCH_EVERYTHING:
        return False
    if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
        return False  # tidies up and lets it pass
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(each is None or (isinstance(each, ast.Name) and each.id in BROAD) for each in caught)


def imports_guardian(name: str, node: ast.AST) -> bool:
    if name in MAY_USE_GUARDIAN:
        return False
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == "guardian"
    return isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "guardian" for alias in node.names)


def is_built_from_strings(node: ast.expr) -> bool:
    """Say whether an SQL argument is text put together in place: f-string, `+`, `%` or `.format` on a string."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return not (is_plain(node.left) and is_plain(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "join"}:
        # psycopg's sql.SQL("...").format(...) and sql.SQL(", ").join(...) are the safe form.
        return isinstance(node.func.value, ast.Constant | ast.JoinedStr)
    return False


def is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return is_plain(node.left) and is_plain(node.right)
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())  # a constant


RUNS_SQL = {"execute", "executemany", "copy", "stream", "raw", "RawSQL", "extra", "mogrify"}
TAKES_SQL = RUNS_SQL | {"SQL", "RunSQL"}


def runs_built_sql(name: str, node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called in TAKES_SQL and is_built_from_strings(node.args[0])


@pytest.mark.parametrize(
    ("argument", "is_built"),
    [
        ('"SELECT 1"', False),
        ('"SELECT " + "1"', False),
        ('"ROLLBACK TO " + SAVEPOINT', False),
        ('sql.SQL("SELECT {}").format(name)', False),
        ('sql.SQL(", ").join(columns)', False),
        ('f"SELECT {name}"', True),
        ('"SELECT " + name', True),
        ('"SELECT %s" % name', True),
        ('"SELECT {}".format(name)', True),
        ('", ".join(columns)', True),
    ],
)
def test_it_tells_built_sql_from_composed_sql(argument: str, is_built: bool) -> None:
    assert is_built_from_strings(ast.parse(argument, mode="eval").body) is is_built


def uses(word: str) -> Rule:
    def uses_word(name: str, node: ast.AST) -> bool:
        if isinstance(node, ast.alias):
            return node.name.split(".")[-1] == word
        return (isinstance(node, ast.Name) and node.id == word) or (
            isinstance(node, ast.Attribute) and node.attr == word
        )

    return uses_word


RULES: dict[str, Rule] = {
    "catches everything, which one place does": catches_everything,
    "asks guardian, which permissions.policy does": imports_guardian,
    "puts SQL together from strings": runs_built_sql,
    "uses ClientCursor, which puts parameters into the text of the statement": uses("ClientCursor"),
    "uses mark_safe, with which imported text would be run as HTML; use format_html": uses("mark_safe"),
}


def test_no_module_breaks_a_rule() -> None:
    """In one walk: the trees of all modules together would stay in memory for the tests after this one."""
    broken = [
        f"{name}:{getattr(node, 'lineno', 0)} {rule}"
        for name, path in ((name_of(path), path) for path in MODULES)
        for node in ast.walk(parsed(path.read_text(), name))
        for rule, breaks in RULES.items()
        if breaks(name, node)
    ]
    assert broken == []


def test_it_escapes_everything_in_templates() -> None:
    unescaped = re.compile(r"\|\s*safe(seq)?\b|{%\s*autoescape\s+off")
    assert [name_of(path) for path in TEMPLATES if unescaped.search(path.read_text())] == []
