"""From a profile to runs: which queries, in which order, compiled how, loaded how.

Every worker of a job builds the same plans from the same rows; only the database rows that go with them
(entities, mapping versions, runs) are made once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from django.utils import timezone

from importer import chosen_agents, derived_accounts, file_targets, source_entities, table_queries
from importer.errors import JobFailed, QueryError
from importer.mapping.fields import DEFAULT_ENTITY, mapped_fields
from importer.models import ImportJob, ImportProfile, ImportQuery, MappingVersion, SourceEntity
from importer.modes import AgentStrategy, Mode, Strategy, strategy_of
from importer.pipeline.binding import Bind
from importer.pipeline.decide import decide
from importer.pipeline.plan import LoadPlan, Mapped, Matching, digest
from importer.pipeline.tables.plan import TablePlan
from importer.query.binding import type_without_modifier
from importer.query.compiled import CompiledQuery
from importer.query.compiler import compile_query, restrict
from importer.query.dumping import dump_spec
from importer.query.parsing import parse_spec
from importer.query.preview import columns_on_source
from importer.query.spec import QuerySpec
from importer.sources import grants
from importer.sources.introspection import introspect, resolve_types
from importer.sources.schema import PackView, SourceSchema
from importer.sources.session import SourceSession
from servicevault import catalog
from servicevault.wording import say


@dataclass(frozen=True)
class RunPlan:
    """One query of a job, ready to be read and loaded."""

    key: str
    name: str
    spec: QuerySpec
    compiled: CompiledQuery
    load: LoadPlan
    source_table: str
    table: TablePlan | None = None  # how its rows go into a table as it is (M14)


def read_schema(session: SourceSession, profile: ImportProfile) -> SourceSchema:
    """What the source contains, with the views of the profile's pack; about eight statements."""
    views = tuple(PackView(**{name: view.get(name, "") for name in _VIEW_MEMBERS}) for view in profile.views)
    schema = introspect(session)
    return schema.with_views(resolve_types(session, views)) if views else schema


def specs_of(profile: ImportProfile) -> list[QuerySpec]:
    """The profile's enabled queries in run order: parents first, unless the profile says otherwise (E28)."""
    return _ordered(profile, [stored_spec(query) for query in profile.queries.all() if query.enabled])


def specs_wanted(profile: ImportProfile, options: Mapping[str, Any]) -> list[QuerySpec]:
    """The queries a job with these options is about: the profile's, or the one that is run once and not saved (X10)."""
    once = options.get("query")
    if once is None:
        return specs_of(profile)
    return _ordered(profile, [table_queries.identified(parse_spec(once, target_types=catalog.names()))])


def _ordered(profile: ImportProfile, specs: list[QuerySpec]) -> list[QuerySpec]:
    specs = derived_accounts.added(profile, specs)
    wanted = {key: place for place, key in enumerate(profile.priority_order)}
    if wanted:
        # Derived accounts go with their customers, and before them.
        served = {derived_accounts.key_of(spec.key): spec.key for spec in specs}
        place = {spec.key: wanted.get(served.get(spec.key, spec.key), len(wanted)) for spec in specs}
        return sorted(specs, key=lambda spec: (place[spec.key], catalog.get(spec.target_type).order))
    return table_queries.parents_first(sorted(specs, key=lambda spec: catalog.get(spec.target_type).order))


def specs_of_job(job: ImportJob) -> list[QuerySpec]:
    """The queries the job is restricted to, in run order. Raises JobFailed for one that does not exist."""
    return _selected(job, specs_wanted(job.source_profile, job.options))


