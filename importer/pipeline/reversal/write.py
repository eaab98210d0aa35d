"""Write: remove, restore and insert the targets whose fate is known, by plain statements with the role's rights."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from importer.pipeline.binding import fragment, literal, name
from importer.pipeline.reversal.plan import TOUCHED, ReversalPlan
from servicevault.tables import Column


def remove(plan: ReversalPlan) -> sql.Composed:
    return sql.SQL("DELETE FROM {} t USING pg_temp.work w WHERE w.fate = 'remove' AND {}").format(
        plan.quoted, plan.same()
    )


def remember_touched(plan: ReversalPlan) -> sql.Composed | None:
    """Keep when a target was changed last, where its image says otherwise; None for tables that do not know."""
    column = next((column for column in plan.columns if column.name == TOUCHED), None)
    if column is None:
        return None
    return sql.SQL(
        "UPDATE pg_temp.work w SET touched = jsonb_build_object({key}, {value}) FROM {table} t WHERE w.fate = 'remove' "
        "AND {same} AND {value} IS DISTINCT FROM (SELECT {of_image} FROM json_populate_record(t, w.expected) e)"
    ).format(
        key=literal(TOUCHED),
        value=name("t", TOUCHED),
        of_image=name("e", TOUCHED),
        table=plan.quoted,
        same=plan.same(),
    )


def restore(plan: ReversalPlan, fields: Iterable[str]) -> sql.Composed:
    """Give each target's fields their other values; `fields` are all that the chunk restores."""
    wanted = set(fields)
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = CASE WHEN {} = ANY(w.todo) THEN {} ELSE {} END").format(
            name(column.name), literal(column.name), name("n", column.name), name("t", column.name)
        )
        for column in plan.columns
        if column.name in wanted
    )
    return sql.SQL(
        "UPDATE {table} t SET {assignments} FROM pg_temp.work w "
        "CROSS JOIN LATERAL json_populate_record(NULL::{table}, w.wanted) n WHERE w.fate = 'restore' AND {same}"
    ).format(table=plan.quoted, assignments=assignments, same=plan.same())


def insert(plan: ReversalPlan) -> sql.Composed:
    """Write removed targets again, with their keys; what no image tells of is as in a new row."""
    told = [(column, _told(column)) for column in plan.columns]
    constant = [
        (column, fresh)
        for column in plan.table.columns
        if column.sensitive
        and not column.generated
        and (fresh := plan.fresh(column)) is not None
        # What the table itself gives need not be written, and may not be by the role.
        and "CASE w.kind" in fresh.as_string(None)
    ]
    written = [*told, *constant]
    overriding = sql.SQL("OVERRIDING SYSTEM VALUE" if any(column.identity for column, _ in told) else "")
    return sql.SQL(
        "INSERT INTO {table} ({columns}) {overriding} SELECT {values} FROM pg_temp.work w "
        "CROSS JOIN LATERAL json_populate_record(NULL::{table}, w.wanted) n WHERE w.fate = 'insert' ORDER BY w.key"
    ).format(
        table=plan.quoted,
        columns=sql.SQL(", ").join(name(column.name) for column, _ in written),
        overriding=overriding,
        values=sql.SQL(", ").join(value for _, value in written),
    )


def unwritten(plan: ReversalPlan) -> sql.Composed:
    """A trigger of the table kept targets as they were without a word: they are an error."""
    return sql.SQL(
        "UPDATE pg_temp.work w SET fate = NULL, bucket = 'error', code = 'rejected' "
        "WHERE (w.fate = 'remove' AND EXISTS (SELECT FROM {table} t WHERE {same})) "
        "OR (w.fate = 'insert' AND NOT EXISTS (SELECT FROM {table} t WHERE {same}))"
    ).format(table=plan.quoted, same=plan.same())


def _told(column: Column) -> sql.Composable:
    """The value of the image; a column that came later and must have one gets its default."""
    value = name("n", column.name)
    if column.default and not column.nullable:
        return sql.SQL("coalesce({}, {})").format(value, fragment(column.default))
    return value
