"""Repeats: rows of a file that have a key of another row of the same file, known before the first is written (F-044).

Of rows with one key the first good one counts, or the last where rows update; a row that fails takes no other with it.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg
from psycopg import sql

from importer.pipeline import early, staging
from importer.pipeline.binding import Bind, name
from importer.pipeline.prepare import prepared
from importer.pipeline.slices import Statement, uuid_counter
from importer.pipeline.tables import decide, stage
from importer.pipeline.tables.plan import TablePlan

JUDGED_AT_ONCE = 5000


def are_known(connection: psycopg.Connection, run_id: int) -> bool:
    """Whether the run's file has repeats; what none has costs nothing later."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"importer_stage_{run_id}_repeats",)).fetchone()
    return bool(row and row[0])


def find(connection: psycopg.Connection, plan: TablePlan, run_id: int, *, temporary: bool = False) -> int:
    """Find the repeats of the staged file and keep them in a table of the run; returns how many rows are none's first."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging.repeats_table(run_id)))
    connection.execute("DROP TABLE IF EXISTS pg_temp.alike")
    connection.execute(
        'CREATE TEMPORARY TABLE alike (n integer, key text COLLATE "C", rule smallint, value text, bad boolean)'
    )
    if not plan.rules:
        return 0
    _group(connection, plan, run_id)
    row = connection.execute("SELECT count(*) FROM pg_temp.alike").fetchone()
    if not row or not row[0]:
        return 0
    _judge(connection, plan, run_id)
    return _keep(connection, plan, run_id, temporary=temporary)


def _group(connection: psycopg.Connection, plan: TablePlan, run_id: int) -> None:
    """Collect every row whose key another row has too."""
    made = early.maker(plan.load)
    for rule, key in enumerate(plan.rules):
        mapped = tuple(item for item in plan.load.mapped if item.field.name in key)
        narrow = replace(plan.load, mapped=mapped)
        bind = Bind()
        stage.look_through(connection, run_id, copied=made is not None)
        if made is not None:
            stage.make(connection, made)
        values = sql.SQL(", ").join(name("p", column) for column in key)
        filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(name("p", column)) for column in key)
        connection.execute(
            sql.SQL(
                "INSERT INTO pg_temp.alike (n, key, rule, value, bad) SELECT k.n, k.key, {rule}, k.value, false FROM ("
                'SELECT p.n, p.key, ROW({values})::text AS value, count(*) OVER (PARTITION BY ROW({values})::text COLLATE "C") AS times '
                "FROM ({rows}) p WHERE p.problem IS NULL AND {filled}) k WHERE k.times > 1"
            ).format(rule=sql.Literal(rule), values=values, rows=prepared(narrow, bind), filled=filled),
            bind.params,
        )
    stage.drop_slice(connection)


def _judge(connection: psycopg.Connection, plan: TablePlan, run_id: int) -> None:
    """Mark the rows among them that will fail anyway."""
    stage.create_slice_tables(connection, decide.work_table(plan))
    decision = Statement.of(lambda bind: decide.decide(plan, bind, run_id=run_id, repeats=False))
    made = early.maker(plan.load)
    at = -1
    while True:
        connection.execute("TRUNCATE pg_temp.stage, pg_temp.work")
        taken = connection.execute(
            sql.SQL(
                "WITH few AS (SELECT DISTINCT n, key FROM pg_temp.alike WHERE n > %s ORDER BY n LIMIT %s), "
                "put AS (INSERT INTO pg_temp.stage (n, key, ordinal, problem, row) SELECT s.n, s.key, 0, s.problem, s.row "
                "FROM {} s JOIN few ON few.key = s.key) SELECT max(n) FROM few"
            ).format(staging.run_table(run_id)),
            (at, JUDGED_AT_ONCE),
        ).fetchone()
        if taken is None or taken[0] is None:
            return
        at = taken[0]
        if made is not None:
            stage.make(connection, made)
        decision.run(connection, **uuid_counter("record"))
        connection.execute(
            "UPDATE pg_temp.alike a SET bad = true FROM pg_temp.work w WHERE w.n = a.n AND w.action = 'failed'"
        )


def _keep(connection: psycopg.Connection, plan: TablePlan, run_id: int, *, temporary: bool) -> int:
    order = sql.SQL("CASE WHEN rule = 0 THEN -n ELSE n END") if plan.strategy == "update" and plan.key else sql.SQL("n")
    kind = sql.SQL("TEMPORARY TABLE") if temporary else sql.SQL("TABLE")
    made = connection.execute(
        sql.SQL(
            "CREATE {kind} {table} AS SELECT key, rule FROM (SELECT key, rule, row_number() OVER "
            "(PARTITION BY rule, value ORDER BY {order}) AS place FROM pg_temp.alike WHERE NOT bad) a WHERE place > 1"
        ).format(kind=kind, table=staging.repeats_table(run_id), order=order)
    )
    connection.execute(sql.SQL("CREATE INDEX ON {} (key)").format(staging.repeats_table(run_id)))
    connection.execute(sql.SQL("ANALYZE {}").format(staging.repeats_table(run_id)))
    return made.rowcount
