"""Decide: one action per staged row, by problems, identity, match, unique rules and mode (O7, K3-K11).

The decision is one INSERT … SELECT into the temporary table `work`: a row per source row with its action,
reason and the values to store. Rows whose target exists get the provisional action `existing`;
`compare.py` then holds them against the locked target row.
"""

from __future__ import annotations

from psycopg import sql

from importer.modes import AgentStrategy, Mode
from importer.pipeline import checks, choices, matching, references
from importer.pipeline.binding import Bind, fragment, name
from importer.pipeline.findings import Finding, findings_array, row_findings, with_reading
from importer.pipeline.plan import LoadPlan
from importer.pipeline.prepare import cell, prepared
from importer.pipeline.work import Conflicts, renumbered, stored, stored_columns, values
from servicevault.wording import say

DEFER = "defer"  # taken in the next round of the slice

EXISTING = "existing"  # has a target; not yet compared with it

_WARNING_TEXT = {
    "unusual_duration": say("The duration is not between one minute and one day."),
    "account_taken_from_ticket": say("The account differs from the ticket's; the ticket's account is stored."),
}


def decide(plan: LoadPlan, bind: Bind) -> sql.Composed:
    """INSERT into `work`. Per slice it also takes record_prefix, record_base, target_prefix, target_base, version."""
    failures, held, warnings = row_findings(plan, bind)
    unresolved, unresolved_warnings = references.reference_findings(plan)
    broken, doubtful = checks.check_findings(plan, bind)
    warnings += unresolved_warnings + doubtful
    warnings += [
        Finding(fragment(condition), code, _WARNING_TEXT.get(code, code))
        for code, condition in plan.target.warnings.items()
    ]
    conflicts = matching.conflicts(plan)
    if plan.refuses_existing:
        broken.append(_duplicate(plan, bind))
    warnings += [renumbered(key, index) for index, (key, _) in enumerate(conflicts) if key.on_conflict == "renumber"]
    columns = stored_columns(plan)
    return sql.SQL(
        "INSERT INTO pg_temp.work (n, key, ordinal, record_id, target_id, known, action, code, problems, warnings, "
        "matching, confidence, source_number, unresolved, {targets}) "
        "SELECT q.n, q.key, q.ordinal, {record_id}, "
        "CASE WHEN a.action = 'existing' OR a.code = 'target_deleted' OR a.code = 'exists' THEN q.chosen "
        "WHEN a.action = 'created' THEN {target_id} WHEN a.code = 'placeholder_agent' THEN q.stand_in END, "
        "q.linked IS NOT NULL, a.action, a.code, CASE WHEN a.action <> 'skipped' THEN coalesce(q.failures, q.held) END, "
        "q.warnings, {matching}, CASE WHEN q.alive IS NOT NULL OR q.said = 'match' THEN 100 ELSE q.best END, "
        "{source_number}, {unresolved}, {values} "
        "FROM ({judged}) q CROSS JOIN LATERAL (SELECT {action} AS verdict OFFSET 0) v "
        "CROSS JOIN LATERAL (SELECT split_part(v.verdict, ' ', 1) AS action, "
        "nullif(split_part(v.verdict, ' ', 2), '') AS code) a"
    ).format(
        targets=sql.SQL(", ").join(stored(column) for column in columns),
        values=sql.SQL(", ").join(name("q", f"to:{column}") for column in columns),
        record_id=_counted_uuid("record"),
        target_id=_counted_uuid("target"),
        matching=_matching_json(plan, bind, conflicts),
        source_number=name("q", "source_number"),
        unresolved=name("q", "unresolved"),
        action=_verdict(plan, bind, conflicts),
        judged=_judged(
            plan, bind, failures=failures + unresolved + broken, held=held, warnings=warnings, conflicts=conflicts
        ),
    )


