"""Decide: one action per staged row, by problems, identity, match, unique rules and mode (O7, K3-K11).

The decision is one INSERT … SELECT into the temporary table `work`: a row per source row with its action,
reason and the values to store. Rows whose target exists get the provisional action `existing`;
`compare` then holds them against the locked target row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from psycopg import sql

from importer.modes import AgentStrategy, Mode
from importer.pipeline import matching, references
from importer.pipeline.binding import Bind, fragment, name
from importer.pipeline.plan import LoadPlan, Mapped
from importer.pipeline.prepare import Finding, cell, findings_array, prepared, row_findings
from servicevault.catalog import UniqueKey

_UNLIMITED = re.compile(r"(?<=character varying)\(\d+\)")  # lengths are judged by `prepare`, with a reason
DEFER = "defer"  # taken in the next round of the slice
EXISTING = "existing"  # has a target; not yet compared with it

WORK_COLUMNS = {
    "n": "integer",
    "key": 'text COLLATE "C"',
    "ordinal": "smallint",
    "record_id": "uuid",
    "target_id": "uuid",
    "known": "boolean",  # an external reference exists already
    "action": "text",
    "code": "text",
    "problems": "jsonb",
    "warnings": "jsonb",
    "matching": "jsonb",
    "confidence": "numeric(5,2)",
    "changed": "text[]",
    "before": "json",
    "source_number": "text",
    "unresolved": "jsonb",  # {column: external id} to link later
}


def stored_columns(plan: LoadPlan) -> list[str]:
    """Columns of the target this mapping computes a value for."""
    columns = [mapped.field.storage for mapped in plan.mapped if mapped.field.storage]
    columns += [column for column in plan.target.fallbacks if column not in columns]
    for field in plan.target.fields:
        fed = field.name in plan.target.derived_needs and _derivable(plan, field.name)
        if fed and field.storage and field.storage not in columns:
            columns.append(field.storage)
    if plan.target.json_column and any(mapped.field.json_key for mapped in plan.mapped):
        columns.append(plan.target.json_column)
    columns += [
        key.column for key in plan.target.unique_keys if key.on_conflict == "renumber" and key.column not in columns
    ]
    return list(dict.fromkeys(columns))


def work_table(plan: LoadPlan, types: Mapping[str, str]) -> sql.Composed:
    """CREATE statement of `work`; `types` are the target's column types as PostgreSQL prints them."""
    columns = [sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind)) for column, kind in WORK_COLUMNS.items()]
    columns += [
        sql.SQL("{} {}").format(stored(column), sql.SQL(_UNLIMITED.sub("", types[column])))
        for column in stored_columns(plan)
    ]
    return sql.SQL("CREATE TEMPORARY TABLE work ({})").format(sql.SQL(", ").join(columns))


def stored(column: str) -> sql.Identifier:
    """The column of `work` that holds the value for the target's column."""
    return sql.Identifier(f"to:{column}")


def decide(plan: LoadPlan, bind: Bind) -> sql.Composed:
    """INSERT into `work`. Per slice it also takes record_prefix, record_base, target_prefix, target_base, version."""
    failures, held, warnings = row_findings(plan, bind)
    unresolved, unresolved_warnings = references.reference_findings(plan)
    warnings += unresolved_warnings
    warnings += [
        Finding(fragment(condition), code, _WARNING_TEXT.get(code, code))
        for code, condition in plan.target.warnings.items()
    ]
    conflicts = matching.conflicts(plan)
    warnings += [_renumbered(key, index) for index, (key, _) in enumerate(conflicts) if key.on_conflict == "renumber"]
    columns = stored_columns(plan)
    return sql.SQL(
        "INSERT INTO pg_temp.work (n, key, ordinal, record_id, target_id, known, action, code, problems, warnings, "
        "matching, confidence, source_number, unresolved, {targets}) "
        "SELECT q.n, q.key, q.ordinal, {record_id}, "
        "CASE WHEN a.action = 'existing' OR a.code = 'target_deleted' OR a.code = 'exists' THEN q.chosen "
        "WHEN a.action = 'created' THEN {target_id} WHEN a.code = 'placeholder_agent' THEN {placeholder} END, "
        "q.identity IS NOT NULL, a.action, a.code, coalesce(q.failures, q.held), q.warnings, {matching}, "
        "CASE WHEN q.alive IS NOT NULL THEN 100 ELSE q.best END, {source_number}, {unresolved}, {values} "
        "FROM ({judged}) q CROSS JOIN LATERAL (SELECT {action} AS verdict OFFSET 0) v "
        "CROSS JOIN LATERAL (SELECT split_part(v.verdict, ' ', 1) AS action, "
        "nullif(split_part(v.verdict, ' ', 2), '') AS code) a"
    ).format(
        targets=sql.SQL(", ").join(stored(column) for column in columns),
        values=sql.SQL(", ").join(name("q", f"to:{column}") for column in columns),
        record_id=_counted_uuid("record"),
        target_id=_counted_uuid("target"),
        placeholder=bind(plan.placeholder_agent, "uuid"),
        matching=_matching_json(plan, bind, conflicts),
        source_number=name("q", "source_number"),
        unresolved=name("q", "unresolved"),
        action=_verdict(plan, bind, conflicts),
        judged=_judged(plan, bind, failures + unresolved, held, warnings, conflicts),
    )


