"""Rehearsal of a file: its staged rows through the statements of the import, and all of it taken back (X18)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg

from importer.pipeline import keyed, rehearsal, said_accounts, staging
from importer.pipeline.keyed import KeyedPlan
from importer.pipeline.plan import LoadPlan
from importer.pipeline.rehearsal import Take, shadow
from importer.pipeline.rehearsal_loading import RehearsalLoader, TableRehearsalLoader, without_numbers
from importer.pipeline.said_accounts import SaidAccounts
from importer.pipeline.slices import Counts
from importer.pipeline.tables import stage
from importer.pipeline.tables.judge import judge
from importer.pipeline.tables.plan import TablePlan


@dataclass(frozen=True)
class Rehearsed:
    """A part of a file: how it goes in, and under which runs its rows are staged and recorded."""

    plan: TablePlan | KeyedPlan
    staged_as: int  # run of the file's own job
    run_id: int  # of the rehearsal
    accounts_run: int | None = None  # the same of the accounts that the rows say


def rehearse(
    parts: Sequence[Rehearsed],
    *,
    connect: Callable[[], psycopg.Connection],
    hold: Callable[[psycopg.Connection], None],
    job_id: str,
    batch_rows: int,
    on_part: Callable[[Rehearsed], None],
    on_slice: Callable[[int, Counts], None],
    finish: Callable[[], None],
    stop: threading.Event,
) -> None:
    """Run every part without lasting effect; `hold` keeps the staged rows as they are until the transaction ends.

    Raises Stopped when the job is cancelled, GaveWay when somebody waited for what the rehearsal held.
    """
    loads = [load for part in parts if isinstance(part.plan, KeyedPlan) for load in part.plan.loads]

    def act(inside: psycopg.Connection, take: Take) -> None:
        hold(inside)
        for part in parts:
            on_part(part)
            if isinstance(part.plan, KeyedPlan):
                if part.plan.accounts is not None and part.accounts_run is not None:
                    take(part.accounts_run, accounts(inside, part, part.plan.accounts, part.plan.load))
                take(part.run_id, rows(inside, part, part.plan))
            else:
                take(part.run_id, lines(inside, part, part.plan))

    def accounts(
        inside: psycopg.Connection, part: Rehearsed, plan: SaidAccounts, customers: LoadPlan
    ) -> Iterator[Counts]:
        said_accounts.fill(inside, plan, customers, staged_as=part.staged_as, run_id=part.staged_as, temporary=True)
        yield from written(inside, part, plan.load, part.accounts_run or 0)

    def rows(inside: psycopg.Connection, part: Rehearsed, plan: KeyedPlan) -> Iterator[Counts]:
        keyed.fill(inside, plan, part.staged_as, temporary=True)
        yield from written(inside, part, plan.load, part.run_id)

    def written(inside: psycopg.Connection, part: Rehearsed, load: LoadPlan, run_id: int) -> Iterator[Counts]:
        loader = RehearsalLoader(inside, load, run_id=shadow(run_id), job_id=job_id, beside=loads)
        found = staging.told_apart(staging.staged_cursor(inside, part.staged_as))
        for number, piece in enumerate(staging.slices(found, max_rows=batch_rows)):
            yield loader.write(piece.rows, batch=number)

    def lines(inside: psycopg.Connection, part: Rehearsed, plan: TablePlan) -> Iterator[Counts]:
        plan = without_numbers(inside, plan)
        judge(inside, plan, part.staged_as, temporary=True)
        loader = TableRehearsalLoader(
            inside, plan, run_id=part.staged_as, records_as=shadow(part.run_id), job_id=job_id
        )
        for number, span in enumerate(stage.spans(inside, part.staged_as, batch_rows)):
            yield loader.write(span, batch=number)

    rehearsal.taken_back(act, connect=connect, job_id=job_id, loads=loads, on_slice=on_slice, finish=finish, stop=stop)
