"""`/notifications`: what the person was told, newest first; each leads to its place."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from servicevault.notifications import telling
from servicevault.notifications.models import Kind, Notification
from servicevault.web.listing import page_of
from servicevault.web.pages import PageRequest, members_only, render_page

ROWS = 25
LOOKS = {  # icon, colour
    Kind.APPROVAL_ASKED: ("user-check", "violet"),
    Kind.APPROVAL_DECIDED: ("user-check", "blue"),
    Kind.JOB_COMPLETED: ("circle-check", "green"),
    Kind.JOB_FAILED: ("circle-x", "red"),
    Kind.JOB_CANCELLED: ("ban", "grey"),
}


@members_only
@require_safe
def notification_list(request: PageRequest) -> HttpResponse:
    """Everything that is kept, or with `?unread=1` what was not read."""
    found, only_unread = Notification.objects.filter(user=request.user), request.GET.get("unread") == "1"
    page = page_of(request, found.filter(read_at=None) if only_unread else found, size=ROWS)
    context = {
        "page": page,
        "rows": [(row, *LOOKS[Kind(row.kind)]) for row in page.object_list],
        "only_unread": only_unread,
        "unread": telling.unread(request.user),
    }
    return render_page(request, "servicevault/notifications.html", "servicevault/_notification_rows.html", context)


@members_only
@require_safe
def notification(request: PageRequest, pk: Any) -> HttpResponse:
    """Lead to what it is about; it counts as read."""
    found = get_object_or_404(Notification, pk=pk, user=request.user)
    telling.mark_read(Notification.objects.filter(pk=found.pk))
    return redirect(found.url)


@members_only
@require_safe
def bell(request: PageRequest) -> HttpResponse:
    """The inside of the bell, asked for when there is news."""
    return render(request, "components/bell.html")


@members_only
@require_POST
def read_all(request: PageRequest) -> HttpResponse:
    telling.mark_read(Notification.objects.filter(user=request.user))
    return redirect("notifications")