def plan_job(job: ImportJob, session: SourceSession) -> list[RunPlan]:
    """The job's runs in order. Raises JobFailed(code="query_failed") for a finding that would fail every row (X16)."""
    profile = job.source_profile
    schema = read_schema(session, profile)
    specs = specs_of_job(job)
    if not specs:
        raise JobFailed(
            say("Nothing is configured to import."), code="query_failed", hint=say("Apply a template or build a query.")
        )
    entities = _entities(profile, specs)
    # A mapping may name an entity whose query is not part of this job.
    known = {*entities, *(spec.entity or spec.key for spec in specs_of(profile))}
    return [_run_plan(job, spec, schema, session, entities=entities, known=known) for spec in specs]


def target_problems(spec: QuerySpec) -> list[str]:
    """What keeps the query from being loaded, whatever the data: unknown fields, missing ones (E14, M9)."""
    target = catalog.get(spec.target_type)
    mapped = {field.target for field in spec.fields} if spec.kind == "builder" else set(target.known)
    found = []
    for name in mapped:
        if target.field(name) is None:
            found.append(
                say(
                    "“{name}” is not a field of {target}. Fields: {known}.",
                    name=name,
                    target=target.label,
                    known=", ".join(target.known),
                )
            )
    names = {found_field.name for name in mapped if (found_field := target.field(name))}
    for name in target.must_map:
        alternatives = target.derived_needs.get(name, ())
        if name not in names and not any(all(part in names for part in group) for group in alternatives):
            found.append(say("{target} need the field “{name}”.", target=target.label, name=name))
    if file_targets.is_table(spec.target_type) and spec.fields and not found:
        found += table_queries.key_problems(spec)
    return found


# -- specs -------------------------------------------------------------------------------------------------------

_VIEW_MEMBERS = ("name", "sql", "key", "key_source", "comment")


def stored_spec(query: ImportQuery) -> QuerySpec:
    """A stored query with the key, name, entity and value maps it has now."""
    spec = table_queries.identified(parse_spec(query.spec, target_types=catalog.names()))
    return replace(
        spec, key=query.key, name=query.name, entity=query.entity, value_maps=query.value_maps or spec.value_maps
    )


def _selected(job: ImportJob, specs: list[QuerySpec]) -> list[QuerySpec]:
    """The queries the job is restricted to (F11); a derived accounts query goes with the customers it serves."""
    options = job.options
    keys, types = options.get("selected_queries"), options.get("selected_types")
    if keys:
        unknown = sorted(set(keys) - {spec.key for spec in specs})
        if unknown:
            known = ", ".join(spec.key for spec in specs)
            raise JobFailed(
                say("There is no query “{unknown}”.", unknown=unknown[0]),
                code="query_failed",
                hint=say("Queries: {known}.", known=known),
            )
        specs = [spec for spec in specs if spec.key in keys or derived_accounts.serves(spec, set(keys))]
    if types:
        wanted = {spec.key for spec in specs if spec.target_type in types}
        specs = [spec for spec in specs if spec.key in wanted or derived_accounts.serves(spec, wanted)]
    if rows := options.get("rows"):  # of a retry: query → external ids; a SQL query is read whole, for it has no WHERE
        specs = [spec for spec in specs if spec.key in rows]
        specs = [restrict(spec, ids=rows[spec.key]) if spec.kind == "builder" else spec for spec in specs]
    filters = options.get("import_filters") or {}
    narrowed: dict[str, Any] = {name: filters[name] for name in ("limit", "ids") if filters.get(name)}
    narrowed |= {name: _moment(filters[name]) for name in ("date_from", "date_to") if filters.get(name)}
    return [restrict(spec, **narrowed) for spec in specs] if narrowed else specs


def _moment(value: Any) -> date | datetime:
    """A date or instant of stored options, where it is a text; "2024-01-20" is the whole day."""
    if isinstance(value, date):
        return value
    text = str(value)
    return date.fromisoformat(text) if len(text) == len("2024-01-20") else datetime.fromisoformat(text)


# -- plans -------------------------------------------------------------------------------------------------------


