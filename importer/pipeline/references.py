"""Resolve: an external id of another row becomes the id of the target row it was imported as (E25-E27).

One lookup per reference field, by the primary key of `external_refs`; then, where the mapping names a
natural key, by that. What finds nothing follows the field's policy.
"""

from __future__ import annotations

from psycopg import sql

from importer.pipeline.binding import Bind, fragment
from importer.pipeline.findings import Finding
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.prepare import value
from servicevault import catalog
from servicevault.catalog import Field, Unresolved
from servicevault.wording import say


def resolved(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """SELECT of one row: per reference field of the target the id it resolved to; for LATERAL over `p`."""
    columns = []
    for field in plan.target.fields:
        if field.reference is None:
            continue
        mapped = plan.fields.get(field.name)
        found = _lookup(plan, mapped, bind) if mapped else sql.SQL("NULL::uuid")
        columns.append(sql.SQL("{} AS {}").format(found, sql.Identifier(field.name)))
    if not columns:
        return sql.SQL("SELECT 1 AS nothing")
    return sql.SQL("SELECT {} OFFSET 0").format(sql.SQL(", ").join(columns))


def entities_searched(plan: LoadPlan, mapped: Mapped) -> tuple[int, ...]:
    """Entities of this source in which the reference's id may appear."""
    if mapped.entity:
        # Unknown until its query has run once; then there is nothing to find.
        return tuple(plan.entity_ids[name] for name in (mapped.entity,) if name in plan.entity_ids)
    reference = mapped.field.reference
    types = reference.types if reference else ()
    return tuple(dict.fromkeys(entity for kind in types for entity in plan.searched.get(kind, ())))


def reference_findings(plan: LoadPlan) -> tuple[list[Finding], list[Finding]]:
    """Unresolved references: those that fail their row, and those that are a warning."""
    failures: list[Finding] = []
    warnings: list[Finding] = []
    for mapped in references(plan):
        field = mapped.field
        told = failures if policy(mapped) in {"fail", "blocked"} else warnings
        missing, doubtful = unresolved(field), _is_ambiguous(plan, mapped)
        if doubtful is not None:
            told.append(
                Finding(
                    sql.SQL("({} AND {})").format(missing, doubtful),
                    "ambiguous_reference",
                    say(
                        "{field} names an id that several queries of this source gave to different rows; "
                        "say in the mapping which query is meant.",
                        field=field.name,
                    ),
                    field.name,
                    value(field.name),
                )
            )
            missing = sql.SQL("({} AND NOT {})").format(missing, doubtful)
        code = "blocked_by_parent" if policy(mapped) == "blocked" else "unresolved_reference"
        told.append(Finding(missing, code, _sentence(field, policy(mapped)), field.name, value(field.name)))
    return failures, warnings


def references(plan: LoadPlan) -> list[Mapped]:
    return [mapped for mapped in plan.mapped if mapped.field.reference]


def policy(mapped: Mapped) -> Unresolved:
    assert mapped.field.reference is not None
    return mapped.unresolved or mapped.field.reference.unresolved


def unresolved(field: Field) -> sql.Composable:
    """Condition over p and x: the row names something that was not found."""
    return sql.SQL("{} IS NOT NULL AND {} IS NULL").format(value(field.name), sql.Identifier("x", field.name))


def _is_ambiguous(plan: LoadPlan, mapped: Mapped) -> sql.Composable | None:
    """Condition over p: several entities give the id to different rows (E26a); None where one entity is searched."""
    entities = entities_searched(plan, mapped)
    reference = mapped.field.reference
    if len(entities) < 2 or reference is None or _ranked(reference.types):
        return None
    return sql.SQL(
        "(SELECT count(DISTINCT e.target_id) > 1 FROM external_refs e "
        "WHERE e.entity_id = ANY({}::bigint[]) AND e.external_id = {})"
    ).format(sql.Literal(list(entities)), value(mapped.field.name))


_NOT_IMPORTED: dict[Unresolved, str] = {
    "blocked": say("{field} names a row that was not imported ({kinds}); retry this row once it is."),
    "fail": say("{field} names a row that was not imported ({kinds})."),
    "null": say("{field} names a row that was not imported ({kinds}); left empty."),
    "default": say("{field} names a row that was not imported ({kinds}); the default is used."),
    "placeholder": say("{field} names a row that was not imported ({kinds}); the placeholder is used."),
}


def _sentence(field: Field, action: Unresolved) -> str:
    types = field.reference.types if field.reference else ()
    values = {"field": field.name, "kinds": " or ".join(catalog.get(kind).label.lower() for kind in types)}
    return _NOT_IMPORTED[action].format(**values)


def _lookup(plan: LoadPlan, mapped: Mapped, bind: Bind) -> sql.Composable:
    reference = mapped.field.reference
    assert reference is not None
    if mapped.entity or not reference.choose_by or reference.choose_by not in plan.fields:
        steps = [_by_entities(plan, mapped, entities_searched(plan, mapped), bind)]
    else:
        branches = [
            sql.SQL("WHEN {} THEN {}").format(
                bind(choice, "text"),
                _by_entities(plan, mapped, tuple(e for kind in types for e in plan.searched.get(kind, ())), bind),
            )
            for choice, types in reference.choices.items()
        ]
        steps = [
            sql.SQL("CASE {} {} ELSE {} END").format(
                value(reference.choose_by),
                sql.SQL(" ").join(branches),
                _by_entities(plan, mapped, entities_searched(plan, mapped), bind),
            )
        ]
    if mapped.resolve_by:
        steps += [_by_natural_key(kind, mapped) for kind in reference.types]
    if plan.placeholder_agent and (reference.also_placeholder or policy(mapped) == "placeholder"):
        steps.append(
            sql.SQL("CASE WHEN {} IS NOT NULL THEN {} END").format(
                value(mapped.field.name), bind(plan.placeholder_agent, "uuid")
            )
        )
    return sql.SQL("coalesce({})").format(sql.SQL(", ").join(steps)) if len(steps) > 1 else steps[0]


def _by_entities(plan: LoadPlan, mapped: Mapped, entities: tuple[int, ...], bind: Bind) -> sql.Composable:
    """The target of the external id; NULL when no entity or more than one target holds it (E26a)."""
    if not entities:
        return sql.SQL("NULL::uuid")
    reference = mapped.field.reference
    assert reference is not None
    exists = sql.SQL(" OR ").join(
        sql.SQL("EXISTS (SELECT FROM {} t WHERE t.id = e.target_id)").format(sql.Identifier(table))
        for table in dict.fromkeys(catalog.get(kind).table for kind in reference.types)
    )
    if len(entities) == 1:
        return sql.SQL(
            "(SELECT e.target_id FROM external_refs e WHERE e.entity_id = {entity} AND e.external_id = {id} "
            "AND ({exists}) OFFSET 0)"
        ).format(entity=bind(entities[0], "bigint"), id=value(mapped.field.name), exists=exists)
    if _ranked(reference.types):
        # Different types are searched in order: the first that knows the id wins (E26).
        return sql.SQL("coalesce({})").format(
            sql.SQL(", ").join(_by_entities(plan, mapped, (entity,), bind) for entity in entities)
        )
    return sql.SQL(
        "(SELECT CASE WHEN min(e.target_id::text) = max(e.target_id::text) THEN min(e.target_id::text)::uuid END "
        "FROM external_refs e WHERE e.entity_id = ANY({entities}) AND e.external_id = {id} AND ({exists}))"
    ).format(entities=bind(list(entities), "bigint[]"), id=value(mapped.field.name), exists=exists)


def _ranked(types: tuple[str, ...]) -> bool:
    return len(types) > 1


def _by_natural_key(kind: str, mapped: Mapped) -> sql.Composable:
    target = catalog.get(kind)
    if mapped.resolve_by == "id":
        condition: sql.Composable = sql.SQL("t.id::text = lower({})").format(value(mapped.field.name))
    else:
        before, _, after = target.natural_keys[mapped.resolve_by].partition("%s")
        condition = sql.SQL("{}{}{}").format(fragment(before), value(mapped.field.name), fragment(after))
    scope = sql.SQL(" AND ").join([condition, *([fragment(target.scope)] if target.scope else [])])
    return sql.SQL("(SELECT CASE WHEN count(*) = 1 THEN min(t.id::text)::uuid END FROM {} t WHERE {})").format(
        sql.Identifier(target.table), scope
    )
