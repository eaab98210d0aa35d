"""The plan that an import is held against: which one may be, and for how long (X20)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from importer.models import PLAN_ID, STRICT, ImportJob, ImportProfile, JobKind
from importer.operations.failures import Conflict, InvalidFields
from permissions import policy
from servicevault.jobs.models import JobStatus
from servicevault.wording import say

PLAN_LIFE = timedelta(days=7)


def is_expired(plan: ImportJob) -> bool:
    """Whether too much may have changed since the rehearsal for an import to be held against it."""
    return plan.completed_at is not None and timezone.now() - plan.completed_at > PLAN_LIFE


def require_current(plan: ImportJob) -> None:
    """Raise Conflict for a rehearsal that has no whole plan, or whose plan is expired."""
    if plan.status != JobStatus.COMPLETED:
        raise Conflict(
            say("Job {job} is {status}.", job=plan.number, status=plan.status),
            hint=say("Wait for the end of the rehearsal.") if not plan.is_finished else say("Rehearse again."),
        )
    if is_expired(plan):
        raise Conflict(
            say("The plan of job {job} is older than {days} days.", job=plan.number, days=PLAN_LIFE.days),
            hint=say("Rehearse again."),
        )


def chosen_plan(given: Mapping[str, Any], *, profile: ImportProfile, by: Any, dry_run: bool) -> ImportJob | None:
    """The rehearsal of the profile that the options name; None where they name none.

    Raises InvalidFields for one that is not there or not the profile's, and what `require_current` raises.
    """
    if not given.get(PLAN_ID):
        if given.get(STRICT):
            raise InvalidFields({STRICT: [say("Name the plan that the rows are held against with plan_id.")]})
        return None
    if dry_run:
        raise InvalidFields({PLAN_ID: [say("A rehearsal makes a plan of its own and is held against none.")]})
    jobs = ImportJob.objects.filter(kind=JobKind.REHEARSAL, profile=profile)
    if by is not None:
        jobs = policy.restrict(jobs, by)
    plan = jobs.filter(pk=given[PLAN_ID]).first()
    if plan is None:
        raise InvalidFields({PLAN_ID: [say("This profile has no rehearsal {plan}.", plan=given[PLAN_ID])]})
    require_current(plan)
    return plan


def beside(plan: ImportJob, *, strict: bool) -> dict[str, Any]:
    """Options of a job that is held against the plan."""
    return {PLAN_ID: str(plan.pk), **({STRICT: True} if strict else {})}


def without_plan(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a job that is held against none."""
    return {name: value for name, value in options.items() if name not in (PLAN_ID, STRICT)}
