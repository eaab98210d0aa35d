"""Help with mapping: proposals, what rows would become, the values a coded field has, pasted SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from importer.mapping import auto, memory, sampling, value_maps
from importer.mapping.auto import AutoMap, SourceColumn
from importer.mapping.sampling import Impact, Sample
from importer.mapping.value_maps import Observed, ObservedValues, Suggestion
from importer.models import ImportProfile, ImportQuery
from importer.modes import Outcome
from importer.operations import masking, table_targets
from importer.operations.failures import InvalidFields
from importer.operations.previews import check_sql, read_query
from importer.operations.profiles import check_active
from importer.operations.queries import keep_version
from importer.operations.schema import kept, looking, source_map, table_of
from importer.planning import plan_draft, stored_spec
from importer.query.preview import EXACT_SECONDS, Count, count
from importer.query.reading_sql import ParsedSelect, parse_select
from importer.query.spec import Field as SpecField
from importer.query.spec import QuerySpec, TableRef
from importer.runner import connect_target
from importer.sources.schema import SourceSchema
from importer.sources.session import SourceSession
from permissions import audit
from servicevault import catalog
from servicevault.catalog import Field, Target
from servicevault.wording import say

LACKS_ANOTHER_ROW = frozenset({"blocked_by_parent", "unresolved_reference"})


@dataclass(frozen=True)
class CodedField:
    """A mapped field with fixed values: what the source has for it, and what each becomes."""

    query: str
    field: Field
    values: tuple[Observed, ...]  # most frequent first
    entries: Mapping[str, Any]  # the value map as it is stored
    unmapped: tuple[Observed, ...]  # rows with these are held
    suggestions: tuple[Suggestion, ...]
    complete: bool


@dataclass(frozen=True)
class Sampled:
    """The first rows of a query as a run would store them now."""

    spec: QuerySpec
    sample: Sample
    rows: Count
    impact: Impact
    masked: bool
    waiting: int = 0  # of the failed ones: those that only lack a row of another query, which a run imports first
    confidences: tuple[float, ...] = ()  # of the best candidate of each row that was compared and has one


def target_named(name: str) -> Target:
    """The target type. Raises InvalidFields naming those there are."""
    try:
        return catalog.get(name)
    except catalog.UnknownTarget as error:
        raise InvalidFields({"target_type": [str(error)]}) from None


def auto_map(
    profile: ImportProfile,
    target_type: str,
    *,
    body: Mapping[str, Any] | None = None,
    columns: Sequence[str] = (),
    taken: Sequence[str] = (),
    by: Any = None,
) -> AutoMap:
    """Proposals for the fields of a target: from a query's tables, or from plain column names (M8, M17).

    Mappings people confirmed for this source come first. What is mapped in the query, and `taken`, stays as it is.
    """
    table_targets.require(target_type, by)
    target = target_named(target_type)
    remembered = memory.recall(memory.of_source(profile.source_key), target_type)
    if body is None:
        return auto.auto_map(target, [SourceColumn(name) for name in columns], remembered=remembered, taken=taken)
    schema = source_map(profile).schema
    spec = _tables_of(body, target_type)
    known = [str(item.get("target", "")) for item in body.get("fields") or [] if isinstance(item, Mapping)]
    found = auto.columns_of_query(spec, schema)
    if not found:
        table_of(schema, spec.base.name, spec.base.schema)  # says which name is near
    return auto.auto_map(target, found, remembered=remembered, taken=[*known, *taken])


def _tables_of(body: Mapping[str, Any], target_type: str) -> QuerySpec:
    """The query's tables, whatever is mapped so far. Raises QueryProblems for tables and joins that cannot be read."""
    return read_query({**body, "fields": ["id"], "filters": [], "target_type": target_type})


def columns_of(profile: ImportProfile, table: str, schema: str = "") -> list[SourceColumn]:
    """The columns of one table as a mapping may name them."""
    known = source_map(profile).schema
    found = table_of(known, table, schema)
    spec = QuerySpec(key="x", base=TableRef(found.name, found.schema), fields=(SpecField("x"),), target_type="x")
    return auto.columns_of_query(spec, known)


def parse_sql(profile: ImportProfile, text: str) -> ParsedSelect:
    """A pasted SELECT as a query body, and what of it the builder cannot take over (Q32). Nothing is run."""
    return parse_select(text, source_map(profile).schema)


def sample_query(
    profile: ImportProfile,
    body: Mapping[str, Any],
    *,
    by: Any,
    limit: int = 10,
    mode: str = "",
    reveal: bool = False,
) -> Sampled:
    """The first rows of a query with each cell as a run would store it, and what a run would do (X3, X5, U23).

    Nothing is stored. References find what was imported before; rows of queries that did not run yet are not there.
    Raises QueryError when the query cannot be loaded.
    """
    check_active(profile)
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        return sampled(session, profile, read_query(body), schema, by=by, limit=limit, mode=mode, reveal=reveal)


