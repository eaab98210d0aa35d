"""Four eyes: a job waits until a person who did not ask for it lets it run (J22, J23, G20 to G24, DEC-22).

Whoever has jobs registers `Hooks` under a subject; this module knows no job's model. An approval is bound to a digest
of what would run: when that changed, the approval is void and a new one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from django.urls import reverse
from django.utils import timezone

from permissions import audit, policy
from permissions.models import Approval, Decision
from servicevault.notifications import telling
from servicevault.notifications.models import Kind
from servicevault.notifications.telling import News
from servicevault.wording import say, say_count

PERMISSION = "import.approve"
VALID_FOR = timedelta(days=14)  # J23
NOTES_CHARACTERS = (3, 2000)  # G21, of a rejection
RISKS = {  # G22, with the words of the pages
    "first_import_to_table": say("First import to this table"),
    "deletes": say("Deletes records"),
    "more_than_10000_updates": say("More than 10,000 updates"),
    "personal_data": say("Personal data"),
    "users_table": say("Writes people"),
    "raw_sql": say("Written SQL"),
    "error_rows_accepted": say("Rows with errors are accepted"),
}


class ApprovalConflict(Exception):
    """The request's state does not allow this; `status` says what it is."""

    code = "conflict"

    def __init__(self, message: str, *, status: str = "") -> None:
        super().__init__(message)
        self.status = status


class ApprovalRequired(ApprovalConflict):
    """An approval is missing, void, or cannot be given by anybody."""

    code = "approval_required"


class SelfApproval(PermissionDenied):
    """Nobody decides on what they asked for, super admins included (J22)."""

    code = "self_approval"

    def __init__(self) -> None:
        super().__init__(say("You asked for this yourself. Somebody else has to decide."))


class NotesNeeded(ValueError):
    """A rejection without its reason, or a text nobody reads."""


@dataclass(frozen=True)
class Hooks:
    """How the jobs of one subject are seen, compared and moved."""

    kind: str  # import or export
    digest: Callable[[UUID], str]  # of what would run now; "" when the job is gone
    release: Callable[[UUID], bool]  # approved: queue it, tell a worker after the commit; False when it no longer waits
    refuse: Callable[[UUID, str], bool]  # cancel it for this reason
    sees: Callable[[Any, Approval], bool]  # whether the person may see its profile or table
    page: Callable[[UUID], str]  # where whoever asked finds the job


_hooks: dict[str, Hooks] = {}


def register(subject: str, hooks: Hooks) -> None:
    _hooks[subject] = hooks


def approvers(besides: Any = None) -> QuerySet[Any]:
    """Active people who may decide, without the given one."""
    holding = Q(is_superuser=True) | Q(role__permissions__contains=[PERMISSION]) | Q(grants__permission=PERMISSION)
    people = get_user_model().objects.filter(holding, is_active=True).distinct()
    return people.exclude(pk=besides.pk) if besides is not None else people


def request(
    subject: str,
    *,
    job_id: UUID,
    by: Any,
    summary: str,
    table_name: str = "",
    profile_id: UUID | None = None,
    profile: str = "",
    risk_flags: Collection[str] = (),
) -> Approval:
    """Ask for consent to a job, in the transaction that made it wait.

    Raises ApprovalRequired when nobody besides the requester could ever decide (G23).
    """
    hooks = _hooks[subject]
    approval = Approval(
        subject=subject,
        kind=hooks.kind,
        job_id=job_id,
        requested_by=by,
        table_name=table_name,
        profile_id=profile_id,
        profile=profile,
        summary=summary,
        risk_flags=[name for name in RISKS if name in risk_flags],
        bound_to=hooks.digest(job_id),
    )
    people = _deciders(approval)
    if not people:
        raise ApprovalRequired(
            say(
                "This needs an approval, and nobody besides you may give it. "
                "Ask a super admin to give somebody the role Approver."
            )
        )
    approval.save()
    approval.refresh_from_db(fields=["requested_at"])
    audit.record(f"{approval.kind}_requested", user=by, **_subject_of(approval))
    _tell_asked(approval, people)
    return approval


