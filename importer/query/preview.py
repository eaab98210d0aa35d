"""Asks the source about a compiled query: a sample, a count, whether it is valid, what its joins do.

Every statement is made from the CompiledQuery that a run uses (Q17). The session is read-only and has its own
deadlines; this module only chooses what to ask.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from psycopg import sql

from importer.errors import QueryError, SourceTimeout
from importer.sources.schema import SourceSchema

from .compiled import CompiledQuery
from .compiler import compile_query
from .composing import identifier
from .nodes import Number
from .problems import Problem
from .spec import Field, FilterGroup, Join, OrderItem, QuerySpec, Take

EXACT_SECONDS = 2.0  # Q12
_ONE = Number("1")
IDENTIFIER_SAMPLE = 10_000  # Q31 non_unique_external_id


class DescribedColumn(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def type_name(self) -> str: ...


class Session(Protocol):
    """What is needed of an open source session."""

    def fetch_all(
        self, query: sql.Composed, params: Mapping[str, Any], *, timeout_seconds: float | None = None
    ) -> list[tuple[Any, ...]]: ...

    def describe(self, query: sql.Composed, params: Mapping[str, Any]) -> Sequence[DescribedColumn]: ...


@dataclass(frozen=True)
class Sample:
    columns: tuple[tuple[str, str], ...]  # (output name, type)
    rows: tuple[tuple[Any, ...], ...]
    query_ms: int


@dataclass(frozen=True)
class Count:
    rows: int
    exact: bool


@dataclass(frozen=True)
class JoinAnalysis:
    table: str
    alias: str
    matched_records: int
    unmatched_records: int
    multiplicity: Literal["1:1", "1:n"]
    fan_out: float  # rows after the join per row before it
    impact: Literal["low", "medium", "high"]


def preview(session: Session, compiled: CompiledQuery, limit: int = 10) -> Sample:
    """The first rows of a query, at most `limit` (1-100)."""
    if not 1 <= limit <= 100:
        raise QueryError("A preview shows 1 to 100 rows.", where="limit")
    query, params = compiled.sample(limit)
    started = time.monotonic()
    columns = tuple((column.name, column.type_name) for column in session.describe(query, params))
    rows = tuple(session.fetch_all(query, params))
    return Sample(columns, rows, round((time.monotonic() - started) * 1000))


def count(session: Session, compiled: CompiledQuery, seconds: float = EXACT_SECONDS) -> Count:
    """The rows of a query: counted when the source answers within `seconds`, else the planner's estimate."""
    query, params = compiled.count()
    try:
        return Count(int(session.fetch_all(query, params, timeout_seconds=seconds)[0][0]), exact=True)
    except SourceTimeout:
        return Count(estimate(session, compiled), exact=False)


def estimate(session: Session, compiled: CompiledQuery) -> int:
    """The rows the planner expects; runs nothing."""
    query, params = compiled.explain()
    plan = session.fetch_all(query, params)[0][0]
    plan = json.loads(plan) if isinstance(plan, str | bytes) else plan
    return int(plan[0]["Plan"]["Plan Rows"])


def validate_on_source(session: Session, compiled: CompiledQuery) -> list[Problem]:
    """Prepare the query on the source (Q10): its error as a problem at the member whose SQL it is about.

    Failures of the connection are raised, not turned into problems of the query.
    """
    try:
        session.describe(compiled.sql, compiled.params)
    except QueryError as error:
        position = getattr(error, "position", None)
        path = compiled.member_at(position) if position else ""
        return [Problem(path or error.where, error.message, error.hint, "query_invalid")]
    return []


def columns_on_source(session: Session, compiled: CompiledQuery) -> CompiledQuery:
    """`compiled` with the output names the source reports, for a raw query that ends in a star."""
    if compiled.columns:
        return compiled
    return compiled.described(tuple(column.name for column in session.describe(compiled.sql, compiled.params)))


def check_identifier(session: Session, compiled: CompiledQuery) -> list[Problem]:
    """A warning when external ids repeat or are missing among the first 10,000 rows."""
    if compiled.identifier not in compiled.columns:
        return []
    inner, params = compiled.sample(IDENTIFIER_SAMPLE)
    query = sql.SQL(
        "SELECT pg_catalog.count(*), pg_catalog.count({column}), pg_catalog.count(DISTINCT {column}) FROM ({inner}) AS i"
    ).format(column=sql.SQL("i.{}::pg_catalog.text").format(identifier(compiled.identifier)), inner=inner)
    rows, filled, different = (int(value) for value in session.fetch_all(query, params)[0])
    found = []
    if different < filled:
        message = f"{filled - different:,} of {rows:,} sampled rows repeat a `{compiled.identifier}`."
        hint = "A join may give several rows for one: take its first row, or group."
        found.append(Problem("source_identifier", message, hint, "non_unique_external_id", severity="warning"))
    if filled < rows:
        message = f"{rows - filled:,} of {rows:,} sampled rows have no `{compiled.identifier}`."
        found.append(Problem("source_identifier", message, "", "missing_external_id", severity="warning"))
    return found


def analyze_joins(session: Session, spec: QuerySpec, schema: SourceSchema) -> list[JoinAnalysis]:
    """What each join does to the rows before it (Q16): three counts a join, filters left out."""
    found = []
    for index, join in enumerate(spec.joins):
        before = _rows(session, _upto(spec, index), schema)
        after = _rows(session, _upto(spec, index + 1), schema)
        matched = _rows(session, _matching(spec, index), schema)
        distinct = max(0, min(matched, before))
        fan_out = round(after / before, 2) if before else 1.0
        impact: Literal["low", "medium", "high"] = (
            "high" if matched > 10_000 else "medium" if matched > 1_000 else "low"
        )
        multiplicity: Literal["1:1", "1:n"] = "1:n" if after > before else "1:1"
        found.append(
            JoinAnalysis(join.table.name, join.table.alias, distinct, before - distinct, multiplicity, fan_out, impact)
        )
    return found


def steps(session: Session, spec: QuerySpec, schema: SourceSchema) -> list[int]:
    """The row count after the base table, after each join, and after the filters (Q37)."""
    counts = [_rows(session, _upto(spec, number), schema) for number in range(len(spec.joins) + 1)]
    return [*counts, _rows(session, spec, schema)]


def _rows(session: Session, spec: QuerySpec, schema: SourceSchema) -> int:
    query, params = compile_query(spec, schema).count()
    return int(session.fetch_all(query, params)[0][0])


def _upto(spec: QuerySpec, joins: int) -> QuerySpec:
    """`spec` with its first joins only, and nothing that narrows or folds rows."""
    return replace(
        spec, joins=spec.joins[:joins], fields=_constant(), filters=FilterGroup(), group_by=(), having=FilterGroup(),
        distinct_on=None, watermark=None,
    )  # fmt: skip


def _constant() -> tuple[Field, ...]:
    return (Field("one", _ONE),)


def _matching(spec: QuerySpec, index: int) -> QuerySpec:
    """The rows before a join that have a partner, each once: an inner join that takes one row."""
    join = spec.joins[index]
    order_by = join.take.order_by or _any_order(join)
    single = replace(join, type="inner", take=Take("first", order_by))
    return replace(_upto(spec, index), joins=(*spec.joins[:index], single))


def _any_order(join: Join) -> tuple[OrderItem, ...]:
    return tuple(OrderItem(condition.right) for condition in join.conditions[:1]) or (OrderItem(_ONE),)
