"""What a profile would import, before it does: its queries with mapped rows, SQL, and the expected outcome (X1-X7)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from django.core.cache import cache

from importer.errors import ImporterError, SourceError
from importer.mapping.sampling import Impact
from importer.models import ImportJob, ImportProfile, ImportQuery, JobKind
from importer.modes import Outcome, mode_of
from importer.operations import table_targets
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.mapping import Sampled, sampled
from importer.operations.previews import (
    SLOW_ROWS,
    WIDE_OPEN_ROWS,
    check_sql,
    compile_for,
    profile_queries,
    read_query,
)
from importer.operations.profiles import check_active
from importer.operations.schema import looking, source_map
from importer.planning import stored_spec
from importer.query.compiled import CompiledQuery
from importer.query.preview import Count
from importer.query.spec import QuerySpec
from importer.sources.schema import SourceSchema
from importer.sources.session import SourceSession
from servicevault.jobs.models import JobStatus
from servicevault.wording import say, say_count

KEPT_SECONDS = 600
Kind = Literal["query", "template"]


@dataclass(frozen=True)
class Expected:
    """Rows and outcomes one query is expected to have."""

    rows: int
    exact: bool
    impact: Impact
    waiting: int = 0  # of the failed ones: those that lack a row of another query
    confidences: tuple[float, ...] = ()  # of the best candidates in the sample


@dataclass(frozen=True)
class QueryPreview:
    """One query of the profile; `sampled` is there for the queries that were asked for."""

    query: ImportQuery
    spec: QuerySpec | None = None
    compiled: CompiledQuery | None = None
    sampled: Sampled | None = None
    expected: Expected | None = None
    error: ImporterError | None = None

    @property
    def warnings(self) -> list[str]:
        return warnings_of(self.spec, self.expected.rows) if self.spec and self.expected else []


@dataclass(frozen=True)
class ProfileImpact:
    """What a run would do, and how that is known."""

    counts: Mapping[str, int]  # outcome → rows
    basis: Literal["rehearsal", "sample"]
    sample_size: int
    waiting: int = 0  # of the failed ones: those that lack a row of another query; a rehearsal tells
    rehearsed_at: datetime | None = None
    rehearsal: ImportJob | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class ProfilePreview:
    type: Kind
    queries: tuple[QueryPreview, ...]
    impact: ProfileImpact
    masked: bool

    @property
    def rows(self) -> int:
        """Rows a run would read."""
        return sum(item.expected.rows for item in self.queries if item.expected)

    @property
    def confidences(self) -> list[float]:
        """Of the best candidate of each sampled row that has one and is not known by its old id."""
        return [each for item in self.queries if item.expected for each in item.expected.confidences]

    @property
    def errors(self) -> list[ImporterError]:
        return [item.error for item in self.queries if item.error]


def preview_profile(
    profile: ImportProfile,
    *,
    by: Any,
    keys: Iterable[str] = (),
    target_type: str = "",
    limit: int = 10,
    mode: str = "",
    reveal: bool = False,
    refresh: bool = False,
) -> ProfilePreview:
    """The enabled queries; those of `keys` and `target_type` (all, when neither is given) with `limit` sampled rows.

    What a run would do comes from the last rehearsal if nothing changed since, else from 200 sampled rows a query,
    kept for ten minutes. Nothing is stored in source or target. Raises Conflict when nothing is configured,
    SourceError when the source cannot be asked; what is wrong with a single query is in its `error`.
    """
    check_active(profile)
    chosen_mode = str(mode_of(mode or profile.import_mode))
    queries = [query for query in profile_queries(profile) if query.enabled]
    if not queries:
        raise Conflict(
            say("“{profile}” has nothing configured.", profile=profile.name),
            hint=say("Apply a template or build a query first."),
        )
    wanted = set(keys)
    schema = source_map(profile, refresh=refresh).schema
    found = []
    with contextlib.ExitStack() as stack:
        session = functools.cache(lambda: stack.enter_context(looking(profile, by)))  # only when it is needed
        for query in queries:
            is_shown = (query.key in wanted or not wanted) and target_type in ("", query.target_type)
            limit_here = limit if is_shown else 0
            found.append(
                _look(
                    session,
                    profile,
                    query,
                    schema,
                    by=by,
                    limit=limit_here,
                    mode=chosen_mode,
                    reveal=reveal,
                    anew=refresh,
                )
            )
    kind: Kind = "template" if profile.configuration_type == "template" else "query"
    return ProfilePreview(kind, tuple(found), _impact(profile, found, chosen_mode), masked=not reveal)


def _look(
    session: Callable[[], SourceSession],
    profile: ImportProfile,
    query: ImportQuery,
    schema: SourceSchema,
    *,
    by: Any,
    limit: int,
    mode: str,
    reveal: bool,
    anew: bool,
) -> QueryPreview:
    look = QueryPreview(query)
    key = _key(profile, query, mode)
    kept: Expected | None = None if anew else cache.get(key)
    try:
        spec = stored_spec(query)
        look = replace(look, spec=spec, compiled=compile_for(profile, spec, schema))
        table_targets.require(spec.target_type, by)  # before anything that somebody else was shown
        look = replace(look, expected=kept)
        if kept is not None and not limit:
            return look
        check_sql(profile, spec, by)
        taken = None if anew or reveal else cache.get(f"{key}:{limit}")
        if taken is None:
            taken = sampled(session(), profile, spec, schema, by=by, limit=limit, mode=mode, reveal=reveal)
            if not reveal:  # what is personal is kept nowhere
                cache.set(f"{key}:{limit}", taken, KEPT_SECONDS)
    except SourceError:
        raise
    except ImporterError as error:
        return replace(look, error=error)
    expected = Expected(taken.rows.rows, taken.rows.exact, taken.impact, taken.waiting, taken.confidences)
    cache.set(key, expected, KEPT_SECONDS)
    return replace(look, sampled=taken if limit else None, expected=expected)


def _key(profile: ImportProfile, query: ImportQuery, mode: str) -> str:
    latest = profile.jobs.filter(kind=JobKind.IMPORT).order_by("-number").values_list("number", "completed_at").first()
    parts = [
        "confidences",
        query.updated_at.isoformat(),
        profile.updated_at.isoformat(),
        mode,
        profile.views,
        str(latest),
    ]
    return f"expected:{query.pk}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]}"


def _impact(profile: ImportProfile, found: list[QueryPreview], mode: str) -> ProfileImpact:
    rehearsal = profile.jobs.filter(kind=JobKind.REHEARSAL, status=JobStatus.COMPLETED).order_by("-number").first()
    if (
        rehearsal is not None
        and rehearsal.mode == mode
        and _is_whole(rehearsal)
        and not _newer(profile, found, rehearsal)
    ):
        counters = rehearsal.counters()
        counts = {str(name): counters[name] for name in Outcome.values}
        return ProfileImpact(
            counts, "rehearsal", counters["read"], rehearsed_at=rehearsal.completed_at, rehearsal=rehearsal
        )
    impacts = [item.expected.impact for item in found if item.expected]
    counts = {str(name): sum(getattr(impact, name) for impact in impacts) for name in Outcome.values}
    waiting = sum(item.expected.waiting for item in found if item.expected)
    return ProfileImpact(counts, "sample", sum(impact.sample_size for impact in impacts), waiting=waiting)


def _is_whole(rehearsal: ImportJob) -> bool:
    """Whether it read everything: a part says nothing about the whole."""
    return not {"import_filters", "selected_queries", "selected_types"} & {
        name for name, value in rehearsal.options.items() if value
    }


def _newer(profile: ImportProfile, found: list[QueryPreview], rehearsal: ImportJob) -> bool:
    """Whether a query was changed, or something was imported, since."""
    imported = profile.jobs.filter(kind=JobKind.IMPORT, created_at__gt=rehearsal.created_at).exists()
    return imported or any(item.query.updated_at > rehearsal.created_at for item in found)


def warnings_of(spec: QuerySpec, rows: int) -> list[str]:
    """Sentences about sizes worth a second look (X7)."""
    found = []
    if rows > SLOW_ROWS:
        found.append(
            say_count(
                "{count} row: this takes a while. Rehearse first.",
                "{count:,} rows: this takes a while. Rehearse first.",
                rows,
            )
        )
    if rows > WIDE_OPEN_ROWS and not spec.filters.items and spec.kind == "builder":
        found.append(say_count("No filter narrows this {count} row.", "No filter narrows these {count:,} rows.", rows))
    return found


@dataclass(frozen=True)
class Simulated:
    """An unsaved query as a run would treat it (X7)."""

    spec: QuerySpec
    compiled: CompiledQuery
    sampled: Sampled

    @property
    def rows(self) -> Count:
        return self.sampled.rows

    @property
    def warnings(self) -> list[str]:
        return warnings_of(self.spec, self.rows.rows)


def simulate(
    profile: ImportProfile, configuration: Mapping[str, Any], *, by: Any, limit: int = 10, reveal: bool = False
) -> list[Simulated]:
    """What unsaved queries would import; `configuration` is one query's body, or has `queries` by key.

    Nothing is written. Raises QueryProblems naming every fault.
    """
    check_active(profile)
    bodies = configuration.get("queries")
    if isinstance(bodies, Mapping):
        wrong = next((key for key, body in bodies.items() if not isinstance(body, Mapping)), None)
        if wrong is not None:
            raise InvalidFields({f"configuration.queries.{wrong}": [say("An object is expected here.")]})
        given = [{"key": key, **body} for key, body in bodies.items()]
    else:
        given = [dict(configuration)]
    specs = [read_query(body) for body in given]
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        return [
            Simulated(
                spec,
                compile_for(profile, spec, schema),
                sampled(session, profile, spec, schema, by=by, limit=limit, reveal=reveal),
            )
            for spec in specs
        ]
