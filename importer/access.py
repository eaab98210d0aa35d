"""How profiles and jobs are seen and used: the rules `permissions.policy` asks (G9, G10)."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from importer.models import ImportJob, ImportProfile, Visibility
from permissions import policy, roles
from servicevault.jobs.models import JobStatus

_NEEDED = {
    "view": ("system.import",),
    "change": roles.CONFIGURE,
    "delete": roles.CONFIGURE,
    "execute": roles.EXECUTE,
    "retry": ("import.records.manage",),
    "rollback": ("import.rollback",),
}
_OBJECT_RIGHT = {
    "view": "view_importprofile",
    "change": "change_importprofile",
    "delete": "delete_importprofile",
    "execute": "execute_importprofile",
    "retry": "execute_importprofile",
    "rollback": "execute_importprofile",
}


class ProfileRule:
    """A functional permission and the object right are both needed (G9)."""

    def visible(self, user: Any) -> Q:
        if not policy.has(user, "system.import"):
            return Q(pk__in=[])
        shared = policy.granted(user, "importer.view_importprofile", ImportProfile)
        own = Q(created_by=user) | (Q(created_by=None) if _inherits(user) else Q(pk__in=[]))
        return Q(deleted_at=None) & (Q(visibility=Visibility.ALL) | own | Q(pk__in=shared.values("pk")))

    def allowed(self, user: Any, action: str, obj: Any) -> str:
        needed = _NEEDED[action]
        if not policy.has(user, *needed):
            return needed[0]
        if obj.visibility == Visibility.ALL or obj.created_by_id == user.pk:
            return ""
        if obj.created_by_id is None and _inherits(user):
            return ""
        right = _OBJECT_RIGHT[action]
        holds = policy.granted(user, f"importer.{right}", ImportProfile).filter(pk=obj.pk).exists()
        return "" if holds else right


def _inherits(user: Any) -> bool:
    """Whether the person has the role Admin, which is left the profiles of people who are gone (G12)."""
    return bool(user.role_id) and user.role.name == roles.ADMIN


class JobRule:
    """Visible to its starter, to whoever sees its profile, and to monitors (G10)."""

    def visible(self, user: Any) -> Q:
        if policy.has(user, "import.jobs.monitor"):
            return Q()
        # A file's job belongs to whoever uploaded it, by the table's permission alone (F-032).
        files = Q(profile=None, created_by=user) if policy.has_logged_in(user) else Q(pk__in=[])
        if policy.has(user, "import.approve"):
            files |= Q(profile=None, status=JobStatus.AWAITING_APPROVAL)
        if not policy.has(user, "system.import"):
            return files
        profiles = policy.restrict(ImportProfile.objects.all(), user)
        return files | Q(created_by=user) | Q(profile__in=profiles.values("pk"))

    def allowed(self, user: Any, action: str, obj: Any) -> str:
        if action == "view":
            return ""
        if action == "delete":
            return "" if obj.created_by_id == user.pk or policy.has(user, *roles.CONFIGURE) else roles.CONFIGURE[0]
        if action == "cancel" and (policy.has(user, "import.jobs.monitor") or _owns_file(user, obj)):
            return ""
        if action == "rollback" or obj.is_reversing:
            return self.reverses(user, obj)
        if not policy.has(user, *roles.EXECUTE):
            return roles.EXECUTE[0]
        if action == "cancel" and obj.created_by_id != user.pk:
            return "import.jobs.monitor"
        if obj.profile is None:  # of a file: the table's own permission is asked where it is written
            return "" if obj.created_by_id == user.pk else "import.jobs.monitor"
        return ProfileRule().allowed(user, "execute", obj.profile)

    def reverses(self, user: Any, job: ImportJob) -> str:
        """What the person lacks to roll the job back, or to go on with such a job."""
        if not policy.has(user, "import.rollback"):
            return "import.rollback"
        if job.profile is not None:
            return ProfileRule().allowed(user, "rollback", job.profile)
        return "" if job.created_by_id == user.pk or policy.has(user, "import.jobs.monitor") else "import.jobs.monitor"


def _owns_file(user: Any, job: ImportJob) -> bool:
    return job.profile_id is None and job.created_by_id == user.pk


def sees_records(user: Any, job: ImportJob) -> bool:
    """Rows of the source, with values: the starter's, and whoever may look at other people's errors (G1)."""
    return job.created_by_id == user.pk or policy.has(user, "import.jobs.monitor")


def register() -> None:
    policy.register(ImportProfile, ProfileRule())
    policy.register(ImportJob, JobRule())
