"""Judge: every row of a staged file through the statements of an import, without writing one (F-027, F-080)."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from queue import SimpleQueue
from typing import Any

import psycopg
from psycopg import sql

from importer.modes import Outcome
from importer.pipeline import early, found, guarding, staging
from importer.pipeline.prepare import STAGE
from importer.pipeline.slices import Counts, SliceLoader, Statement, explain
from importer.pipeline.tables import decide, judged, repeats, stage, unusual, write
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.tables.stage import Span

JUDGED_AT_ONCE = 20_000  # rows of one statement
WORTH_HELP = 3  # spans from which a second session pays
JUDGES = 2  # sessions that judge while lines still come


@dataclass(frozen=True)
class Verdict:
    """How many rows there are and what would become of them; the findings are in the temporary table `found`."""

    total: int
    counts: Counts

    @property
    def errors(self) -> int:
        return self.counts[Outcome.FAILED]


class TableJudge(SliceLoader[Span]):
    """Judges spans of a staged file into the run's judged rows."""

    def __init__(self, connection: psycopg.Connection, plan: TablePlan, *, run_id: int) -> None:
        self.connection = connection
        self.plan = plan
        self.run_id = run_id
        self.job_id = ""
        self.made = early.maker(plan.load)
        self.refused: list[tuple[Any, ...]] = []  # findings of rows that the database could not even judge
        stage.create_slice_tables(connection, decide.work_table(plan))

    def write(self, rows: Span, *, batch: int = 0) -> Counts:
        return self._bisect(rows, batch)

    def again(self) -> None:
        """Judge those rows anew that repeat a key of another row, now that they are known."""
        statement = self._decision(repeats=True)
        table, repeated = staging.judged_table(self.run_id), staging.repeats_table(self.run_id)
        self.connection.execute(sql.SQL("DELETE FROM {} j USING {} r WHERE r.key = j.key").format(table, repeated))
        at = ""
        while True:
            stage.clear(self.connection)
            taken = self.connection.execute(
                sql.SQL(
                    "WITH few AS (SELECT DISTINCT key FROM {} WHERE key > %s ORDER BY key LIMIT %s), "
                    "put AS (INSERT INTO pg_temp.stage (n, key, ordinal, problem, row) "
                    "SELECT s.n, s.key, 0, s.problem, s.row FROM {} s JOIN few ON few.key = s.key) SELECT max(key) FROM few"
                ).format(repeated, staging.run_table(self.run_id)),
                (at, JUDGED_AT_ONCE),
            ).fetchone()
            if taken is None or taken[0] is None:
                return
            at = taken[0]
            if self.made is not None:
                stage.make(self.connection, self.made)
            statement.run(self.connection)

    def _as_a_set(self, rows: Span, batch: int) -> Counts:
        if self.made is None:
            judged_rows = self._in_place.run(self.connection, **rows.limits).rowcount
        else:
            stage.clear(self.connection)
            stage.take(self.connection, self.run_id, rows, made=self.made)
            judged_rows = self._copied.run(self.connection).rowcount
        return Counts({"read": judged_rows})

    def _fail(self, rows: Span, batch: int, error: psycopg.Error) -> Counts:
        stage.clear(self.connection)
        stage.take(self.connection, self.run_id, rows)
        code, message, column = explain(error)
        for line, number in self.connection.execute("SELECT key::bigint, n FROM pg_temp.stage").fetchall():
            self.refused.append((line, number, column or "", code, message))
        return Counts({"failed": 1})

    def _halves(self, rows: Span) -> tuple[Span, Span] | None:
        return stage.halves(self.connection, self.run_id, rows)

    @cached_property
    def _in_place(self) -> Statement:
        return self._decision(source=stage.seen(self.run_id))

    @cached_property
    def _copied(self) -> Statement:
        return self._decision()

    def _decision(self, *, repeats: bool = False, source: sql.Composable = STAGE) -> Statement:
        return Statement.of(
            lambda bind: decide.decide(
                self.plan,
                bind,
                run_id=self.run_id,
                repeats=repeats,
                into=staging.judged_table(self.run_id),
                source=source,
            )
        )


def judge(
    connection: psycopg.Connection,
    plan: TablePlan,
    run_id: int,
    *,
    max_rows: int = JUDGED_AT_ONCE,
    temporary: bool = False,
    helper: Callable[[], psycopg.Connection] | None = None,
    on_slice: Callable[[int], None] | None = None,
) -> Verdict:
    """Judge every staged row, keep what was found, and which rows repeat another. Findings are in `pg_temp.found`.

    With `helper`, which opens another session, a large file is judged by two; what is staged is committed then.
    """
    judged.create(connection, plan, run_id, temporary=temporary)
    loader = TableJudge(connection, plan, run_id=run_id)
    loaders = [loader]
    spans = stage.spans(connection, run_id, max_rows)
    if helper is not None and len(spans) >= WORTH_HELP:
        connection.commit()  # the other session is to see the rows
        with helper() as other:
            loaders.append(TableJudge(other, plan, run_id=run_id))
            _judged_together(loaders, spans, on_slice)
    else:
        read = 0
        for span in spans:
            read += loader.write(span)["read"]
            if on_slice is not None:
                on_slice(read)
    return _verdict(connection, loader, [told for each in loaders for told in each.refused], temporary=temporary)


