"""The right side: the first rows, the SQL and the problems; and what they tell about each block."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from importer import operations
from importer.errors import ImporterError, SourceError, SourceTimeout
from importer.operations.previews import Judged
from importer.operations.samples import transformed
from importer.operations.schema import suggest_joins
from importer.query import layout
from importer.query.problems import Problem, QueryProblems
from importer.web.builder import fields, joins, ordering, sql
from importer.web.builder.body import (
    Body,
    base_of,
    original_path,
    runnable,
    unfinished,
)
from importer.web.builder.facts import Facts, keep_facts, told
from importer.web.builder.workbench import Option, Workbench, workbench
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say

SAMPLES = 3
LOOK_COLUMNS = 40  # shown while nothing is mapped yet
LONG = 80  # characters; a longer cell opens on request


@dataclass(frozen=True)
class Result:
    """What the three tabs show."""

    facts: Facts
    judged: Judged | None = None
    columns: tuple[tuple[str, str], ...] = ()
    rows: Sequence[Sequence[Any]] = ()
    query_ms: int = 0
    is_look: bool = False  # the tables' own rows, because nothing is mapped yet
    trouble: ImporterError | None = None
    masked: bool = True

    @property
    def headings(self) -> list[tuple[str, str, str]]:
        """Name, type in short, type."""
        return [(name, fields.short_type(type_name), type_name) for name, type_name in self.columns]

    @property
    def shown_rows(self) -> list[list[str | None]]:
        return [[shown(value) for value in row] for row in self.rows]

    @property
    def sql(self) -> str:
        return readable(self.judged.compiled.text) if self.judged and self.judged.compiled else ""

    @property
    def parameters(self) -> list[tuple[str, Any]]:
        return list(self.judged.compiled.params.items()) if self.judged and self.judged.compiled else []


@members_only
@require_safe
@renewed
def result_part(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """The tabs' contents, and the counts, samples and findings of the blocks out of band."""
    bench = workbench(request, pk, key)
    found = result_of(bench)
    context = {
        "bench": bench, "profile": bench.profile, "key": key, "result": found, "is_part": True,
        "ordering": ordering.ordering_of(bench), "frozen_dates": sql.frozen_in(bench), **told(bench, found.facts),
    }  # fmt: skip
    response = render(request, "importer/builder/_result.html", context)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def result_of(bench: Workbench) -> Result:
    """Preview what can be run of the draft; what is found out is kept for the next page."""
    if bench.source is None:
        return Result(Facts(bench.digest), trouble=bench.trouble)
    if not base_of(bench.body) and not bench.is_sql:
        return Result(Facts(bench.digest))
    body = runnable(bench.body)
    look = () if body["fields"] or bench.is_sql else tuple(bench.options[:LOOK_COLUMNS])
    found = _asked(bench, _looked_at(body, look) if look else body)
    if look:
        found = _as_columns(bench, found, look)
    left = [*unfinished(bench.body), *([] if body["fields"] or bench.is_sql else [_NO_FIELDS])]
    known = [_placed(bench, problem) for problem in found.facts.problems]
    listed = sorted([*left, *known], key=lambda problem: not problem.is_error)
    facts = replace(found.facts, problems=tuple(listed), proposals=tuple(_proposals(bench)))
    keep_facts(bench, facts)
    return replace(found, facts=facts)


