"""Telling people, and what they do with it: read it, or let it be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from servicevault.live import telling as live
from servicevault.notifications.models import Kind, Notification

KEPT = timedelta(days=90)
TITLE = 200


@dataclass(frozen=True)
class News:
    """What is said, and where more is found."""

    kind: Kind
    title: str
    url: str
    body: str = ""


# What is said of a job that ended, by its model; None where nobody needs to be told. Whoever has jobs registers it.
Ending = Callable[[Any], News | None]
_endings: dict[type, Ending] = {}


def register(model: type, ending: Ending) -> None:
    _endings[model] = ending


def tell(people: Iterable[Any], news: News) -> None:
    """A notification for each of them, in the caller's transaction. Who may know of it is the caller's to ask (G11)."""
    made = Notification.objects.bulk_create(
        Notification(user=person, kind=news.kind, title=news.title[:TITLE], body=news.body, url=news.url)
        for person in people
    )
    for told in made:
        live.happened("notification.created", told, [f"user.{told.user_id}"])


def job_ended(job: Any) -> None:
    """Tell whoever started the job how it ended; nobody when a command did."""
    describe = _endings.get(type(job))
    if describe is not None and job.created_by_id is not None and (news := describe(job)) is not None:
        tell([job.created_by], news)


def unread(user: Any) -> int:
    return Notification.objects.filter(user=user, read_at=None).count()


def mark_read(found: QuerySet[Notification]) -> int:
    return found.filter(read_at=None).update(read_at=timezone.now())


def forget_old() -> int:
    """Remove what was told more than ninety days ago; returns how many."""
    return Notification.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]
