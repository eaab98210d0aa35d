"""Write: target rows, external references and records, by plain INSERT and UPDATE of rows whose fate is known."""

from __future__ import annotations

from psycopg import sql

from importer.pipeline import guarding, references
from importer.pipeline.binding import Bind, fragment, name
from importer.pipeline.compare import merged, updatable
from importer.pipeline.plan import LoadPlan
from importer.pipeline.work import stored, stored_columns
from servicevault import catalog

_RECORD_COLUMNS = (
    "id, run_id, batch_no, source_identifier, source_row, ordinal, action, code, target_id, source_hash, source_data, "
    "before_image, after_image, changed_fields, problems, warnings, confidence, matching"
)

_STANDS_IN = sql.SQL("coalesce(w.code = 'placeholder_agent', false)")


def insert_created(plan: LoadPlan, bind: Bind, image: sql.Composable) -> sql.Composed:
    """Create the rows decided `created`, link them, and record each with its after-image."""
    columns = stored_columns(plan)
    defaults = {"created_at": "now()"} | dict(plan.target.defaults)
    values = []
    for column in columns:
        value: sql.Composable = sql.SQL("w.{}").format(stored(column))
        if column == "updated_at":
            created = sql.SQL("w.{}").format(stored("created_at")) if "created_at" in columns else sql.SQL("NULL")
            value = sql.SQL("coalesce({}, {}, now())").format(value, created)
        elif column in defaults and "x." not in defaults[column]:
            value = sql.SQL("coalesce({}, {})").format(value, fragment(defaults[column]))
        values.append(value)
    constants = {column: expression for column, expression in plan.target.constants.items() if column not in columns}
    return sql.SQL(
        "WITH written AS (INSERT INTO {table} AS t (id, {columns}) SELECT w.target_id, {values} FROM pg_temp.work w "
        "WHERE w.action = 'created' ORDER BY w.n RETURNING t.id, {image} AS image), "
        "linked AS ({linked}) "
        "INSERT INTO importer_importrecord ({record_columns}) "
        "SELECT {record}, NULL, written.image, NULL, NULL, w.warnings, NULL, NULL "
        "FROM written JOIN pg_temp.work w ON w.target_id = written.id JOIN pg_temp.stage s ON s.n = w.n ORDER BY w.n"
    ).format(
        table=sql.Identifier(plan.target.table),
        image=image,
        columns=sql.SQL(", ").join(sql.Identifier(column) for column in (*columns, *constants)),
        values=sql.SQL(", ").join([*values, *(fragment(expression) for expression in constants.values())]),
        linked=_new_links(plan, bind, "w.action = 'created' AND NOT w.known"),
        record_columns=sql.SQL(_RECORD_COLUMNS),
        record=_record_start(),
    )


def update_changed(plan: LoadPlan, bind: Bind, image: sql.Composable) -> sql.Composed:
    """Write the columns that differ, nothing else, and record before and after."""
    assignments: list[sql.Composable] = []
    touched = False
    for column, mapped in updatable(plan):
        new: sql.Composable = sql.SQL("w.{}").format(stored(column))
        old = name("t", column)
        touched = touched or column == "updated_at"
        if column == plan.target.json_column and mapped is None:
            new = merged(plan, old, new)
        elif mapped and mapped.write_rule == "append":
            new = _appended(plan, mapped.field.type, old, new)
        assignments.append(
            sql.SQL("{column} = CASE WHEN {label} = ANY(w.changed) THEN {new} ELSE {old} END").format(
                column=sql.Identifier(column), label=bind(column, "text"), new=new, old=old
            )
        )
    if not touched:
        assignments.append(sql.SQL("updated_at = now()"))
    return sql.SQL(
        "WITH written AS (UPDATE {table} t SET {assignments} FROM pg_temp.work w "
        "WHERE w.action = 'updated' AND t.id = w.target_id RETURNING t.id, w.n, w.changed, {image} AS image) "
        "INSERT INTO importer_importrecord ({record_columns}) "
        "SELECT {record}, w.before, (SELECT json_object_agg(e.key, e.value) FROM json_each(written.image) e "
        "WHERE e.key = ANY(w.changed)), w.changed, NULL, w.warnings, w.confidence, w.matching "
        "FROM written JOIN pg_temp.work w ON w.n = written.n JOIN pg_temp.stage s ON s.n = w.n ORDER BY w.n"
    ).format(
        table=sql.Identifier(plan.target.table),
        image=image,
        assignments=sql.SQL(", ").join(assignments),
        record_columns=sql.SQL(_RECORD_COLUMNS),
        record=_record_start(),
    )


def link_existing(plan: LoadPlan, bind: Bind) -> sql.Composed:
    """Point the source row at the target it updated or equals, and remember the row's hash.

    A row that was skipped because its target exists is linked without its hash: it was not compared.
    """
    return sql.SQL(
        "WITH known AS (UPDATE external_refs e SET source_hash = CASE WHEN w.action <> 'skipped' THEN s.hash END, "
        "stands_in = {stands_in}, mapping_version_id = {version}, "
        "record_id = CASE WHEN w.action = 'unchanged' THEN e.record_id ELSE w.record_id END, target_id = w.target_id, "
        "job_id = {job}, last_seen_at = now(), source_number = coalesce(w.source_number, e.source_number), "
        "deleted_in_source_at = NULL "
        "FROM pg_temp.work w JOIN pg_temp.stage s ON s.n = w.n "
        "WHERE w.known AND (w.action IN ('updated', 'unchanged', 'created') OR {stands_in}) "
        "AND e.entity_id = {entity} AND e.external_id = w.key) {linked}"
    ).format(
        stands_in=_STANDS_IN,
        version=bind(plan.version_id, "bigint"),
        entity=bind(plan.entity_id, "bigint"),
        job=sql.Placeholder("job"),
        linked=_new_links(
            plan,
            bind,
            "NOT w.known AND (w.action IN ('updated', 'unchanged') OR w.code IN ('placeholder_agent', 'exists'))",
        ),
    )


