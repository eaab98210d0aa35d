"""Judging and previewing a query: the same compiled statement for each (Q17), on the source, with short deadlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import Q
from django.utils import timezone

from importer import table_queries
from importer.errors import ImporterError
from importer.mapping.compatibility import type_problems
from importer.mapping.fields import field_problems
from importer.models import ImportProfile, ImportQuery
from importer.operations import masking, table_targets
from importer.operations.profiles import check_active
from importer.operations.schema import looking, source_map, table_of
from importer.query import preview as asking
from importer.query.compiled import CompiledQuery
from importer.query.compiler import compile_query
from importer.query.dumping import dump_spec
from importer.query.parsing import parse_spec
from importer.query.preview import Count, JoinAnalysis, Sample
from importer.query.problems import Problem, QueryProblems
from importer.query.spec import QuerySpec
from importer.query.suggestions import Suggestion, count_suggestions, suggest_filters
from importer.query.validation import Complexity, complexity, performance, validate
from importer.sources.introspection import samples
from importer.sources.schema import SourceSchema, Table
from importer.sources.session import SourceSession
from permissions import policy
from servicevault import catalog
from servicevault.wording import say

RAW_SQL = "import.raw_sql"
SLOW_ROWS, WIDE_OPEN_ROWS = 10_000, 1_000  # X7


@dataclass(frozen=True)
class Judged:
    """A query as it was understood: what is wrong with it, and its statement when it has one."""

    spec: QuerySpec | None
    compiled: CompiledQuery | None
    problems: tuple[Problem, ...] = ()
    rows: Count | None = None

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.is_error]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.is_error]

    @property
    def is_valid(self) -> bool:
        return self.compiled is not None and not self.errors

    @property
    def complexity(self) -> Complexity:
        return complexity(self.spec) if self.spec else "simple"

    @property
    def performance(self) -> str:
        return performance(self.rows.rows) if self.rows else ""

    def accepted(self) -> tuple[QuerySpec, CompiledQuery]:
        """The query and its statement. Raises QueryProblems when there is an error."""
        if self.errors or self.spec is None or self.compiled is None:
            raise QueryProblems(self.errors or [Problem("", say("The query cannot be compiled."))])
        return self.spec, self.compiled


@dataclass(frozen=True)
class Previewed:
    """The first rows of a query, as the person may see them."""

    judged: Judged
    sample: Sample
    steps: tuple[int, ...] = ()  # rows after the base table, after each join, after the filters (Q37)
    masked: bool = True

    def records(self) -> list[dict[str, Any]]:
        names = [name for name, _ in self.sample.columns]
        return [dict(zip(names, row, strict=True)) for row in self.sample.rows]


@dataclass(frozen=True)
class TableRows:
    """The first rows of a table."""

    table: Table
    rows: list[dict[str, Any]]
    masked: bool = True


@dataclass(frozen=True)
class Offered:
    """A filter to offer, and the rows the query would keep with it."""

    suggestion: Suggestion
    rows: Count | None = field(default=None)


def read_query(body: Mapping[str, Any]) -> QuerySpec:
    """The query a body describes. Raises QueryProblems with every fault."""
    return parse_spec(body, target_types=catalog.names())


def check_sql(profile: ImportProfile, spec: QuerySpec, by: Any) -> None:
    """Raise Denied for SQL the person may not write; what the profile's queries say or said may be looked at (DEC-24)."""
    if spec.kind != "sql" or by is None or policy.has(by, RAW_SQL):
        return
    if not profile.queries.filter(Q(spec__sql=spec.sql) | Q(versions__spec__sql=spec.sql)).exists():
        raise policy.Denied(RAW_SQL)


def judge(
    session: SourceSession, profile: ImportProfile, body: Mapping[str, Any], schema: SourceSchema, *, by: Any
) -> Judged:
    """Everything that can be said about a query: its form, its names and types, and what the source makes of it.

    Raises Denied for SQL that the person may not write, before the source sees it.
    """
    try:
        spec = read_query(body)
    except QueryProblems as error:
        return Judged(None, None, tuple(error.problems))
    check_sql(profile, spec, by)
    table_targets.require(spec.target_type, by)
    try:
        target = catalog.get(spec.target_type)
    except catalog.UnknownTarget as error:
        return Judged(spec, None, (Problem("target_type", str(error), code="unknown_target"),))
    spec = table_queries.identified(spec)
    problems = validate(spec, schema, target_fields=target.known, must_map=needed_fields(spec)) + field_problems(spec)
    if any(problem.is_error for problem in problems):
        return Judged(spec, _compiled_or_none(spec, profile, schema), tuple(problems))
    compiled = compile_for(profile, spec, schema)
    problems += asking.validate_on_source(session, compiled)
    if not any(problem.is_error for problem in problems):
        compiled = asking.columns_on_source(session, compiled)
        types = {column.name: column.type_name for column in session.describe(compiled.sql, compiled.params)}
        problems += type_problems(spec, types)
        problems += asking.check_identifier(session, compiled)
        problems += asking.check_fan_out(session, spec, schema)
    return Judged(spec, compiled, tuple(sorted(problems, key=lambda problem: not problem.is_error)))


