"""What keeps a pack from being installed, with file, line and column (N-151)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from importer.errors import PackError
from importer.query import nodes
from importer.query.problems import nearest
from importer.query.raw import read_raw
from servicevault import catalog
from servicevault.wording import say, say_count
from templates_registry import notation
from templates_registry.apply import mapped_by_name
from templates_registry.definition import PackProblems, parse_definition
from templates_registry.files import MAIN, PackFiles
from templates_registry.pack import Definition, QueryForm

# Fields whose values are codes of the source: an unknown one must reach the value map (E33b).
CODED = frozenset({"status", "priority", "channel", "category", "account_type"})


@dataclass(frozen=True)
class Finding:
    file: str
    line: int
    column: int
    message: str
    is_error: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True)
class LintReport:
    """Everything found; a pack with errors is not installed."""

    findings: tuple[Finding, ...]
    definition: Definition | None = None

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(item for item in self.findings if item.is_error)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(item for item in self.findings if not item.is_error)

    @property
    def valid(self) -> bool:
        return not self.errors


class LintFailed(PackError):
    """A pack or template with faults; `report` has them all."""

    code = "validation_error"

    def __init__(self, report: LintReport) -> None:
        self.report = report
        first = report.errors[0]
        super().__init__(
            str(first),
            hint=say_count("{count} error in all.", "{count} errors in all.", len(report.errors)),
            where=first.file,
        )


def lint_pack(files: PackFiles) -> LintReport:
    """Lint a whole pack: its definition, and that every query has a test."""
    report = lint_text(files.main, MAIN)
    if report.definition is None:
        return report
    more = list(_untested(files, report.definition, notation.read(files.main, MAIN)))
    return LintReport((*report.findings, *more), report.definition)


def lint_text(text: str, name: str = MAIN) -> LintReport:
    """Lint one definition, YAML or, by its name, JSON."""
    try:
        document = notation.read(text, name)
    except notation.NotationError as error:
        return LintReport((Finding(name, error.line, error.column, error.message),))
    try:
        definition = parse_definition(document.data)
    except PackProblems as error:
        return LintReport(
            tuple(
                Finding(
                    name, *document.place(problem.path), f"{problem.path}: {problem.message} {problem.hint}".strip(": ")
                )
                for problem in error.problems
            )
        )
    found = (
        Finding(name, *document.place(path), f"{path}: {message}", is_error)
        for path, message, is_error in _faults(definition)
    )
    return LintReport(tuple(found), definition)


# -- queries and views -------------------------------------------------------------------------------------------


def _faults(definition: Definition) -> Iterator[tuple[str, str, bool]]:
    """Path, sentence, and whether it is an error."""
    for query in definition.queries:
        for index, form in enumerate(query.forms):
            inner = f"configuration.queries.{query.key}"
            # A variant's own members stand below it, the shared ones at the query.
            yield from _form_faults(form, inner, f"{inner}.variants[{index}]" if form.variant else inner)
    coded = set(_coded_columns(definition))
    for index, view in enumerate(definition.views):
        for column in _defaulted(view.sql):
            if (view.name, column) in coded:
                path = f"configuration.views[{index}].sql"
                yield (
                    path,
                    say(
                        "{column} feeds a coded field; CASE without ELSE, so that unknown codes are seen.",
                        column=column,
                    ),
                    True,
                )


def _form_faults(form: QueryForm, path: str, own: str) -> Iterator[tuple[str, str, bool]]:
    target = catalog.get(form.spec.target_type) if not form.spec.target_type.startswith("table:") else None
    if form.spec.kind == "sql":
        for problem in read_raw(form.spec.sql, dict(form.spec.params)).problems:
            yield f"{own}.sql", f"{problem.message} {problem.hint}".strip(), True
    if target is None:
        return
    for index, field in enumerate(form.spec.fields):
        at = f"{path}.fields[{index}]"
        if index not in form.plain and target.field(field.target) is None:
            closest = nearest(field.target, target.known)
            hint = say("Did you mean {closest}?", closest=closest) if closest else ""
            said = say("{target} have no field “{field}”.", target=target.label, field=field.target)
            yield at, f"{said} {hint}".strip(), True
        if field.target in CODED and field.source is not None and _has_else(field.source):
            yield (
                at,
                say(
                    "CASE with ELSE on {target}: unknown codes would be lost. Leave the ELSE out.", target=field.target
                ),
                True,
            )
    mapped, warnings = mapped_by_name(form.spec, frozenset(form.spec.fields[index].target for index in form.plain))
    yield from ((f"{path}.fields", warning, False) for warning in warnings)
    given = {field.target for field in mapped.fields}
    lacking = [name for name in target.must_map if name not in given and name not in target.derived_needs]
    if form.spec.kind != "sql" and lacking:
        yield (
            f"{path}.fields",
            say(
                "{target} need {lacking}; the import will refuse the query.",
                target=target.label,
                lacking=", ".join(lacking),
            ),
            False,
        )


def _has_else(node: nodes.Node) -> bool:
    return any(isinstance(found, nodes.Case) and found.default is not None for found in nodes.walk(node))


def _coded_columns(definition: Definition) -> Iterator[tuple[str, str]]:
    """View and output column of everything that feeds a coded field."""
    for query in definition.queries:
        for form in query.forms:
            for field in form.spec.fields:
                if field.target in CODED and field.source is not None:
                    yield from ((form.spec.base.name, column.name) for column in nodes.columns_of(field.source))


def _defaulted(text: str) -> Iterator[str]:
    """Output columns of a SELECT that are a CASE with ELSE."""
    try:
        tree = sqlglot.parse_one(text, read="postgres")
    except (SqlglotError, RecursionError, ValueError):
        return
    if not isinstance(tree, exp.Query):
        return
    for selected in tree.selects:
        case = selected.unalias().find(exp.Case)
        if case is not None and case.args.get("default") is not None:
            yield selected.alias_or_name


# -- tests -------------------------------------------------------------------------------------------------------


def _untested(files: PackFiles, definition: Definition, document: notation.Document) -> Iterator[Finding]:
    tested: set[str] = set()
    for path, text in sorted(files.texts.items()):
        if not path.startswith("expected/"):
            continue
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            yield Finding(path, error.lineno, error.colno, say("This is not JSON: {msg}.", msg=error.msg))
            continue
        except RecursionError:
            yield Finding(path, 1, 1, say("This is nested too deeply."))
            continue
        queries = found.get("queries") if isinstance(found, dict) else None
        if isinstance(queries, dict) and path.replace("expected/", "fixtures/").replace(".json", ".sql") in files.texts:
            tested.update(queries)
    for query in definition.queries:
        if query.key not in tested:
            place = document.place(f"configuration.queries.{query.key}")
            yield Finding(
                MAIN, *place, say("The query {key} has no test: no fixture with expected rows names it.", key=query.key)
            )
