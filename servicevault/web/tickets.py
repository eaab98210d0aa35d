"""`/tickets`: search, one ticket with its conversation and origin, and the way from an old number to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, Sum, TextField, When
from django.db.models.functions import Left, Length
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from importer.models import ExternalRef
from permissions import policy
from permissions.tables import export_allowance, import_allowance
from servicevault.models import Status, Ticket, TicketComment, TimeEntry
from servicevault.web.bodies import EXCERPT_CHARACTERS, LONG_CHARACTERS, Body, body
from servicevault.web.listing import page_of, plain_text
from servicevault.web.origins import Origin, found_by_source, origins_of
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.web.ticket_filters import export_filters
from servicevault.wording import say

ROWS = 25
COMMENTS = 100
ENTRIES = 100
STATUS_LOOKS = {  # icon, colour
    Status.OPEN: ("inbox", "blue"),
    Status.PENDING: ("clock", "yellow"),
    Status.IN_PROGRESS: ("player-play", "violet"),
    Status.RESOLVED: ("circle-check", "green"),
    Status.CLOSED: ("lock", "grey"),
}


@dataclass(frozen=True)
class CommentView:
    comment: TicketComment
    speaker: str
    kind: str  # agent, customer or system
    body: Body
    origins: list[Origin]


@members_only
@require_safe
def ticket_list(request: PageRequest) -> HttpResponse:
    """Tickets the person may see, newest first, twenty-five a page."""
    tickets = policy.restrict(Ticket.objects.filter(deleted_at=None), request.user)
    text = plain_text(request.GET.get("q"))
    status = request.GET.get("status", "")
    if status in Status.values:
        tickets = tickets.filter(status=status)
    page = page_of(request, _search(tickets, text).order_by("-created_at", "id"), size=ROWS)
    rows = page.object_list.select_related("customer", "account", "agent").only(*_LISTED)  # type: ignore[attr-defined]
    chosen = status if status in Status.values else ""
    context = {
        "tickets": list(rows),
        "page": page,
        "text": text,
        "status": chosen,
        "statuses": Status.choices,
        "is_filtered": bool(text or status in Status.values),
        "may_import": policy.has(request.user, "pages.import.manage"),
        "may_export": _may_export(request.user),
        "may_import_files": _may_import_files(request.user),
    }
    if context["may_export"]:
        context["export_filters"] = export_filters(text, chosen)
    return render_page(request, "servicevault/ticket_list.html", "servicevault/_ticket_rows.html", context)


@members_only
@require_safe
def ticket(request: PageRequest, pk: UUID) -> HttpResponse:
    """One ticket: description, a hundred comments a page in the order they were made, time, and where it came from."""
    found = policy.fetch(_tickets(), request.user, "view", pk)
    comments = page_of(request, _excerpted(_comments(request.user, found), "content"), size=COMMENTS, name="comments")
    shown = list(comments.object_list)
    entries = policy.restrict(TimeEntry.objects.filter(ticket=found, deleted_at=None), request.user)
    context = {
        "ticket": found,
        "description": body(found.excerpt, found.description_format, found.characters or 0),  # type: ignore[attr-defined]
        "description_url": reverse("ticket_body", args=[found.pk]),
        "comments": _with_origins(shown, request.user),
        "comment_page": comments,
        "entries": entries.select_related("user").order_by("started_at", "id")[:ENTRIES],
        "minutes": entries.aggregate(minutes=Sum("duration"))["minutes"] or 0,
        "origins": origins_of([found.pk], "tickets", request.user).get(found.pk, []),
    }
    return render_page(request, "servicevault/ticket.html", "servicevault/_comments.html", context)


@members_only
@require_safe
def ticket_body(request: PageRequest, pk: UUID) -> HttpResponse:
    """A description in full length."""
    found = policy.fetch(Ticket.objects.filter(deleted_at=None), request.user, "view", pk)
    context = {"body": body(found.description, found.description_format), "ticket": found}
    return render_page(request, "servicevault/body.html", "servicevault/_body.html", context)


@members_only
@require_safe
def comment_body(request: PageRequest, pk: UUID, comment: UUID) -> HttpResponse:
    """A comment in full length."""
    found = policy.fetch(Ticket.objects.filter(deleted_at=None), request.user, "view", pk)
    whole = policy.fetch(_comments(request.user, found), request.user, "view", comment)
    context = {"body": body(whole.content, whole.body_format), "ticket": found, "comment": whole}
    return render_page(request, "servicevault/body.html", "servicevault/_body.html", context)


@members_only
@require_safe
def from_source(request: PageRequest, source_key: str, entity: str, external_id: str) -> HttpResponse:
    """Lead from the old system's id to the record it became; 404 for unknown ids and for records kept from the person."""
    tickets = policy.restrict(Ticket.objects.filter(deleted_at=None), request.user)
    ref = get_object_or_404(
        ExternalRef.objects.select_related("entity"),
        entity__source_key=source_key,
        entity__entity=entity,
        external_id=plain_text(external_id, limit=255),
    )
    if ref.entity.target_type == "tickets":
        return redirect("ticket", get_object_or_404(tickets, pk=ref.target_id).pk)
    if ref.entity.target_type == "ticket_comments":
        comment = get_object_or_404(TicketComment.objects.filter(ticket__in=tickets), pk=ref.target_id)
        return redirect(_address(comment))
    if ref.entity.target_type == "time_entries":
        entry = get_object_or_404(TimeEntry.objects.filter(ticket__in=tickets, deleted_at=None), pk=ref.target_id)
        return redirect(f"{reverse('ticket', args=[entry.ticket_id])}#time")
    raise Http404


