"""Judge: what becomes of each target of a chunk, in `pg_temp.work`: the same for a preview and for the work itself."""

from __future__ import annotations

from psycopg import sql

from importer.pipeline import guarding
from importer.pipeline.binding import Bind, name
from importer.pipeline.reversal.plan import TOUCHED, Child, ReversalPlan, differ, named
from servicevault.tables import Column

WORK = """
    CREATE TEMPORARY TABLE work (key text COLLATE "C" PRIMARY KEY, target_id uuid, target_key jsonb, kind text,
        is_new boolean, is_expired boolean, fields text[], since timestamptz, expected json, wanted json, refs json, touched jsonb,
        present boolean, changed text[], todo text[], settled boolean, jobs bigint[], dependants jsonb, taken_by bigint,
        fate text, bucket text, code text)
"""
DEPENDANTS_TOLD = 5  # rows of one table that are named

# The target's rows of the import in the order in which they were written: the first knows what was before, the last
# what came of it. A target that the job created is compared as a whole.
_FILL = """
    INSERT INTO pg_temp.work (key, target_id, target_key, kind, is_new, is_expired, fields, since, expected, wanted, refs, touched)
    SELECT g.key, g.target_id, g.target_key, g.kind, g.is_new, g.is_expired, g.fields, g.since, {expected}, {wanted}, g.refs, g.touched
    FROM (
        SELECT v.key, min(r.target_id::text)::uuid AS target_id, (array_agg(r.target_key))[1] AS target_key,
            min(q.target_type) FILTER (WHERE r.action = 'created') AS kind, bool_or(v.is_new) AS is_new,
            bool_or(r.after_image IS NULL OR (r.action = 'updated' AND r.before_image IS NULL)) AS is_expired,
            (SELECT array_agg(DISTINCT f) FROM unnest(string_to_array(string_agg(
                array_to_string(v.fields, E'\\x1f'), E'\\x1f'), E'\\x1f')) f) AS fields,
            {since} AS since, array_agg(r.id ORDER BY r.created_at, r.id) AS records, {refs} AS refs, {touched} AS touched
        FROM importer_reversal v JOIN importer_importrecord r ON r.id = v.record_id
        JOIN importer_queryrun q ON q.id = r.run_id {before}
        WHERE v.run_id = %(run)s AND v.key > coalesce(%(lo)s::text, '') AND v.key <= %(hi)s::text GROUP BY v.key
    ) g JOIN importer_importrecord one ON one.id = g.records[1]
"""
_MERGED = """
    CASE WHEN cardinality(g.records) = 1 THEN one.{image} ELSE (
        SELECT json_object_agg(e.key, e.value) FROM (
            SELECT DISTINCT ON (e.key) e.key, e.value FROM unnest(g.records) WITH ORDINALITY o(id, place)
            JOIN importer_importrecord m ON m.id = o.id CROSS JOIN json_each(m.{image}) e ORDER BY e.key, o.place {order}
        ) e) END
"""
_LATER = """
    UPDATE pg_temp.work w SET jobs = l.jobs FROM (
        SELECT w.key, array_agg(DISTINCT j.number) AS jobs
        FROM pg_temp.work w JOIN importer_importrecord r ON {same} AND r.action = 'updated' AND r.created_at > w.since
        JOIN importer_queryrun q ON q.id = r.run_id AND q.target_type = ANY({types})
        JOIN importer_importjob j ON j.id = q.job_id AND j.id <> {origin} AND j.kind <> 'rehearsal'
        WHERE (w.is_new OR r.changed_fields && w.fields) AND NOT EXISTS (
            SELECT FROM importer_reversal v WHERE v.record_id = r.id AND v.purpose = 'rollback' AND v.written
            AND v.undone_at IS NULL AND (v.is_new OR v.restored @> r.changed_fields))
        GROUP BY w.key
    ) l WHERE l.key = w.key
"""