def plan_draft(
    profile: ImportProfile, spec: QuerySpec, session: SourceSession, schema: SourceSchema, *, mode: str = ""
) -> RunPlan:
    """The run a job would make of a query that need not be saved. Stores nothing; for samples and estimates.

    Raises QueryError when the query cannot be loaded.
    """
    names = {spec.entity or spec.key, *(other.entity or other.key for other in specs_of(profile))}
    entities = source_entities.known(profile.source_key)
    # Ids that no row has: of an entity that was never imported nothing is known, and nothing is found.
    for number, name in enumerate(sorted({*names, DEFAULT_ENTITY} - set(entities)), start=1):
        target_type = spec.target_type if name == (spec.entity or spec.key) else ""
        entities[name] = SourceEntity(pk=-number, source_key=profile.source_key, entity=name, target_type=target_type)
    compiled, mapped = _read_as(profile, spec, schema, session, now=timezone.now(), known=names | set(entities))
    chosen = mode or profile.import_mode
    if file_targets.is_table(spec.target_type):
        table = table_queries.plan_query(profile, spec, mapped, mode=chosen)
        return RunPlan(spec.key, spec.name or spec.key, spec, compiled, table.load, spec.base.name or "sql", table)
    load = _load_plan(profile, spec, mapped, entities, version_id=0, mode=chosen, options={})
    return RunPlan(spec.key, spec.name or spec.key, spec, compiled, load, spec.base.name or "sql")


def _entities(profile: ImportProfile, specs: Iterable[QuerySpec]) -> Mapping[str, SourceEntity]:
    """The source's entities by name, those of earlier jobs and other profiles of the source included (E23a)."""
    try:
        return source_entities.claimed(
            profile.source_key, [(spec.entity or spec.key, spec.target_type) for spec in specs]
        )
    except source_entities.EntityTaken as error:
        raise JobFailed(
            error.message, code=error.code, hint=say("Give one of the two queries another entity.")
        ) from error


def _run_plan(
    job: ImportJob,
    spec: QuerySpec,
    schema: SourceSchema,
    session: SourceSession,
    *,
    entities: Mapping[str, SourceEntity],
    known: Collection[str],
) -> RunPlan:
    profile = job.source_profile
    try:
        compiled, mapped = _read_as(profile, spec, schema, session, now=job.created_at, known=known)
        entity = entities[spec.entity or spec.key]
        version = _version(profile, spec, entity)
        if file_targets.is_table(spec.target_type):
            table = table_queries.plan_query(
                profile, spec, mapped, mode=job.mode, entity_id=entity.pk, version_id=version.pk,
                by=job.created_by, record_unchanged=bool(job.options.get("record_unchanged")),
            )  # fmt: skip
            return RunPlan(spec.key, spec.name or spec.key, spec, compiled, table.load, spec.base.name or "sql", table)
        load = _load_plan(profile, spec, mapped, entities, version_id=version.pk, mode=job.mode, options=job.options)
    except QueryError as error:
        hint = _grants(profile, spec, session) or error.hint
        raise JobFailed(
            say("Query “{spec}”: {error}", spec=spec.name or spec.key, error=error.message),
            code="query_failed",
            hint=hint,
            where=spec.key,
        ) from error
    return RunPlan(spec.key, spec.name or spec.key, spec, compiled, load, spec.base.name or "sql")


def _grants(profile: ImportProfile, spec: QuerySpec, session: SourceSession) -> str:
    """What to ask the source's owner for, when the query names tables that exist and may not be read."""
    named = [dump_spec(spec), [view.get("sql") for view in profile.views]]
    tables, statements = grants.lacking(session, json.dumps(named, default=str, ensure_ascii=False))
    return (
        say(
            "The login may not read {tables}. Ask the owner for: {statements}",
            tables=", ".join(tables),
            statements=statements,
        )
        if tables
        else ""
    )