def sampled(
    session: SourceSession,
    profile: ImportProfile,
    spec: QuerySpec,
    schema: SourceSchema,
    *,
    by: Any,
    limit: int = 10,
    mode: str = "",
    reveal: bool = False,
) -> Sampled:
    """`sample_query` in a session that is open already. Raises Denied for SQL the person may not write."""
    check_sql(profile, spec, by)
    table_targets.require(spec.target_type, by)
    plan = plan_draft(profile, spec, session, schema, mode=mode)
    taken = sampling.sample(session, plan, connect=connect_target, limit=sampling.MOST_ROWS)
    rows = count(session, plan.compiled, EXACT_SECONDS)
    impact = sampling.impact(taken, rows.rows)
    lacking = sum(row.code in LACKS_ANOTHER_ROW for row in taken.rows)
    waiting = round(impact.failed * lacking / taken.outcomes[Outcome.FAILED]) if lacking else 0
    shown = taken.rows[:limit]
    if not reveal:
        roles = dict(zip(taken.fields, masking.roles_of_query(spec, schema, taken.fields), strict=True))
        identifier = masking.roles_of_query(spec, schema, [spec.source_identifier])[0]
        shown = tuple(_masked(row, roles, identifier) for row in shown)
    if shown:
        masking.record_shown(profile, by, f"query {spec.key}", rows=len(shown), revealed=reveal)
    compared = tuple(row.confidence for row in taken.rows if row.confidence is not None and not row.is_known)
    return Sampled(
        spec, replace(taken, rows=shown), rows, impact, masked=not reveal, waiting=waiting, confidences=compared
    )


def _masked(row: sampling.SampledRow, roles: Mapping[str, str], identifier: str) -> sampling.SampledRow:
    return replace(
        row,
        identifier=masking.masked([row.identifier], [identifier])[0],
        source=_hidden(row.source, roles),
        target=_hidden(row.target, roles),
        problems=(),
        warnings=(),
    )


def _hidden(cells: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    return dict(zip(cells, masking.masked(tuple(cells.values()), [roles[name] for name in cells]), strict=True))


def coded_fields(profile: ImportProfile, query: ImportQuery, *, by: Any, refresh: bool = True) -> list[CodedField]:
    """The query's mapped fields with fixed values, each with the values the source has for it (U25).

    Values of a column with personal data, which no coded field is, are masked (X17). Without `refresh` values read
    within the last ten minutes will do.
    """
    schema = source_map(profile).schema
    spec = stored_spec(query)
    target = catalog.get(spec.target_type)
    mapped = {item.target for item in spec.fields} if spec.kind == "builder" else set(target.known)
    coded = {name: field for name in sorted(mapped) if (field := target.field(name)) and field.choices}
    roles = dict(zip(coded, masking.roles_of_query(spec, schema, list(coded)), strict=True))

    def look() -> dict[str, ObservedValues]:
        with looking(profile, by) as session:
            return {name: value_maps.observe(session, spec, schema, name) for name in coded}

    if not any(role in masking.PERSONAL for role in roles.values()):
        seen = kept("values", profile, look, str(query.pk), json.dumps(query.spec), refresh=refresh)
    else:
        seen = look()  # what is personal is kept nowhere
    return [
        _coded(
            query, field, spec.value_maps.get(name) or spec.value_maps.get(field.name) or {}, seen[name], roles[name]
        )
        for name, field in coded.items()
    ]


def _coded(query: ImportQuery, field: Field, entries: Mapping[str, Any], seen: ObservedValues, role: str) -> CodedField:
    unmapped = value_maps.unmapped(seen, entries, field)
    guesses = value_maps.suggest([str(item.value) for item in unmapped], field)
    values = list(seen.values)
    if role in masking.PERSONAL:
        values, unmapped, guesses = _concealed(values, role), _concealed(unmapped, role), []
    return CodedField(query.key, field, tuple(values), entries, tuple(unmapped), tuple(guesses), seen.complete)


def _concealed(values: Sequence[Observed], role: str) -> list[Observed]:
    return [replace(item, value=masking.masked([item.value], [role])[0], sample="") for item in values]


@transaction.atomic
def set_value_map(query: ImportQuery, field: str, entries: Mapping[str, Any], *, by: Any) -> ImportQuery:
    """Store what each source value of a field becomes; None leaves a value empty. Raises InvalidFields."""
    target = catalog.get(query.target_type)
    known = target.field(field)
    if known is None:
        raise InvalidFields({"field": [say("“{field}” is not a field of {target}.", field=field, target=target.label)]})
    wrong = [
        str(value) for value in entries.values() if value is not None and known.choices and value not in known.choices
    ]
    if wrong:
        raise InvalidFields(
            {
                "entries": [
                    say(
                        "“{wrong}” is no value of {field}: {choices}.",
                        wrong=wrong[0],
                        field=field,
                        choices=", ".join(known.choices),
                    )
                ]
            }
        )
    # Another person may be setting another field's map at this moment.
    query.refresh_from_db(from_queryset=ImportQuery.objects.select_for_update())
    query.value_maps = {**query.value_maps, known.name: dict(entries)}
    query.changed_by = by
    query.version += 1
    query.save(update_fields=["value_maps", "changed_by", "version", "updated_at"])
    keep_version(query, by)
    audit.record(
        "query_saved", user=by, profile_id=query.profile_id, obj=query, details={"key": query.key, "value_map": field}
    )
    return query