def record_rest(plan: LoadPlan, bind: Bind) -> sql.Composed:
    """Record what was not written: skipped, failed, held; unchanged rows when asked or kept from a change (R1)."""
    actions = ["skipped", "failed", "review"] + (["unchanged"] if plan.record_unchanged else [])
    return sql.SQL(
        "INSERT INTO importer_importrecord ({record_columns}) "
        "SELECT {record}, NULL, NULL, NULL, {problems}, w.warnings, w.confidence, w.matching "
        "FROM pg_temp.work w JOIN pg_temp.stage s ON s.n = w.n "
        "WHERE w.action = ANY({actions}) OR (w.action = 'unchanged' AND {told}) ORDER BY w.n"
    ).format(
        told=guarding.told(plan.target.table),
        record_columns=sql.SQL(_RECORD_COLUMNS),
        record=_record_start(),
        problems=_problems(plan, bind),
        actions=bind(actions, "text[]"),
    )


def remember_unresolved(plan: LoadPlan, bind: Bind) -> sql.Composed | None:
    """Keep references that found nothing, to be linked when the row they name arrives (E28, E29)."""
    rows = []
    for mapped in references.references(plan):
        entities = references.entities_searched(plan, mapped)
        if references.policy(mapped) not in {"null", "default"} or not entities:
            continue
        rows.append(
            sql.SQL("({}, {}, {})").format(
                bind(mapped.field.name, "text"), bind(mapped.field.storage, "text"), bind(list(entities), "bigint[]")
            )
        )
    if not rows:
        return None
    return sql.SQL(
        'INSERT INTO importer_pendingreference (searched, external_id, target_type, target_id, "column", placeholder, '
        "run_id, record_id) SELECT f.searched, w.unresolved ->> f.field, {type}, w.target_id, f.stored, "
        "(to_jsonb(w) ->> ('to:' || f.stored))::uuid, abs(%(run)s), w.record_id "  # a rehearsal's number is negative
        "FROM pg_temp.work w CROSS JOIN (VALUES {rows}) f(field, stored, searched) "
        "WHERE w.unresolved ? f.field AND w.action IN ('created', 'updated', 'unchanged') "
        'ON CONFLICT (target_id, "column") DO UPDATE SET external_id = EXCLUDED.external_id, searched = EXCLUDED.searched, '
        "placeholder = EXCLUDED.placeholder, run_id = EXCLUDED.run_id, record_id = EXCLUDED.record_id"
    ).format(type=bind(plan.target.name, "text"), rows=sql.SQL(", ").join(rows))


def _record_start() -> sql.Composable:
    return sql.SQL(
        "w.record_id, %(run)s, %(batch)s, w.key, s.line, w.ordinal, w.action, w.code, w.target_id, s.hash, s.row"
    )


def _new_links(plan: LoadPlan, bind: Bind, condition: str) -> sql.Composable:
    return sql.SQL(
        "INSERT INTO external_refs (entity_id, external_id, target_id, source_hash, mapping_version_id, record_id, job_id, "
        "source_number, stands_in) SELECT {entity}, w.key, w.target_id, CASE WHEN w.action <> 'skipped' THEN s.hash END, "
        "{version}, w.record_id, %(job)s, w.source_number, {stands_in} "
        "FROM pg_temp.work w JOIN pg_temp.stage s ON s.n = w.n WHERE {condition} ORDER BY w.n"
    ).format(
        entity=bind(plan.entity_id, "bigint"),
        version=bind(plan.version_id, "bigint"),
        stands_in=_STANDS_IN,
        condition=sql.SQL(condition),
    )


def _problems(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """The row's problems; a blocked row names the record of the parent that failed (E30)."""
    blocked = [mapped for mapped in references.references(plan) if references.policy(mapped) == "blocked"]
    if not blocked:
        return sql.SQL("w.problems")
    entities = [entity for mapped in blocked for entity in references.entities_searched(plan, mapped)]
    labels = ", ".join(
        catalog.get(kind).label for m in blocked if m.field.reference for kind in m.field.reference.types
    )
    return sql.SQL(
        "CASE WHEN w.code = 'blocked_by_parent' THEN w.problems || coalesce((SELECT jsonb_build_array(jsonb_build_object("
        "'code', 'parent', 'parent_type', {labels}, 'parent_record', r.id)) FROM importer_queryrun q "
        "JOIN importer_importrecord r ON r.run_id IN (q.id, -q.id) AND r.source_identifier = w.problems->0->>'value' "
        "WHERE q.job_id = %(job)s AND q.entity_id = ANY({entities}) AND r.action IN ('failed', 'review', 'skipped') "
        "ORDER BY r.created_at DESC LIMIT 1), '[]'::jsonb) ELSE w.problems END"
    ).format(labels=bind(labels, "text"), entities=bind(entities, "bigint[]"))


def _appended(plan: LoadPlan, kind: str, old: sql.Composable, new: sql.Composable) -> sql.Composable:
    if kind == "tags":
        return sql.SQL("{old} || ARRAY(SELECT part FROM unnest({new}) part WHERE NOT part = ANY({old}))").format(
            old=old, new=new
        )
    return sql.SQL("concat_ws(E'\\n', nullif({}, ''), {})").format(old, new)