def fill(plan: ReversalPlan) -> sql.Composed:
    """The chunk's targets with what is expected of them and what they are to become. Takes run, lo and hi."""
    before, after = (
        sql.SQL(_MERGED).format(image=sql.Identifier(f"{which}_image"), order=sql.SQL(order))
        for which, order in (("before", "ASC"), ("after", "DESC"))
    )
    if plan.brings_back:
        return sql.SQL(_FILL).format(
            expected=sql.SQL("CASE WHEN NOT g.is_new THEN {} END").format(before),
            wanted=after,
            since=sql.SQL("max(u.judged_at)"),
            refs=sql.SQL("(array_agg(u.refs) FILTER (WHERE u.refs IS NOT NULL))[1]::json"),
            touched=sql.SQL("(array_agg(u.touched) FILTER (WHERE u.touched IS NOT NULL))[1]"),
            before=sql.SQL(
                "JOIN importer_reversal u ON u.record_id = v.record_id AND u.run_id IN "
                "(SELECT b.id FROM importer_queryrun b WHERE b.job_id = {})"
            ).format(sql.Literal(plan.undoes_id)),
        )
    return sql.SQL(_FILL).format(
        expected=after,
        wanted=sql.SQL("CASE WHEN NOT g.is_new THEN {} END").format(before),
        since=sql.SQL("max(r.created_at)"),
        refs=sql.SQL("NULL::json"),
        touched=sql.SQL("NULL::jsonb"),
        before=sql.SQL(""),
    )


def lock(plan: ReversalPlan) -> sql.Composed:
    """Hold the targets in the order of their keys, until the commit."""
    return sql.SQL(
        "SELECT count(*) FROM (SELECT 1 FROM pg_temp.work w JOIN {} t ON {} ORDER BY w.key FOR UPDATE OF t) held"
    ).format(plan.quoted, plan.same())


def compare(plan: ReversalPlan, bind: Bind, added: frozenset[str]) -> sql.Composed:
    """Whether each target is there, which fields somebody changed since, and which are to have another value.

    `added` names columns that the images of this run do not know: of a target that is to go they must be as new.
    """
    changed: list[sql.Composable] = []
    todo: list[sql.Composable] = []
    for column in plan.table.columns:
        label = bind(column.name, "text")
        if column.name in added or column.sensitive:
            fresh = None if column.generated else plan.fresh(column)
            if fresh is not None:
                text = sql.SQL("::text") if column.base in {"json", "xml", "point"} else sql.SQL("")
                changed.append(
                    sql.SQL("CASE WHEN w.is_new AND {}{} IS DISTINCT FROM ({}){} THEN {} END").format(
                        name("t", column.name), text, fresh, text, label
                    )
                )
        elif not column.generated:
            as_a_whole = sql.SQL("false" if column.name == TOUCHED else "w.is_new")
            asked = sql.SQL("({} OR {} = ANY(w.fields))").format(as_a_whole, label)
            changed.append(
                sql.SQL("CASE WHEN {} AND {} AND (w.is_new OR {}) THEN {} END").format(
                    asked, differ(column, "t", "e"), differ(column, "t", "n"), label
                )
            )
            guarded = _guarded(plan, column)
            if guarded is not None:
                changed.append(
                    sql.SQL("CASE WHEN NOT w.is_new AND {} AND {} AND {} THEN {} END").format(
                        asked, guarded, differ(column, "t", "n"), label
                    )
                )
            todo.append(
                sql.SQL("CASE WHEN NOT w.is_new AND {} AND {} AND NOT ({}) THEN {} END").format(
                    asked, differ(column, "t", "n"), differ(column, "t", "e"), label
                )
            )
    guard = _guarded(plan, None)
    if guard is not None:
        changed.append(sql.SQL("CASE WHEN w.is_new AND {} THEN {} END").format(guard, bind("login", "text")))
    expected = sql.SQL("wanted" if plan.brings_back else "expected")  # of a target that is new as a whole
    return sql.SQL(
        "UPDATE pg_temp.work w SET present = true, settled = ({settled}), changed = {changed}, todo = {todo} "
        "FROM {table} t WHERE {same}"
    ).format(
        settled=plan.settled,
        changed=_of_images(plan, changed, expected, distinct=True),
        todo=_of_images(plan, todo, expected),
        table=plan.quoted,
        same=plan.same(),
    )


