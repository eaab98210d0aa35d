"""The first page: what is here, and what the imports do."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from importer import operations
from importer.operations.progress import listed
from permissions import policy
from servicevault.models import Account, Ticket, TicketComment, TimeEntry, User
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say


@members_only
@require_safe
def home(request: PageRequest) -> HttpResponse:
    """Counts of what the person may see, and the last jobs for those with that widget."""
    sees_records = request.user.is_superuser or request.user.is_agent
    context: dict[str, Any] = {
        "sees_records": sees_records,
        "tiles": _tiles(request.user) if sees_records else [],
        "shows_jobs": policy.has(request.user, "widget.import.jobs"),
        "may_import": policy.has(request.user, "pages.import.manage"),
    }
    # The person reading this is one of the people, so they do not count.
    context["is_empty"] = not any(tile["count"] for tile in context["tiles"] if tile["label"] != "People")
    if context["shows_jobs"]:
        context["jobs"] = listed(operations.visible_jobs(request.user)[:5])
    return render(request, "servicevault/home.html", context)


def _tiles(user: Any) -> list[dict[str, Any]]:
    """What the tiles say; one query each. The user that stands in for imports is invisible and does not count."""
    entries = policy.restrict(TimeEntry.objects.filter(deleted_at=None), user)
    people = policy.restrict(User.objects.filter(is_visible=True), user)
    return [
        {"label": say("Accounts"), "icon": "building", "count": policy.restrict(Account.objects.all(), user).count()},
        {"label": say("People"), "icon": "users", "count": people.count()},
        {
            "label": say("Tickets"),
            "icon": "ticket",
            "count": policy.restrict(Ticket.objects.filter(deleted_at=None), user).count(),
            "url": "ticket_list",
        },
        {
            "label": say("Comments"),
            "icon": "message",
            "count": policy.restrict(TicketComment.objects.all(), user).count(),
        },
        {
            "label": say("Minutes worked"),
            "icon": "clock-hour-4",
            "count": entries.aggregate(minutes=Sum("duration"))["minutes"] or 0,
        },
    ]
