"""What people and programs can do with imports; pages, API, tasks and commands are short callers of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from importer import crypto
from importer.errors import ImporterError
from importer.models import ImportJob, ImportProfile, ImportRecord, JobKind
from importer.modes import mode_of
from importer.options import InvalidOption, checked
from importer.sources.params import ConnectionParams
from servicevault.jobs import lifecycle
from servicevault.jobs.models import ACTIVE, JobStatus


class ProfileBusy(ImporterError):
    """Another job of the profile is not finished; `running_jobs` are their numbers (X11)."""

    code = "profile_busy"

    def __init__(self, profile: ImportProfile, running_jobs: list[int]) -> None:
        super().__init__(
            f"“{profile.name}” has an unfinished job: {', '.join(map(str, running_jobs)) or 'just started'}.",
            hint="Wait for it, cancel it, or resume it.",
        )
        self.running_jobs = running_jobs


class Conflict(ImporterError):
    """The object's state does not allow the action."""

    code = "conflict"


def save_connection(profile: ImportProfile, params: ConnectionParams) -> ImportProfile:
    """Store where the source is and how to log in; the password is encrypted for this row."""
    params.validate()
    profile.host, profile.port = params.host, params.port
    profile.database, profile.username = params.database, params.username
    profile.ssl_mode, profile.ssl_root_cert = params.ssl_mode, params.ssl_root_cert
    profile.secret = crypto.seal(params.password, owner=profile.pk)
    profile.password_set_at = timezone.now()
    if not profile.source_key:
        profile.source_key = free_source_key(profile.name)
    profile.save()
    return profile


def profile_named(name: str, params: ConnectionParams, *, created_by: Any = None) -> tuple[ImportProfile, bool]:
    """The profile of that name with this connection, and whether it is new.

    The name decides, case-insensitively: running again with another password or host changes the stored one.
    """
    profile = ImportProfile.objects.filter(name__iexact=name, deleted_at=None).first()
    created = profile is None
    profile = profile or ImportProfile(name=name, created_by=created_by)
    return save_connection(profile, params), created


def set_timezone(profile: ImportProfile, zone: str) -> None:
    """Say in which zone the source writes timestamps without one; a person said so, so no warning remains (E40)."""
    profile.source_timezone, profile.timezone_confirmed = zone, True
    profile.save(update_fields=["source_timezone", "timezone_confirmed", "updated_at"])


def free_source_key(name: str) -> str:
    """A slug of the name that no other source uses."""
    base = slugify(name)[:56] or "source"
    taken = set(ImportProfile.objects.filter(source_key__startswith=base).values_list("source_key", flat=True))
    candidates = (base, *(f"{base}-{number}" for number in range(2, 10_000)))
    return next(candidate for candidate in candidates if candidate not in taken)


def start_import(
    profile: ImportProfile,
    *,
    by: Any = None,
    mode: str = "",
    options: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    trigger: str = "manual",
) -> ImportJob:
    """A pending job for the profile; a worker takes it from there.

    Raises InvalidOption for an option that cannot be right, Conflict for an inactive profile, ProfileBusy while
    another job of the profile is unfinished: of two simultaneous calls exactly one wins.
    """
    given = checked(options or {})
    if not profile.is_active or profile.deleted_at:
        raise Conflict(f"“{profile.name}” is switched off.", hint="Activate it first.", code="profile_inactive")
    try:
        wanted = str(given.pop("mode", None) or "")
        chosen = mode_of(mode or wanted or profile.import_mode)
    except ValueError:
        raise InvalidOption(f"“{mode}” is not a mode.", hint="Use create, update or upsert.") from None
    try:
        with transaction.atomic():
            return ImportJob.objects.create(
                profile=profile,
                kind=JobKind.REHEARSAL if dry_run else JobKind.IMPORT,
                mode=chosen,
                options=given,
                trigger=trigger,
                created_by=by,
            )
    except IntegrityError:
        running = ImportJob.objects.filter(profile=profile, status__in=ACTIVE).values_list("number", flat=True)
        raise ProfileBusy(profile, list(running)) from None


def resume(job: ImportJob) -> ImportJob:
    """Let a failed or cancelled job continue behind its checkpoint (J13). A running one is left as it is.

    Raises Conflict for a completed job, ProfileBusy when another job of the profile took its place.
    """
    if job.kind == JobKind.REHEARSAL:
        raise Conflict("A rehearsal leaves nothing to resume.", hint="Rehearse again.")
    try:
        with transaction.atomic():
            requeued = lifecycle.requeue(ImportJob, job.pk)
    except IntegrityError:
        running = ImportJob.objects.filter(profile=job.profile, status__in=ACTIVE).values_list("number", flat=True)
        raise ProfileBusy(job.profile, list(running)) from None
    job.refresh_from_db()
    if not requeued and job.status not in (JobStatus.PENDING, JobStatus.RUNNING):
        raise Conflict(f"Job {job.number} is {job.status}.", hint="Only failed and cancelled jobs can be resumed.")
    return job


def cancel(job: ImportJob) -> ImportJob:
    """Stop the job after the slice it is in; what is written stays (J5). Raises Conflict when it is finished."""
    if not lifecycle.request_cancel(ImportJob, job.pk):
        job.refresh_from_db()
        raise Conflict(f"Job {job.number} is already {job.status}.")
    job.refresh_from_db()
    return job


def job_report(job: ImportJob) -> dict[str, Any]:
    """The result as the command's `--json` prints it."""
    runs = list(job.runs.all())
    counters = job.counters()
    seconds = (job.duration.total_seconds() if job.duration else None) or 0.0
    return {
        "job_id": str(job.pk),
        "status": job.status,
        "seconds": round(seconds, 3),
        "rows_per_second": round(counters["read"] / seconds) if seconds else 0,
        "queries": [
            {
                "key": run.key,
                "target_type": run.target_type,
                "read": run.read,
                "created": run.created,
                "updated": run.updated,
                "unchanged": run.unchanged,
                "skipped": run.skipped,
                "failed": run.failed,
                "review": run.review,
            }
            for run in runs
        ],
        "errors": job_errors(job),
    }


def job_errors(job: ImportJob, *, limit: int = 50) -> list[dict[str, Any]]:
    """The job's own failure first, then the first failed rows: query, row, field, value, code and sentence."""
    found: list[dict[str, Any]] = []
    if job.error_message:
        found.append({"code": job.error_code, "message": job.error_message})
    records = ImportRecord.objects.filter(run__job=job, action="failed").select_related("run").order_by("id")[:limit]
    for record in records:
        first = (record.problems or [{}])[0]
        found.append(
            {
                "query": record.run.key,
                "source_identifier": record.source_identifier,
                "code": record.code,
                "field": first.get("field"),
                "value": first.get("value"),
                "message": first.get("message", ""),
            }
        )
    return found
