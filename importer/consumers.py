"""Where imports are listened to: by job, by profile, all of them; and what their events say (L2, L4 to L6)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from importer.models import ImportJob, ImportProfile
from importer.operations.frames import progress_of, status_of
from permissions import policy
from servicevault.jobs.models import ACTIVE
from servicevault.live import channels
from servicevault.live.channels import Data, Family, Hint

MOST_AT_ONCE = 20  # running jobs told to who begins to listen to all
PROGRESS, STATUS = ImportJob.progress_event, ImportJob.status_event


def register() -> None:
    channels.register(
        Family("import.job.", _sees_job, _job_now),
        Family("import.profile.", _sees_profile, _profile_now),
        Family("import.global", _sees_all, _all_now),
        import__progress__updated=_progress,
        import__job__status__changed=_status,
        import__profile__updated=_profile_updated,
        import__template__applied=_template_applied,
    )


def _jobs(user: Any) -> QuerySet[ImportJob]:
    found = policy.restrict(ImportJob.objects.all(), user)
    return found.select_related("profile", "file").prefetch_related("runs")


def _sees_job(user: Any, pk: str) -> bool:
    return policy.restrict(ImportJob.objects.all(), user).filter(pk=pk).exists()


def _sees_profile(user: Any, pk: str) -> bool:
    return policy.restrict(ImportProfile.objects.all(), user).filter(pk=pk).exists()


def _sees_all(user: Any, pk: str) -> bool:
    return policy.has(user, "import.jobs.monitor")


def _job_now(user: Any, pk: str) -> list[tuple[str, Data]]:
    return [(PROGRESS, progress_of(job)) for job in _jobs(user).filter(pk=pk)]


def _profile_now(user: Any, pk: str) -> list[tuple[str, Data]]:
    return [(PROGRESS, progress_of(job)) for job in _jobs(user).filter(profile_id=UUID(pk), status__in=ACTIVE)]


def _all_now(user: Any, pk: str) -> list[tuple[str, Data]]:
    active = _jobs(user).filter(status__in=ACTIVE, awaits_start=False)
    return [(PROGRESS, progress_of(job)) for job in active[:MOST_AT_ONCE]]


def _progress(user: Any, hint: Hint) -> Data | None:
    job = _jobs(user).filter(pk=hint["id"]).first()
    return None if job is None else progress_of(job)


def _status(user: Any, hint: Hint) -> Data | None:
    job = _jobs(user).filter(pk=hint["id"]).first()
    if job is None:
        return None
    return status_of(job, event_type=hint["event_type"], status=hint["status"], previous_status=hint["previous_status"])


def _profile(user: Any, hint: Hint) -> ImportProfile | None:
    return policy.restrict(ImportProfile.objects.select_related("changed_by"), user).filter(pk=hint["id"]).first()


def _template_applied(user: Any, hint: Hint) -> Data | None:
    profile = _profile(user, hint)
    if profile is None or profile.template_id is None:
        return None
    return {
        "profile_id": str(profile.pk),
        "template_id": str(profile.template_id),
        "version": profile.template_version,
    }


def _profile_updated(user: Any, hint: Hint) -> Data | None:
    profile = _profile(user, hint)
    if profile is None:
        return None
    by = profile.changed_by
    return {
        "profile_id": str(profile.pk),
        "changed_by": {"id": str(by.pk), "name": str(by)} if by else None,
        "version": profile.version,
    }