def lock_targets(plan: LoadPlan) -> sql.Composed:
    """Lock the rows about to be compared, in key order, so that two jobs never wait for each other in a ring."""
    return sql.SQL(
        "SELECT count(*) FROM (SELECT t.id FROM {} t WHERE t.id IN (SELECT w.target_id FROM pg_temp.work w "
        "WHERE w.action = 'existing') ORDER BY t.id FOR UPDATE) locked"
    ).format(sql.Identifier(plan.target.table))


def compare(plan: LoadPlan, bind: Bind) -> sql.Composed:
    """Turn `existing` into updated, unchanged, skipped `exists`, or defer (a second row for one target)."""
    changed = [
        sql.SQL("CASE WHEN {} THEN {} END").format(differs, bind(column, "text"))
        for column, differs in _differences(plan)
    ]
    changed_array = sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(sql.SQL(", ").join(changed))
    action = (
        sql.SQL("'skipped'")
        if plan.mode is Mode.CREATE
        else sql.SQL("CASE WHEN d.changed = '{{}}' THEN 'unchanged' ELSE 'updated' END").format()
    )
    code = sql.SQL("'exists'") if plan.mode is Mode.CREATE else sql.SQL("NULL::text")
    return sql.SQL(
        "UPDATE pg_temp.work w SET action = CASE WHEN d.place > 1 THEN 'defer' ELSE {action} END, code = {code}, "
        "changed = d.changed, before = (SELECT json_object_agg(e.key, e.value) FROM json_each(d.image) e "
        "WHERE e.key = ANY(d.changed)) "
        "FROM (SELECT w.n, {changed} AS changed, row_to_json(t) AS image, "
        "row_number() OVER (PARTITION BY w.target_id ORDER BY w.n) AS place "
        "FROM pg_temp.work w JOIN {table} t ON t.id = w.target_id WHERE w.action = 'existing') d WHERE d.n = w.n"
    ).format(action=action, code=code, changed=changed_array, table=sql.Identifier(plan.target.table))


def updatable(plan: LoadPlan) -> Iterator[tuple[str, Mapped | None]]:
    """Columns an update may write, with the mapping that feeds them; an unmapped field is never written (M15)."""
    seen: set[str] = set()
    for mapped in plan.mapped:
        column = mapped.field.storage or (plan.target.json_column if mapped.field.json_key else "")
        if column and column not in seen and mapped.write_rule != "never":
            seen.add(column)
            yield column, (mapped if mapped.field.storage else None)
    for column in stored_columns(plan):
        mapped_directly = any(mapped.field.storage == column for mapped in plan.mapped)
        if column not in seen and column not in plan.target.fallbacks and not _is_number(plan, column):
            if mapped_directly:
                continue
            seen.add(column)
            yield column, None


# -- parts -------------------------------------------------------------------------------------------------------


def _derivable(plan: LoadPlan, field_name: str) -> bool:
    groups = plan.target.derived_needs.get(field_name, ())
    return any(all(part in plan.fields for part in group) for group in groups)


def _is_number(plan: LoadPlan, column: str) -> bool:
    return any(key.column == column and key.on_conflict == "renumber" for key in plan.target.unique_keys)


