"""A worker's part in the job of a file: loading it part by part, or rehearsing it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg

from importer import file_parts, file_staging, writer
from importer.file_parts import Part
from importer.models import REHEARSED_AS, FileImport, ImportJob, QueryRun
from importer.pipeline import file_rehearsal
from importer.pipeline.file_rehearsal import Rehearsed
from importer.pipeline.keyed import KeyedPlan
from importer.pipeline.run import Worker
from importer.pipeline.slices import Counts
from importer.pipeline.tables.plan import TablePlan
from servicevault.wording import say

Connect = Callable[[], psycopg.Connection]
Tell = Callable[[str], None]  # what is being done


def load(job: ImportJob, worker: Worker, *, connect: Connect, read_ahead: int, tell: Tell) -> list[int]:
    """Load a file, part by part; returns the entities whose references may be linked now.

    Its rows are staged already, unless the validation's are gone. Raises JobFailed, Stopped.
    """
    file, runs = job.file, file_parts.runs_of(job)
    tell(say("Reading the file"))
    file_staging.check_rights(file, job)
    plans = [(part, file_staging.plan_of(file, part, job)) for part in file_parts.parts_of(file)]
    for part, plan in plans:
        tell(say("Importing {part}", part=part.place or file.original_filename))
        run = runs[part.key]
        if isinstance(plan, KeyedPlan) and plan.accounts is not None:
            _load_accounts(job, part, plan, run, worker=worker, connect=connect)
        reader = file_staging.reader_of(file, part, plan, run.pk, connect=connect, read_ahead=read_ahead)
        loaded = plan if isinstance(plan, TablePlan) else plan.load
        worker.run(run.pk, loaded, reader, file.validated_as, role=writer.writer_of(loaded))
        if isinstance(plan, TablePlan):
            file_staging.advance_sequences(worker.connection, plan)
    file_staging.note_results(file, job.counters())
    return [load.entity_id for _, plan in plans if isinstance(plan, KeyedPlan) for load in plan.loads]


def rehearse(
    job: ImportJob,
    *,
    connect: Connect,
    batch_rows: int,
    tell: Tell,
    on_slice: Callable[[int, Counts], None],
    finish: Callable[[], None],
    stop: threading.Event,
) -> None:
    """The same of what the file's own job has staged, and nothing stays. Raises JobFailed, Stopped, GaveWay."""
    file = job.source_file
    tell(say("Reading the file"))
    most = file_staging.check_rights(file, job, "can_validate").max_rows_per_import
    file_staging.stage_for_rehearsal(file, most=most, connect=connect)
    staged, runs, parts = file_parts.runs_of(file.job), file_parts.runs_of(job), file_parts.parts_of(file)
    names = {runs[part.key].pk: part.place or file.original_filename for part in parts}
    file_rehearsal.rehearse(
        [_rehearsed(job, file, part, staged[part.key], runs[part.key]) for part in parts],
        connect=connect,
        hold=lambda inside: file_staging.hold(inside, file, job.options[REHEARSED_AS]),
        job_id=str(job.pk),
        batch_rows=batch_rows,
        on_part=lambda part: tell(say("Rehearsing {part}", part=names[part.run_id])),
        on_slice=on_slice,
        finish=finish,
        stop=stop,
    )


def _load_accounts(
    job: ImportJob, part: Part, plan: KeyedPlan, run: QueryRun, *, worker: Worker, connect: Connect
) -> None:
    """Load the accounts that the part's customers say, before them (E34)."""
    assert plan.accounts is not None
    own, load = file_staging.accounts_run(job, part, plan), plan.accounts.load
    reader = file_staging.accounts_reader(job.file, part, plan, own.pk, staged_as=run.pk, connect=connect)
    worker.run(own.pk, load, reader, job.file.validated_as, role=writer.writer_of(load))


def _rehearsed(job: ImportJob, file: FileImport, part: Part, staged: QueryRun, run: QueryRun) -> Rehearsed:
    plan = file_staging.plan_of(file, part, job)
    if not isinstance(plan, KeyedPlan) or plan.accounts is None:
        return Rehearsed(plan, staged.pk, run.pk)
    return Rehearsed(plan, staged.pk, run.pk, file_staging.accounts_run(job, part, plan).pk)
