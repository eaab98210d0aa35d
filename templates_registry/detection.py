"""What a source is (T18, T20), and how well a pack fits it (T21, T22)."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from psycopg import sql

from importer.errors import ImporterError, QueryError
from importer.query.dumping import dump_spec
from importer.sources.introspection import resolve_types
from importer.sources.schema import PackView, SourceSchema
from importer.sources.session import SourceSession, identifier
from servicevault.wording import say
from templates_registry.fitting import QueryFit, pack_views, unmet
from templates_registry.pack import Definition, Probe, Rule
from templates_registry.parameters import Choice, ParameterAnswer, fitted, values_of
from templates_registry.parameters import answers as parameter_answers

Name = TypeVar("Name", bound=Hashable)

MOST_CANDIDATES = 10
LIKELY_FROM = 40  # a lower score is no reason to propose a pack
DETECTION_SECONDS = 3.0  # T20
VERSION_PROBE = "version"  # a probe of this name gives the hint


@dataclass(frozen=True)
class Evidence:
    rule: str
    matched: bool


@dataclass(frozen=True)
class Candidate:
    """A platform that the source may be."""

    platform: str
    name: str
    score: int  # 0-100
    evidence: tuple[Evidence, ...]
    version_hint: str = ""

    @property
    def is_likely(self) -> bool:
        return self.score >= LIKELY_FROM


@dataclass(frozen=True)
class ProbeAnswer:
    name: str
    value: Any
    source: str  # "probe", or "question" when a person must answer
    question: str = ""
    choices: tuple[Choice, ...] = ()  # of a probe that lists values


@dataclass(frozen=True)
class FitReport:
    """What of a pack this source can feed."""

    platform: str
    score: int  # 0-100: share of the queries that are not optional and fit
    queries: tuple[QueryFit, ...]
    probes: tuple[ProbeAnswer, ...] = ()
    parameters: tuple[ParameterAnswer, ...] = ()
    warnings: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()  # the warnings that are about views
    views: tuple[PackView, ...] = field(default=())  # with the columns they yield here

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON (T21)."""
        return {
            "platform": self.platform,
            "score": self.score,
            "queries": [_query_dict(query) for query in self.queries],
            "probes": [asdict(answer) for answer in self.probes],
            "parameters": [asdict(answer) for answer in self.parameters],
            "warnings": list(self.warnings),
        }


def detect(
    schema: SourceSchema, definitions: Iterable[Definition], *, session: SourceSession | None = None
) -> list[Candidate]:
    """Candidates, the best first, at most ten. Rules about rows and version hints need the session."""
    return [found for _, found in detect_named(schema, dict(enumerate(definitions)), session=session)]


def detect_named(
    schema: SourceSchema, definitions: Mapping[Name, Definition], *, session: SourceSession | None = None
) -> list[tuple[Name, Candidate]]:
    """`detect` for definitions that have names of the caller's."""
    deadline = time.monotonic() + DETECTION_SECONDS
    found = [
        (name, _candidate(schema, definition, session, deadline))
        for name, definition in definitions.items()
        if definition.fingerprint
    ]
    ranked = sorted(found, key=lambda item: (-item[1].score, item[1].platform))
    return [item for item in ranked if item[1].score > 0][:MOST_CANDIDATES]


def fit(
    definition: Definition,
    schema: SourceSchema,
    session: SourceSession,
    *,
    parameters: Mapping[str, Any] | None = None,
    variants: Mapping[str, str] | None = None,
) -> FitReport:
    """Hold a pack against a source; its views are prepared there and its probes run, read-only."""
    views, refused = resolved_views(definition, schema, session)
    seen = schema.with_views(views)
    answers, warnings = _answers(definition, schema, session)
    told = parameter_answers(definition, parameters or {}, {answer.name: answer.choices for answer in answers})
    values = values_of(told)
    queries = fitted(definition, seen, variants=variants, values=values)
    return FitReport(
        platform=definition.platform,
        score=_score(queries),
        queries=queries,
        probes=tuple(answers),
        parameters=told,
        refused=tuple(refused),
        warnings=(*refused, *warnings, *_gap_warnings(queries)),
        views=views,
    )


def resolved_views(
    definition: Definition, schema: SourceSchema, session: SourceSession
) -> tuple[tuple[PackView, ...], list[str]]:
    """The pack's views that this source accepts, with their columns; and sentences about those it refuses."""
    found: list[PackView] = []
    refused: list[str] = []
    for view in pack_views(definition, schema):
        try:
            found += resolve_types(session, [view])
        except QueryError as error:
            refused.append(error.message)
    return tuple(found), refused


