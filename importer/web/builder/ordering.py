"""The block "Order and limit of the preview" (U20): how the first rows are chosen; a run reads all rows in its own order."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from django.http import QueryDict

from importer import operations
from importer.web.builder.body import Body
from importer.web.builder.workbench import Change, Workbench
from servicevault.wording import say

LIMITS = (10, 25, 50, 100)
USUAL = 50  # U21b


@dataclass(frozen=True)
class Ordering:
    column: str = ""  # an output column; "" leaves the order to the source
    direction: str = "asc"
    limit: int = USUAL

    @property
    def order(self) -> tuple[str, str] | None:
        return (self.column, self.direction) if self.column else None

    @property
    def words(self) -> str:
        """How it goes on behind "First 50 rows"."""
        if not self.column:
            return ""
        if self.direction == "desc":
            return say("by {column}, largest first", column=self.column)
        return say("by {column}, smallest first", column=self.column)


def ordering_of(bench: Workbench) -> Ordering:
    """What the person chose; a column that is no longer mapped leaves the order to the source."""
    known = bench.body.get("preview") or {}
    column = str(known.get("column") or "")
    limit = known.get("limit")
    return Ordering(
        column=column if column in choices(bench) else "",
        direction="desc" if known.get("direction") == "desc" else "asc",
        limit=limit if limit in LIMITS else USUAL,
    )


def choices(bench: Workbench) -> list[str]:
    """The columns that can be ordered by: those the query gives."""
    return [str(item["target"]) for item in bench.body["fields"] if item.get("target")]


def set_ordering(bench: Workbench, post: QueryDict) -> Body:
    column, limit = post.get("column", ""), post.get("limit", "")
    if column and column not in choices(bench):
        raise operations.InvalidFields({"column": [say("Order by a field that is mapped.")]})
    if limit not in map(str, LIMITS):
        raise operations.InvalidFields({"limit": [say("Choose one of the numbers of rows.")]})
    chosen = {"column": column, "direction": "desc" if post.get("direction") == "desc" else "asc", "limit": int(limit)}
    return copy.deepcopy(bench.body) | {"preview": chosen}


CHANGES: dict[str, Change] = {"order.set": set_ordering}
