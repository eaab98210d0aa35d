"""Load: the rows of a query: stage, decide, write, record; one slice is one transaction (`slices`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from importer.modes import Outcome
from importer.pipeline import choices, chunks, compare, decide, early, guarding, images, planned, staging, work, write
from importer.pipeline.binding import Bind
from importer.pipeline.defaults import default_account, refuse_without_account
from importer.pipeline.faults import fail_point
from importer.pipeline.plan import LoadPlan
from importer.pipeline.planned import Planned
from importer.pipeline.readers import Reader
from importer.pipeline.slices import Counts, SliceLoader, Statement, count, explain, refusal, uuid_counter
from importer.pipeline.staging import Row, Slice

__all__ = ["Counts", "Loader", "Statement", "count", "explain"]


class Loader(SliceLoader[list[tuple[int, Row]]]):
    """Writes slices of one query's rows through one connection of its own."""

    temporary = ("stage", "work", "incoming")
    of_slice = sql.SQL("r.source_identifier = ANY(%(names)s)")
    beside: Planned | None = None

    def __init__(self, connection: psycopg.Connection, plan: LoadPlan, *, run_id: int, job_id: str) -> None:
        self.connection = connection
        self.plan = plan
        self.run_id = run_id
        self.job_id = job_id
        self.warned = self.unlinked = self.matched = self.confidence = 0  # of the slice decided last
        self._made = early.maker(plan)
        self.filters = plan.skips_unchanged and self._has_references()
        self._image = images.of_row(connection, plan.target.table)
        self._moved = choices.moved(connection, plan) if self.filters else set[bytes]()
        self._types: dict[str, str] = dict(
            connection.execute(
                "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                (f'public."{plan.target.table}"' if "." not in plan.target.table else plan.target.table,),
            ).fetchall()
        )
        staging.create_slice_tables(connection, work.work_table(plan, self._types))

    def hold_against(self, plan: planned.Beside) -> None:
        """Name the rows whose fate is not that of the plan; rows that equal the last import are still left alone."""
        keeps = self.plan.record_unchanged
        self.plan = replace(self.plan, record_unchanged=True)
        compared = planned.of_load(self.plan, self._types)
        self.beside = Planned(self, plan, compared, table=self.plan.target.table, keeps=keeps)

    def slice_params(self, rows: list[Row]) -> dict[str, Any]:
        return {"names": [staging.stored_key(row.key).decode() for row in rows]}

    def pieces(self, reader: Reader, chunk: chunks.Claim, max_rows: int) -> Iterator[Slice]:
        """The slices of what is left of the chunk."""
        rows = reader.rows(chunk.start, chunk.hi)
        return staging.slices(rows, max_rows=max_rows, shrunk=lambda: self.shrunk)

    def write(self, rows: list[Row], *, batch: int) -> Counts:
        """The outcomes of the rows, written within the open transaction."""
        counts: Counts = Counter(read=len(rows))
        numbered = list(enumerate(rows))
        if self.filters:
            wanted = self._changed(rows)
            wanted |= {number for number, row in enumerate(rows) if row.key in self._moved}
            numbered = [numbered[number] for number in sorted(wanted)]
            counts[Outcome.UNCHANGED] += len(rows) - len(numbered)
        if numbered:
            counts.update(self._bisect(numbered, batch))
        if self.beside is not None and len(numbered) < len(rows):
            self._record_settled(rows, {number for number, _ in numbered}, counts, batch)
        return counts

    def judge(self, rows: list[Row]) -> None:
        """Decide about the rows and write nothing: what would become of each is in `pg_temp.work`."""
        staging.stage(self.connection, enumerate(rows), made=self._made)
        self._decide()

    # -- parts ---------------------------------------------------------------------------------------------------

    def _as_a_set(self, rows: list[tuple[int, Row]], batch: int) -> Counts:
        counts: Counts = Counter()
        while rows:
            staging.stage(self.connection, rows, made=self._made)
            fail_point("after_stage")
            found = self._decide()
            if found[decide.EXISTING]:
                if self._lock is not None:
                    self._lock.run(self.connection)
                self._compare.run(self.connection)
                # Somebody deleted the target between decision and lock.
                self.connection.execute(
                    "UPDATE pg_temp.work SET action = 'skipped', code = 'target_deleted' WHERE action = 'existing'"
                )
                found = self._actions()
            if self.held:
                self._hold()
                found = self._actions()
            deferred = found.pop(decide.DEFER, 0)
            if self._lacks_account():
                found = self._actions()
                found.pop(decide.DEFER, None)
            self._write_decided(found, batch)
            counts.update(found)
            counts.update(warnings=self.warned, matched=self.matched, confidence=self.confidence)
            if not deferred:
                break
            again = self._deferred()
            rows = [(number, row) for number, row in rows if number in again]
        return counts

    def _decide(self) -> Counts:
        self._decision.run(
            self.connection, **uuid_counter("record"), **uuid_counter("target"), job=self.job_id, run=self.run_id
        )
        return self._actions()

    def _hold(self) -> None:
        """Let the rows that are held wait, with the target they have now as what they could be."""
        Statement.of(
            lambda bind: sql.SQL(
                "UPDATE pg_temp.work w SET action = 'review', code = {code}, problems = NULL, unresolved = NULL, "
                "target_id = NULL, matching = CASE WHEN w.action <> 'created' AND w.target_id IS NOT NULL THEN "
                "coalesce(w.matching, '{{}}') || jsonb_build_object('candidates', jsonb_build_array("
                "jsonb_build_object('id', w.target_id))) ELSE w.matching END "
                "FROM ({held}) h WHERE (w.key, w.ordinal) = (h.name, h.ordinal) "
                "AND w.action IN ('created', 'updated', 'unchanged', 'skipped')"
            ).format(code=bind(planned.CODE, "text"), held=planned.held_rows(self.held, bind))
        ).run(self.connection)

    def _record_settled(self, rows: list[Row], looked_at: Collection[int], counts: Counts, batch: int) -> None:
        """Rows that were not looked at leave a record where the plan would have written them."""
        assert self.beside is not None
        settled = self.beside.settled([number for number in range(len(rows)) if number not in looked_at])
        if not settled:
            return
        staging.stage(self.connection, [(number, rows[number]) for number in settled])
        self.beside.record_settled(self.plan.entity_id, batch=batch)
        if self.beside.strict:
            counts[Outcome.UNCHANGED] -= len(settled)
            counts[Outcome.REVIEW] += len(settled)

    def _actions(self) -> Counts:
        """How many rows have each action; also notes what else is counted, and the references to link later."""
        found = self.connection.execute(
            "SELECT action, count(*), count(unresolved), count(warnings), "
            "count(confidence) FILTER (WHERE action <> 'created'), "
            "coalesce(sum(confidence) FILTER (WHERE action <> 'created') * 100, 0)::bigint "
            "FROM pg_temp.work GROUP BY 1",
            prepare=True,
        ).fetchall()
        decided = [counted for action, _, _, *counted in found if action != decide.DEFER]
        self.warned, self.matched, self.confidence = map(sum, zip(*decided, strict=True)) if decided else (0, 0, 0)
        self.unlinked = sum(unlinked for _, _, unlinked, *_ in found)
        return Counter({action: number for action, number, *_ in found})

    def _deferred(self) -> set[int]:
        return {number for (number,) in self.connection.execute("SELECT n FROM pg_temp.work WHERE action = 'defer'")}

    def _write_decided(self, found: Counts, batch: int) -> None:
        context = {"run": self.run_id, "job": self.job_id, "batch": batch}
        if found[Outcome.CREATED]:
            self._insert.run(self.connection, **context)
            fail_point("after_insert")
        if found[Outcome.UPDATED]:
            self._try_or_keep(self._update, context)
        # What is created may have a link already: to a deleted row, or to one that stood in.
        relinks = self.plan.recreate_deleted or bool(self.plan.target.stand_in)
        if relinks or found[Outcome.UPDATED] or found[Outcome.UNCHANGED] or found[Outcome.SKIPPED]:
            self._link.run(self.connection, **context)
        tells_all = self.plan.record_unchanged or guarding.is_guarded(self.plan.target.table)
        if found[Outcome.SKIPPED] or found[Outcome.FAILED] or found[Outcome.REVIEW] or tells_all:
            self._rest.run(self.connection, **context)
        if self.unlinked and self._pending is not None:
            self._pending.run(self.connection, **context)

    def _try_or_keep(self, statement: Statement, context: dict[str, Any]) -> None:
        statement.run(self.connection, **context)

    def _lacks_account(self) -> bool:
        """Rows nobody's account is known for get the source's default account, made on first need (E34-E36).

        True where there is none and none may be made: then they fail.
        """
        column = self.plan.target.default_account
        if not column or self.connection.execute(self._lacking).fetchone() is None:
            return False
        account = self._default_account()
        if account is None:
            refuse_without_account(self.connection, self.plan)
            return True
        self.connection.execute(
            sql.SQL("UPDATE pg_temp.work SET {0} = %s WHERE {0} IS NULL AND action = 'created'").format(
                work.stored(column)
            ),
            (account,),
        )
        return False

    def _default_account(self) -> Any:
        return default_account(self.connection, self.plan, job_id=self.job_id)

    def _halves(self, rows: list[tuple[int, Row]]) -> tuple[list[tuple[int, Row]], list[tuple[int, Row]]] | None:
        middle = len(rows) // 2
        return (rows[:middle], rows[middle:]) if middle else None

    def _fail(self, rows: list[tuple[int, Row]], batch: int, error: psycopg.Error) -> Counts:
        """Record a row that the database refused, with what it said about constraint and column."""
        ((_, row),) = rows
        staging.stage(self.connection, rows)
        code, message, column = explain(error)
        self.connection.execute(
            "INSERT INTO importer_importrecord (id, run_id, batch_no, source_identifier, source_row, ordinal, action, code, "
            "source_hash, source_data, problems) "
            "SELECT gen_random_uuid(), %(run)s, %(batch)s, s.key, s.line, s.ordinal, 'failed', %(code)s::text, s.hash, "
            "CASE WHEN pg_input_is_valid(%(row)s::text, 'json') THEN %(row)s::text::json END, "
            "jsonb_build_array(jsonb_build_object('code', %(code)s::text, 'field', %(column)s::text, 'message', %(message)s::text, 'detail', %(detail)s::text)) "
            "FROM pg_temp.stage s",
            {
                "run": self.run_id,
                "batch": batch,
                "code": code,
                "message": message,
                "column": column,
                "detail": refusal(error),
                "row": row.data.decode("utf-8", "replace"),
            },
        )
        return Counter({Outcome.FAILED: 1})

    def _changed(self, rows: list[Row]) -> set[int]:
        return staging.changed(
            self.connection,
            rows,
            entity_id=self.plan.entity_id,
            version_id=self.plan.version_id,
            alive=self._alive,
        )

    def _has_references(self) -> bool:
        row = self.connection.execute(
            "SELECT EXISTS (SELECT FROM external_refs WHERE entity_id = %s)", (self.plan.entity_id,)
        ).fetchone()
        return bool(row and row[0])

    # -- statements, generated once ------------------------------------------------------------------------------

    def _statement(self, build: Callable[[LoadPlan, Bind], sql.Composed]) -> Statement:
        return Statement.of(lambda bind: build(self.plan, bind))

    @cached_property
    def _decision(self) -> Statement:
        return self._statement(decide.decide)

    @cached_property
    def _lock(self) -> Statement | None:
        return Statement(compare.lock_targets(self.plan), {})

    @cached_property
    def _compare(self) -> Statement:
        return Statement.of(lambda bind: compare.compare(self.plan, bind, self._image))

    @cached_property
    def _insert(self) -> Statement:
        return Statement.of(lambda bind: write.insert_created(self.plan, bind, self._image))

    @cached_property
    def _update(self) -> Statement:
        return Statement.of(lambda bind: write.update_changed(self.plan, bind, self._image))

    @cached_property
    def _link(self) -> Statement:
        return self._statement(write.link_existing)

    @cached_property
    def _rest(self) -> Statement:
        return self._statement(write.record_rest)

    @cached_property
    def _pending(self) -> Statement | None:
        bind = Bind()
        text = write.remember_unresolved(self.plan, bind)
        return Statement(text, bind.params) if text else None

    @cached_property
    def _lacking(self) -> sql.Composed:
        return sql.SQL("SELECT 1 FROM pg_temp.work WHERE {} IS NULL AND action = 'created' LIMIT 1").format(
            work.stored(self.plan.target.default_account)
        )

    @cached_property
    def _alive(self) -> sql.Composable:
        target = self.plan.target
        live = (
            sql.SQL("AND t.{} IS NULL").format(sql.Identifier(target.soft_delete))
            if target.soft_delete
            else sql.SQL("")
        )
        return sql.SQL("EXISTS (SELECT FROM {} t WHERE t.id = e.target_id {})").format(
            sql.Identifier(target.table), live
        )
