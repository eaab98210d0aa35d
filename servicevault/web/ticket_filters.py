"""What the list of tickets shows, as filters of an export: the file holds the rows of the list."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from importer.query.operators import escape_like
from servicevault.models import Account, User
from servicevault.web.origins import found_by_source

MOST_NAMED = 25  # people, accounts or old numbers that a filter names one by one: it travels in an address


def export_filters(text: str, status: str) -> list[dict[str, Any]] | None:
    """The filters of these words and this status; None when the words name too many. Three queries for words."""
    found: list[dict[str, Any]] = [{"column": "deleted_at", "operator": "is_null"}]
    if status:
        found.append({"column": "status", "operator": "equals", "value": status})
    if text:
        words = _words(text)
        if words is None:
            return None
        found.append({"op": "or", "items": words})
    return found


def _words(text: str) -> list[dict[str, Any]] | None:
    number = text.removeprefix("#")
    found = [_holds("ticket_number", number)]
    found += [_holds(column, text) for column in ("title", "customer_name", "customer_email")]
    named: dict[str, QuerySet[Any]] = {
        "customer_id": User.objects.filter(Q(name__icontains=text) | Q(email__icontains=text)).values_list("pk"),
        "account_id": Account.objects.filter(name__icontains=text).values_list("pk"),
        "id": found_by_source(number, "tickets").values_list("target_id"),
    }
    for column, keys in named.items():
        values = [str(key) for (key,) in keys.order_by()[: MOST_NAMED + 1]]
        if len(values) > MOST_NAMED:
            return None
        if values:
            found.append({"column": column, "operator": "in", "value": values})
    return found


def _holds(column: str, text: str) -> dict[str, Any]:
    return {"column": column, "operator": "ILIKE", "value": f"%{escape_like(text)}%"}
