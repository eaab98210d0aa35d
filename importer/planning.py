"""From a profile to runs: which queries, in which order, compiled how, loaded how.

Every worker of a job builds the same plans from the same rows; only the database rows that go with them
(entities, mapping versions, runs) are made once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from importer.errors import JobFailed, QueryError
from importer.models import ImportJob, ImportProfile, ImportQuery, MappingVersion, SourceEntity
from importer.modes import AccountStrategy, AgentStrategy, Mode, Strategy, strategy_of
from importer.pipeline.plan import LoadPlan, Mapped, Matching, digest
from importer.pipeline.prepare import canonical
from importer.pipeline.transforms import transform
from importer.query import expressions
from importer.query.binding import type_without_modifier
from importer.query.compiled import CompiledQuery
from importer.query.compiler import compile_query, restrict
from importer.query.dumping import dump_spec
from importer.query.parsing import parse_spec
from importer.query.preview import columns_on_source
from importer.query.scope import FAMILIES
from importer.query.spec import Condition, Field, FilterGroup, QuerySpec, Reference
from importer.sources.introspection import introspect, resolve_types
from importer.sources.schema import PackView, SourceSchema
from importer.sources.session import SourceSession
from servicevault import catalog
from servicevault.catalog import FieldType

DEFAULT_ENTITY = "__default__"  # holds the source's default account (E34)
KEY_CHARACTERS = 64
UNRESOLVED = ("null", "fail", "default", "placeholder")
PUBLIC_MAIL = frozenset({
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "me.com",
    "aol.com", "gmx.de", "gmx.net", "web.de", "t-online.de", "proton.me", "protonmail.com", "mail.ru", "yandex.ru",
})  # fmt: skip


@dataclass(frozen=True)
class RunPlan:
    """One query of a job, ready to be read and loaded."""

    key: str
    name: str
    spec: QuerySpec
    compiled: CompiledQuery
    load: LoadPlan
    source_table: str


def read_schema(session: SourceSession, profile: ImportProfile) -> SourceSchema:
    """What the source contains, with the views of the profile's pack; about eight statements."""
    views = tuple(PackView(**{name: view.get(name, "") for name in _VIEW_MEMBERS}) for view in profile.views)
    schema = introspect(session)
    return schema.with_views(resolve_types(session, views)) if views else schema


def specs_of(profile: ImportProfile) -> list[QuerySpec]:
    """The profile's enabled queries in run order: parents first, unless the profile says otherwise (E28)."""
    specs = [stored_spec(query) for query in profile.queries.all() if query.enabled]
    specs = _with_derived_accounts(profile, specs)
    wanted = {key: place for place, key in enumerate(profile.priority_order)}
    if wanted:
        # Derived accounts go with their customers, and before them.
        served = {_derived_key(spec.key): spec.key for spec in specs}
        place = {spec.key: wanted.get(served.get(spec.key, spec.key), len(wanted)) for spec in specs}
        return sorted(specs, key=lambda spec: (place[spec.key], catalog.get(spec.target_type).order))
    return sorted(specs, key=lambda spec: catalog.get(spec.target_type).order)


