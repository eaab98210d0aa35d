"""Starting an uploaded file: validated, allowed, and by one caller only (F-028 to F-030)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from importer import file_planning
from importer.file_options import file_options
from importer.models import ImportJob
from importer.operations.failures import Conflict
from importer.operations.files import consent, rights
from importer.operations.files.failures import ImportInvalid, TooOften
from importer.operations.files.uploading import require_waiting
from permissions import audit
from permissions.tables import ImportAllowance
from servicevault.jobs.limits import MOST_UNFINISHED, unfinished_of
from servicevault.jobs.models import JobStatus


def start(job: ImportJob, user: Any, *, accept_errors: bool = False, system: bool = False) -> ImportJob:
    """Let workers have the job; call `tasks.announce` for it. Of two simultaneous calls one wins.

    Raises Conflict when it was started or only validates, ImportDenied, and ImportInvalid when it was not validated as
    it is now, has too many rows, or has rows with errors that nobody accepted; it can be started later then.
    """
    require_waiting(job)
    file = job.file
    allowance = rights.require(user, file.table_name, system=system)
    if file_options(file.import_options).validate_only:
        raise Conflict("This file is only validated.", hint="Switch validate_only off, or upload it again.")
    report = file.validation_results
    if not report or file.validated_as != file_planning.digests(file)[1]:
        raise ImportInvalid(
            "The file was not validated with this mapping and these options.",
            hint="Validate it first.",
            **_counts(report),
        )
    if not report["totalRows"]:
        raise ImportInvalid("The file has no data rows.", **_counts(report))
    if report["totalRows"] > allowance.max_rows_per_import:
        raise ImportInvalid(
            f"The file has {report['totalRows']:,} rows; at most {allowance.max_rows_per_import:,} may be imported at once.",
            hint="Split it, or ask for a higher limit.",
            limit=allowance.max_rows_per_import,
            rows=report["totalRows"],
        )
    if report["errorRows"] and (not accept_errors or not report["validRows"]):
        raise ImportInvalid(
            f"{report['errorRows']:,} of {report['totalRows']:,} rows have errors.",
            hint="Correct them, or start with accept_errors: the others are imported then."
            if report["validRows"]
            else "No row can be imported.",
            **_counts(report),
        )
    if not system:
        _require_turn(user, file.table_name, allowance)
    with transaction.atomic():
        won = ImportJob.objects.filter(pk=job.pk, status=JobStatus.PENDING, awaits_start=True).update(
            awaits_start=False
        )
        if not won:
            raise Conflict(f"Job {job.number} was started already.")
        file.accept_errors = accept_errors
        file.save(update_fields=["accept_errors"])
        audit.record(
            "import_started",
            user=user,
            table_name=file.table_name,
            job_id=job.pk,
            details={"rows": report["totalRows"], "rows_with_errors": report["errorRows"]},
        )
        consent.ask_if_needed(job, allowance, by=user)
    job.refresh_from_db()
    return job


def _require_turn(user: Any, table_name: str, allowance: ImportAllowance) -> None:
    """Raise TooOften when the person started as many imports into the table as they may (G30, F-120)."""
    own = ImportJob.objects.filter(created_by=user.pk, awaits_start=False)
    spans = {"hour": allowance.max_imports_per_hour, "day": allowance.max_imports_per_day}
    for word, most in spans.items():
        since = timezone.now() - timedelta(**{f"{word}s": 1})
        if most is not None and own.filter(file__table_name=table_name, created_at__gt=since).count() >= most:
            raise TooOften(f"At most {most} imports into {table_name} may be started within one {word}.")
    if unfinished_of(user) >= MOST_UNFINISHED:
        raise TooOften(f"{MOST_UNFINISHED} of your imports are not finished.", hint="Wait for one, or cancel one.")


def _counts(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report.get(name) for name in ("totalRows", "validRows", "errorRows")}
