"""Repeats: rows of a file that have a key of another row of the same file, known before the first is written (F-044).

Of rows with one key the first good one counts, or the last where rows update; a row that fails takes no other with it.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from importer.pipeline import staging
from importer.pipeline.columns import MOMENTS, TEXTS, WHOLE
from importer.pipeline.tables.plan import TablePlan, kept

_COMPARABLE = {*WHOLE, *MOMENTS, "uuid"}  # types whose values are equal when their texts are


def are_known(connection: psycopg.Connection, run_id: int) -> bool:
    """Whether the run's file has repeats; what none has costs nothing later."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"importer_stage_{run_id}_repeats",)).fetchone()
    return bool(row and row[0])


def find(connection: psycopg.Connection, plan: TablePlan, run_id: int, *, temporary: bool = False) -> int:
    """Find the repeats among the judged rows and keep them in a table of the run; returns how many there are."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging.repeats_table(run_id)))
    alike = [
        _alike(plan, run_id, rule)
        for rule in range(len(plan.rules))
        if connection.execute(
            sql.SQL("SELECT EXISTS ({})").format(_values(plan, run_id, rule)), {}
        ).fetchone() == (True,)
    ]  # fmt: skip
    if not alike:
        return 0
    made = connection.execute(
        sql.SQL("CREATE {kind} {table} AS SELECT key, rule FROM ({alike}) a WHERE place > 1").format(
            kind=sql.SQL("TEMPORARY TABLE" if temporary else "TABLE"),
            table=staging.repeats_table(run_id),
            alike=sql.SQL(" UNION ALL ").join(alike),
        ),
        {},
    )
    connection.execute(sql.SQL("CREATE INDEX ON {} (key)").format(staging.repeats_table(run_id)))
    connection.execute(sql.SQL("ANALYZE {}").format(staging.repeats_table(run_id)))
    return made.rowcount


def _alike(plan: TablePlan, run_id: int, rule: int) -> sql.Composed:
    """Rows that have a key of the rule another row has too, numbered from the one that counts."""
    order = sql.SQL("j.n DESC" if plan.strategy == "update" and plan.key and rule == 0 else "j.n")
    return sql.SQL(
        "SELECT j.key, {rule}::smallint AS rule, row_number() OVER (PARTITION BY {values} ORDER BY {order}) AS place "
        "FROM {judged} j WHERE {counts} AND ({values}) IN ({alike})"
    ).format(
        rule=sql.Literal(rule),
        values=_key(plan, rule),
        order=order,
        judged=staging.judged_table(run_id),
        counts=_counts(plan, rule),
        alike=_values(plan, run_id, rule),
    )


def _values(plan: TablePlan, run_id: int, rule: int) -> sql.Composed:
    """The keys of the rule that more than one row has."""
    return sql.SQL("SELECT {values} FROM {judged} j WHERE {counts} GROUP BY {values} HAVING count(*) > 1").format(
        values=_key(plan, rule), judged=staging.judged_table(run_id), counts=_counts(plan, rule)
    )


def _counts(plan: TablePlan, rule: int) -> sql.Composable:
    """Whether the row takes part: it does not fail, and its key is filled."""
    filled = sql.SQL("").join(sql.SQL(" AND {} IS NOT NULL").format(_column(column)) for column in plan.rules[rule])
    return sql.SQL("j.action <> 'failed'{}").format(filled)


def _key(plan: TablePlan, rule: int) -> sql.Composable:
    """The key's values; as text where the type compares in a way of its own, or not at all."""
    parts = []
    for column in plan.rules[rule]:
        base = plan.load.fields[column].field.base
        kind = sql.SQL("" if base in _COMPARABLE else ' COLLATE "C"' if base in TEXTS else '::text COLLATE "C"')
        parts.append(sql.SQL("{}{}").format(_column(column), kind))
    return sql.SQL(", ").join(parts)


def _column(column: str) -> sql.Composable:
    return sql.SQL("j.{}").format(kept(column))
