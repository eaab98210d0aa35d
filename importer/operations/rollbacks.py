"""Rolling back what a job wrote, and undoing a rollback (R7, R15-R23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from importer import reversing
from importer.models import ImportJob, ImportRecord, JobKind, Purpose, Reversal, sum_counters
from importer.modes import Bucket
from importer.operations.decisions import Done, Told
from importer.operations.failures import Conflict, InvalidFields, TooManyJobs
from importer.operations.jobs import MOST_ROWS, cancel
from importer.reversing import ACTIONS, RIGHT
from permissions import audit, policy
from servicevault.jobs.limits import MOST_UNFINISHED, take_turns, unfinished_of
from servicevault.jobs.models import ACTIVE
from servicevault.wording import say

KINDS = (JobKind.IMPORT, JobKind.FILE)  # that write
REASONS = {
    "edited": say("Somebody changed it since."),
    "target_deleted": say("Somebody deleted it since."),
    "gone": say("It is not here any more."),
    "here": say("It is here already."),
    "dependants": say("Rows that this import did not create depend on it."),
    "later_job": say("A later import changed it: roll that one back first."),
    "settled": say("It is approved or invoiced."),
    "imported_again": say("The same row of the source was imported again meanwhile."),
    "image_expired": say("What it was before is not kept any more."),
    "no_key": say("Its table has no primary key: nothing finds the row again."),
    "table_gone": say("Its table was dropped or renamed."),
    "rejected": say("A trigger of the table did not let it happen."),
}


@dataclass(frozen=True)
class Scope:
    """Which of a job's records are rolled back: all, those of one kind, single ones, or single fields of these."""

    actions: Sequence[str] = ACTIONS
    records: Sequence[UUID] | None = None
    fields: Sequence[str] | None = None

    @property
    def options(self) -> dict[str, Any]:
        found: dict[str, Any] = {"target_actions": [action for action in ACTIONS if action in self.actions]}
        if self.records is not None:
            found["records"] = [str(pk) for pk in self.records]
        if self.fields is not None:
            found["fields"] = list(self.fields)
        return found


def start_rollback(
    job: ImportJob,
    *,
    by: Any = None,
    dry_run: bool = False,
    understood: bool = False,
    scope: Scope | None = None,
    batch_size: int | None = None,
    trigger: str = "manual",
    waits: bool = False,
) -> ImportJob:
    """A pending job that takes back what an import wrote; with `dry_run` one that only says what it would do.

    Raises InvalidFields unless the consequences are understood, Conflict for a job that goes on (unless the rollback
    `waits` for the end of one that was cancelled just now), that wrote nothing, or that is being rolled back already;
    ImportDenied for a table the person may not import into, and TooManyJobs.
    """
    _check_understood(understood or dry_run)
    if job.kind not in KINDS or job.awaits_start:
        raise Conflict(
            say("Job {job} wrote nothing that could be rolled back.", job=job.number),
            hint=say("Choose an import. A rollback is taken back by its own undo."),
        )
    if not (job.is_finished or waits):
        raise Conflict(
            say("Job {job} is {status}.", job=job.number, status=job.status), hint=say("Cancel it or wait for its end.")
        )
    options = (scope or Scope()).options
    if not options["target_actions"]:
        raise InvalidFields({"target_actions": [say("Choose created, updated or both.")]})
    return _start(job, JobKind.ROLLBACK, options, by=by, dry_run=dry_run, batch_size=batch_size, trigger=trigger)


@transaction.atomic
def cancel_and_roll_back(job: ImportJob, *, by: Any = None, trigger: str = "manual") -> ImportJob:
    """Stop a job, and the rollback of what it wrote so far, which waits for its end (J5). Raises what both raise."""
    cancel(job)
    return start_rollback(job, by=by, understood=True, trigger=trigger, waits=True)


def roll_back_records(records: QuerySet[ImportRecord], *, by: Any, fields: Sequence[str] | None = None) -> Done:
    """One job that rolls back what these records wrote, or these fields of it (R6, R22).

    Records that wrote nothing are not applicable. Raises Conflict for records of several imports and above 10,000, and
    what `start_rollback` raises.
    """
    chosen = list(
        records.select_related("run__job").defer("source_data", "before_image", "after_image")[: MOST_ROWS + 1]
    )
    if len(chosen) > MOST_ROWS:
        raise Conflict(
            say("These are more than {most_rows:,} records.", most_rows=MOST_ROWS), hint=say("Roll the import back.")
        )
    wrote = [record for record in chosen if record.action in ACTIONS and record.run.job.kind in KINDS]
    imports = {record.run.job for record in wrote}
    if len(imports) > 1:
        raise Conflict(say("The records belong to several imports."), hint=say("Choose records of one import."))
    done = Done(len(chosen))
    if imports:
        scope = Scope(records=[record.pk for record in wrote], fields=fields)
        done.job = start_rollback(imports.pop(), by=by, understood=True, scope=scope, trigger="api")
    queued = {record.pk for record in wrote}
    for record in chosen:
        told = (
            ("queued", say("A job rolls it back."))
            if record.pk in queued
            else ("not_applicable", say("It wrote nothing."))
        )
        done.results.append(Told(record.pk, told[0], record.action, record.target_id, told[1]))
    return done