_LISTED = (
    *("ticket_number", "title", "status", "created_at", "customer_name", "customer_email"),
    *("customer__name", "account__name", "agent__name"),
)


def _may_export(user: Any) -> bool:
    return policy.has(user, "pages.settings.data_export") and export_allowance(user, "tickets").can_export


def _may_import_files(user: Any) -> bool:
    return policy.has(user, "pages.settings.data_import") and import_allowance(user, "tickets").can_import


def _search(tickets: QuerySet[Ticket], text: str) -> QuerySet[Ticket]:
    """Tickets that hold the text in title, number or names, or that the source knew by it."""
    if not text:
        return tickets
    number = text.removeprefix("#")
    refs = found_by_source(number, "tickets")
    return tickets.filter(
        Q(title__icontains=text)
        | Q(ticket_number__icontains=number)
        | Q(customer_name__icontains=text)
        | Q(customer_email__icontains=text)
        | Q(customer__name__icontains=text)
        | Q(customer__email__icontains=text)
        | Q(account__name__icontains=text)
        | Q(pk__in=refs.values("target_id"))
    )


def _tickets() -> QuerySet[Ticket]:
    related = ("account", "customer", "agent", "created_by", "category")
    return _excerpted(Ticket.objects.filter(deleted_at=None).select_related(*related), "description")


def _comments(user: Any, found: Ticket) -> QuerySet[TicketComment]:
    # Equal instants keep the source's order: imported keys grow with the row (UUID version 7).
    return policy.restrict(TicketComment.objects.filter(ticket=found).select_related("author"), user).order_by(
        "created_at", "id"
    )


def _excerpted(rows: QuerySet[Any], column: str) -> Any:
    """`excerpt` and `characters` instead of the text itself: only the shown part of a huge body leaves the database."""
    return rows.defer(column).annotate(characters=Length(column), excerpt=_beginning(column))


def _beginning(column: str) -> Any:
    return Case(
        When(characters__gt=LONG_CHARACTERS, then=Left(column, EXCERPT_CHARACTERS)),
        default=F(column),
        output_field=TextField(),
    )


def _with_origins(comments: Iterable[Any], user: Any) -> list[CommentView]:
    rows = list(comments)
    origins = origins_of([row.pk for row in rows], "ticket_comments", user)
    return [
        CommentView(
            comment=row,
            speaker=_speaker(row),
            kind=row.author_kind,
            body=body(row.excerpt, row.body_format, row.characters),
            origins=origins.get(row.pk, []),
        )
        for row in rows
    ]


def _speaker(comment: TicketComment) -> str:
    if comment.author is not None:
        return comment.author.name
    return (
        comment.author_name
        or comment.author_email
        or {"agent": say("An agent"), "customer": say("The customer")}.get(comment.author_kind, say("The system"))
    )


def _address(comment: TicketComment) -> str:
    """The comment's place: its page of the conversation, and its anchor there."""
    earlier = TicketComment.objects.filter(ticket_id=comment.ticket_id).filter(
        Q(created_at__lt=comment.created_at) | Q(created_at=comment.created_at, pk__lt=comment.pk)
    )
    number = earlier.count() // COMMENTS + 1
    page = f"?comments={number}" if number > 1 else ""
    return f"{reverse('ticket', args=[comment.ticket_id])}{page}#comment-{comment.pk}"
