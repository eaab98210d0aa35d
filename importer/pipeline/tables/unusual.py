"""Unusual: numbers far away from the others of their column, known when all are there (F-078)."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from importer.pipeline import staging
from importer.pipeline.binding import literal, name
from importer.pipeline.columns import FLOATS, WHOLE
from importer.pipeline.findings import SHOWN_CHARACTERS
from importer.pipeline.plan import Mapped
from importer.pipeline.tables.plan import TablePlan, kept
from servicevault.wording import say

SAMPLED = 20_000  # rows from which the usual range of a number is taken
LEAST_ROWS = 30
RANGES_AWAY = 6  # times the range of the middle half


def warn(connection: psycopg.Connection, plan: TablePlan, run_id: int, rows: int) -> None:
    """Add a warning to the judged rows that hold such a number; the rows are so many."""
    numbers = [
        item
        for item in plan.load.mapped
        if item.field.base in {*WHOLE, "numeric", *FLOATS}
        and not item.transforms
        and not item.field.name.endswith("id")
    ]
    if not numbers or rows < LEAST_ROWS:
        return
    for item, quartiles in zip(numbers, _quartiles(connection, numbers, run_id, rows), strict=True):
        if quartiles and quartiles[1] > quartiles[0]:
            away = RANGES_AWAY * (quartiles[1] - quartiles[0])
            _add(connection, item, run_id, quartiles[0] - away, quartiles[1] + away)


def _quartiles(
    connection: psycopg.Connection, numbers: Sequence[Mapped], run_id: int, rows: int
) -> Sequence[Sequence[float] | None]:
    """The first and third quartile of each column, by a sample of the file."""
    columns = sql.SQL(", ").join(
        sql.SQL(
            "percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY j.{0}::double precision) "
            "FILTER (WHERE j.{0}::text NOT IN ('NaN', 'Infinity', '-Infinity'))"
        ).format(kept(item.field.name))
        for item in numbers
    )
    statement = sql.SQL("SELECT {} FROM {} j WHERE j.n %% {} = 0").format(
        columns, staging.judged_table(run_id), sql.Literal(max(1, rows // SAMPLED))
    )
    return connection.execute(statement, {}).fetchone() or ()


def _add(connection: psycopg.Connection, item: Mapped, run_id: int, low: float, high: float) -> None:
    field = item.field.name
    connection.execute(
        sql.SQL(
            "UPDATE {judged} j SET warnings = coalesce(j.warnings, '[]') || jsonb_build_array(jsonb_build_object("
            "'code', 'unusual_value', 'field', {field}, 'message', %(message)s::text, "
            "'value', left(btrim(s.row ->> {column}), {shown}))) FROM {staged} s "
            "WHERE s.n = j.n AND j.{value} NOT BETWEEN %(low)s AND %(high)s"
        ).format(
            judged=staging.judged_table(run_id),
            staged=staging.run_table(run_id),
            field=literal(field),
            column=literal(item.column),
            value=name(f"to:{field}"),
            shown=sql.Literal(SHOWN_CHARACTERS),
        ),
        {
            "low": low,
            "high": high,
            "message": say("{field} is far away from the other values of the file.", field=field),
        },
    )
