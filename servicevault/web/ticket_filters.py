"""What the list of tickets shows, as filters of an export: the file holds the rows of the list."""

from __future__ import annotations

from typing import Any

from importer.query.operators import escape_like
from servicevault.web.origins import found_by_source

MOST_NAMED = 25  # tickets that a filter names one by one: it travels in an address
_TEXTS = ("title", "customer_name", "customer_email", "customer_id.name", "customer_id.email", "account_id.name")


def export_filters(text: str, status: str) -> list[dict[str, Any]] | None:
    """The filters of these words and this status; None for an id that more than 25 old systems gave to a ticket."""
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
    found = [_holds("ticket_number", number), *(_holds(column, text) for column in _TEXTS)]
    known = found_by_source(number, "tickets").values_list("target_id").order_by()[: MOST_NAMED + 1]
    values = [str(key) for (key,) in known]
    if len(values) > MOST_NAMED:
        return None
    return [*found, {"column": "id", "operator": "in", "value": values}] if values else found


def _holds(column: str, text: str) -> dict[str, Any]:
    return {"column": column, "operator": "ILIKE", "value": f"%{escape_like(text)}%"}
