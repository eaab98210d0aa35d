"""What was found out about a draft, kept for the next page; and what it tells beside the blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.cache import cache

from importer.query.preview import Count
from importer.query.problems import Problem
from importer.web.builder import fields, joins
from importer.web.builder.body import conditions, is_joined
from importer.web.builder.workbench import Workbench
from servicevault.wording import say_count

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


def _place(bench: Workbench) -> str:
    return f"builder-facts:{bench.draft.pk}"


def known_facts(bench: Workbench) -> Facts:
    """What is known of the draft; not fresh when it was changed since."""
    found: Facts | None = cache.get(_place(bench))
    if found is None:
        return Facts("", is_fresh=False)
    return replace(found, is_fresh=found.digest == bench.digest)


def keep_facts(bench: Workbench, found: Facts) -> None:
    cache.set(_place(bench), found, KEPT_SECONDS)


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
        return say_count("{count} row fewer", "{count:,} rows fewer", self.before - self.rows)


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