def compile_for(profile: ImportProfile, spec: QuerySpec, schema: SourceSchema) -> CompiledQuery:
    """The statement a run started now would send. Raises QueryProblems."""
    return compile_query(spec, schema, now=timezone.now(), timezone=profile.source_timezone)


def _compiled_or_none(spec: QuerySpec, profile: ImportProfile, schema: SourceSchema) -> CompiledQuery | None:
    """The SQL of a query that has other faults, so that it can be shown beside them."""
    try:
        return compile_for(profile, spec, schema)
    except ImporterError:
        return None


def needed_fields(spec: QuerySpec) -> tuple[str, ...]:
    """Target fields that must be mapped, without those that the mapped ones stand for (M9)."""
    target = catalog.get(spec.target_type)
    names = {found.name for item in spec.fields if (found := target.field(item.target))}
    return tuple(
        name
        for name in target.must_map
        if not any(all(part in names for part in group) for group in target.derived_needs.get(name, ()))
    )


# -- what pages and API ask --------------------------------------------------------------------------------------


def validate_query(profile: ImportProfile, body: Mapping[str, Any], *, by: Any) -> Judged:
    """Judge a query and count its rows: exactly within two seconds, else the planner's estimate (Q11, Q12).

    Faults of the query are in the result. Raises SourceError when the source cannot be asked.
    """
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        judged = judge(session, profile, body, schema, by=by)
        if not judged.is_valid or judged.compiled is None:
            return judged
        return replace(judged, rows=asking.count(session, judged.compiled))


def preview_query(
    profile: ImportProfile,
    body: Mapping[str, Any],
    *,
    by: Any,
    limit: int = 10,
    order: tuple[str, str] | None = None,
    steps: bool = False,
    reveal: bool = False,
) -> Previewed:
    """The first 1 to 100 rows of a query, its count and its SQL (Q13). Personal data is masked unless `reveal`.

    `order` is an output column with asc or desc; without it the source chooses which rows are the first.

    Raises QueryProblems for a query with errors, QueryError for a limit out of range, Conflict for an inactive
    profile.
    """
    check_active(profile)
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        judged = judge(session, profile, body, schema, by=by)
        spec, compiled = judged.accepted()
        sample = asking.preview(session, compiled, limit, order)
        judged = replace(judged, rows=asking.count(session, compiled))
        counted = tuple(asking.steps(session, spec, schema)) if steps else ()
    if not reveal:
        roles = masking.roles_of_query(spec, schema, [name for name, _ in sample.columns])
        sample = replace(sample, rows=tuple(masking.masked(row, roles) for row in sample.rows))
    masking.record_shown(profile, by, f"query {spec.key}", rows=len(sample.rows), revealed=reveal)
    return Previewed(judged, sample, counted, masked=not reveal)


def preview_table(
    profile: ImportProfile, name: str, *, by: Any, schema: str = "", limit: int = 10, reveal: bool = False
) -> TableRows:
    """The first rows of a table (Q15). Raises QueryError(code="not_found") for an unknown one."""
    check_active(profile)
    table = table_of(source_map(profile).schema, name, schema)
    with looking(profile, by) as session:
        rows = samples(session, table, limit)
    masking.record_shown(profile, by, f"table {table.name}", rows=len(rows), revealed=reveal)
    return TableRows(table, rows if reveal else masked_rows(table, rows), masked=not reveal)


def masked_rows(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a source table with personal data hidden."""
    roles = [column.role or "" for column in table.columns]
    return [dict(zip(row, masking.masked(tuple(row.values()), roles), strict=True)) for row in rows]


def analyze_joins(profile: ImportProfile, body: Mapping[str, Any], *, by: Any) -> list[JoinAnalysis]:
    """What each join does to the rows before it (Q16). Raises QueryProblems."""
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        spec, _ = judge(session, profile, body, schema, by=by).accepted()
        return asking.analyze_joins(session, spec, schema)


def offer_filters(profile: ImportProfile, body: Mapping[str, Any], *, by: Any) -> list[Offered]:
    """Filters that make sense for the query, each with the rows it would leave (F8)."""
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        spec = read_query(body)
        found = suggest_filters(schema, spec, spec.target_type, session=session)
        counts = count_suggestions(session, spec, schema, found)
    return [Offered(suggestion, rows) for suggestion, rows in zip(found, counts, strict=True)]


def body_of(query: ImportQuery) -> dict[str, Any]:
    """A stored query as the body it could be saved with again."""
    return {**query.spec, "key": query.key, "name": query.name, "entity": query.entity, "value_maps": query.value_maps}


def dumped(spec: QuerySpec) -> dict[str, Any]:
    """A query as JSON, in its stored form."""
    return dump_spec(spec)


def profile_queries(profile: ImportProfile) -> list[ImportQuery]:
    """The stored queries in run order: as the profile says, else parents first (E28)."""
    place = {key: number for number, key in enumerate(profile.priority_order)}
    order = {target.name: target.order for target in catalog.all_targets()}
    return sorted(
        profile.queries.all(),
        key=lambda query: (
            place.get(query.key, len(place)),
            order.get(query.target_type, 1000),
            query.position,
            query.key,
        ),
    )
