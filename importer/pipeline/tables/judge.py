"""Judge: every row of a staged file through the statements of an import, without writing one (F-027, F-080)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from importer.modes import Outcome
from importer.pipeline.columns import FLOATS, WHOLE
from importer.pipeline.prepare import prepared
from importer.pipeline.slices import Counts, Statement, explain
from importer.pipeline.tables import stage
from importer.pipeline.tables.load import TableLoader
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.tables.stage import Span

SAMPLED = 20_000  # rows from which the usual range of a number is taken
LEAST_ROWS = 30  # F-078
RANGES_AWAY = 6


@dataclass(frozen=True)
class Verdict:
    """How many rows there are and what would become of them; the findings are in the temporary table `found`."""

    total: int
    counts: Counts

    @property
    def errors(self) -> int:
        return self.counts[Outcome.FAILED]


class TableJudge(TableLoader):
    """Decides about rows and collects what is said of them."""

    takes_numbers = False

    def _as_a_set(self, rows: Span, batch: int) -> Counts:
        found = self.decide(rows)
        if found[Outcome.FAILED]:
            self._collect("problems", "error", "w.action = 'failed'")
        if found["warnings"]:
            self._collect("warnings", "warning", "w.warnings IS NOT NULL")
        return found

    def _collect(self, column: str, severity: str, condition: str) -> None:
        places = sql.SQL(", ").join(
            sql.SQL("({}, {}, {})").format(
                sql.Literal(mapped.field.name), sql.Literal(mapped.column), sql.Literal(place)
            )
            for place, mapped in enumerate(self.plan.load.mapped)
        )
        self.connection.execute(
            sql.SQL(
                'INSERT INTO pg_temp.found ("row", record, place, "column", field, code, message, value, severity) '
                "SELECT w.key::bigint, w.n, coalesce(m.place, -1), coalesce(m.source, e ->> 'column', ''), "
                "coalesce(e ->> 'field', ''), e ->> 'code', e ->> 'message', e ->> 'value', {severity} FROM pg_temp.work w "
                "CROSS JOIN LATERAL jsonb_array_elements(w.{column}) e "
                "LEFT JOIN (VALUES {places}) m(field, source, place) ON m.field = e ->> 'field' WHERE {condition}"
            ).format(
                severity=sql.Literal(severity),
                column=sql.Identifier(column),
                places=places,
                condition=sql.SQL(condition),
            )
        )

    def _fail(self, rows: Span, batch: int, error: psycopg.Error) -> None:
        stage.take(self.connection, self.run_id, rows)
        code, message, column = explain(error)
        self.connection.execute(
            'INSERT INTO pg_temp.found ("row", record, place, "column", field, code, message, severity) '
            "SELECT s.key::bigint, s.n, -1, '', %s, %s, %s, 'error' FROM pg_temp.stage s",
            (column or "", code, message),
        )


def judge(
    connection: psycopg.Connection,
    plan: TablePlan,
    run_id: int,
    *,
    max_rows: int,
    on_slice: Callable[[int], None] | None = None,
) -> Verdict:
    """Judge every staged row. Leaves its findings in `pg_temp.found`; writes nothing else."""
    connection.execute("DROP TABLE IF EXISTS pg_temp.found")
    connection.execute(
        'CREATE TEMPORARY TABLE found ("row" bigint, record bigint, place integer, "column" text, field text, code text, '
        "message text, value text, severity text)"
    )
    plan = replace(plan, ranges=usual_ranges(connection, plan, run_id))
    loader = TableJudge(connection, plan, run_id=run_id, job_id="")
    counts: Counts = Counts()
    for span in stage.spans(connection, run_id, max_rows):
        counts += loader.write(span, batch=0)
        if on_slice is not None:
            on_slice(counts["read"])
    return Verdict(counts["read"], counts)


def usual_ranges(connection: psycopg.Connection, plan: TablePlan, run_id: int) -> dict[str, tuple[float, float]]:
    """Per column of numbers what lies within six times the range of the middle half, by a sample of the file."""
    numbers = tuple(
        item for item in plan.load.mapped if item.field.base in {*WHOLE, "numeric", *FLOATS} and not item.transforms
    )
    numbers = tuple(item for item in numbers if not item.field.name.endswith("id"))
    total = stage.count_rows(connection, run_id)
    if not numbers or total < LEAST_ROWS:
        return {}
    step = max(1, total // SAMPLED)
    stage.look_through(connection, run_id, every=step)
    narrow = replace(plan.load, mapped=numbers)
    columns = sql.SQL(", ").join(
        sql.SQL(
            "percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY {0}::double precision) "
            "FILTER (WHERE {0}::text NOT IN ('NaN', 'Infinity', '-Infinity'))"
        ).format(sql.Identifier("p", item.field.name.replace("%", "%%")))
        for item in numbers
    )
    statement = Statement.of(
        lambda bind: sql.SQL("SELECT {} FROM ({}) p WHERE p.problem IS NULL").format(columns, prepared(narrow, bind))
    )
    row = connection.execute(statement.text, statement.params).fetchone()
    stage.drop_slice(connection)
    found = {}
    for item, quartiles in zip(numbers, row or (), strict=False):
        if quartiles and quartiles[1] > quartiles[0]:
            away = RANGES_AWAY * (quartiles[1] - quartiles[0])
            found[item.field.name] = (quartiles[0] - away, quartiles[1] + away)
    return found
