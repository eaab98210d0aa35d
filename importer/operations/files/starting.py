"""Starting an uploaded file: validated, allowed, and by one caller only (F-028 to F-030)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from importer import file_parts, file_planning
from importer.file_failures import ImportInvalid
from importer.file_options import file_options
from importer.models import ImportJob
from importer.operations.failures import Conflict, TooManyJobs
from importer.operations.files import consent, rights, validating
from importer.operations.files.retries import require_latest
from importer.operations.files.uploading import require_waiting
from permissions import audit
from servicevault.jobs.limits import MOST_UNFINISHED, take_turns, unfinished_of
from servicevault.jobs.models import JobStatus
from servicevault.wording import say, say_count


def start(
    job: ImportJob,
    user: Any,
    *,
    accept_errors: bool = False,
    system: bool = False,
    beside: Mapping[str, Any] | None = None,
) -> ImportJob:
    """Let workers have the job; call `tasks.announce` for it. Of two simultaneous calls one wins.

    `beside` are the options that hold its rows against a plan.

    Raises Conflict when it was started, is being rehearsed or only validates, ImportDenied, TooManyImports, TooManyJobs, and ImportInvalid
    when it was not validated as it is now, has too many rows, or has rows with errors that nobody accepted; it can be
    started later then.
    """
    require_waiting(job)
    file = job.file
    parts = file_parts.parts_of(file)
    allowance = rights.require_parts(user, parts, within=file.bounds, system=system)
    if file_options(file.import_options).validate_only:
        raise Conflict(say("This file is only validated."), hint=say("Switch validate_only off, or upload it again."))
    report = file.validation_results
    if not report or file.validated_as != file_planning.validated_digest(file):
        raise ImportInvalid(
            say("The file was not validated with this mapping and these options."),
            hint=say("Validate it first."),
            **_counts(report),
        )
    if not report["totalRows"]:
        raise ImportInvalid(
            say("The file has no data rows."),
            hint=say("Add rows below the header and send it again."),
            **_counts(report),
        )
    rights.check_rows(file, allowance)
    if report["errorRows"] and (not accept_errors or not report["validRows"]):
        raise ImportInvalid(
            say_count(
                "{error_rows:,} of {count} row has errors.",
                "{error_rows:,} of {count:,} rows have errors.",
                report["totalRows"],
                error_rows=report["errorRows"],
            ),
            hint=say("Correct them, or start with accept_errors: the others are imported then.")
            if report["validRows"]
            else say("No row can be imported."),
            **_counts(report),
        )
    with transaction.atomic():
        if not system:
            _check_quotas(user, rights.tables_of(parts))
        won = ImportJob.objects.filter(pk=job.pk, status=JobStatus.PENDING, awaits_start=True).update(
            awaits_start=False
        )
        if not won:
            raise Conflict(say("Job {job} was started already.", job=job.number))
        require_no_rehearsal(job)
        if job.retry_of_id is not None:
            require_latest(job)
        file.refresh_from_db()
        if file.validated_as != file_planning.validated_digest(file):  # configured since it was looked at
            raise ImportInvalid(say("The file was mapped or read otherwise meanwhile."), hint=say("Validate it first."))
        if beside:
            job.options = job.options | dict(beside)
            job.save(update_fields=["options"])
        file.accept_errors = accept_errors
        file.save(update_fields=["accept_errors"])
        consent.ask_if_needed(job, allowance, by=user)
        for name in rights.tables_of(parts):
            audit.record(
                "import_started",
                user=user,
                table_name=name,
                job_id=job.pk,
                details={"rows": report["totalRows"], "rows_with_errors": report["errorRows"]},
            )
    job.refresh_from_db()
    return job


def require_no_rehearsal(job: ImportJob) -> None:
    """Raise Conflict while the file is being rehearsed."""
    if (other := ImportJob.unfinished().filter(rehearses=job).first()) is not None:
        raise Conflict(
            say("Job {other} rehearses the file at this moment.", other=other.number),
            hint=say("Wait for its end, or cancel it."),
        )


def _check_quotas(user: Any, names: Sequence[str]) -> None:
    """Raise TooManyImports, TooManyJobs. In the transaction that starts the job, so that none passes beside another."""
    take_turns(user)
    for name in names:
        rights.check_pace(user, name)
    if (count := unfinished_of(user)) >= MOST_UNFINISHED:
        raise TooManyJobs(count)


def check_and_start(job: ImportJob, user: Any) -> ImportJob:
    """Validate a file, and let workers have it when every row is right; call `tasks.announce` for it.

    Raises what `validate` and `start` raise: ImportInvalid too where the page it was given to wants the check to be
    seen before; the report is there then.
    """
    if job.file.bounds.require_validation:
        raise ImportInvalid(
            say("The file was not validated."), hint=say("Look at the check first, then start the import.")
        )
    validating.validate(job, user)
    return start(job, user)


def _counts(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report.get(name) for name in ("totalRows", "validRows", "errorRows")}
