"""Lists in pages: one way to cut them, whatever they hold."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.http import HttpRequest


def page_of(request: HttpRequest, rows: Any, *, size: int, name: str = "page") -> Page[Any]:
    """The page the URL's parameter `name` asks for; the nearest one when there is no such page. One count query."""
    return Paginator(rows, size).get_page(request.GET.get(name))


def plain_text(value: str | None, *, limit: int = 200) -> str:
    """What somebody searched for, as PostgreSQL can take it: no NUL, no outer spaces, not endless."""
    return (value or "").replace("\x00", "").strip()[:limit]


def id_in(value: str | None) -> UUID | None:
    """The id a form or an address holds; None for any other text."""
    try:
        return UUID(value or "")
    except ValueError:
        return None