# -- detection ---------------------------------------------------------------------------------------------------


def _candidate(
    schema: SourceSchema, definition: Definition, session: SourceSession | None, deadline: float
) -> Candidate:
    judged = [(rule, _matches(rule, schema, session, deadline)) for rule in definition.fingerprint]
    known = [(rule, matched) for rule, matched in judged if matched is not None]
    total = sum(rule.weight for rule, _ in known)
    score = round(100 * sum(rule.weight for rule, matched in known if matched) / total) if total else 0
    hint = _version_hint(definition, schema, session) if score >= LIKELY_FROM else ""
    return Candidate(
        platform=definition.platform,
        name=definition.name,
        score=score,
        evidence=tuple(Evidence(str(rule), matched) for rule, matched in known),
        version_hint=hint,
    )


def _matches(rule: Rule, schema: SourceSchema, session: SourceSession | None, deadline: float) -> bool | None:
    """Whether the rule holds; None when it takes a look at rows and nobody can look."""
    table = schema.table(rule.table)
    there = table is not None and (not rule.column or table.column(rule.column) is not None)
    if rule.value is None or not there or table is None:
        return there != rule.absent
    if session is None or time.monotonic() > deadline:
        return None
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} AS r WHERE r.{}::pg_catalog.text = %s)").format(
        identifier(table.schema, table.name), identifier(rule.column)
    )
    try:
        return bool(session.fetch_all(query, (rule.value,), timeout_seconds=DETECTION_SECONDS)[0][0]) != rule.absent
    except ImporterError:
        if not session.is_open:
            raise
        return None


def _version_hint(definition: Definition, schema: SourceSchema, session: SourceSession | None) -> str:
    probe = next((probe for probe in definition.probes if probe.name == VERSION_PROBE), None)
    if probe is None or session is None or any(unmet(schema, probe.requires)):
        return ""
    try:
        return str(_answer(probe, session).value or "")
    except ImporterError:
        if not session.is_open:
            raise
        return ""


# -- fit ---------------------------------------------------------------------------------------------------------


def _answers(
    definition: Definition, schema: SourceSchema, session: SourceSession
) -> tuple[list[ProbeAnswer], list[str]]:
    answers: list[ProbeAnswer] = []
    warnings: list[str] = []
    for probe in definition.probes:
        if any(unmet(schema, probe.requires)):
            continue
        try:
            answers.append(_answer(probe, session))
        except ImporterError as error:
            if not session.is_open:
                raise
            warnings.append(say("The probe {probe} got no answer: {error}", probe=probe.name, error=error.message))
            answers.append(ProbeAnswer(probe.name, None, "question", probe.question))
    return answers, warnings


def _answer(probe: Probe, session: SourceSession) -> ProbeAnswer:
    """The probe's value: the first column of its first row, or of all rows for a list, whose second is a label."""
    rows = session.fetch_all(sql.SQL(probe.sql), None, timeout_seconds=session.limits.preview_timeout_seconds)
    choices = tuple(Choice(row[0], str(row[1]) if len(row) > 1 else "") for row in rows[:500])
    if probe.type == "list":
        return ProbeAnswer(probe.name, [choice.value for choice in choices], "probe", probe.question, choices)
    return ProbeAnswer(probe.name, rows[0][0] if rows else None, "probe", probe.question, choices[:1])


def _score(queries: tuple[QueryFit, ...]) -> int:
    counted = [query for query in queries if not query.optional or query.status != "missing"]
    if not counted:
        return 0
    worth = {"fits": 1.0, "fits_with_gaps": 0.9, "missing": 0.0}
    return round(100 * sum(worth[query.status] for query in counted) / len(counted))


def _gap_warnings(queries: tuple[QueryFit, ...]) -> Iterator[str]:
    for query in queries:
        if query.status == "missing" and not query.optional:
            yield f"{query.name}: {query.reason}."
        for gap in query.missing_optional:
            yield say("{query}: {gap} is not there and stays empty.", query=query.name, gap=gap)


def _query_dict(query: QueryFit) -> dict[str, Any]:
    return {
        "key": query.key,
        "name": query.name,
        "target_type": query.spec.target_type,
        "status": query.status,
        "variant": query.variant,
        "missing_required": [{"name": gap.needs, "nearest": gap.nearest} for gap in query.missing_required],
        "missing_optional": [{"name": gap.needs, "nearest": gap.nearest} for gap in query.missing_optional],
        "type_differences": list(query.type_differences),
        "reason": query.reason,
        "row_estimate": query.row_estimate,
        "spec": dump_spec(query.spec),
    }