def _duplicate(plan: LoadPlan, bind: Bind) -> Finding:
    """The row is here already, or another row of the source has its id."""
    return Finding(
        sql.SQL("coalesce(p.ordinal > 0 OR i.alive OR (m.best >= {} AND m.ties = 1), false)").format(
            bind(plan.matching.threshold, "numeric")
        ),
        "duplicate",
        say("The row is in {target} already, or comes twice.", target=plan.target.label),
        "external_id" if "external_id" in plan.fields else next(iter(plan.matching.primary), ""),
        name("p", "key"),
    )


def _counted_uuid(kind: str) -> sql.Composable:
    """A time-ordered UUID (RFC 9562 v7): the slice's first eight bytes, then a counter."""
    return sql.SQL("encode({}::bytea || int8send({}::bigint + q.n), 'hex')::uuid").format(
        sql.Placeholder(f"{kind}_prefix"), sql.Placeholder(f"{kind}_base")
    )


def _judged(
    plan: LoadPlan,
    bind: Bind,
    *,
    failures: list[Finding],
    held: list[Finding],
    warnings: list[Finding],
    conflicts: Conflicts,
) -> sql.Composable:
    """SELECT over the prepared rows: identity, match, conflicts, findings and the values to store."""
    matched = matching.is_matched(plan)
    conflict_columns = [sql.SQL("k.{}").format(sql.Identifier(f"conflict{index}")) for index in range(len(conflicts))]
    numbered = [index for index, (key, _) in enumerate(conflicts) if key.on_conflict == "renumber"]
    ranks = [
        sql.SQL("CASE WHEN {0} IS NOT NULL THEN row_number() OVER (PARTITION BY {0} ORDER BY p.n) ELSE 1 END").format(
            key
        )
        for key in matching.collision_keys(plan)
    ]
    columns = [
        sql.SQL(
            "p.n, p.key, p.ordinal, i.linked, i.target_id AS identity, i.alive, m.best_id, m.best, m.ties, m.found"
        ),
        sql.SQL("{} AS said").format(choices.action(plan)),
        sql.SQL("{} AS stand_in").format(_stand_in(plan, bind)),
        sql.SQL(
            "CASE WHEN {} = 'match' THEN {} WHEN i.target_id IS NOT NULL THEN i.target_id "
            "WHEN m.best >= {} AND m.ties = 1 THEN m.best_id END AS chosen"
        ).format(choices.action(plan), choices.target(plan), bind(plan.matching.threshold, "numeric")),
        sql.SQL("{} AS turn").format(
            sql.SQL("greatest({})").format(sql.SQL(", ").join(ranks)) if ranks else sql.SQL("1")
        ),
        sql.SQL("{} AS failures").format(choices.with_problem(plan, with_reading(findings_array(failures, bind)))),
        sql.SQL("{} AS held").format(findings_array(held, bind)),
        sql.SQL("{} AS warnings").format(findings_array(warnings, bind)),
        sql.SQL("{} AS source_number").format(
            cell("ticket_number") if "ticket_number" in plan.fields else sql.SQL("NULL::text")
        ),
        sql.SQL("{} AS unresolved").format(_unresolved(plan, bind)),
        *conflict_columns,
        *(sql.SQL("{} AS {}").format(expression, stored(column)) for column, expression in values(plan, conflicts)),
    ]
    return sql.SQL(
        "SELECT {columns} FROM ({rows}) p {choices} "
        "LEFT JOIN LATERAL ({identity}) i ON true "
        "CROSS JOIN LATERAL ({references}) x "
        "LEFT JOIN LATERAL ({candidates}) m ON i.target_id IS NULL AND {said} IS NULL "
        "CROSS JOIN LATERAL (SELECT {conflicts} OFFSET 0) k OFFSET 0"
    ).format(
        columns=sql.SQL(", ").join(columns),
        choices=choices.joined(plan, bind),
        said=choices.action(plan),
        rows=_with_number_rank(plan, prepared(plan, bind), conflicts, numbered),
        identity=_identity(plan, bind),
        references=references.resolved(plan, bind),
        candidates=matching.candidates(plan, bind)
        if matched
        else sql.SQL("SELECT NULL::uuid AS best_id, NULL::numeric AS best, 0 AS ties, NULL::jsonb AS found"),
        conflicts=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(select, sql.Identifier(f"conflict{index}"))
            for index, (_, select) in enumerate(conflicts)
        )
        if conflicts
        else sql.SQL("1 AS nothing"),
    )


