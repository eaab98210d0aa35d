"""The block "One row per": every row, one row for each group, or the first row for each key (Q22)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from importer import operations
from importer.web.builder.body import Body
from importer.web.builder.workbench import Change, Workbench
from servicevault.wording import say

MODES = {
    "rows": say("Every row"),
    "group": say("One row for each group of equal values"),
    "distinct": say("The first row for each key"),
}


@dataclass(frozen=True)
class Grouping:
    mode: str
    columns: list[str]
    order: str
    direction: str


def grouping_of(bench: Workbench) -> Grouping:
    """How rows are folded, as the block shows it; one empty column stands for the next."""
    distinct = bench.body.get("distinct_on")
    if isinstance(distinct, dict):
        first: Any = next(iter(distinct.get("order_by") or []), {})
        first = first if isinstance(first, dict) else {"expression": str(first)}
        order, direction = str(first.get("expression") or ""), str(first.get("direction") or "asc")
        return Grouping("distinct", [*(distinct.get("columns") or []), ""], order, direction)
    if isinstance(distinct, list) and distinct:
        return Grouping("distinct", [*distinct, ""], "", "asc")
    if bench.body["group_by"] or bench.body.get("grouping"):
        return Grouping("group", [*(text for text in bench.body["group_by"] if text), ""], "", "asc")
    return Grouping("rows", [""], "", "asc")


def set_grouping(bench: Workbench, post: QueryDict) -> Body:
    """Every row, groups, or one row a key, with the columns that say which rows belong together."""
    mode = post.get("mode", "rows")
    if mode not in MODES:
        raise operations.InvalidFields({"mode": [say("Choose one of the three.")]})
    columns = [text.strip() for text in post.getlist("column") if text.strip()]
    body = copy.deepcopy(bench.body)
    body.pop("grouping", None)
    body["group_by"], body["distinct_on"] = [], None
    if mode == "rows":
        body["having"] = {"op": "and", "items": []}
    elif mode == "group":
        body["group_by"] = columns
        body["grouping"] = not columns  # kept while no column is chosen yet
    else:
        body["having"] = {"op": "and", "items": []}
        order = post.get("order", "").strip()
        listed = [{"expression": order, "direction": post.get("direction") or "asc", "nulls": ""}] if order else []
        body["distinct_on"] = {"columns": columns, "order_by": listed}
    return body


CHANGES: dict[str, Change] = {"one.set": set_grouping}
