"""Load: the targets of a run, judged and written chunk by chunk; one chunk is one transaction (`slices`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

import psycopg
from psycopg import sql

from importer.modes import Bucket
from importer.pipeline import chunks
from importer.pipeline.faults import fail_point
from importer.pipeline.readers import Reader
from importer.pipeline.reversal import books, judge, write
from importer.pipeline.reversal.listing import END
from importer.pipeline.reversal.plan import ReversalPlan
from importer.pipeline.slices import Counts, SliceLoader, Statement, as_role, explain
from importer.pipeline.tables.stage import Span


class ReversalLoader(SliceLoader[Span]):
    """Reverses the targets of one run through one connection of its own.

    It judges as ourselves, for anything may depend on a target; only the target's rows are written as the role.
    """

    temporary = ("work",)

    def __init__(self, connection: psycopg.Connection, plan: ReversalPlan, *, run_id: int, job_id: str) -> None:
        self.connection = connection
        self.plan = plan
        self.run_id = run_id
        self.job_id = job_id
        self.writer: str | None = None
        connection.execute("DROP TABLE IF EXISTS pg_temp.work")
        connection.execute(judge.WORK)

    def write_as(self, role: str | None) -> None:
        self.writer = role
        if role is not None:
            self._let_in(sql.Identifier(role))

    def pieces(self, reader: Reader, chunk: chunks.Claim, max_rows: int) -> Iterator[Span]:
        """A chunk is one piece: its checkpoint says whether it is done."""
        if chunk.position is None:
            yield Span(chunk.lo, chunk.hi or END)

    def write(self, rows: Span, *, batch: int) -> Counts:
        counts = self._bisect(rows, batch)
        counts["read"] = sum(counts.values())
        return counts

    # -- parts ---------------------------------------------------------------------------------------------------

    def _as_a_set(self, rows: Span, batch: int) -> Counts:
        self.connection.execute("TRUNCATE pg_temp.work")
        self._fill.run(self.connection, run=self.run_id, lo=rows.lo, hi=rows.last_key)
        self.connection.execute("ANALYZE pg_temp.work (key, target_id)")  # all that follows joins it
        if not self.plan.is_preview:
            self._lock.run(self.connection)
        fail_point("after_stage")
        self._judge()
        if self.plan.is_preview:
            self._try()
        else:
            self._reverse()
        fail_point("after_insert")
        found = self.connection.execute(books.NOTE, {"run": self.run_id}).fetchall()
        if self.plan.purpose == "undo":
            self.connection.execute(books.UNDONE, {"run": self.run_id, "undoes": self.plan.undoes_id})
        return Counter({str(Bucket(bucket).outcome): count for bucket, count in found})

    def _judge(self) -> None:
        self._compare.run(self.connection)
        self._later.run(self.connection)
        if self.plan.brings_back:
            self.connection.execute(judge.TOUCHED_LAST)
            self.connection.execute(judge.TAKEN)
        else:
            # In a ring, what is kept keeps others.
            while sum(each.run(self.connection).rowcount for each in self._dependants) and self.plan.is_ring:
                pass
        self._verdict.run(self.connection)

    def _reverse(self) -> None:
        if self._touched is not None:
            self._touched.run(self.connection)
        with as_role(self.connection, self.writer):
            self._write_targets()
        self._unwritten.run(self.connection)
        if not self.plan.has_uuid:
            return
        if self.plan.brings_back:
            self.connection.execute(books.LINK_AGAIN)
            self.connection.execute(books.KNOWN_AGAIN)
        else:
            self.connection.execute(books.REMEMBER)
            self.connection.execute(books.FORGET)
            self.connection.execute(books.COMPARE_AGAIN)

    def _write_targets(self) -> None:
        fates = {fate for (fate,) in self.connection.execute("SELECT DISTINCT fate FROM pg_temp.work")}
        if "restore" in fates:
            self._restore()
        if "remove" in fates:
            self._remove.run(self.connection)
        if "insert" in fates:
            self._insert.run(self.connection)

    def _restore(self) -> None:
        found = self.connection.execute(
            "SELECT DISTINCT unnest(todo) FROM pg_temp.work WHERE fate = 'restore' ORDER BY 1"
        ).fetchall()
        self.connection.execute(write.restore(self.plan, [field for (field,) in found]), {})

    def _try(self) -> None:
        """What a constraint would refuse, the preview says too: the values are written and taken back at once."""
        with self.connection.transaction(force_rollback=True), as_role(self.connection, self.writer):
            if (
                self.connection.execute("SELECT FROM pg_temp.work WHERE fate = 'restore' LIMIT 1").fetchone()
                is not None
            ):
                self._restore()

    def _halves(self, rows: Span) -> tuple[Span, Span] | None:
        found = self.connection.execute(
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY key), max(key) FROM importer_reversal "
            "WHERE run_id = %s AND key > coalesce(%s::text, '') AND key <= %s::text",
            (self.run_id, rows.lo, rows.last_key),
        ).fetchone()
        if found is None or found[0] == found[1]:
            return None
        return Span(rows.lo, found[0]), Span(found[0], rows.hi)

    def _fail(self, rows: Span, batch: int, error: psycopg.Error) -> Counts:
        """What a constraint refuses is blocked; anything else is an error."""
        code, message, _ = explain(error)
        bucket = Bucket.BLOCKED if isinstance(error, psycopg.IntegrityError) else Bucket.ERROR
        refused = {"run": self.run_id, "lo": rows.lo, "hi": rows.last_key, "bucket": bucket, "code": code}
        count = self.connection.execute(books.REFUSED, refused | {"message": str(message)}).rowcount
        return Counter({str(bucket.outcome): count})

    @cached_property
    def _added(self) -> frozenset[str]:
        """Columns that the images do not know: the table got them after the import."""
        row = self.connection.execute(
            "SELECT array(SELECT json_object_keys(r.after_image)) FROM importer_reversal v "
            "JOIN importer_importrecord r ON r.id = v.record_id "
            "WHERE v.run_id = %s AND v.is_new AND r.action = 'created' AND r.after_image IS NOT NULL LIMIT 1",
            (self.run_id,),
        ).fetchone()
        return frozenset(column.name for column in self.plan.columns) - frozenset(row[0]) if row else frozenset()

    # -- statements, generated once ------------------------------------------------------------------------------

    @cached_property
    def _fill(self) -> Statement:
        return Statement(judge.fill(self.plan), {})

    @cached_property
    def _lock(self) -> Statement:
        return Statement(judge.lock(self.plan), {})

    @cached_property
    def _compare(self) -> Statement:
        return Statement.of(lambda bind: judge.compare(self.plan, bind, self._added))

    @cached_property
    def _later(self) -> Statement:
        return Statement.of(lambda bind: judge.later_jobs(self.plan, bind))

    @cached_property
    def _dependants(self) -> list[Statement]:
        return [
            Statement.of(lambda bind, child=child: judge.dependants(self.plan, child, bind))  # type: ignore[misc]
            for child in self.plan.children
        ]

    @cached_property
    def _verdict(self) -> Statement:
        return Statement(judge.verdict(self.plan), {})

    @cached_property
    def _touched(self) -> Statement | None:
        text = None if self.plan.brings_back else write.remember_touched(self.plan)
        return Statement(text, {}) if text is not None else None

    @cached_property
    def _remove(self) -> Statement:
        return Statement(write.remove(self.plan), {})

    @cached_property
    def _insert(self) -> Statement:
        return Statement(write.insert(self.plan), {})

    @cached_property
    def _unwritten(self) -> Statement:
        return Statement(write.unwritten(self.plan), {})