def _with_number_rank(
    plan: LoadPlan, rows: sql.Composable, conflicts: Conflicts, numbered: list[int]
) -> sql.Composable:
    """Add which of several rows of the slice with one number is the first to have it."""
    if not numbered:
        return rows
    ranks = sql.SQL(", ").join(
        sql.SQL("row_number() OVER (PARTITION BY {} ORDER BY p.n) AS {}").format(
            fragment(conflicts[index][0].value), sql.Identifier(f"turn{index}")
        )
        for index in numbered
    )
    return sql.SQL("SELECT p.*, {} FROM ({}) p OFFSET 0").format(ranks, rows)


def _identity(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """The target this source row was imported as, and whether it still lives (K3).

    What stands in for a row, or what somebody says the row is not, is only what it is linked with.
    """
    alive = (
        sql.SQL("(SELECT t.{} IS NULL FROM {} t WHERE t.id = e.target_id)").format(
            sql.Identifier(plan.target.soft_delete), sql.Identifier(plan.target.table)
        )
        if plan.target.soft_delete
        else sql.SQL("EXISTS (SELECT FROM {} t WHERE t.id = e.target_id)").format(sql.Identifier(plan.target.table))
    )
    own: sql.Composable = sql.SQL("true")
    if plan.target.stand_in:
        own = sql.SQL("NOT e.stands_in AND coalesce({}, 'create') = 'create'").format(choices.action(plan))
    return sql.SQL(
        "SELECT e.target_id AS linked, CASE WHEN {own} THEN e.target_id END AS target_id, "
        "CASE WHEN {own} THEN coalesce({alive}, false) END AS alive FROM external_refs e "
        "WHERE e.entity_id = {entity} AND e.external_id = p.key OFFSET 0"
    ).format(own=own, alive=alive, entity=bind(plan.entity_id, "bigint"))


def _stand_in(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """Who takes the row's place: the one chosen for it, else the profile's, else the target's own."""
    if not plan.target.stand_in:
        return sql.SQL("NULL::uuid")
    chosen = sql.SQL("CASE WHEN {} = 'placeholder' THEN {} END").format(choices.action(plan), choices.target(plan))
    return sql.SQL("coalesce({}, {}, {})").format(
        chosen, bind(plan.placeholder_agent, "uuid"), fragment(plan.target.stand_in)
    )


def _verdict(plan: LoadPlan, bind: Bind, conflicts: Conflicts) -> sql.Composable:
    """SQL giving "action code" for a row of `q`."""
    threshold, floor = plan.matching.threshold, plan.matching.review_floor
    repeated = [] if plan.refuses_existing else [("q.ordinal > 0", "skipped duplicate_in_source")]
    branches: list[tuple[str, str | None]] = [
        *repeated,
        ("q.said = 'placeholder'", "skipped placeholder_agent"),
        ("q.failures IS NOT NULL", None),
        ("q.turn > 1", DEFER),
        ("q.held IS NOT NULL", "review unmapped_value"),
    ]
    deleted = "q.identity IS NOT NULL AND NOT q.alive"
    if plan.recreate_deleted and plan.mode is not Mode.UPDATE:
        branches.append((deleted, "created"))
    else:
        branches.append((deleted, "skipped target_deleted"))
    parts: list[sql.Composable] = [
        sql.SQL("WHEN {} THEN {}").format(
            sql.SQL(condition),
            bind(verdict, "text") if verdict else sql.SQL("'failed ' || (q.failures->0->>'code')"),
        )
        for condition, verdict in branches
    ]
    if matching.is_matched(plan):
        parts.append(
            sql.SQL("WHEN q.identity IS NULL AND q.best >= {} AND q.ties > 1 THEN 'review ambiguous_match'").format(
                bind(threshold, "numeric")
            )
        )
    for index, (key, _) in enumerate(conflicts):
        if key.on_conflict == "review":
            parts.append(
                sql.SQL("WHEN {0} IS NOT NULL AND {0} IS DISTINCT FROM q.chosen THEN 'review unique_conflict'").format(
                    name("q", f"conflict{index}")
                )
            )
    parts.append(sql.SQL("WHEN q.chosen IS NOT NULL THEN 'existing'"))
    if matching.is_matched(plan) and floor is not None:
        parts.append(sql.SQL("WHEN q.best >= {} THEN 'review uncertain_match'").format(bind(floor, "numeric")))
    if plan.mode is Mode.UPDATE:
        otherwise = "skipped not_found"
    elif plan.target.name == "agents" and plan.agent_strategy is AgentStrategy.MATCH_ONLY:
        otherwise = "failed unmatched_agent"
    elif plan.target.name == "agents" and plan.agent_strategy is AgentStrategy.PLACEHOLDER:
        otherwise = "skipped placeholder_agent"
    else:
        otherwise = "created"
    if plan.choices and plan.mode is not Mode.UPDATE:
        parts.append(sql.SQL("WHEN q.said = 'create' THEN 'created'"))
    return sql.SQL("CASE {} ELSE {} END").format(sql.SQL(" ").join(parts), bind(otherwise, "text"))


def _matching_json(plan: LoadPlan, bind: Bind, conflicts: Conflicts) -> sql.Composable:
    """How the target was found, or who stands in the way (K14); NULL for a plain new row."""
    fields = bind(list(matching.compared_fields(plan)), "text[]")
    in_the_way = [
        sql.SQL(
            "WHEN {0} IS NOT NULL AND a.code = 'unique_conflict' THEN jsonb_build_object('by', 'unique_conflict', "
            "'field', {1}, 'candidates', jsonb_build_array(jsonb_build_object('id', {0})))"
        ).format(name("q", f"conflict{index}"), bind(key.column, "text"))
        for index, (key, _) in enumerate(conflicts)
        if key.on_conflict == "review"
    ]
    return sql.SQL(
        "CASE {conflicts} WHEN q.said = 'match' THEN '{{\"by\": \"choice\"}}'::jsonb "
        'WHEN q.identity IS NOT NULL THEN \'{{"by": "source_identity"}}\'::jsonb '
        "WHEN q.best >= {least} THEN jsonb_build_object('by', {strategy}, 'fields', to_jsonb({fields}), "
        "'candidates', q.found) END"
    ).format(
        conflicts=sql.SQL(" ").join(in_the_way),
        least=bind(min(plan.matching.threshold, plan.matching.review_floor or 100), "numeric"),
        strategy=bind(str(plan.matching.strategy), "text"),
        fields=fields,
    )


def _unresolved(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """{column: external id} of references that found nothing and did not fail the row; NULL when none."""
    pairs = [
        (mapped, references.unresolved(mapped.field))
        for mapped in references.references(plan)
        if references.policy(mapped) in {"null", "default"}
    ]
    if not pairs:
        return sql.SQL("NULL::jsonb")
    objects = sql.SQL(", ").join(
        sql.SQL("{}, CASE WHEN {} THEN {} END").format(
            bind(mapped.field.name, "text"), condition, name("p", mapped.field.name)
        )
        for mapped, condition in pairs
    )
    return sql.SQL("CASE WHEN {} THEN jsonb_strip_nulls(jsonb_build_object({})) END").format(
        sql.SQL(" OR ").join(sql.SQL("({})").format(condition) for _, condition in pairs), objects
    )