def plan_job(job: ImportJob, session: SourceSession) -> list[RunPlan]:
    """The job's runs in order. Raises JobFailed(code="query_failed") for a finding that would fail every row (X16)."""
    profile = job.profile
    schema = read_schema(session, profile)
    specs = _selected(job, specs_of(profile))
    if not specs:
        raise JobFailed(
            "Nothing is configured to import.", code="query_failed", hint="Apply a template or build a query."
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
            found.append(f"“{name}” is not a field of {target.label}. Fields: {', '.join(target.known)}.")
    names = {found_field.name for name in mapped if (found_field := target.field(name))}
    for name in target.must_map:
        alternatives = target.derived_needs.get(name, ())
        if name not in names and not any(all(part in names for part in group) for group in alternatives):
            found.append(f"{target.label} need the field “{name}”.")
    return found


# -- specs -------------------------------------------------------------------------------------------------------

_VIEW_MEMBERS = ("name", "sql", "key", "key_source", "comment")


def stored_spec(query: ImportQuery) -> QuerySpec:
    """A stored query with the key, name, entity and value maps it has now."""
    spec = parse_spec(query.spec, target_types=catalog.names())
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
            raise JobFailed(f"There is no query “{unknown[0]}”.", code="query_failed", hint=f"Queries: {known}.")
        specs = [spec for spec in specs if spec.key in keys or _serves(spec, set(keys))]
    if types:
        wanted = {spec.key for spec in specs if spec.target_type in types}
        specs = [spec for spec in specs if spec.key in wanted or _serves(spec, wanted)]
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


def _serves(spec: QuerySpec, keys: set[str]) -> bool:
    """Whether the query derives the accounts of one of these."""
    return any(spec.key == _derived_key(key) for key in keys)


def _derived_key(key: str) -> str:
    """Key and entity of the query that derives a query's accounts; keys have at most 64 characters."""
    if len(key) + len(_DERIVED) <= KEY_CHARACTERS:
        return f"{key}{_DERIVED}"
    return f"{key[: KEY_CHARACTERS - len(_DERIVED) - 9]}-{digest({'key': key})[:8]}{_DERIVED}"


_DERIVED = "_accounts"


def _with_derived_accounts(profile: ImportProfile, specs: list[QuerySpec]) -> list[QuerySpec]:
    """Give customers without a mapped account one by company text or mail domain, as the profile says (E34).

    The accounts come from a query of their own over the same rows, so they have records like any other.
    """
    found: list[QuerySpec] = []
    for spec in specs:
        key = _account_key(profile, spec)
        if key is None:
            found.append(spec)
            continue
        text, name = key
        entity = _derived_key(spec.entity or spec.key)
        node = expressions.parse(text)
        found.append(
            QuerySpec(
                key=_derived_key(spec.key),
                name=f"Accounts of {spec.name or spec.key}"[:255],
                entity=entity,
                base=spec.base,
                joins=spec.joins,
                filters=FilterGroup(
                    "and", (spec.filters, Condition(node, "IS NOT NULL"), Condition(node, "!=", ("",)))
                ),
                fields=(Field("external_id", node), Field("name", expressions.parse(f"MIN({name})"))),
                group_by=(node,),
                target_type="accounts",
            )
        )
        account = Field("account_external_id", node, reference=Reference(entity=entity))
        found.append(replace(spec, fields=(*spec.fields, account)))
    return found


def _account_key(profile: ImportProfile, spec: QuerySpec) -> tuple[str, str] | None:
    """Expressions of the account's external id and name, or None when there is nothing to derive it from."""
    if spec.target_type != "customer_users" or spec.kind != "builder" or spec.group_by or spec.distinct_on:
        return None
    if spec.field_for("account_external_id"):
        return None
    sources = {
        target: expressions.render(field.source)
        for target in ("company", "email")
        if (field := spec.field_for(target)) and field.source is not None
    }
    company = (
        f"NULLIF(LOWER(REGEXP_REPLACE(TRIM({sources['company']}), '\\s+', ' ', 'g')), '')"
        if "company" in sources
        else ""
    )
    company_name = f"LEFT(REGEXP_REPLACE(TRIM({sources['company']}), '\\s+', ' ', 'g'), 255)" if company else ""
    domain = ""
    if "email" in sources:
        part = f"NULLIF(SPLIT_PART(LOWER(TRIM({sources['email']})), '@', 2), '')"
        public = ", ".join(f"'{name}'" for name in sorted(PUBLIC_MAIL))
        domain = f"CASE WHEN NOT {part} IN ({public}) THEN {part} END"
    match profile.account_strategy:
        case AccountStrategy.COMPANY if company:
            return f"LEFT({company}, 255)", company_name
        case AccountStrategy.DOMAIN if domain:
            return domain, domain
        case AccountStrategy.COMPANY_OR_DOMAIN if company and domain:
            return f"LEFT(COALESCE({company}, {domain}), 255)", f"COALESCE(NULLIF({company_name}, ''), {domain})"
        case AccountStrategy.COMPANY_OR_DOMAIN if company or domain:
            return (f"LEFT({company}, 255)", company_name) if company else (domain, domain)
    return None


# -- plans -------------------------------------------------------------------------------------------------------


def _entities(profile: ImportProfile, specs: Iterable[QuerySpec]) -> Mapping[str, SourceEntity]:
    """The source's entities by name, those of earlier jobs and other profiles of the source included (E23a)."""
    wanted = [(spec.entity or spec.key, spec.target_type) for spec in specs] + [(DEFAULT_ENTITY, "accounts")]
    for name, target_type in wanted:
        entity, _ = SourceEntity.objects.get_or_create(
            source_key=profile.source_key, entity=name, defaults={"target_type": target_type}
        )
        if entity.target_type != target_type:
            raise JobFailed(
                f"The entity “{name}” feeds {entity.target_type}; a query wants to feed {target_type} with it.",
                code="query_failed",
                hint="Give one of the two queries another entity.",
            )
    return {entity.entity: entity for entity in SourceEntity.objects.filter(source_key=profile.source_key)}


def _run_plan(
    job: ImportJob,
    spec: QuerySpec,
    schema: SourceSchema,
    session: SourceSession,
    *,
    entities: Mapping[str, SourceEntity],
    known: Collection[str],
) -> RunPlan:
    profile = job.profile
    try:
        problems = target_problems(spec)
        if problems:
            raise QueryError(problems[0])
        compiled = compile_query(spec, schema, now=job.created_at, timezone=profile.source_timezone)
        described = session.describe(compiled.sql, compiled.params)
        if not compiled.columns:
            compiled = columns_on_source(session, compiled)
        mapped = _mapped(
            spec, compiled, {column.name: type_without_modifier(column.type_name) for column in described}, known
        )
    except QueryError as error:
        raise JobFailed(
            f"Query “{spec.name or spec.key}”: {error.message}", code="query_failed", hint=error.hint, where=spec.key
        ) from error
    entity = entities[spec.entity or spec.key]
    target = catalog.get(spec.target_type)
    version = _version(profile, spec, entity)
    searched: dict[str, tuple[int, ...]] = {}
    for other in entities.values():
        if other.entity != DEFAULT_ENTITY:
            searched[other.target_type] = (*searched.get(other.target_type, ()), other.pk)
    load = LoadPlan(
        target=target,
        mapped=mapped,
        entity_id=entity.pk,
        version_id=version.pk,
        searched=searched,
        entity_ids={name: found.pk for name, found in entities.items()},
        mode=Mode(job.mode),
        matching=_matching(profile, job, target),
        timezone=profile.source_timezone,
        number_prefix=profile.number_prefix,
        agent_strategy=AgentStrategy(profile.agent_strategy),
        placeholder_agent=profile.placeholder_agent_id,
        default_account_name=f"Imported from {profile.name}"[:255],
        recreate_deleted=bool(job.options.get("recreate_deleted")),
        record_unchanged=bool(job.options.get("record_unchanged")),
    )
    return RunPlan(spec.key, spec.name or spec.key, spec, compiled, load, spec.base.name or "sql")


def _mapped(
    spec: QuerySpec, compiled: CompiledQuery, types: Mapping[str, str], entities: Collection[str]
) -> tuple[Mapped, ...]:
    target = catalog.get(spec.target_type)
    found = []
    for column in compiled.columns:
        field = target.field(column)
        if field is None:
            raise QueryError(
                f"“{column}” is not a field of {target.label}.", hint=f"Fields: {', '.join(target.known)}."
            )
        source = spec.field_for(column) or Field(column)
        source_type = types.get(column, "text")
        if field.json_key and "." in field.name and _is_structured(source_type):
            field = replace(field, type="json")
        reference = source.reference or Reference()
        _check_reference(column, field, reference, entities)
        found.append(
            Mapped(
                field=field,
                column=column,
                source_type=source_type,
                transforms=tuple(
                    transform(name, dict(params)) for name, params in source.transformation if name != "map"
                ),
                write_rule=source.write_rule,
                keep_empty=source.empty_values == "keep",
                value_map=_value_map(spec.value_maps.get(column) or spec.value_maps.get(field.name) or {}),
                resolve_by=reference.by,
                entity=reference.entity,
                unresolved=reference.unresolved or None,  # type: ignore[arg-type]
            )
        )
    return tuple(found)


def _check_reference(column: str, field: catalog.Field, reference: Reference, entities: Collection[str]) -> None:
    """Raise QueryError when the mapping says how to find a row that the field does not point at, or wrongly."""
    if reference == Reference():
        return
    if field.reference is None:
        said = reference.by or reference.entity or reference.unresolved
        raise QueryError(f"“{column}” is no reference to another row; “{said}” says nothing about it.")
    keys = [set(catalog.get(kind).natural_keys) for kind in field.reference.types]
    if reference.by and reference.by != "id" and not all(reference.by in known for known in keys):
        names = ", ".join(sorted(set.intersection(*keys))) or "none"
        raise QueryError(f"“{column}” cannot be found by “{reference.by}”.", hint=f"Use id, or one of: {names}.")
    if reference.entity and reference.entity not in entities:
        raise QueryError(
            f"“{column}” is looked for in the entity “{reference.entity}”, which no query feeds.",
            hint=f"Entities: {', '.join(sorted(set(entities) - {DEFAULT_ENTITY})) or 'none'}.",
        )
    if reference.unresolved and reference.unresolved not in UNRESOLVED:
        raise QueryError(
            f"“{reference.unresolved}” is no answer to an unresolved reference.", hint=f"Use {', '.join(UNRESOLVED)}."
        )


def _is_structured(source_type: str) -> bool:
    """Whether a value keeps its JSON form under a custom field: numbers, booleans, lists, objects."""
    plain = source_type.split("(", maxsplit=1)[0]
    return source_type.endswith("[]") or plain in _STRUCTURED


_STRUCTURED = {
    "json", "jsonb", "boolean", "smallint", "integer", "bigint", "numeric", "real", "double precision",
}  # fmt: skip


def _kept_as(source_type: str) -> FieldType:
    """How a value of the source's type is kept in the target's JSON column: numbers, lists and truths as such."""
    if source_type.endswith("[]"):
        return "json"
    match FAMILIES.get(source_type, ""):
        case "json" | "boolean" as same:
            return same
        case "number" if source_type != "money":
            return "numeric"
    return "text"


def _value_map(entries: Mapping[str, Any]) -> dict[str, str | None]:
    """Entries a row can be written with; one that says "hold" is as unknown as one that is missing (E32, E33)."""
    return {
        canonical(str(source)): None if wanted is None else str(wanted)
        for source, wanted in entries.items()
        if not isinstance(wanted, Mapping)
    }


def _matching(profile: ImportProfile, job: ImportJob, target: catalog.Target) -> Matching:
    """The profile's matching with the job's on top, held against what the target has (O5, K2)."""
    given = {**profile.matching, **(job.options.get("matching") or {})}
    strategy: Strategy | str = given.get("strategy") or given.get("matching_strategy") or target.match_strategy
    if given.get("case_sensitive") is False:
        strategy = Strategy.CASE_INSENSITIVE
    try:
        chosen = strategy_of(str(strategy))
    except ValueError:
        raise JobFailed(
            f"The matching strategy “{strategy}” is not available.",
            code="query_failed",
            hint=f"Use one of {', '.join(Strategy.values)}.",
        ) from None
    for name in (*(given.get("primary_fields") or ()), *(given.get("secondary_fields") or ())):
        if not any(known.field(name) for known in catalog.all_targets()):
            raise JobFailed(f"“{name}” cannot be matched on: no target has it.", code="query_failed")
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