def start_undo(
    rollback: ImportJob, *, by: Any = None, dry_run: bool = False, understood: bool = True, trigger: str = "manual"
) -> ImportJob:
    """A pending job that brings back what a rollback took (R20).

    Raises Conflict for a rollback that goes on or changed nothing that is not back already, and for one after which
    the import was rolled back again.
    """
    _check_understood(understood or dry_run)
    if rollback.kind != JobKind.ROLLBACK or rollback.is_preview:
        raise Conflict(say("Job {job} is no rollback.", job=rollback.number), hint=say("Choose a rollback."))
    if not rollback.is_finished:
        raise Conflict(
            say("Job {job} is {status}.", job=rollback.number, status=rollback.status), hint=say("Wait for its end.")
        )
    newer = _rollbacks(rollback.imported).filter(number__gt=rollback.number).order_by("-number")
    if (last := next(filter(is_undoable, newer), None)) is not None:
        raise Conflict(
            say("Job {number} rolled the same import back later.", number=last.number), hint=say("Undo that one first.")
        )
    if not is_undoable(rollback):
        raise Conflict(
            say("Rollback {job} left nothing that could be brought back.", job=rollback.number),
            hint=say("Start the import again; it brings the rows in anew."),
        )
    return _start(rollback.imported, JobKind.UNDO, {}, by=by, dry_run=dry_run, undoes=rollback, trigger=trigger)


def is_undoable(rollback: ImportJob) -> bool:
    """Whether a rollback changed something that was not brought back since."""
    return Reversal.objects.filter(run__job=rollback, purpose=Purpose.ROLLBACK, written=True, undone_at=None).exists()


def buckets_of(job: ImportJob) -> dict[str, int]:
    """How many records ended in each bucket so far; one query unless `runs` is prefetched."""
    counters = sum_counters(job.runs.all())
    return {bucket.value: counters[bucket.outcome] for bucket in Bucket}


def rows_of(job: ImportJob, *, bucket: str = "") -> QuerySet[Reversal]:
    """What became of each record, in the order of the work."""
    found = Reversal.objects.filter(run__job=job).exclude(bucket="").select_related("run", "record__run")
    found = found.filter(bucket=bucket) if bucket else found
    return found.order_by("run__position", "key", "id").defer(
        "record__source_data", "record__before_image", "record__after_image", "refs"
    )


def reason_of(row: Reversal) -> str:
    """Why the record is not simply reversed, in a sentence; empty when it is."""
    message = (row.details or {}).get("message")
    return message or (REASONS.get(row.code, row.code) if row.code else "")


def of_record(record: ImportRecord) -> Reversal | None:
    """What the newest rollback of the record's import made of it, unless that was undone; one query."""
    found = Reversal.objects.filter(record=record.pk, purpose=Purpose.ROLLBACK, undone_at=None).exclude(bucket="")
    return found.order_by("-judged_at").first()


def last_rollback(job: ImportJob) -> ImportJob | None:
    """The newest rollback of the import that is more than a look."""
    return _rollbacks(job).order_by("-number").first()


def last_preview(job: ImportJob) -> ImportJob | None:
    """The newest look at what a rollback would do."""
    found = ImportJob.objects.filter(origin=job, kind=JobKind.ROLLBACK, options__contains={"dry_run": True})
    return found.order_by("-number").first()


# -- parts --------------------------------------------------------------------------------------------------------


def _rollbacks(job: ImportJob) -> QuerySet[ImportJob]:
    found = ImportJob.objects.filter(origin=job, kind=JobKind.ROLLBACK)
    return found.exclude(options__contains={"dry_run": True})


def _check_understood(understood: bool) -> None:
    if not understood:
        raise InvalidFields(
            {"confirmation.understood_consequences": [say("Say that you understood what a rollback changes.")]}
        )


@transaction.atomic
def _start(
    origin: ImportJob,
    kind: JobKind,
    options: Mapping[str, Any],
    *,
    by: Any,
    dry_run: bool,
    trigger: str,
    undoes: ImportJob | None = None,
    batch_size: int | None = None,
) -> ImportJob:
    ImportJob.objects.select_for_update().get(pk=origin.pk)
    if by is not None:
        if not policy.can(by, "rollback", origin):
            raise policy.Denied(RIGHT)
        reversing.check_tables(origin, by)
        take_turns(by)
        if (count := unfinished_of(by)) >= MOST_UNFINISHED:
            raise TooManyJobs(count)
    going_on = ImportJob.objects.filter(origin=origin, status__in=ACTIVE).order_by("number").first()
    if going_on is not None:
        raise Conflict(
            say("Job {number} works on the same import.", number=going_on.number), hint=say("Wait for its end.")
        )
    job = ImportJob.objects.create(
        profile=origin.profile,
        kind=kind,
        mode=origin.mode,
        options={
            **options,
            **({"dry_run": True} if dry_run else {}),
            **({"batch_size": batch_size} if batch_size else {}),
        },
        trigger=trigger,
        created_by=by,
        origin=origin,
        undoes=undoes,
    )
    job.refresh_from_db(fields=["number"])
    details = {"kind": kind, "dry_run": dry_run, "import": origin.number, "number": job.number}
    audit.record("rollback_started", user=by, job_id=job.pk, profile_id=job.profile_id, obj=job, details=details)
    return job