def _read_as(
    profile: ImportProfile,
    spec: QuerySpec,
    schema: SourceSchema,
    session: SourceSession,
    *,
    now: datetime,
    known: Collection[str],
) -> tuple[CompiledQuery, tuple[Mapped, ...]]:
    """The statement of a query and what becomes of its columns. Raises QueryError for what would fail every row."""
    spec = table_queries.identified(spec)
    if problems := target_problems(spec):
        raise QueryError(problems[0])
    compiled = compile_query(spec, schema, now=now, timezone=profile.source_timezone)
    described = session.describe(compiled.sql, compiled.params)
    if not compiled.columns:
        compiled = columns_on_source(session, compiled)
    types = {column.name: type_without_modifier(column.type_name) for column in described}
    return compiled, mapped_fields(spec, compiled.columns, types, known)


def _load_plan(
    profile: ImportProfile,
    spec: QuerySpec,
    mapped: tuple[Mapped, ...],
    entities: Mapping[str, SourceEntity],
    *,
    version_id: int,
    mode: str,
    options: Mapping[str, Any],
) -> LoadPlan:
    target = catalog.get(spec.target_type)
    load = LoadPlan(
        target=target,
        mapped=mapped,
        entity_id=entities[spec.entity or spec.key].pk,
        version_id=version_id,
        searched=source_entities.searched(entities),
        entity_ids={name: found.pk for name, found in entities.items()},
        mode=Mode(mode),
        matching=_matching(profile, options, target),
        timezone=profile.source_timezone,
        number_prefix=profile.number_prefix,
        agent_strategy=AgentStrategy(profile.agent_strategy),
        placeholder_agent=profile.placeholder_agent_id,
        choices=chosen_agents.of_entity(profile, spec.entity or spec.key, target),
        default_account_name=f"Imported from {profile.name}"[:255],
        recreate_deleted=bool(options.get("recreate_deleted")),
        record_unchanged=bool(options.get("record_unchanged")),
    )
    decide(load, Bind())  # raises QueryError where no statement can be made of the mapping
    return load


def _matching(profile: ImportProfile, options: Mapping[str, Any], target: catalog.Target) -> Matching:
    """The profile's matching with the job's on top, held against what the target has (O5, K2)."""
    given = {**profile.matching, **(options.get("matching") or {})}
    strategy: Strategy | str = given.get("strategy") or given.get("matching_strategy") or target.match_strategy
    if given.get("case_sensitive") is False:
        strategy = Strategy.CASE_INSENSITIVE
    try:
        chosen = strategy_of(str(strategy))
    except ValueError:
        raise JobFailed(
            say("The matching strategy “{strategy}” is not available.", strategy=strategy),
            code="query_failed",
            hint=say("Use one of {strategy}.", strategy=", ".join(Strategy.values)),
        ) from None
    for name in (*(given.get("primary_fields") or ()), *(given.get("secondary_fields") or ())):
        if not any(known.field(name) for known in catalog.all_targets()):
            raise JobFailed(say("“{name}” cannot be matched on: no target has it.", name=name), code="query_failed")
    primary = tuple(name for name in given.get("primary_fields") or () if target.field(name)) or target.match_fields
    return Matching(
        enabled=given.get("enabled", True),
        strategy=chosen,
        primary=primary,
        secondary=tuple(name for name in given.get("secondary_fields") or () if target.field(name)),
        threshold=float(given.get("confidence_threshold", 85)),
        review_floor=given.get("review_floor"),
    )


def _version(profile: ImportProfile, spec: QuerySpec, entity: SourceEntity) -> MappingVersion:
    mapping = {
        "spec": dump_spec(replace(spec, restriction=None)),
        "value_maps": {name: dict(entries) for name, entries in spec.value_maps.items()},
        "timezone": profile.source_timezone,
        "number_prefix": profile.number_prefix,
    }
    version, _ = MappingVersion.objects.get_or_create(
        entity=entity, digest=digest(mapping), defaults={"mapping": mapping}
    )
    return version