def later_jobs(plan: ReversalPlan, bind: Bind) -> sql.Composed:
    """Which later jobs changed what is in question, unless that was rolled back (R18)."""
    same = "r.target_id = w.target_id" if plan.has_uuid else "r.target_id IS NULL AND r.target_key = w.target_key"
    return sql.SQL(_LATER).format(
        same=sql.SQL(same), types=bind(list(plan.types), "text[]"), origin=bind(plan.origin_id, "uuid")
    )


def dependants(plan: ReversalPlan, child: Child, bind: Bind) -> sql.Composed:
    """Rows of one foreign key that keep targets from being removed; those that go, or move away, do not count.

    Returns how many targets are kept by this statement that were not before.
    """
    row = named(child.key, "c", has_uuid=child.has_uuid)
    same_table = child.table_name == plan.table.name
    leaves: sql.Composable = sql.SQL("false")
    if runs := plan.runs.get(child.table_name):
        leaves = sql.SQL(
            "EXISTS (SELECT FROM importer_reversal p WHERE p.run_id = ANY({}) AND p.key = {} AND p.written "
            "AND (p.is_new OR p.restored && {}))"
        ).format(bind(list(runs), "bigint[]"), row, bind(list(child.columns), "text[]"))
    goes_too: sql.Composable = sql.SQL("false")
    if same_table:
        goes_too = sql.SQL("{row} = w.key").format(row=row)
    if same_table and plan.is_ring:
        goes_too = sql.SQL(
            "EXISTS (SELECT FROM pg_temp.work o WHERE o.key = {row} AND (o.key = w.key OR {removable} AND o.dependants IS NULL "
            "OR (NOT o.is_new AND o.todo && {columns})))"
        ).format(row=row, removable=OTHER_REMOVABLE, columns=bind(list(child.columns), "text[]"))
    return sql.SQL(
        "UPDATE pg_temp.work w SET dependants = coalesce(w.dependants, '[]') || jsonb_build_object("
        "'table', {label}, 'count', d.count, 'rows', to_jsonb(d.rows)) FROM ("
        "SELECT w.key, count(*) AS count, (array_agg({row}))[1:{told}] AS rows "
        "FROM pg_temp.work w JOIN {table} t ON {same} JOIN {child} c ON {refers} "
        "WHERE {removable} AND NOT {leaves} AND NOT {goes_too} GROUP BY w.key) d WHERE d.key = w.key"
    ).format(
        label=bind(child.table_name, "text"),
        row=row,
        told=sql.Literal(DEPENDANTS_TOLD),
        table=plan.quoted,
        same=plan.same(),
        child=child.quoted,
        refers=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(name("c", column), name("t", referred))
            for column, referred in zip(child.columns, child.referred, strict=True)
        ),
        # In a ring every look finds who is kept since the last one.
        removable=sql.SQL("{} AND w.dependants IS NULL").format(REMOVABLE) if plan.is_ring else REMOVABLE,
        leaves=leaves,
        goes_too=goes_too,
    )


_REMOVABLE = "({row}.is_new AND {row}.present AND NOT {row}.is_expired AND NOT {row}.settled AND {row}.changed = '{{}}' AND {row}.jobs IS NULL)"
REMOVABLE, OTHER_REMOVABLE = (sql.SQL(_REMOVABLE).format(row=sql.Identifier(row)) for row in ("w", "o"))

