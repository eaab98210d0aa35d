"""The rehearsal of a file that waits for its start: a job of its own, which writes and takes everything back (X18)."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from importer import file_parts, file_planning
from importer.file_options import file_options
from importer.models import PLAN_ID, REHEARSED_AS, STRICT, ImportJob, JobKind
from importer.operations import plan_beside
from importer.operations.failures import Conflict, InvalidFields, TooManyJobs
from importer.operations.files import rights
from importer.operations.files.findings import is_current
from importer.operations.files.starting import require_no_rehearsal, start
from importer.operations.files.uploading import require_waiting
from permissions import audit
from servicevault.jobs.limits import MOST_UNFINISHED, take_turns, unfinished_of
from servicevault.jobs.models import JobStatus
from servicevault.wording import say


def rehearse(job: ImportJob, user: Any, *, trigger: str = "manual", system: bool = False) -> ImportJob:
    """A pending job that rehearses the file as it is read and mapped now; call `tasks.announce` for it.

    A file that is only to be validated may be rehearsed too (F-065). Raises Conflict once it was started, or while it
    is being rehearsed; ImportDenied, TooManyJobs, ImportInvalid when it has too many rows.
    """
    require_waiting(job)
    file, parts = job.file, file_parts.parts_of(job.file)
    rights.require_file(user, file, "can_validate", system=system)
    with transaction.atomic():
        if not system:
            take_turns(user)
            if (count := unfinished_of(user)) >= MOST_UNFINISHED:
                raise TooManyJobs(count)
        ImportJob.objects.select_for_update().get(pk=job.pk)  # of two simultaneous calls one wins
        require_no_rehearsal(job)
        rehearsal = ImportJob.objects.create(
            kind=JobKind.REHEARSAL,
            rehearses=job,
            mode=job.mode,
            options=plan_beside.without_plan(job.options) | {REHEARSED_AS: file_planning.validated_digest(file)},
            trigger=trigger,
            created_by=user if getattr(user, "pk", None) else None,
        )
        for run in job.runs.order_by("position"):
            run.pk, run.job, run._state.adding = None, rehearsal, True
            run.save()
        for name in rights.tables_of(parts):
            audit.record("rehearsal_started", user=user, table_name=name, job_id=rehearsal.pk, obj=rehearsal)
    rehearsal.refresh_from_db()
    return rehearsal


def last_rehearsal(job: ImportJob) -> ImportJob | None:
    """The newest rehearsal of the file."""
    found = ImportJob.objects.filter(rehearses=job).select_related("rehearses__file").prefetch_related("runs")
    return found.order_by("-number").first()


def is_as_rehearsed(rehearsal: ImportJob) -> bool:
    """Whether the file is read and mapped as it was when the rehearsal was asked for."""
    return bool(rehearsal.options.get(REHEARSED_AS) == file_planning.validated_digest(rehearsal.source_file))


def why_not_start(rehearsal: ImportJob) -> str:
    """Why the file cannot be imported as it was rehearsed; empty when it can."""
    job = rehearsal.rehearses
    assert job is not None
    job.file.refresh_from_db()
    if not job.awaits_start or job.status != JobStatus.PENDING:
        return say("The file was started since, or given up.")
    if not rehearsal.is_finished:
        return say("The rehearsal goes on.")
    if rehearsal.status != JobStatus.COMPLETED:
        return say("The rehearsal has no whole plan. Rehearse again.")
    if file_options(job.file.import_options).validate_only:
        return say("The file is only validated and rehearsed: switch validate_only off to import it.")
    if plan_beside.is_expired(rehearsal):
        return say("The plan is older than {days} days. Rehearse again.", days=plan_beside.PLAN_LIFE.days)
    if not is_as_rehearsed(rehearsal):
        return say("The file was mapped or read otherwise since. Rehearse it again.")
    if not is_current(job.file):
        return say("Check every row first.")
    return ""


def start_as_rehearsed(rehearsal: ImportJob, user: Any, *, strict: bool = False, system: bool = False) -> ImportJob:
    """Start the file's own job, held against the plan (X20); rows that failed in the rehearsal stay out.

    Call `tasks.announce` for it. Raises Conflict when it is not as it was rehearsed or the plan is expired, and what
    `start` raises.
    """
    job = rehearsal.rehearses
    assert job is not None
    if why_not := why_not_start(rehearsal):
        raise Conflict(why_not)
    return start(job, user, accept_errors=True, system=system, beside=plan_beside.beside(rehearsal, strict=strict))


def start_beside(job: ImportJob, user: Any, *, plan_id: Any, strict: bool = False) -> ImportJob:
    """Start the file held against the rehearsal of this id. Raises InvalidFields, and what `start_as_rehearsed` raises."""
    if plan_id is None:
        raise InvalidFields({STRICT: [say("Name the plan that the rows are held against with plan_id.")]})
    rehearsal = ImportJob.objects.filter(rehearses=job, pk=plan_id).first()
    if rehearsal is None:
        raise InvalidFields({PLAN_ID: [say("This file has no rehearsal {plan}.", plan=plan_id)]})
    return start_as_rehearsed(rehearsal, user, strict=strict)
