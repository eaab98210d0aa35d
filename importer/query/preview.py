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
from importer.sources.schema import PackView, SourceSchema, Table
from servicevault.wording import say, say_count

from .binding import BoundQuery, bind
from .compiled import CompiledQuery
from .compiler import compile_query
from .composing import identifier
from .nodes import Column, Number
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


def preview(session: Session, compiled: CompiledQuery, limit: int = 10, order: tuple[str, str] | None = None) -> Sample:
    """The first rows of a query, at most `limit` (1-100), by an output column when `order` names one."""
    if not 1 <= limit <= 100:
        raise QueryError(say("A preview shows 1 to 100 rows."), where="limit")
    query, params = compiled.sample(limit, order)
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
        place = compiled.place_in_raw(position) if position else None
        return [Problem(path or error.where, error.message, error.hint, "query_invalid", place)]
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
        message = say_count(
            "{filled:,} of {count} sampled row repeats a `{identifier}`.",
            "{filled:,} of {count:,} sampled rows repeat a `{identifier}`.",
            rows,
            filled=filled - different,
            identifier=compiled.identifier,
        )
        hint = say("A join may give several rows for one: take its first row, or group.")
        found.append(Problem("source_identifier", message, hint, "non_unique_external_id", severity="warning"))
    if filled < rows:
        message = say_count(
            "{rows:,} of {count} sampled row has no `{identifier}`.",
            "{rows:,} of {count:,} sampled rows have no `{identifier}`.",
            rows,
            rows=rows - filled,
            identifier=compiled.identifier,
        )
        found.append(Problem("source_identifier", message, "", "missing_external_id", severity="warning"))
    return found


def analyze_joins(session: Session, spec: QuerySpec, schema: SourceSchema) -> list[JoinAnalysis]:
    """What each join does to the rows before it (Q16): three or four counts a join, filters left out."""
    found = []
    before = _rows(session, _upto(spec, 0), schema) if spec.joins else 0
    for index, join in enumerate(spec.joins):
        after = _rows(session, _upto(spec, index + 1), schema)
        matched = min(before, _rows(session, _matching(spec, index), schema))
        match join.type:
            case "inner":
                pairs = after
            case "left":
                pairs = after - (before - matched)
            case _:
                # Rows of the joined table without a partner are there too.
                pairs = _rows(session, _upto(replace(spec, joins=_inner(spec.joins, index)), index + 1), schema)
        impact: Literal["low", "medium", "high"] = (
            "high" if matched > 10_000 else "medium" if matched > 1_000 else "low"
        )
        multiplicity: Literal["1:1", "1:n"] = "1:n" if pairs > matched else "1:1"
        fan_out = round(after / before, 2) if before else 1.0
        found.append(
            JoinAnalysis(join.table.name, join.table.alias, matched, before - matched, multiplicity, fan_out, impact)
        )
        before = after
    return found


def check_fan_out(
    session: Session, spec: QuerySpec, schema: SourceSchema, seconds: float = EXACT_SECONDS
) -> list[Problem]:
    """A warning for each join that makes more rows of the ones before it, with the factor (Q31).

    Only joins to columns that no key makes unique are counted, each within `seconds`, else estimated. A query
    that folds its rows afterwards is not warned about.
    """
    if spec.kind == "sql" or spec.group_by or spec.distinct_on:
        return []
    bound = bind(spec, schema)
    found = []
    for index, join in enumerate(spec.joins):
        if join.take.mode != "all" or _is_unique(bound, index):
            continue
        before = count(session, compile_query(_upto(spec, index), schema), seconds)
        after = count(session, compile_query(_upto(spec, index + 1), schema), seconds)
        factor = after.rows / before.rows if before.rows else 1.0
        if factor > 1:
            exact = say("The join with `{table}` makes {factor:.2f} rows of one.")
            about = say("The join with `{table}` makes about {factor:.2f} rows of one.")
            message = (exact if before.exact and after.exact else about).format(
                table=join.table.alias or join.table.name,
                factor=factor,
            )
            hint = say("Take the first or last of them, aggregate them, or keep the rows.")
            found.append(Problem(f"joins[{index}]", message, hint, "possible_fan_out", severity="warning"))
    return found


def _is_unique(bound: BoundQuery, index: int) -> bool:
    """Whether a key of the joined table allows one partner at most."""
    join = bound.spec.joins[index]
    table = next((relation.source for relation in bound.relations if relation.ref == join.table), None)
    equal = {item.right.name for item in join.conditions if item.operator == "=" and isinstance(item.right, Column)}
    keys: list[tuple[str, ...]] = []
    if isinstance(table, Table):
        keys = [key for key in (table.primary_key, *table.unique_keys) if key]
    elif isinstance(table, PackView) and table.key:
        keys = [(table.key,)]
    return any(equal.issuperset(key) for key in keys)


def _inner(joins: tuple[Join, ...], index: int) -> tuple[Join, ...]:
    return (*joins[:index], replace(joins[index], type="inner"))


def steps(session: Session, spec: QuerySpec, schema: SourceSchema) -> list[int]:
    """The row count after the base table, after each join, after the filters, and, where rows are folded, after that (Q37)."""
    counts = [_rows(session, _upto(spec, number), schema) for number in range(len(spec.joins) + 1)]
    if spec.group_by or spec.distinct_on:
        filtered = replace(_upto(spec, len(spec.joins)), filters=spec.filters)
        counts.append(_rows(session, filtered, schema))
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