_VERDICT = """
    UPDATE pg_temp.work w SET bucket = split_part(v.verdict, ' ', 1), code = split_part(v.verdict, ' ', 2),
        fate = nullif(split_part(v.verdict, ' ', 3), '')
    FROM (SELECT w.key, {verdict} AS verdict FROM pg_temp.work w) v WHERE v.key = w.key
"""
_CHANGED = """
    CASE WHEN w.present IS NULL THEN 'kept_edited target_deleted '
    WHEN w.jobs IS NOT NULL THEN 'blocked later_job '
    WHEN w.settled THEN 'blocked settled '
    WHEN w.changed <> '{}' THEN 'kept_edited edited ' || CASE WHEN w.todo = '{}' THEN '' ELSE 'restore' END
    WHEN w.todo = '{}' THEN 'reversed  '
    ELSE 'reversed  restore' END
"""
_REMOVED = """
    CASE WHEN w.target_id IS NULL AND w.target_key IS NULL THEN 'error no_key '
    WHEN w.is_expired THEN 'error image_expired '
    WHEN w.is_new AND w.present IS NULL THEN 'reversed gone '
    WHEN w.is_new AND w.jobs IS NOT NULL THEN 'blocked later_job '
    WHEN w.is_new AND w.settled THEN 'blocked settled '
    WHEN w.is_new AND w.changed <> '{{}}' THEN 'kept_edited edited '
    WHEN w.is_new AND w.dependants IS NOT NULL THEN 'blocked dependants '
    WHEN w.is_new THEN 'reversed  remove' ELSE {of_changed} END
"""
_BROUGHT_BACK = """
    CASE WHEN w.is_expired THEN 'error image_expired '
    WHEN w.is_new AND w.present AND w.changed = '{{}}' THEN 'reversed here '
    WHEN w.is_new AND w.present THEN 'kept_edited edited '
    WHEN w.is_new AND w.taken_by IS NOT NULL THEN 'blocked imported_again '
    WHEN w.is_new THEN 'reversed  insert' ELSE {of_changed} END
"""


def verdict(plan: ReversalPlan) -> sql.Composed:
    """Bucket, reason and what is to be done with each target: remove, restore, insert, or nothing."""
    of_new = sql.SQL(_BROUGHT_BACK) if plan.brings_back else sql.SQL(_REMOVED)
    return sql.SQL(_VERDICT).format(verdict=of_new.format(of_changed=sql.SQL(_CHANGED)))


# A target comes back as it went: its time of change too.
TOUCHED_LAST = """
    UPDATE pg_temp.work w SET wanted = (SELECT json_object_agg(e.key, e.value) FROM (
        SELECT key, value FROM json_each(w.wanted) WHERE NOT w.touched ? key
        UNION ALL SELECT key, value::json FROM jsonb_each(w.touched)) e)
    WHERE w.is_new AND w.touched IS NOT NULL
"""
# An external id that names another row by now: it was imported again meanwhile.
TAKEN = """
    UPDATE pg_temp.work w SET taken_by = x.number FROM (
        SELECT w.key, max(coalesce(j.number, 0)) AS number FROM pg_temp.work w CROSS JOIN json_array_elements(w.refs) o
        JOIN external_refs e ON e.entity_id = (o ->> 'entity_id')::bigint AND e.external_id = o ->> 'external_id'
        LEFT JOIN importer_importjob j ON j.id = e.job_id
        WHERE w.is_new AND w.present IS NULL AND e.target_id <> w.target_id GROUP BY w.key) x WHERE x.key = w.key
"""


def _of_images(
    plan: ReversalPlan, parts: list[sql.Composable], expected: sql.Composable, *, distinct: bool = False
) -> sql.Composable:
    """The columns that answer to one of the parts, over t, the expected row `e` and the wanted row `n`."""
    if not parts:
        return sql.SQL("'{{}}'::text[]").format()
    array = sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(sql.SQL(", ").join(parts))
    if distinct:
        array = sql.SQL("coalesce((SELECT array_agg(DISTINCT a) FROM unnest({}) a), '{{}}')").format(array)
    return sql.SQL(
        "(SELECT {array} FROM json_populate_record(t, CASE WHEN w.is_new THEN w.{expected} ELSE w.expected END) e, "
        "json_populate_record(t, CASE WHEN w.is_new THEN w.{expected} ELSE w.wanted END) n)"
    ).format(array=array, expected=expected)


def _guarded(plan: ReversalPlan, column: Column | None) -> sql.Composable | None:
    """Whether nobody but a person may write the column of row `t`, or with None the row at all; None: never so."""
    if not guarding.is_guarded(plan.table.name):
        return None
    if column is not None:
        condition = guarding.open_to(plan.table.name, column.name)
        return sql.SQL("NOT ({})").format(condition)
    return guarding.protected(plan.table.name)
