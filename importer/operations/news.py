"""What whoever started an import is told when it ends (A9, L13)."""

from __future__ import annotations

from django.urls import reverse

from importer.models import ImportJob, JobKind
from importer.operations.progress import view_of
from servicevault.jobs.models import JobStatus
from servicevault.notifications.models import Kind
from servicevault.notifications.telling import News
from servicevault.wording import say

KINDS = {
    JobStatus.COMPLETED: Kind.JOB_COMPLETED,
    JobStatus.FAILED: Kind.JOB_FAILED,
    JobStatus.CANCELLED: Kind.JOB_CANCELLED,
}
PATTERNS = {
    JobKind.REHEARSAL: say("Rehearsal of {name}: {state}"),
    JobKind.ROLLBACK: say("Rollback of {name}: {state}"),
    JobKind.UNDO: say("Undo of the rollback of {name}: {state}"),
}
PREVIEWED = say("Preview of the rollback of {name}: {state}")


def ended(job: ImportJob) -> News | None:
    """How the job ended, with its figures; a failed one with its reason and what to do."""
    view = view_of(job)
    body = view.sentence
    if job.status == JobStatus.FAILED:
        body = " ".join(filter(None, [job.error_message, str(view.remedy), f"({job.error_code})"]))
    pattern = PREVIEWED if job.is_preview else PATTERNS.get(JobKind(job.kind), say("Import of {name}: {state}"))
    title = pattern.format(name=_named(job), state=str(view.state.word).lower())
    return News(KINDS[JobStatus(job.status)], title, page_of(job), body)


def page_of(job: ImportJob) -> str:
    if job.rehearses_id is not None and job.status == JobStatus.COMPLETED:
        return reverse("job_plan", args=[job.pk])
    return reverse("data_import_job" if job.profile_id is None else "job", args=[job.rehearses_id or job.pk])


def _named(job: ImportJob) -> str:
    return job.source_file.original_filename if job.profile is None else f"“{job.profile.name}”"
