"""Write: a table's rows and their records, by plain INSERT and UPDATE of rows whose fate is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql

from importer.pipeline import columns, guarding, images, staging
from importer.pipeline.binding import Bind, fragment, literal, name
from importer.pipeline.guarding import Change
from importer.pipeline.plan import Mapped
from importer.pipeline.tables import judged, stage
from importer.pipeline.tables.decide import same_key
from importer.pipeline.tables.plan import TablePlan, kept

_RECORD_COLUMNS = (
    "id, run_id, batch_no, source_identifier, source_row, ordinal, action, code, source_hash, source_data, "
    "target_id, target_key, before_image, after_image, changed_fields, problems, warnings"
)


def insert_created(plan: TablePlan, bind: Bind, run_id: int, *, good: sql.Composable | None = None) -> sql.Composed:
    """Create the rows decided `created` and record each with its after-image.

    They are those of `work`, or of `good`, a SELECT of rows that look like them.
    """
    filled = [*plan.mapped, *(column.name for column in plan.numbered)]
    values = [_value(plan, column) for column in filled]
    columns_written = [*filled, *plan.fills]
    values += [bind(value, kind) for value, kind in plan.fills.values()]
    primary = plan.table.primary_key
    overriding = any(plan.table.by_name[column].identity for column in filled)
    rows = sql.SQL("pg_temp.work") if good is None else sql.SQL("good")
    head = sql.SQL(
        "WITH {good} written AS (INSERT INTO {table} AS t ({columns}) {overriding} SELECT {values} FROM {rows} w "
        "WHERE w.action = 'created' ORDER BY w.n {returned}) INSERT INTO importer_importrecord ({record_columns}) "
    ).format(
        good=sql.SQL("") if good is None else sql.SQL("good AS MATERIALIZED ({}),").format(good),
        table=plan.quoted,
        columns=sql.SQL(", ").join(name(column) for column in columns_written),
        overriding=sql.SQL("OVERRIDING SYSTEM VALUE") if overriding else sql.SQL(""),
        values=sql.SQL(", ").join(values),
        rows=rows,
        returned=sql.SQL("RETURNING {}, {} AS image").format(
            sql.SQL(", ").join(name("t", column) for column in primary), _image(plan)
        )
        if primary
        else sql.SQL(""),
        record_columns=sql.SQL(_RECORD_COLUMNS),
    )
    if not primary:  # nothing finds the row again; its values are kept
        return head + sql.SQL(
            "SELECT {record}, NULL, NULL, NULL, json_build_object({image}), NULL, NULL, w.warnings "
            "FROM {rows} w JOIN {staged} s ON s.n = w.n WHERE w.action = 'created' ORDER BY w.n"
        ).format(rows=rows, staged=stage.seen(run_id), record=_record(plan), image=_members(filled[:50], "w", "to:"))
    return head + sql.SQL(
        "SELECT {record}, {target_id}, jsonb_build_object({target_key}), NULL, t.image, NULL, NULL, w.warnings "
        "FROM written t JOIN {rows} w ON {same} JOIN {staged} s ON s.n = w.n ORDER BY w.n"
    ).format(
        rows=rows,
        staged=stage.seen(run_id),
        record=_record(plan),
        target_id=_target_id(plan),
        target_key=_members(primary, "t"),
        same=_same_primary(plan),
    )


def lock_targets(plan: TablePlan) -> sql.Composed:
    """Lock the rows about to be compared, in key order."""
    return sql.SQL(
        "SELECT count(*) FROM (SELECT 1 FROM {table} t JOIN pg_temp.work w ON {same} WHERE w.action = 'existing' "
        "ORDER BY {keys} FOR UPDATE OF t) locked"
    ).format(
        table=plan.quoted,
        same=same_key(plan, plan.key, row="w", prefix="to:"),
        keys=sql.SQL(", ").join(name("t", column) for column in plan.key),
    )


def compare(plan: TablePlan, bind: Bind) -> sql.Composed:
    """Turn `existing` into updated or unchanged."""
    changes = _changes(plan, bind)
    return sql.SQL(
        "UPDATE pg_temp.work w SET action = CASE WHEN d.changed = '{{}}' THEN 'unchanged' ELSE 'updated' END, "
        "changed = d.changed, {warnings} before = (SELECT json_object_agg(e.key, e.value) FROM json_each(d.image) e "
        "WHERE e.key = ANY(d.changed)) "
        "FROM (SELECT w.n, {changed} AS changed, {kept} AS kept, {image} AS image "
        "FROM pg_temp.work w JOIN {table} t ON {same} WHERE w.action = 'existing') d WHERE d.n = w.n"
    ).format(
        warnings=sql.SQL(guarding.ADDED),
        changed=changes.written,
        kept=changes.kept,
        image=_image(plan),
        table=plan.quoted,
        same=same_key(plan, plan.key, row="w", prefix="to:"),
    )


def kept_out(plan: TablePlan, bind: Bind, run_id: int) -> sql.Composed:
    """SELECT of the judged rows of which an update would keep something out: line, n and what is told of it."""
    return sql.SQL(
        "SELECT w.key::bigint AS line, w.n, {kept} AS findings FROM (SELECT r.n, r.key, {typed} FROM {judged} r "
        "WHERE r.action = 'existing') w JOIN {table} t ON {same} WHERE {kept} IS NOT NULL"
    ).format(
        kept=_changes(plan, bind).kept,
        typed=judged.typed(plan),
        judged=staging.judged_table(run_id),
        table=plan.quoted,
        same=same_key(plan, plan.key, row="w", prefix="to:"),
    )


def update_changed(plan: TablePlan, bind: Bind, run_id: int) -> sql.Composed | None:
    """Write the columns that differ, nothing else, and record before and after; None when nothing can be updated."""
    assignments = [
        sql.SQL("{column} = CASE WHEN {label} = ANY(w.changed) THEN {new} ELSE {old} END").format(
            column=name(mapped.field.name),
            label=bind(mapped.field.name, "text"),
            new=_value(plan, mapped.field.name),
            old=name("t", mapped.field.name),
        )
        for mapped in _updatable(plan)
    ]
    if not assignments:
        return None
    if plan.touches:
        assignments.append(sql.SQL("{} = now()").format(name(plan.touches)))
    primary = plan.table.primary_key
    return sql.SQL(
        "WITH written AS (UPDATE {table} t SET {assignments} FROM pg_temp.work w WHERE w.action = 'updated' AND {same} "
        "RETURNING w.n AS work_n, {image} AS image, {target_id} AS target_id, {target_key} AS target_key) "
        "INSERT INTO importer_importrecord ({record_columns}) "
        "SELECT {record}, t.target_id, t.target_key, w.before, (SELECT json_object_agg(e.key, e.value) "
        "FROM json_each(t.image) e WHERE e.key = ANY(w.changed)), w.changed, NULL, w.warnings "
        "FROM written t JOIN pg_temp.work w ON w.n = t.work_n JOIN {staged} s ON s.n = w.n ORDER BY w.n"
    ).format(
        table=plan.quoted,
        image=_image(plan),
        staged=stage.seen(run_id),
        assignments=sql.SQL(", ").join(assignments),
        same=same_key(plan, plan.key, row="w", prefix="to:"),
        target_id=_target_id(plan),
        target_key=sql.SQL("jsonb_build_object({})").format(_members(primary or plan.key, "t")),
        record_columns=sql.SQL(_RECORD_COLUMNS),
        record=_record(plan),
    )


def record_rest(plan: TablePlan, bind: Bind, run_id: int) -> sql.Composed:
    """Record what was not written: skipped, failed and held rows; unchanged ones when asked or kept from a change (R1)."""
    actions = ["skipped", "failed", "review", *(["unchanged"] if plan.load.record_unchanged else [])]
    return sql.SQL(
        "INSERT INTO importer_importrecord ({record_columns}) "
        "SELECT {record}, NULL, NULL, NULL, NULL, NULL, w.problems, w.warnings "
        "FROM pg_temp.work w JOIN {staged} s ON s.n = w.n "
        "WHERE w.action = ANY({actions}) OR (w.action = 'unchanged' AND {told}) ORDER BY w.n"
    ).format(
        told=guarding.told(plan.table.name),
        staged=stage.seen(run_id),
        record_columns=sql.SQL(_RECORD_COLUMNS),
        record=_record(plan),
        actions=bind(actions, "text[]"),
    )


def identity(plan: TablePlan, row: str) -> sql.Composable:
    """What a record calls its row, its line, and its place among those of one name: the line of a file tells all."""
    line = sql.SQL("{}::bigint").format(name(row, "key"))
    if not plan.identifier:
        return sql.SQL("{0}::text, {0}, 0").format(line)
    named = sql.SQL("left(coalesce(nullif(s.row ->> {}, ''), {}::text), 255)").format(literal(plan.identifier), line)
    return sql.SQL("{0}, {1}, {1}::integer - 1").format(named, line)


def recorded(plan: TablePlan, run_id: int) -> sql.Composable:
    """Whether the run has a record of staged row `s` already."""
    return sql.SQL(
        "EXISTS (SELECT FROM importer_importrecord r WHERE r.run_id = {} "
        "AND (r.source_identifier, r.source_row, r.ordinal) = ({}) OFFSET 0)"
    ).format(sql.Literal(run_id), identity(plan, "s"))


def _record(plan: TablePlan) -> sql.Composable:
    return sql.SQL(
        "w.record_id, %(run)s, %(batch)s, {}, w.action, w.code, sha256(convert_to(s.row::text, 'UTF8')), s.row"
    ).format(identity(plan, "w"))


# -- parts --------------------------------------------------------------------------------------------------------


def _changes(plan: TablePlan, bind: Bind) -> guarding.Split:
    """What an update of row `t` by row `w` writes, and what the catalog keeps out of it."""
    return guarding.split(
        plan.table.name,
        (
            Change(item.field.name, item.field.name, _differs(plan, item), _value(plan, item.field.name))
            for item in _updatable(plan)
        ),
        bind,
    )


def _updatable(plan: TablePlan) -> Iterator[Mapped]:
    return (mapped for mapped in plan.load.mapped if mapped.field.name not in plan.key and mapped.write_rule != "never")


def _value(plan: TablePlan, column_name: str) -> sql.Composable:
    """The value to store; a column that must have one gets its default where the file says nothing."""
    column = plan.table.by_name[column_name]
    new = sql.SQL("w.{}").format(kept(column_name))
    if column.base in {"bpchar", "citext", "name"}:
        new = sql.SQL("{}::{}").format(new, fragment(column.sql_type))
    mapped = plan.load.fields.get(column_name)
    must_have = not column.nullable or (mapped is not None and mapped.keep_empty)
    if column.default and must_have and not column.autoincrement:
        return sql.SQL("coalesce({}, {})").format(new, fragment(column.default))
    return new


def _differs(plan: TablePlan, mapped: Mapped) -> sql.Composable:
    column = plan.table.by_name[mapped.field.name]
    new, old = _value(plan, column.name), name("t", column.name)
    if column.base in {"json", "xml", "point", "polygon", "box", "path", "line", "circle"}:  # nothing compares them
        new, old = sql.SQL("{}::text").format(new), sql.SQL("{}::text").format(old)
    differs = sql.SQL("{} IS DISTINCT FROM {}").format(old, new)
    return sql.SQL("({} IS NOT NULL AND {})").format(new, differs) if mapped.keep_empty else differs


def _image(plan: TablePlan) -> sql.Composable:
    return images.of_columns([column.name for column in plan.table.open_columns], of=len(plan.table.columns))


def _target_id(plan: TablePlan) -> sql.Composable:
    primary = plan.table.primary_key
    if len(primary) == 1 and plan.table.by_name[primary[0]].base == "uuid":
        return name("t", primary[0])
    return sql.SQL("NULL::uuid")


def _members(names: Sequence[str], row: str, prefix: str = "") -> sql.Composable:
    return sql.SQL(", ").join(
        sql.SQL("{}, {}").format(sql.Literal(column.replace("%", "%%")), name(row, f"{prefix}{column}"))
        for column in names
    )


def _same_primary(plan: TablePlan) -> sql.Composable:
    fields = plan.load.fields
    pairs = []
    for column in plan.table.primary_key:
        made: sql.Composable = sql.SQL("w.{}").format(kept(column))
        if column in fields:
            made = columns.comparable(fields[column].field, made)
        pairs.append(sql.SQL("{} = {}").format(name("t", column), made))
    return sql.SQL(" AND ").join(pairs)
