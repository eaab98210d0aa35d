"""Trial: a file's rows written as an import would, in one transaction that is rolled back, and what was found (F-080).

Rows of target types name each other by external ids, so what becomes of one is known only when those before it are
in: the statements are those of the import, and nothing of theirs stays.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from importer.errors import ImporterError
from importer.modes import Outcome
from importer.pipeline import found, keyed, said_accounts, staging
from importer.pipeline.keyed import KeyedPlan
from importer.pipeline.plan import LoadPlan
from importer.pipeline.rehearsal import shadow
from importer.pipeline.rehearsal_loading import TrialLoader, without_numbers
from importer.pipeline.slices import Counts
from importer.pipeline.tables import stage
from importer.pipeline.tables.judge import judge
from importer.pipeline.tables.load import TableLoader
from importer.pipeline.tables.plan import TablePlan
from importer.pipeline.yielding import GaveWay, Yielding
from servicevault.wording import say


class Busy(ImporterError):
    """Somebody else writes the same rows at this moment."""

    code = "conflict"


@dataclass(frozen=True)
class Tried:
    """A part of a file that is staged under a run's number."""

    place: str
    plan: TablePlan | KeyedPlan
    run_id: int


def attempt(
    outside: psycopg.Connection,
    inside: psycopg.Connection,
    parts: Sequence[Tried],
    *,
    connect: Callable[[], psycopg.Connection],
    batch_rows: int,
    on_slice: Callable[[int], None] | None = None,
) -> list[Counts]:
    """What would become of each part's rows, with `read`; the findings are in `pg_temp.found` of `outside`.

    `inside` sees the staged rows; its transaction is rolled back. Raises Busy when others hold the rows too long, or
    wait for them: then `inside` is ended, for nobody shall wait for what is thrown away.
    """
    found.create(outside)
    try:
        with Yielding(connect, inside.info.backend_pid):
            return _attempted(outside, inside, parts, batch_rows=batch_rows, on_slice=on_slice)
    except (GaveWay, errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure) as error:
        raise Busy(
            say("Somebody else imports the same rows just now."), hint=say("Check the file again in a minute.")
        ) from error


def _attempted(
    outside: psycopg.Connection,
    inside: psycopg.Connection,
    parts: Sequence[Tried],
    *,
    batch_rows: int,
    on_slice: Callable[[int], None] | None,
) -> list[Counts]:
    read, counted = 0, []
    try:
        inside.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for position, part in enumerate(parts):
            is_last = position == len(parts) - 1
            if isinstance(part.plan, KeyedPlan):
                counts = _rows(inside, part.plan, part.run_id, batch_rows)
            else:
                counts = _lines(inside, part.plan, part.run_id, batch_rows, writes=not is_last)
            found.take(inside, outside, part=part.place, position=position)
            counted.append(counts)
            read += counts["read"]
            if on_slice is not None:
                on_slice(read)
    finally:
        inside.rollback()
    return counted


def _rows(inside: psycopg.Connection, plan: KeyedPlan, run_id: int, batch_rows: int) -> Counts:
    """Rows of a target type, written; before them the accounts that they say, which are no rows of the file."""
    if plan.accounts is not None:
        said_accounts.fill(inside, plan.accounts, plan.load, staged_as=run_id, run_id=run_id, temporary=True)
        _written(inside, plan.accounts.load, run_id, shadow(run_id), batch_rows)
    keyed.fill(inside, plan, run_id, temporary=True)
    load = plan.load
    counts = _written(inside, load, run_id, run_id, batch_rows)
    found.create(inside)
    if counts[Outcome.FAILED] or counts[Outcome.REVIEW]:
        found.collect(inside, load, _recorded(run_id, "problems", "IN ('failed', 'review')"), severity="error")
    if counts["warnings"]:
        found.collect(inside, load, _recorded(run_id, "warnings", "NOT IN ('failed', 'review')"), severity="warning")
    return counts


def _written(inside: psycopg.Connection, load: LoadPlan, staged_as: int, run_id: int, batch_rows: int) -> Counts:
    loader = TrialLoader(inside, load, run_id=run_id, job_id=str(uuid.uuid4()))
    rows = staging.told_apart(staging.staged_cursor(inside, staged_as))
    counts: Counts = Counter()
    for number, piece in enumerate(staging.slices(rows, max_rows=batch_rows)):
        counts += loader.write(piece.rows, batch=number)
    return counts


def _recorded(run_id: int, column: str, actions: str) -> sql.Composable:
    """Lines with what their records say; a row in doubt says it by its code."""
    words = sql.SQL(", ").join(
        sql.SQL("({}, {})").format(sql.Literal(code), sql.Literal(said)) for code, said in found.IN_DOUBT.items()
    )
    findings = sql.Identifier("r", column)
    if column == "problems":
        findings = sql.SQL(  # type: ignore[assignment]
            "coalesce(r.problems, jsonb_build_array(jsonb_build_object('code', r.code, 'message', "
            "coalesce((SELECT d.said FROM (VALUES {}) d(code, said) WHERE d.code = r.code), 'The row is refused.'))))"
        ).format(words)
    return sql.SQL(
        "SELECT r.source_row AS line, l.n, {} AS findings FROM importer_importrecord r "
        "LEFT JOIN {} l ON l.key::bigint = r.source_row WHERE r.run_id = {} AND r.action {}"
    ).format(findings, staging.run_table(run_id), sql.Literal(run_id), sql.SQL(actions))


def _lines(inside: psycopg.Connection, plan: TablePlan, run_id: int, batch_rows: int, *, writes: bool) -> Counts:
    """Rows of a table, judged; written, with made-up numbers, where rows of later parts may name them."""
    plan = without_numbers(inside, plan)
    verdict = judge(inside, plan, run_id, temporary=True)
    if writes:
        loader = TableLoader(inside, plan, run_id=run_id, job_id="")
        for span in stage.spans(inside, run_id, batch_rows):
            loader.write(span, batch=0)
    return verdict.counts
