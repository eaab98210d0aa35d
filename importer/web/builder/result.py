"""The right side: the first rows, the SQL and the problems; and what they tell about each block."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.cache import cache
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from importer import operations
from importer.errors import ImporterError, SourceError, SourceTimeout
from importer.operations.previews import Judged
from importer.operations.samples import transformed
from importer.operations.schema import suggest_joins
from importer.query import layout
from importer.query.preview import Count
from importer.query.problems import Problem, QueryProblems
from importer.web.builder import fields, joins, ordering, sql
from importer.web.builder.body import (
    Body,
    base_of,
    conditions,
    is_joined,
    original_path,
    runnable,
    unfinished,
)
from importer.web.builder.workbench import Option, Workbench, workbench
from servicevault.web.pages import PageRequest, members_only

SAMPLES = 3
LOOK_COLUMNS = 40  # shown while nothing is mapped yet
LONG = 80  # characters; a longer cell opens on request
KEPT_SECONDS = 3600


@dataclass(frozen=True)
class Facts:
    """What was found out about a body; kept so that the next page can show it at once."""

    digest: str
    counts: tuple[int, ...] = ()  # after the base table, after each join, after the filters, of folded rows
    rows: Count | None = None
    samples: dict[str, list[tuple[str | None, str | None]]] = field(default_factory=dict)  # by target: raw, result
    problems: tuple[Problem, ...] = ()
    proposals: tuple[joins.Proposal, ...] = ()
    is_fresh: bool = True

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.is_error]


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


def _place(bench: Workbench) -> str:
    return f"builder-facts:{bench.draft.pk}"


def known_facts(bench: Workbench) -> Facts:
    """What is known of the draft; not fresh when it was changed since."""
    found: Facts | None = cache.get(_place(bench))
    if found is None:
        return Facts("", is_fresh=False)
    return replace(found, is_fresh=found.digest == bench.digest)


@members_only
@require_safe
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
    cache.set(_place(bench), facts, KEPT_SECONDS)
    return replace(found, facts=facts)


def _placed(bench: Workbench, problem: Problem) -> Problem:
    """The problem at its place in the body, and of a text with the line and column a person finds it at."""
    if problem.path != "sql" or problem.position is None:
        return replace(problem, path=original_path(bench.body, problem.path))
    before = str(bench.body.get("sql") or "")[: problem.position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return replace(problem, message=f"Line {line}, column {column}: {problem.message}")


_NO_FIELDS = Problem("fields", "No field is mapped yet.", "Map at least the required ones.", "no_fields")


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


@dataclass(frozen=True)
class Counted:
    """The rows after a block, and whether it dropped or multiplied them."""

    element: str
    rows: int | None
    before: int | None = None

    @property
    def is_narrowing(self) -> bool:
        """Whether fewer rows are what the block is for."""
        return self.element in ("filters", "one")

    @property
    def mark(self) -> str:
        if self.rows is None or not self.before or self.rows == self.before:
            return ""
        if self.rows > self.before:
            return f"rows \u00d7 {self.rows / self.before:.2f}".rstrip("0").rstrip(".")
        return f"{self.before - self.rows:,} rows fewer"


def counted(bench: Workbench, facts: Facts) -> list[Counted]:
    """The counts of the blocks: base table, each join, filters, folded rows; None where one is not known."""
    done = [number for number, join in enumerate(bench.body["joins"]) if is_joined(join)]
    names = ["base", *(f"joins-{number}" for number in done), "filters", "one"]
    known = dict(zip(names, facts.counts, strict=False))
    if len(facts.counts) not in (len(names) - 1, len(names)):
        known = {}  # of another number of joins
    found, before = [], None
    for name in ("base", *(f"joins-{number}" for number in range(len(bench.body["joins"]))), "filters", "one"):
        rows = known.get(name)
        found.append(Counted(name, rows, before))
        before = rows if rows is not None else before
    return found


def anchor_of(bench: Workbench, path: str) -> str:
    """The element a problem's path points at."""
    numbers = re.findall(r"\[(\d+)\]", path)
    root = re.match(r"[a-z_]*", path)
    name = root[0] if root else ""
    if name in ("filters", "having") and numbers:
        return f"b-{name}-{'-'.join(numbers)}"
    if name == "joins" and numbers:
        return f"b-joins-{numbers[0]}"
    if name == "fields" and numbers and int(numbers[0]) < len(bench.body["fields"]):
        target = str(bench.body["fields"][int(numbers[0])].get("target") or "")
        return f"b-fields-{fields.element_of(bench, target)}"
    blocks = {
        "base_table": "base",
        "sql": "sql-edit" if bench.may_write_sql else "base",
        "params": "sql-edit" if bench.may_write_sql else "base",
        "joins": "joins",
        "filters": "filters",
        "having": "one",
        "group_by": "one",
        "distinct_on": "one",
    }
    return f"b-{blocks.get(name, 'fields')}"


@dataclass(frozen=True)
class Note:
    """What was found at one place of the blocks."""

    place: str
    problems: list[Problem]

    @property
    def element(self) -> str:
        return f"b-{self.place}-note"


def notes(bench: Workbench, facts: Facts) -> list[Note]:
    """The findings by place; every place of the blocks is there, so that an old finding is taken away."""
    places: dict[str, list[Problem]] = {"sql": []} if bench.is_sql else {}
    places |= {f"joins-{number}": [] for number in range(len(bench.body["joins"]))}
    for item in bench.body["fields"]:
        places[f"fields-{fields.element_of(bench, str(item.get('target') or ''))}"] = []
    for root in ("filters", "having"):
        for place, _ in conditions(bench.body[root]):
            places[f"{root}-{place.replace('.', '-')}"] = []
    for problem in facts.problems if facts.is_fresh else ():
        root = problem.path.partition(".")[0]
        found = places.get("sql" if root in ("sql", "params") else anchor_of(bench, problem.path).removeprefix("b-"))
        if found is not None:
            found.append(problem)
    return [Note(place, problems) for place, problems in places.items()]


@dataclass(frozen=True)
class Linked:
    """A problem with the place it is about."""

    problem: Problem
    anchor: str

    @property
    def at(self) -> int | None:
        """Where in the text of a query in SQL; the field of the text puts its caret there."""
        return self.problem.position if self.problem.path == "sql" else None


def linked(bench: Workbench, facts: Facts) -> list[Linked]:
    return [Linked(problem, anchor_of(bench, problem.path)) for problem in facts.problems]


def told(bench: Workbench, facts: Facts) -> dict[str, Any]:
    """What the facts say, as the templates show it beside the blocks."""
    samples = [
        (
            fields.element_of(bench, str(item.get("target") or "")),
            facts.samples.get(str(item.get("target")), []),
            bool(item.get("transformation")),
        )
        for item in bench.body["fields"]
    ]
    return {
        "facts": facts, "counts": counted(bench, facts), "notes": notes(bench, facts), "samples": samples,
        "linked": linked(bench, facts), "proposals": facts.proposals,
    }  # fmt: skip
