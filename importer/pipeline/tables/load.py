"""Load: slices of a staged file into a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from importer.modes import Outcome
from importer.pipeline import chunks, early, guarding, planned, staging
from importer.pipeline.binding import Bind
from importer.pipeline.faults import fail_point
from importer.pipeline.readers import Reader
from importer.pipeline.slices import Counts, SliceLoader, Statement, explain, refusal, uuid_counter
from importer.pipeline.tables import decide, judged, repeats, stage, write
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.tables.stage import Span


class TableLoader(SliceLoader[Span]):
    """Writes slices of one staged file into one table through one connection of its own."""

    def __init__(self, connection: psycopg.Connection, plan: TablePlan, *, run_id: int, job_id: str) -> None:
        self.connection = connection
        self.plan = plan
        self.run_id = self.records_as = run_id
        self.job_id = job_id
        self._made = early.maker(plan.load)
        self._repeats = repeats.are_known(connection, run_id)
        self._judged = judged.are_known(connection, plan, run_id)
        stage.create_slice_tables(connection, decide.work_table(plan))

    def hold_against(self, plan: planned.Beside) -> None:
        """Name the rows whose fate is not that of the plan."""
        keeps = self.plan.load.record_unchanged
        self.plan = replace(self.plan, load=replace(self.plan.load, record_unchanged=True))
        self.of_slice = sql.SQL(
            "(r.source_identifier, r.source_row, r.ordinal) IN (SELECT {} FROM {} s WHERE {})"
        ).format(write.identity(self.plan, "s"), staging.run_table(self.run_id), stage.within("s"))
        self.beside = planned.Planned(self, plan, planned.of_table(self.plan), table=self.plan.table.name, keeps=keeps)

    def slice_params(self, rows: Span) -> dict[str, Any]:
        return dict(rows.limits)

    def pieces(self, reader: Reader, chunk: chunks.Claim, max_rows: int) -> Iterator[Span]:
        """A chunk of a staged file is one slice."""
        if chunk.position is None or chunk.position != chunk.hi:
            yield Span(chunk.lo, chunk.hi or stage.END)

    def write(self, rows: Span, *, batch: int) -> Counts:
        counts = self._bisect(rows, batch)
        counts["read"] = sum(number for action, number in counts.items() if action != "warnings")
        return counts

    def _let_in(self, role: sql.Identifier) -> None:
        super()._let_in(role)
        # Several workers may begin at once, and grants on one table by two of them would fail each other.
        self.connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (chunks.LOCK_CLASS + 5, self.run_id))
        self.connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(self._staged, role))

    # -- parts ---------------------------------------------------------------------------------------------------

    def _decide(self, span: Span, *, besides: bool) -> Counts:
        """What becomes of the span's rows, in `work`; how many have each action, and `warnings`.

        With `besides` some are written already; they are left out.
        """
        stage.clear(self.connection)
        written = write.recorded(self.plan, self.records_as) if besides else None
        taken = stage.take(self.connection, self.run_id, span, made=self._made, besides=written)
        fail_point("after_stage")
        if taken:
            self._decision.run(self.connection, **uuid_counter("record"))
        return self._actions()

    def _actions(self) -> Counts:
        found = self.connection.execute(
            "SELECT action, count(*), count(warnings) FROM pg_temp.work GROUP BY 1", prepare=True
        ).fetchall()
        counts = Counter({action: number for action, number, _ in found})
        counts["warnings"] = sum(warned for _, _, warned in found)
        return counts

    def _as_a_set(self, rows: Span, batch: int) -> Counts:
        context = {"run": self.records_as, "batch": batch, **rows.limits}
        good = self._insert_good(rows, context)
        if good and good == stage.count_rows(self.connection, self.run_id, rows):
            return Counter({Outcome.CREATED: good})
        found = self._decide(rows, besides=good > 0)
        if found["existing"]:
            self._lock.run(self.connection)
            self._compare.run(self.connection)
            # Somebody deleted the row between decision and lock.
            self.connection.execute(
                "UPDATE pg_temp.work SET action = 'skipped', code = 'target_deleted' WHERE action = 'existing'"
            )
            found = self._actions()
        if self.held:
            self._hold()
            found = self._actions()
        if found[Outcome.CREATED]:
            written = self._insert.run(self.connection, **context).rowcount
            fail_point("after_insert")
            if written < found[Outcome.CREATED]:
                self._unwritten(Outcome.CREATED)
        if found[Outcome.UPDATED] and self._update is not None:
            written = self._update.run(self.connection, **context).rowcount
            if written < found[Outcome.UPDATED]:
                self._unwritten(Outcome.UPDATED)
        found = self._actions()
        tells_all = self.plan.load.record_unchanged or guarding.is_guarded(self.plan.table.name)
        if found[Outcome.SKIPPED] or found[Outcome.FAILED] or self.held or tells_all:
            self._rest.run(self.connection, **context)
        found[Outcome.CREATED] += good
        return found

    def _hold(self) -> None:
        """Let the rows that are held wait."""
        Statement.of(
            lambda bind: sql.SQL(
                "UPDATE pg_temp.work w SET action = 'review', code = {code}, problems = NULL FROM pg_temp.stage s "
                "WHERE s.n = w.n AND ({row}) IN ({held}) AND w.action IN ('created', 'updated', 'unchanged', 'skipped')"
            ).format(
                code=bind(planned.CODE, "text"),
                row=write.identity(self.plan, "w"),
                held=planned.held_rows(self.held, bind),
            )
        ).run(self.connection)

    def _insert_good(self, rows: Span, context: dict[str, Any]) -> int:
        """Write the rows that were found good already as they are; how many they are. The others are judged anew."""
        if not self._judged or self.held:
            return 0
        # The planner takes thousands of rows for one, because of all that is asked of them.
        self.connection.execute("SET LOCAL enable_nestloop = off")
        written = self._good.run(self.connection, **context, **uuid_counter("record")).rowcount
        self.connection.execute("SET LOCAL enable_nestloop = on")
        fail_point("after_insert")
        return written

    def _unwritten(self, action: Outcome) -> None:
        """A trigger of the table kept rows out without a word: they failed."""
        self.connection.execute(
            "UPDATE pg_temp.work w SET action = 'failed', code = 'rejected', problems = jsonb_build_array("
            "jsonb_build_object('code', 'rejected', 'message', 'A trigger of the table did not let the row in.')) "
            "WHERE w.action = %s AND NOT EXISTS (SELECT FROM importer_importrecord r WHERE r.id = w.record_id)",
            (action,),
        )

    def _halves(self, rows: Span) -> tuple[Span, Span] | None:
        return stage.halves(self.connection, self.run_id, rows)

    def _fail(self, rows: Span, batch: int, error: psycopg.Error) -> Counts:
        stage.clear(self.connection)
        stage.take(self.connection, self.run_id, rows)
        code, message, column = explain(error)
        self.connection.execute(
            sql.SQL(
                "INSERT INTO importer_importrecord (id, run_id, batch_no, source_identifier, source_row, ordinal, action, "
                "code, source_hash, source_data, problems) SELECT gen_random_uuid(), %(run)s, %(batch)s, {}, "
                "'failed', %(code)s::text, sha256(convert_to(s.row::text, 'UTF8')), s.row, jsonb_build_array("
                "jsonb_build_object('code', %(code)s::text, 'field', %(column)s::text, 'message', %(message)s::text, "
                "'detail', %(detail)s::text)) "
                "FROM pg_temp.stage s"
            ).format(write.identity(self.plan, "s")),
            {
                "run": self.records_as,
                "batch": batch,
                "code": code,
                "message": message,
                "column": column,
                "detail": refusal(error),
            },
        )
        return Counter({Outcome.FAILED: 1})

    @property
    def _staged(self) -> sql.Composable:
        tables = [staging.run_table(self.run_id)]
        tables += [staging.repeats_table(self.run_id)] if self._repeats else []
        tables += [staging.judged_table(self.run_id)] if self._judged else []
        return sql.SQL(", ").join(tables)

    # -- statements, generated once ------------------------------------------------------------------------------

    @cached_property
    def _decision(self) -> Statement:
        return Statement.of(
            lambda bind: decide.decide(self.plan, bind, run_id=self.run_id, repeats=self._repeats, numbers=True)
        )

    @cached_property
    def _good(self) -> Statement:
        good = judged.good(self.plan, self.run_id)
        return Statement.of(lambda bind: write.insert_created(self.plan, bind, self.run_id, good=good))

    @cached_property
    def _lock(self) -> Statement:
        return Statement(write.lock_targets(self.plan), {})

    @cached_property
    def _compare(self) -> Statement:
        return Statement.of(lambda bind: write.compare(self.plan, bind))

    @cached_property
    def _insert(self) -> Statement:
        return Statement.of(lambda bind: write.insert_created(self.plan, bind, self.run_id))

    @cached_property
    def _update(self) -> Statement | None:
        bind = Bind()
        text = write.update_changed(self.plan, bind, self.run_id)
        return Statement(text, bind.params) if text else None

    @cached_property
    def _rest(self) -> Statement:
        return Statement.of(lambda bind: write.record_rest(self.plan, bind, self.run_id))
