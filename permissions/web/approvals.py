"""`/approvals`: what waits for a second person, one request with its risks, and the decision (U55, G20 to G24)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from permissions import approvals, policy
from permissions.models import Approval, Decision
from permissions.models.approvals import Kind
from servicevault.web.listing import page_of
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

PAGE = "pages.approvals"
ROWS = 25
STATES = {  # word, icon, colour
    Decision.PENDING: {"word": say("Waiting"), "icon": "hourglass", "colour": "amber"},
    Decision.APPROVED: {"word": say("Approved"), "icon": "circle-check", "colour": "green"},
    Decision.REJECTED: {"word": say("Rejected"), "icon": "circle-x", "colour": "red"},
    Decision.EXPIRED: {"word": say("Expired"), "icon": "clock", "colour": "grey"},
}


@members_only
@require_safe
def approval_list(request: PageRequest) -> HttpResponse:
    """Requests the person may see, what waits first by default; the filters are in the address."""
    policy.require(request.user, PAGE)
    status, kind = request.GET.get("status", Decision.PENDING), request.GET.get("kind", "")
    found = approvals.visible(request.user).select_related("requested_by", "decided_by")
    if status in Decision.values:
        found = found.filter(status=status)
    if kind in Kind.values:
        found = found.filter(kind=kind)
    page = page_of(request, found, size=ROWS)
    context = {
        "page": page,
        "rows": [(row, STATES[Decision(row.status)]) for row in page.object_list],
        "status": status if status in Decision.values else "",
        "kind": kind if kind in Kind.values else "",
        "statuses": [(value, look["word"]) for value, look in STATES.items()],
        "kinds": Kind.choices,
    }
    return render_page(request, "permissions/approvals.html", "permissions/_approval_rows.html", context)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def approval(request: PageRequest, pk: UUID) -> HttpResponse:
    """One request; a POST decides it."""
    policy.require(request.user, PAGE)
    found = approvals.visible(request.user).select_related("requested_by", "decided_by").filter(pk=pk).first()
    if found is None:
        raise Http404
    problem, notes = "", ""
    if request.method == "POST":
        approve, notes = request.POST.get("decision") == "approve", request.POST.get("notes", "")
        try:
            approvals.decide(found.pk, by=request.user, approve=approve, notes=notes)
        except approvals.ApprovalConflict as error:
            messages.error(request, str(error))
            return redirect("approval_list")
        except (approvals.NotesNeeded, approvals.SelfApproval) as error:
            problem = str(error)
        else:
            who = found.requested_by or say("the command line")
            said = (
                say("The request of {who} is approved: the job is queued.", who=who)
                if approve
                else say("The request of {who} is rejected: the job is cancelled.", who=who)
            )
            messages.success(request, said)
            return redirect("approval_list")
    context = _context(request, found) | {"problem": problem, "notes": notes}
    return render(request, "permissions/approval.html", context, status=422 if problem else 200)


def _context(request: PageRequest, found: Approval) -> dict[str, Any]:
    is_own = found.requested_by_id == request.user.pk
    return {
        "approval": found,
        "state": STATES[Decision(found.status)],
        "risks": [approvals.RISKS.get(flag, flag) for flag in found.risk_flags],
        "is_own": is_own,
        "may_decide": found.is_pending and not is_own and policy.has(request.user, approvals.PERMISSION),
        "shows_job": found.subject == "import",
        "shows_history": policy.has(request.user, "pages.audit"),
        "longest": approvals.NOTES_CHARACTERS[1],
    }
