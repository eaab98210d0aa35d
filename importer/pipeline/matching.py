"""Match: which target row, if any, a row nobody imported before may be (K1-K10).

Identity (the same source row was imported already) is decided elsewhere and comes first. Here the
primary and secondary fields are compared as joins: exact or case-insensitive. A strategy that scores
similarity would add its candidates in `candidates` and leave the rest as it is.
"""

from __future__ import annotations

from psycopg import sql

from importer.modes import Strategy
from importer.pipeline import choices
from importer.pipeline.binding import Bind, fragment, literal, name
from importer.pipeline.plan import PRIMARY_WEIGHT, SECONDARY_WEIGHT, LoadPlan
from importer.pipeline.prepare import cell, value
from servicevault.catalog import UniqueKey

MOST_CANDIDATES = 5  # shown to a person
SHOWN_CHARACTERS = 200  # of a compared value
MOST_SCORED = 50  # rows that share a value; more is a field nobody should match on


def is_matched(plan: LoadPlan) -> bool:
    return plan.matching.enabled and bool(_usable(plan, plan.matching.primary))


def candidates(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """SELECT of one row for LATERAL over `p`: best_id, best (0-100), ties, found (jsonb, best first)."""
    primary = _usable(plan, plan.matching.primary)
    secondary = _usable(plan, plan.matching.secondary)
    same = [_same(plan, field) for field in primary]
    score = sql.SQL("round({}, 2)").format(_score(plan, primary, secondary))
    return sql.SQL(
        "SELECT (array_agg(m.id ORDER BY m.score DESC, m.id))[1] AS best_id, max(m.score) AS best, "
        "count(*) FILTER (WHERE m.score = m.top) AS ties, "
        "(jsonb_agg(jsonb_build_object('id', m.id, 'confidence', m.score, 'fields', m.fields) ORDER BY m.score DESC, m.id) "
        "FILTER (WHERE m.place <= {most})) AS found "
        "FROM (SELECT s.*, max(s.score) OVER () AS top, row_number() OVER (ORDER BY s.score DESC, s.id) AS place "
        "FROM (SELECT t.id, {score} AS score, {evidence} AS fields FROM {table} t WHERE {scope} AND {unclaimed} AND ({same}) LIMIT {scored}) s) m"
    ).format(
        most=bind(MOST_CANDIDATES, "integer"),
        scored=bind(MOST_SCORED, "integer"),
        score=score,
        evidence=_evidence(plan, primary + secondary, bind),
        table=sql.Identifier(plan.target.table),
        scope=live_rows(plan),
        unclaimed=choices.unclaimed(plan, bind),
        same=sql.SQL(" OR ").join(same),
    )


def compared_fields(plan: LoadPlan) -> tuple[str, ...]:
    return _usable(plan, plan.matching.primary) + _usable(plan, plan.matching.secondary)


def collision_keys(plan: LoadPlan) -> list[sql.Composable]:
    """Expressions over `p`: rows of one slice that share one of them are taken one after the other (K7)."""
    keys: list[sql.Composable] = [
        fragment(key.value) for key in plan.target.unique_keys if _applies(plan, key) and key.on_conflict == "review"
    ]
    if is_matched(plan):
        keys += [sql.SQL("lower(btrim({}))").format(value(field)) for field in _usable(plan, plan.matching.primary)]
    return keys


def conflicts(plan: LoadPlan) -> list[tuple[UniqueKey, sql.Composable]]:
    """Per unique rule of the target that this mapping can break: a scalar SELECT over `p` of the row in the way."""
    found: list[tuple[UniqueKey, sql.Composable]] = []
    for key in plan.target.unique_keys:
        if not _applies(plan, key):
            continue
        condition = sql.SQL(" AND ").join(
            [
                sql.SQL("{} = {}").format(fragment(key.expression), fragment(key.value)),
                *([fragment(key.condition)] if key.condition else []),
            ]
        )
        found.append(
            (
                key,
                sql.SQL("(SELECT t.id FROM {} t WHERE {} OFFSET 0)").format(
                    sql.Identifier(plan.target.table), condition
                ),
            )
        )
    return found


def live_rows(plan: LoadPlan) -> sql.Composable:
    parts: list[sql.Composable] = [fragment(plan.target.scope)] if plan.target.scope else []
    if plan.target.soft_delete:
        parts.append(sql.SQL("{} IS NULL").format(name("t", plan.target.soft_delete)))
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")


def _applies(plan: LoadPlan, key: UniqueKey) -> bool:
    return key.column in plan.fields


def _usable(plan: LoadPlan, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Match fields that have a value of their own: mapped, or derived from what is mapped."""
    usable = []
    for field_name in fields:
        field = plan.target.field(field_name)
        if field and field.storage and (field_name in plan.fields or field_name in plan.target.derived):
            usable.append(field_name)
    return tuple(usable)


def _same(plan: LoadPlan, field_name: str) -> sql.Composable:
    """Whether target and row agree on the field. The lower() side is what the target's index is on."""
    field = plan.target.field(field_name)
    assert field is not None
    column = name("t", field.storage)
    if plan.matching.strategy is Strategy.EXACT:
        mapped = plan.fields.get(field_name)
        raw = cell(field_name) if mapped else value(field_name)
        exact = sql.SQL("lower({column}) = lower({value}) AND {column} = {raw}").format(
            column=column, value=value(field_name), raw=raw
        )
        if mapped and field.lower and not mapped.transforms:
            exact = sql.SQL("{} AND NOT EXISTS ({})").format(exact, _written_otherwise(plan, mapped.column, raw))
        return sql.SQL("({})").format(exact)
    if field.type == "email":
        return sql.SQL("lower({}) = lower({})").format(column, value(field_name))
    return sql.SQL("lower(btrim({})) = lower(btrim({}))").format(column, value(field_name))


def _evidence(plan: LoadPlan, fields: tuple[str, ...], bind: Bind) -> sql.Composable:
    """Per field what source and target have, cut, and how alike it is: 1, 0, or NULL where one is empty (K14)."""
    found = []
    for field_name in fields:
        field = plan.target.field(field_name)
        assert field is not None
        found.append(
            sql.SQL(
                "jsonb_build_object('field', {field}, 'source', left({v}::text, {shown}), 'target', left({t}::text, {shown}), "
                "'similarity', CASE WHEN btrim({t}::text) <> '' AND btrim({v}::text) <> '' THEN CASE WHEN {same} THEN 1 ELSE 0 END END)"
            ).format(
                field=bind(field_name, "text"),
                v=value(field_name),
                t=name("t", field.storage),
                same=_same(plan, field_name),
                shown=bind(SHOWN_CHARACTERS, "integer"),
            )
        )
    return sql.SQL("jsonb_build_array({})").format(sql.SQL(", ").join(found))


def _written_otherwise(plan: LoadPlan, column: str, raw: sql.Composable) -> sql.Composable:
    """Another row of the same source that became this target and wrote the value in other case.

    The target keeps "a@x.com"; a source that knows both "A@x.com" and "a@x.com" means two people, whichever of
    them comes first (K6).
    """
    return sql.SQL(
        "SELECT FROM external_refs e JOIN importer_importrecord r ON r.id = e.record_id "
        "WHERE e.target_id = t.id AND e.entity_id = {entity} AND btrim(r.source_data ->> {column}) <> {raw}"
    ).format(entity=sql.Literal(plan.entity_id), column=literal(column), raw=raw)


def _score(plan: LoadPlan, primary: tuple[str, ...], secondary: tuple[str, ...]) -> sql.Composable:
    """0.8·P + 0.2·S of the means of agreement; fields empty on either side are left out (K1, K5)."""
    p = _mean(plan, primary)
    if not secondary:
        return sql.SQL("coalesce({}, 0)").format(p)
    s = _mean(plan, secondary)
    return sql.SQL("CASE WHEN {p} IS NULL THEN 0 WHEN {s} IS NULL THEN {p} ELSE {pw} * {p} + {sw} * {s} END").format(
        p=p, s=s, pw=sql.Literal(PRIMARY_WEIGHT), sw=sql.Literal(SECONDARY_WEIGHT)
    )


def _mean(plan: LoadPlan, fields: tuple[str, ...]) -> sql.Composable:
    terms = []
    for field_name in fields:
        field = plan.target.field(field_name)
        assert field is not None
        terms.append(
            sql.SQL(
                "CASE WHEN btrim({t}) <> '' AND btrim({v}) <> '' THEN CASE WHEN {same} THEN 100.0 ELSE 0 END END"
            ).format(t=name("t", field.storage), v=value(field_name), same=_same(plan, field_name))
        )
    return sql.SQL("(SELECT avg(term) FROM unnest(ARRAY[{}]::numeric[]) term)").format(sql.SQL(", ").join(terms))