def _counted_uuid(kind: str) -> sql.Composable:
    """A time-ordered UUID (RFC 9562 v7): the slice's first eight bytes, then a counter."""
    return sql.SQL("encode({}::bytea || int8send({}::bigint + q.n), 'hex')::uuid").format(
        sql.Placeholder(f"{kind}_prefix"), sql.Placeholder(f"{kind}_base")
    )


def _judged(
    plan: LoadPlan,
    bind: Bind,
    failures: list[Finding],
    held: list[Finding],
    warnings: list[Finding],
    conflicts: list[tuple[UniqueKey, sql.Composable]],
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
        sql.SQL("p.n, p.key, p.ordinal, i.target_id AS identity, i.alive, m.best_id, m.best, m.ties, m.found"),
        sql.SQL(
            "CASE WHEN i.target_id IS NOT NULL THEN i.target_id WHEN m.best >= {} AND m.ties = 1 THEN m.best_id END AS chosen"
        ).format(bind(plan.matching.threshold, "numeric")),
        sql.SQL("{} AS turn").format(
            sql.SQL("greatest({})").format(sql.SQL(", ").join(ranks)) if ranks else sql.SQL("1")
        ),
        sql.SQL("{} AS failures").format(findings_array(failures, bind)),
        sql.SQL("{} AS held").format(findings_array(held, bind)),
        sql.SQL("{} AS warnings").format(findings_array(warnings, bind)),
        sql.SQL("{} AS source_number").format(
            cell("ticket_number") if "ticket_number" in plan.fields else sql.SQL("NULL::text")
        ),
        sql.SQL("{} AS unresolved").format(_unresolved(plan, bind)),
        *conflict_columns,
        *(sql.SQL("{} AS {}").format(expression, stored(column)) for column, expression in _values(plan, conflicts)),
    ]
    return sql.SQL(
        "SELECT {columns} FROM ({rows}) p "
        "LEFT JOIN LATERAL ({identity}) i ON true "
        "CROSS JOIN LATERAL ({references}) x "
        "LEFT JOIN LATERAL ({candidates}) m ON i.target_id IS NULL "
        "CROSS JOIN LATERAL (SELECT {conflicts} OFFSET 0) k OFFSET 0"
    ).format(
        columns=sql.SQL(", ").join(columns),
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
    plan: LoadPlan, rows: sql.Composable, conflicts: list[tuple[UniqueKey, sql.Composable]], numbered: list[int]
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
    """The target this source row was imported as, and whether it still lives (K3)."""
    alive = (
        sql.SQL("(SELECT t.{} IS NULL FROM {} t WHERE t.id = e.target_id)").format(
            sql.Identifier(plan.target.soft_delete), sql.Identifier(plan.target.table)
        )
        if plan.target.soft_delete
        else sql.SQL("EXISTS (SELECT FROM {} t WHERE t.id = e.target_id)").format(sql.Identifier(plan.target.table))
    )
    return sql.SQL(
        "SELECT e.target_id, coalesce({}, false) AS alive FROM external_refs e "
        "WHERE e.entity_id = {} AND e.external_id = p.key OFFSET 0"
    ).format(alive, bind(plan.entity_id, "bigint"))


def _verdict(plan: LoadPlan, bind: Bind, conflicts: list[tuple[UniqueKey, sql.Composable]]) -> sql.Composable:
    """SQL giving "action code" for a row of `q`."""
    threshold, floor = plan.matching.threshold, plan.matching.review_floor
    branches = [
        ("q.ordinal > 0", "skipped duplicate_in_source"),
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
    return sql.SQL("CASE {} ELSE {} END").format(sql.SQL(" ").join(parts), bind(otherwise, "text"))


def _matching_json(plan: LoadPlan, bind: Bind, conflicts: list[tuple[UniqueKey, sql.Composable]]) -> sql.Composable:
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
        'CASE {conflicts} WHEN q.identity IS NOT NULL THEN \'{{"by": "source_identity"}}\'::jsonb '
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


def _values(plan: LoadPlan, conflicts: list[tuple[UniqueKey, sql.Composable]]) -> Iterator[tuple[str, sql.Composable]]:
    """Per stored column the SQL of its value over p, x and k."""
    by_column = {mapped.field.storage: mapped for mapped in plan.mapped if mapped.field.storage}
    fields = {field.storage: field for field in plan.target.fields if field.storage}
    for column in stored_columns(plan):
        mapped = by_column.get(column)
        if _is_number(plan, column):
            yield column, _number(plan, column, conflicts)
        elif column in plan.target.fallbacks:
            yield column, fragment(plan.target.fallbacks[column])
        elif column == plan.target.json_column and mapped is None:
            pairs = sql.SQL(", ").join(
                sql.SQL("{}, {}").format(sql.Literal(m.field.json_key), name("p", m.field.name))
                for m in plan.mapped
                if m.field.json_key
            )
            yield column, sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(pairs)
        elif mapped and mapped.field.reference:
            yield column, sql.Identifier("x", mapped.field.name)
        else:
            value: sql.Composable = name("p", mapped.field.name if mapped else fields[column].name)
            default = plan.target.defaults.get(column, "")
            if "x." in default:
                value = sql.SQL("coalesce({}, {})").format(value, fragment(default))
            yield column, value


def _number(plan: LoadPlan, column: str, conflicts: list[tuple[UniqueKey, sql.Composable]]) -> sql.Composable:
    """The source's number; a fresh one when it is empty or another row has it; NULL keeps an existing row's (E13)."""
    key = next(key for key in plan.target.unique_keys if key.column == column)
    fresh = sql.SQL("CASE WHEN i.target_id IS NULL OR NOT i.alive THEN {} END").format(fragment(key.fresh))
    if column not in plan.fields:
        return fresh
    index = next(index for index, (other, _) in enumerate(conflicts) if other.column == column)
    return sql.SQL(
        "CASE WHEN p.ordinal > 0 THEN NULL WHEN {taken} THEN {fresh} WHEN btrim({number}) <> '' THEN {number} ELSE {fresh} END"
    ).format(taken=_taken(index), fresh=fresh, number=fragment(key.value))


def _taken(index: int) -> sql.Composable:
    return sql.SQL("(({0} IS NOT NULL AND {0} IS DISTINCT FROM i.target_id) OR {1} > 1)").format(
        name("k", f"conflict{index}"), name("p", f"turn{index}")
    )


def _renumbered(key: UniqueKey, index: int) -> Finding:
    return Finding(
        sql.SQL("btrim({}) <> '' AND {}").format(fragment(key.value), _taken(index)),
        "number_taken",
        f"{key.column} is used by another row; a new one was given and the original is kept with the reference.",
        key.column,
        fragment(key.value),
    )


def _differences(plan: LoadPlan) -> Iterator[tuple[str, sql.Composable]]:
    """Per updatable column the condition, over w and t, that its stored value would change."""
    for column, mapped in updatable(plan):
        new, old = sql.SQL("w.{}").format(stored(column)), name("t", column)
        if column == plan.target.json_column and mapped is None:
            yield column, sql.SQL("NOT {} @> {}").format(old, new)
            continue
        rule = mapped.write_rule if mapped else "overwrite"
        keeps_empty = mapped is not None and mapped.keep_empty
        required = column in plan.target.defaults or column == plan.target.default_account or _is_number(plan, column)
        differs: sql.Composable = sql.SQL("{} IS DISTINCT FROM {}").format(old, new)
        if rule == "if_empty":
            differs = sql.SQL("({old} IS NULL OR {old}::text IN ('', '{{}}')) AND {new} IS NOT NULL").format(
                old=old, new=new
            )
        elif rule == "append":
            differs = appended_differs(mapped, old, new)
        elif keeps_empty or required or column in {"created_at", "updated_at", "created_by_id"}:
            differs = sql.SQL("{} IS NOT NULL AND {}").format(new, differs)
        yield column, differs


def appended_differs(mapped: Mapped | None, old: sql.Composable, new: sql.Composable) -> sql.Composable:
    if mapped is not None and mapped.field.type == "tags":
        return sql.SQL("{} IS NOT NULL AND NOT {} @> {}").format(new, old, new)
    return sql.SQL("{} IS NOT NULL AND position({} IN coalesce({}, '')) = 0").format(new, new, old)


_WARNING_TEXT = {
    "unusual_duration": "The duration is not between one minute and one day.",
    "account_taken_from_ticket": "The account differs from the ticket's; the ticket's account is stored.",
}
