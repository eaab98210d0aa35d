"""Loaders that write into a transaction somebody else will roll back, with the statements of an import (X18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from importer.modes import Outcome
from importer.pipeline.defaults import known_default
from importer.pipeline.load import Loader, Statement
from importer.pipeline.observed import observed_columns
from importer.pipeline.plan import LoadPlan
from importer.pipeline.slices import Counts
from importer.pipeline.tables.load import TableLoader
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.tables.stage import Span

RECORD_VALUES = (
    "batch_no", "source_identifier", "source_row", "ordinal", "action", "code", "target_id", "target_key", "source_hash", "source_data",
    "before_image", "after_image", "changed_fields", "problems", "warnings", "confidence", "matching",
)  # fmt: skip


class RehearsalLoader(Loader):
    """Writes into a transaction somebody else will roll back.

    An update is undone at once unless a later row may be judged by it: one that changes an observed column stays,
    and one whose target is met again is done again before. So later rows find what the run would have left.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        plan: LoadPlan,
        *,
        run_id: int,
        job_id: str,
        beside: Sequence[LoadPlan] = (),  # what else the job loads
    ) -> None:
        super().__init__(connection, replace(plan, draws_numbers=False), run_id=run_id, job_id=job_id)
        self._observed = observed_columns(connection, plan, beside)
        # Targets whose updates stay; of all queries, for two of them may feed one table.
        connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS kept (target_id uuid PRIMARY KEY)")

    def _write_decided(self, found: Counts, batch: int) -> None:
        super()._write_decided(found, batch)
        numbers = [key.column for key in self.plan.target.unique_keys if key.on_conflict == "renumber"]
        if found[Outcome.CREATED] and numbers:
            # Numbers that the run would draw were made up, as UUIDs; those of the source are told.
            self.connection.execute(
                "UPDATE importer_importrecord SET after_image = (SELECT json_object_agg(e.key, e.value) "
                "FROM json_each(after_image) e WHERE e.key <> ALL(%s) OR NOT pg_input_is_valid(e.value #>> '{}', 'uuid')) "
                "WHERE run_id = %s AND batch_no = %s AND action = 'created'",
                (numbers, self.run_id, batch),
            )

    def _try_or_keep(self, statement: Statement, context: dict[str, Any]) -> None:
        tried = self.connection.execute(
            "UPDATE pg_temp.work w SET action = 'tried' WHERE w.action = 'updated' AND NOT w.changed && %s "
            "AND NOT EXISTS (SELECT FROM pg_temp.kept k WHERE k.target_id = w.target_id)",
            (self._observed,),
            prepare=True,
        ).rowcount
        staying = self.connection.execute(
            "WITH noted AS (INSERT INTO pg_temp.kept SELECT w.target_id FROM pg_temp.work w WHERE w.action = 'updated' "
            "ON CONFLICT DO NOTHING) SELECT FROM pg_temp.work w WHERE w.action = 'updated' LIMIT 1",
            prepare=True,
        ).rowcount
        if staying:
            statement.run(self.connection, **context)
        if tried:
            self._swap("updated", "kept")
            self._swap("tried", "updated")
            self._try(statement, context)
            self._swap("kept", "updated")

    def _swap(self, action: str, other: str) -> None:
        self.connection.execute("UPDATE pg_temp.work SET action = %s WHERE action = %s", (other, action), prepare=True)

    def _try(self, statement: Statement, context: dict[str, Any]) -> None:
        """Update, keep only the records: they leave before the savepoint is rolled back and come back after."""
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in ("id", "run_id", *RECORD_VALUES))
        read = sql.SQL(
            "COPY (SELECT {columns} FROM importer_importrecord WHERE run_id = {run} AND batch_no = {batch} "
            "AND id IN (SELECT w.record_id FROM pg_temp.work w WHERE w.action = 'updated')) TO STDOUT"
        ).format(columns=columns, run=self.run_id, batch=context["batch"])
        with self.connection.transaction(force_rollback=True):
            statement.run(self.connection, **context)
            with self.connection.cursor().copy(read) as copy:
                tried = [bytes(block) for block in copy]
        write = sql.SQL("COPY importer_importrecord ({columns}) FROM STDIN").format(columns=columns)
        with self.connection.cursor().copy(write) as copy:
            for block in tried:
                copy.write(block)

    @cached_property
    def _lock(self) -> Statement:
        """Instead of locking: update again, to stay, the targets about to be compared whose update was undone."""
        columns = self.connection.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = (quote_ident(%s))::regclass AND attnum > 0 "
            "AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a' AND attname <> 'id'",
            (self.plan.target.table,),
        ).fetchall()
        names = [sql.Identifier(column) for (column,) in columns]
        return Statement(
            sql.SQL(
                "WITH met AS (SELECT DISTINCT ON (w.target_id) w.target_id, r.after_image FROM pg_temp.work w "
                "JOIN external_refs e ON e.target_id = w.target_id JOIN importer_importrecord r ON r.id = e.record_id "
                "WHERE w.action = 'existing' AND r.run_id <= 0 AND r.action = 'updated' "
                "AND NOT EXISTS (SELECT FROM pg_temp.kept k WHERE k.target_id = w.target_id) "
                "ORDER BY w.target_id, r.id DESC), "
                "noted AS (INSERT INTO pg_temp.kept SELECT met.target_id FROM met) "
                "UPDATE {table} t SET ({columns}) = (SELECT {values} FROM json_populate_record(t, met.after_image) x) "
                "FROM met WHERE t.id = met.target_id"
            ).format(
                table=sql.Identifier(self.plan.target.table),
                columns=sql.SQL(", ").join(names),
                values=sql.SQL(", ").join(sql.SQL("x.{}").format(name) for name in names),
            ),
            {},
        )