def visible(user: Any) -> QuerySet[Approval]:
    """Own requests; to those who may decide or watch everybody's jobs also what others ask for and they may see."""
    if not policy.has_logged_in(user):
        return Approval.objects.none()
    if user.is_superuser:
        return Approval.objects.all()
    own = Q(requested_by=user)
    if not policy.has(user, PERMISSION, "import.jobs.monitor"):
        return Approval.objects.filter(own)
    # Which profiles and tables a person sees is known to their owners only, so the few different ones are asked for.
    places = Approval.objects.exclude(own).values("subject", "profile_id", "table_name").distinct().order_by()
    for place in places:
        hooks = _hooks.get(place["subject"])
        if hooks is not None and hooks.sees(user, Approval(**place)):
            own |= Q(**place)
    return Approval.objects.filter(own)


def waiting_for(user: Any) -> int:
    """How many requests the person could decide now; the number at the page's entry in the navigation."""
    if not policy.has(user, PERMISSION):
        return 0
    return visible(user).filter(status=Decision.PENDING).exclude(requested_by=user).count()


def of_job(job_id: UUID) -> Approval | None:
    """The job's latest request, with the people in it."""
    return Approval.objects.filter(job_id=job_id).select_related("requested_by", "decided_by").first()


def decide(approval_id: Any, *, by: Any, approve: bool, notes: str = "") -> Approval:
    """Let the job run, or cancel it.

    Raises Http404 when it is not visible, Denied without `import.approve`, SelfApproval, NotesNeeded,
    ApprovalConflict when it is decided already or the job no longer waits, ApprovalRequired when what would run
    was changed since it was asked for: then a new request stands in its place.
    """
    fresh: Approval | None = None
    with transaction.atomic():
        found = visible(by).filter(pk=approval_id).values_list("pk", flat=True).first()
        if found is None:
            raise Http404
        policy.require(by, PERMISSION)
        approval = Approval.objects.select_for_update().get(pk=found)
        if approval.requested_by_id == by.pk:
            raise SelfApproval
        if not approval.is_pending:
            raise ApprovalConflict(
                say("This request is already {status}.", status=approval.status), status=approval.status
            )
        notes = _checked(notes, needed=not approve)
        hooks = _hooks[approval.subject]
        if approve and hooks.digest(approval.job_id) != approval.bound_to:
            fresh = _ask_again(approval)
        else:
            moved = hooks.release(approval.job_id) if approve else hooks.refuse(approval.job_id, notes)
            if not moved:
                raise ApprovalConflict(say("The job no longer waits for an approval."), status="cancelled")
            _close(approval, Decision.APPROVED if approve else Decision.REJECTED, by=by, notes=notes)
    if fresh is not None:
        raise ApprovalRequired(
            say("What would run was changed since this was asked for. A new request stands in its place."),
            status="expired",
        )
    return approval


def decide_job(job_id: UUID, *, by: Any, approve: bool, notes: str = "") -> Approval:
    """`decide` for the job's request. Raises ApprovalConflict when there is none."""
    approval = visible(by).filter(job_id=job_id).order_by("-requested_at").first()
    if approval is None:
        raise ApprovalConflict(say("This job asks for no approval."))
    return decide(approval.pk, by=by, approve=approve, notes=notes)


def still_holds(job_id: UUID) -> bool:
    """Whether the job may run: it never asked, or what would run is what was approved.

    When it was changed the request is renewed and the answer is False: the caller makes the job wait again (J23).
    """
    approval = of_job(job_id)
    if approval is None:
        return True
    if approval.status == Decision.APPROVED and _hooks[approval.subject].digest(job_id) == approval.bound_to:
        return True
    if approval.status == Decision.APPROVED:
        with transaction.atomic():
            _ask_again(approval)
    return False


def withdraw(job_id: UUID) -> None:
    """The job was cancelled by its people: nothing is left to decide."""
    Approval.objects.filter(job_id=job_id, status=Decision.PENDING).update(
        status=Decision.EXPIRED, decided_at=timezone.now(), notes=say("The job was cancelled.")
    )