def stage_and_judge(
    connection: psycopg.Connection,
    plan: TablePlan,
    run_id: int,
    blocks: Iterable[bytes],
    *,
    connect: Callable[[], psycopg.Connection],
    max_rows: int = JUDGED_AT_ONCE,
    on_slice: Callable[[int], None] | None = None,
) -> Verdict:
    """Stage the lines and judge them, as `judge` does, while others still come. All is committed.

    What is staged is dropped again when the lines end with an error, which is raised.
    """
    judged.create(connection, plan, run_id, temporary=False)
    connection.commit()
    with contextlib.ExitStack() as stack:
        loaders = [TableJudge(stack.enter_context(connect()), plan, run_id=run_id) for _ in range(JUDGES)]
        try:
            _judged_together(loaders, stage.pieces(connection, run_id, blocks, max_rows=max_rows), on_slice)
        except BaseException:
            connection.rollback()
            staging.drop_run_table(connection, run_id)
            connection.commit()
            raise
        refused = [told for each in loaders for told in each.refused]
    verdict = _verdict(connection, TableJudge(connection, plan, run_id=run_id), refused, temporary=False)
    connection.commit()
    return verdict


def _judged_together(
    loaders: Sequence[TableJudge], spans: Iterable[Span], on_slice: Callable[[int], None] | None
) -> None:
    """Judge the spans as they come, each by whichever session is free."""
    free = SimpleQueue[TableJudge]()
    for loader in loaders:
        free.put(loader)

    def judge_one(span: Span) -> int:
        loader = free.get()
        try:
            read = loader.write(span)["read"]
            loader.connection.commit()
            return read
        finally:
            free.put(loader)

    waiting: deque[Future[int]] = deque()
    read = 0
    with ThreadPoolExecutor(len(loaders)) as pool:
        try:
            for span in spans:
                waiting.append(pool.submit(judge_one, span))
                while waiting and waiting[0].done():
                    read += waiting.popleft().result()
                    if on_slice is not None:
                        on_slice(read)
            for future in waiting:
                read += future.result()
                if on_slice is not None:
                    on_slice(read)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _verdict(
    connection: psycopg.Connection, loader: TableJudge, refused: Sequence[tuple[Any, ...]], *, temporary: bool
) -> Verdict:
    """What can be said when every row is judged: repeats, unusual numbers, and what was found in all."""
    plan, run_id = loader.plan, loader.run_id
    if repeats.find(connection, plan, run_id, temporary=temporary):
        loader.again()
    unusual.warn(connection, plan, run_id, stage.count_rows(connection, run_id))
    judged.seal(connection, plan, run_id)
    counts = judged.counted(connection, run_id)
    counts[Outcome.FAILED] += len(refused)
    counts["read"] += len(refused)
    found.create(connection)
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO pg_temp.found ("row", record, place, "column", field, code, message, severity) '
            "VALUES (%s, %s, -1, '', %s, %s, %s, 'error')",
            refused,
        )
    if counts[Outcome.FAILED]:
        found.collect(connection, plan.load, _of_judged(run_id, "problems", "w.action = 'failed'"), severity="error")
    if counts["warnings"]:
        rows = _of_judged(run_id, "warnings", "w.warnings IS NOT NULL")
        found.collect(connection, plan.load, rows, severity="warning")
    if counts["existing"] and guarding.is_guarded(plan.table.name):
        found.collect(connection, plan.load, _kept_out(connection, plan, run_id), severity="warning")
    return Verdict(counts["read"], counts)


def _kept_out(connection: psycopg.Connection, plan: TablePlan, run_id: int) -> sql.Composable:
    """Rows of which the update will keep something out, so that it is told before (`guarding`)."""
    statement = Statement.of(lambda bind: write.kept_out(plan, bind, run_id))
    connection.execute("DROP TABLE IF EXISTS pg_temp.kept_out")
    connection.execute(sql.SQL("CREATE TEMPORARY TABLE kept_out AS {}").format(statement.text), statement.params)
    return sql.SQL("SELECT line, n, findings FROM pg_temp.kept_out")


def _of_judged(run_id: int, column: str, condition: str) -> sql.Composable:
    return sql.SQL("SELECT w.key::bigint AS line, w.n, w.{} AS findings FROM {} w WHERE {}").format(
        sql.Identifier(column), staging.judged_table(run_id), sql.SQL(condition)
    )