class TrialLoader(RehearsalLoader):
    """Writes into a transaction that is rolled back, without a job beside it."""

    _pending = None  # nothing is linked later
    _default: Any = None

    def _default_account(self) -> Any:
        self._default = self._default or known_default(self.connection, self.plan)
        if self._default is None and self.plan.makes_default_account:
            row = self.connection.execute(
                "INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), %s) RETURNING id",
                (self.plan.default_account_name,),
            ).fetchone()
            self._default = row[0] if row else None
        return self._default


_TOPS = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1}
_ROOM = 10_000_000  # numbers that must be free below the top: lines of a file


def without_numbers(connection: psycopg.Connection, plan: TablePlan) -> TablePlan:
    """The plan with made-up numbers where the table would use up its own.

    They come from the top of their type, where no row is and no sequence gets; else from below all that are there.
    """
    made_up = {}
    for column in plan.table.columns:
        if not column.autoincrement or column.base not in _TOPS or column.name in plan.mapped:
            continue
        found = connection.execute(
            sql.SQL("SELECT coalesce(min({0}), 0)::bigint, coalesce(max({0}), 0)::bigint FROM {1}").format(
                sql.Identifier(column.name), plan.table.identifier
            )
        ).fetchone()
        lowest, highest = found or (0, 0)
        top = _TOPS[column.base]
        made_up[column.name] = top if highest < top - min(_ROOM, top // 2) else min(0, lowest)
    return replace(plan, made_up=made_up)


class TableRehearsalLoader(TableLoader):
    """Writes a table's rows, which are staged under one run, and records them under another.

    What is written stays until the transaction ends: later rows may be judged by it. Numbers that the table would
    have given are made up (`TablePlan.numbered`), so nothing is told of them.
    """

    def __init__(
        self, connection: psycopg.Connection, plan: TablePlan, *, run_id: int, records_as: int, job_id: str
    ) -> None:
        super().__init__(connection, plan, run_id=run_id, job_id=job_id)
        self.records_as = records_as

    def write(self, rows: Span, *, batch: int) -> Counts:
        counts = super().write(rows, batch=batch)
        made_up = [column.name for column in self.plan.numbered]  # with keys that are UUIDs: those were rolled back too
        if counts[Outcome.CREATED] and made_up:
            self.connection.execute(
                "UPDATE importer_importrecord SET after_image = (SELECT json_object_agg(e.key, e.value) "
                "FROM json_each(after_image) e WHERE e.key <> ALL(%s)), target_key = NULL, target_id = NULL WHERE run_id = %s AND batch_no = %s AND action = 'created'",
                (made_up, self.records_as, batch),
            )
        return counts
