"""Imports that wait for a second person: which do, what the approval is bound to, and what makes one risky."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from importer import chosen_agents, planning
from importer.models import ImportJob, ImportProfile, JobKind
from importer.operations.failures import Conflict
from importer.options import MANY_UPDATES
from importer.query.spec import QuerySpec
from permissions import approvals, audit, policy, preferences
from permissions.models import Approval
from servicevault import catalog
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

SUBJECT = "import"
PEOPLE = {"customer_users", "agents"}
PERSONAL = PEOPLE | {"accounts", "tickets", "ticket_comments"}
BOUND = (
    "host", "port", "database", "username", "source_key", "source_timezone", "matching", "account_strategy",
    "agent_strategy", "placeholder_agent_id", "number_prefix", "views", "parameters",
)  # fmt: skip
BOUND_OF_A_QUERY = ("key", "entity", "target_type", "spec", "value_maps", "position")


def ask_if_needed(job: ImportJob, *, by: Any, of_tables: bool = False) -> bool:
    """Make a new import wait when its profile, its options or the installation wants that (J22); whether it waits.

    With `of_tables` a table that it writes wants it. In the transaction that made the job. Raises Conflict when nobody
    could decide (G23).
    """
    wanted = (
        of_tables
        or job.source_profile.requires_approval
        or job.options.get("requires_approval")
        or preferences.value("IMPORT_REQUIRE_APPROVAL")
    )
    if job.kind != JobKind.IMPORT or not wanted:
        return False
    lifecycle.await_approval(ImportJob, job.pk, say("Waiting for an approval"))
    specs = planning.specs_of_job(job)
    try:
        approvals.request(
            SUBJECT,
            job_id=job.pk,
            by=by,
            profile_id=job.profile_id,
            profile=job.source_profile.name,
            summary=_summary(job, specs),
            risk_flags=_risks(job, specs),
        )
    except approvals.ApprovalRequired as error:
        raise Conflict(str(error), code="approval_required") from error
    job.refresh_from_db(fields=["status", "current_operation"])
    return True


def record_started(job: ImportJob) -> None:
    """A worker may take the job from here; on record under whoever wanted it, also when somebody else let it run."""
    job.refresh_from_db(fields=["number"])
    details = {"kind": job.kind, "mode": job.mode, "trigger": job.trigger, "number": job.number}
    audit.record(
        "import_started", user=job.created_by, job_id=job.pk, profile_id=job.profile_id, obj=job, details=details
    )


def hold_if_changed(job_id: Any) -> bool:
    """Whether a pending job must wait again, because what it would run was changed since the approval (J23)."""
    is_waiting = ImportJob.objects.filter(pk=job_id, status=JobStatus.PENDING).exists()
    if not is_waiting or approvals.still_holds(job_id):
        return False
    lifecycle.await_approval(ImportJob, job_id, say("Changed since the approval: waiting for a new one"))
    return True


def digest(job_id: UUID) -> str:
    """What an approval is bound to: mode, options, the source and every query that would run."""
    job = ImportJob.objects.select_related("profile").filter(pk=job_id).first()
    if job is None:
        return ""
    queries = job.source_profile.queries.filter(enabled=True).order_by("position", "key")
    bound = {
        "mode": job.mode,
        "options": job.options,
        "source": {name: getattr(job.source_profile, name) for name in BOUND},
        **({"agents": agents} if (agents := chosen_agents.bound(job.source_profile)) else {}),
        "queries": [{name: getattr(query, name) for name in BOUND_OF_A_QUERY} for query in queries],
    }
    return hashlib.sha256(json.dumps(bound, sort_keys=True, default=str).encode()).hexdigest()


def refuse(job_id: UUID, reason: str) -> bool:
    return lifecycle.reject(ImportJob, job_id, reason)


def sees(user: Any, approval: Approval) -> bool:
    """Whoever sees the profile; whoever watches everybody's jobs."""
    if policy.has(user, "import.jobs.monitor"):
        return True
    if approval.profile_id is None:
        return False
    return policy.restrict(ImportProfile.objects.filter(pk=approval.profile_id), user).exists()


def _summary(job: ImportJob, specs: list[QuerySpec]) -> str:
    labels = ", ".join(dict.fromkeys(catalog.get(spec.target_type).label.lower() for spec in specs)) or "nothing"
    return say(
        "Job {job} imports {labels} from “{source_profile}” ({host}), mode {mode}.",
        job=job.number,
        labels=labels,
        source_profile=job.source_profile.name,
        host=job.source_profile.host,
        mode=job.mode,
    )


def _risks(job: ImportJob, specs: list[QuerySpec]) -> set[str]:
    targets = {spec.target_type for spec in specs}
    done = ImportJob.objects.filter(profile=job.source_profile, kind=JobKind.IMPORT, status=JobStatus.COMPLETED)
    seen = set(done.filter(runs__read__gt=0).values_list("runs__target_type", flat=True))
    rehearsed = ImportJob.objects.filter(
        profile=job.source_profile, kind=JobKind.REHEARSAL, status=JobStatus.COMPLETED
    ).first()
    found = {
        "first_import_to_table": bool(targets - seen),
        "more_than_10000_updates": rehearsed is not None and rehearsed.counters()["updated"] > MANY_UPDATES,
        "personal_data": bool(targets & PERSONAL),
        "users_table": bool(targets & PEOPLE),
        "raw_sql": any(spec.kind == "sql" for spec in specs),
    }
    return {name for name, applies in found.items() if applies}