def expire() -> int:
    """Cancel the jobs of requests nobody decided in fourteen days; returns how many."""
    late = Approval.objects.filter(status=Decision.PENDING, requested_at__lt=timezone.now() - VALID_FOR)
    count = 0
    for pk in list(late.values_list("pk", flat=True)):
        with transaction.atomic():
            approval = Approval.objects.select_for_update().get(pk=pk)
            if approval.is_pending:
                words = say_count(
                    "Nobody decided within {count} day.", "Nobody decided within {count} days.", VALID_FOR.days
                )
                _hooks[approval.subject].refuse(approval.job_id, words)
                _close(approval, Decision.EXPIRED, by=None, notes=words)
                count += 1
    return count


def _ask_again(approval: Approval) -> Approval:
    """Close a void request and ask for what would run now."""
    Approval.objects.filter(pk=approval.pk).update(
        status=Decision.EXPIRED, decided_at=timezone.now(), notes=say("What would run was changed.")
    )
    fresh = Approval(
        **{name: getattr(approval, name) for name in _KEPT}, bound_to=_hooks[approval.subject].digest(approval.job_id)
    )
    fresh.save()
    audit.record(f"{fresh.kind}_requested", user=fresh.requested_by, details={"again": True}, **_subject_of(fresh))
    _tell_asked(fresh, _deciders(fresh))
    return fresh


_KEPT = (
    "subject", "kind", "job_id", "requested_by", "table_name", "profile_id", "profile", "summary", "risk_flags",
)  # fmt: skip


def _close(approval: Approval, decision: Decision, *, by: Any, notes: str) -> None:
    approval.status, approval.decided_by, approval.decided_at = decision, by, timezone.now()
    approval.notes = notes
    approval.save(update_fields=["status", "decided_by", "decided_at", "notes"])
    word = "approved" if decision == Decision.APPROVED else "rejected"
    expired = {"expired": True} if decision == Decision.EXPIRED else {}
    audit.record(f"{approval.kind}_{word}", user=by, details=expired, **_subject_of(approval))
    _tell_decided(approval)


_DECIDED = {
    Decision.APPROVED: say("Your request was approved by {person}"),
    Decision.REJECTED: say("Your request was rejected by {person}"),
    Decision.EXPIRED: say("Your request expired"),
}


def _deciders(approval: Approval) -> list[Any]:
    """Who may decide on the request and see what it is about."""
    sees = _hooks[approval.subject].sees
    return [person for person in approvers(besides=approval.requested_by) if sees(person, approval)]


def _tell_asked(approval: Approval, people: list[Any]) -> None:
    asker = approval.requested_by or say("The command line")
    title = say("{person} asks for your approval", person=asker)
    telling.tell(people, News(Kind.APPROVAL_ASKED, title, reverse("approval", args=[approval.pk]), approval.summary))


def _tell_decided(approval: Approval) -> None:
    """Tell whoever asked, with the reason."""
    if approval.requested_by is None:
        return
    title = _DECIDED[Decision(approval.status)].format(person=approval.decided_by)
    body = f"{approval.summary} {approval.notes}".strip()
    page = _hooks[approval.subject].page(approval.job_id)
    telling.tell([approval.requested_by], News(Kind.APPROVAL_DECIDED, title, page, body))


def _subject_of(approval: Approval) -> dict[str, Any]:
    return {
        "table_name": approval.table_name,
        "job_id": approval.job_id,
        "profile_id": approval.profile_id,
        "obj": approval,
    }


def _checked(notes: str, *, needed: bool) -> str:
    text = notes.replace("\x00", "").strip()
    low, high = NOTES_CHARACTERS
    if len(text) > high or (needed and len(text) < low):
        raise NotesNeeded(
            say("A rejection needs notes of {low} to {high:,} characters.", low=low, high=high)
            if needed
            else say("Notes have at most {high:,} characters.", high=high)
        )
    return text