def _placed(bench: Workbench, problem: Problem) -> Problem:
    """The problem at its place in the body, and of a text with the line and column a person finds it at."""
    if problem.path != "sql" or problem.position is None:
        return replace(problem, path=original_path(bench.body, problem.path))
    before = str(bench.body.get("sql") or "")[: problem.position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return replace(
        problem,
        message=say("Line {line}, column {column}: {problem}", line=line, column=column, problem=problem.message),
    )


_NO_FIELDS = Problem("fields", say("No field is mapped yet."), say("Map at least the required ones."), "no_fields")


def _asked(bench: Workbench, body: Body) -> Result:
    try:
        previewed = _previewed(bench, body)
    except QueryProblems as error:
        return _judged(bench, body, tuple(error.problems))
    except ImporterError as error:
        return Result(Facts(bench.digest), trouble=error)
    facts = Facts(bench.digest, previewed.steps, previewed.judged.rows, problems=previewed.judged.problems)
    sample = previewed.sample
    facts = replace(facts, samples=_samples(bench, [name for name, _ in sample.columns], sample.rows))
    return Result(facts, previewed.judged, sample.columns, sample.rows, sample.query_ms, masked=previewed.masked)


def _previewed(bench: Workbench, body: Body) -> operations.Previewed:
    chosen = ordering.ordering_of(bench)
    given: dict[str, Any] = {"by": bench.user, "limit": chosen.limit, "order": chosen.order}
    try:
        return operations.preview_query(bench.profile, body, **given, steps=True)
    except SourceTimeout:  # the counts of large tables take too long; the rows alone may not
        return operations.preview_query(bench.profile, body, **given)


def _judged(bench: Workbench, body: Body, problems: tuple[Problem, ...]) -> Result:
    """The SQL and the warnings of a query with errors."""
    try:
        judged = operations.validate_query(bench.profile, body, by=bench.user)
    except SourceError as error:
        return Result(Facts(bench.digest, problems=problems), trouble=error)
    return Result(Facts(bench.digest, problems=judged.problems or problems), judged)


def _looked_at(body: Body, look: Sequence[Option]) -> Body:
    """The query as it would show its tables' own columns."""
    listed = [{"source": option.text, "target": f"custom_fields.c{number}"} for number, option in enumerate(look)]
    return body | {"fields": listed, "group_by": [], "having": {"op": "and", "items": []}, "distinct_on": None}


def _as_columns(bench: Workbench, found: Result, look: Sequence[Option]) -> Result:
    """The same rows under the columns' own names."""
    several = len(bench.tables) > 1
    return replace(
        found,
        facts=replace(found.facts, samples={}, problems=tuple(p for p in found.facts.problems if _is_of_tables(p))),
        columns=tuple((option.text if several else option.name, option.type) for option in look),
        is_look=True,
    )


def _is_of_tables(problem: Problem) -> bool:
    return problem.path.startswith(("base_table", "joins", "filters")) and problem.code != "unused_join"


def _samples(
    bench: Workbench, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> dict[str, list[tuple[str | None, str | None]]]:
    """Up to three filled values of each field, as they are read and as they would be stored."""
    found = {}
    steps = {str(item.get("target")): item.get("transformation") or [] for item in bench.body["fields"]}
    for number, name in enumerate(names):
        filled = [row[number] for row in rows if row[number] not in (None, "")]
        raw = [shown(value) for value in [*filled, *(row[number] for row in rows)][:SAMPLES]]
        results = transformed(raw, steps[name]) if steps.get(name) else raw
        found[name] = list(zip(raw, results if results is not None else [None] * len(raw), strict=True))
    return found


def _proposals(bench: Workbench) -> list[joins.Proposal]:
    names = [placed.full_name for placed in bench.tables if placed.table is not None]
    try:
        return joins.proposals(bench, suggest_joins(bench.profile, names)) if names else []
    except SourceError:
        return []


# -- for people --------------------------------------------------------------------------------------------------


def shown(value: Any) -> str | None:
    """A value of the source as text; None stays what it is."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.hex() if isinstance(value, bytes | memoryview) else str(value)


def readable(text: str) -> str:
    """The SQL in lines, without the prefixes that only guard against look-alike functions; :name is a parameter."""
    named = re.sub(r"%\((\w+)\)s|%%", lambda match: f":{match[1]}" if match[1] else "%", text)
    plain = re.sub(r"OPERATOR\(pg_catalog\.([^)]+)\)", r"\1", named).replace("pg_catalog.", "")
    return re.sub(r"%\((\w+)\)s", r":\1", layout.readable(plain))
