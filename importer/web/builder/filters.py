"""The filters block: conditions and groups as a tree of small forms, and the filters worth offering."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from importer import operations
from importer.query.filters import parse_filters
from importer.query.operators import DATE_TRUNC_UNITS, FILTER_OPERATORS, FilterOperator, filter_operator
from importer.query.reading import Members
from importer.query.spec import MAX_FILTER_DEPTH
from importer.web.builder.body import Body, group_at, runnable, split_place
from importer.web.builder.workbench import Change, Workbench
from servicevault.wording import say

GROUPS = (
    (say("Comparison"), ("=", "!=", ">", ">=", "<", "<=", "BETWEEN", "NOT BETWEEN")),
    (say("Text"), ("contains", "not_contains", "starts_with", "ends_with", "LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE", "~", "~*", "!~", "!~*")),
    (say("Lists"), ("IN", "NOT IN")),
    (say("Null"), ("IS NULL", "IS NOT NULL")),
    (say("Date"), ("DATE_TRUNC",)),
    (say("Other"), ("expression",)),
)  # fmt: skip
WORDS = {
    "=": say("is"), "!=": say("is not"), ">": say("is more than"), ">=": say("is at least"), "<": say("is less than"), "<=": say("is at most"),
    "BETWEEN": say("is between"), "NOT BETWEEN": say("is not between"), "not_contains": say("does not contain"),
    "starts_with": say("starts with"), "ends_with": say("ends with"), "LIKE": say("is like (LIKE)"), "NOT LIKE": say("is not like"),
    "ILIKE": say("is like, any case (ILIKE)"), "NOT ILIKE": say("is not like, any case"), "~": say("matches the pattern (~)"),
    "~*": say("matches the pattern, any case (~*)"), "!~": say("does not match the pattern"), "!~*": say("does not match, any case"),
    "IN": say("is one of"), "NOT IN": say("is none of"), "IS NULL": say("is empty (NULL)"), "IS NOT NULL": say("is not empty"),
    "DATE_TRUNC": say("lies in the"), "expression": say("is true"),
}  # fmt: skip
GROUP_WORDS = {
    "and": say("All of these are true"),
    "or": say("At least one is true"),
    "not": say("Not all of these are true"),
}
UNITS = DATE_TRUNC_UNITS
ROOTS = ("filters", "having")


@dataclass(frozen=True)
class Condition:
    place: str
    field: str
    operator: str
    groups: list[tuple[str, list[tuple[str, str]]]]
    control: str  # none, text, number, date, boolean, list, pair or unit
    values: list[str]
    unit: str
    type: str

    @property
    def element(self) -> str:
        """The part of ids that names the condition."""
        return self.place.replace(".", "-")


@dataclass(frozen=True)
class Group:
    place: str
    op: str
    items: list[Any] = field(default_factory=list)  # Condition or Group
    is_root: bool = False
    may_nest: bool = True

    is_group = True


def tree_of(bench: Workbench, root: str) -> Group:
    """The filters or the conditions on groups, ready to be shown."""
    return _group(bench, bench.body[root], "", 1)


def _group(bench: Workbench, data: Body, place: str, level: int) -> Group:
    items: list[Any] = []
    for number, item in enumerate(data["items"]):
        inner = f"{place}.{number}" if place else str(number)
        if isinstance(item, dict) and "items" in item:
            items.append(_group(bench, item, inner, level + 1))
        else:
            items.append(
                _condition(
                    bench, item if isinstance(item, dict) else {"field": str(item), "operator": "expression"}, inner
                )
            )
    return Group(place, str(data.get("op") or "and"), items, not place, level < MAX_FILTER_DEPTH)


def _condition(bench: Workbench, item: Body, place: str) -> Condition:
    text = str(item.get("field") or "")
    column, family = bench.column_of(text), bench.family(text)
    operator = filter_operator(str(item.get("operator") or "=")) or FILTER_OPERATORS["="]
    values, unit = _values(item, operator)
    return Condition(
        place, text, operator.name, _offered(family, operator), _control(operator, family), values, unit,
        column.type if column else "",
    )  # fmt: skip


def _offered(family: str, chosen: FilterOperator) -> list[tuple[str, list[tuple[str, str]]]]:
    """The operators for a kind of value, grouped; the chosen one is always among them."""
    found = []
    for title, names in GROUPS:
        fitting = [
            (name, WORDS.get(name, name))
            for name in names
            if name == chosen.name
            or not family
            or not (allowed := FILTER_OPERATORS[name].families)
            or family in allowed
        ]
        if fitting:
            found.append((title, fitting))
    return found


def _control(operator: FilterOperator, family: str) -> str:
    if operator.arity != "one":
        return operator.arity
    if operator.shape == "compare":
        return {"number": "number", "boolean": "boolean", "date": "date", "timestamp": "date"}.get(family, "text")
    return "text"


def _values(item: Body, operator: FilterOperator) -> tuple[list[str], str]:
    value: Any = item.get("value")
    unit = str(item.get("unit") or "month")
    if operator.arity == "unit" and isinstance(value, dict):
        value, unit = value.get("value"), str(value.get("unit") or unit)
    listed = value if isinstance(value, list) else [value, item["value2"]] if "value2" in item else [value]
    texts = [_text(each) for each in listed]
    if operator.arity == "list":
        return [", ".join(_quoted(text) for text in texts)], unit
    return [*texts, "", ""][:2], unit


def _quoted(text: str) -> str:
    """An item of a list as it must be typed."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if set(text) & set(",\"'") else text


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("relative") or "")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


# -- changes -----------------------------------------------------------------------------------------------------


def set_condition(bench: Workbench, post: QueryDict) -> Body:
    """The condition as its form says."""
    body, parent, number = _found(bench, post)
    operator = filter_operator(post.get("operator", "")) or FILTER_OPERATORS["="]
    old = parent["items"][number]
    item: Body = {"field": post.get("field", "").strip(), "operator": operator.name}
    texts = [text.strip() if operator.arity != "one" else text for text in post.getlist("value")]
    value = _read(texts, operator, post)
    if value is not None and operator.arity != "none":
        item["value"] = value
    if isinstance(old, dict) and "value" in old and not texts and operator.arity != "none":
        item["value"] = old["value"]
    parent["items"][number] = item
    return body


def _read(texts: list[str], operator: FilterOperator, post: QueryDict) -> Any:
    match operator.arity:
        case "none":
            return None
        case "pair":
            return [_scalar(text) for text in [*texts, "", ""][:2]] if any(texts) else None
        case "unit":
            return {"unit": post.get("unit") or "month", "value": _scalar(texts[0] if texts else "")}
        case "list":
            return texts[0] if texts and texts[0] else None
    return _scalar(texts[0]) if texts and texts[0] else None


_RELATIVE = ("now", "today")


def _scalar(text: str) -> Any:
    """A relative date as such; everything else stays the text that PostgreSQL reads in the column's type."""
    folded = text.strip().lower()
    words = folded.lstrip("+-").split()
    is_relative = folded in _RELATIVE or (
        len(words) in (2, 3)
        and words[0].isdigit()
        and words[1].rstrip("s") in ("minute", "hour", "day", "week", "month", "quarter", "year")
    )
    return {"relative": folded} if is_relative else text


def add_condition(bench: Workbench, post: QueryDict) -> Body:
    body = copy.deepcopy(bench.body)
    _group_of(body, post)["items"].append({"field": post.get("field", "").strip(), "operator": "="})
    return body


def add_group(bench: Workbench, post: QueryDict) -> Body:
    """A group with one empty condition: a group without any would be a fault."""
    body = copy.deepcopy(bench.body)
    _group_of(body, post)["items"].append({"op": "or", "items": [{"field": "", "operator": "="}]})
    return body


def set_group(bench: Workbench, post: QueryDict) -> Body:
    body = copy.deepcopy(bench.body)
    if post.get("op") in GROUP_WORDS:
        _group_of(body, post)["op"] = post["op"]
    return body


def duplicate(bench: Workbench, post: QueryDict) -> Body:
    body, parent, number = _found(bench, post)
    parent["items"].insert(number + 1, copy.deepcopy(parent["items"][number]))
    return body


def remove(bench: Workbench, post: QueryDict) -> Body:
    """Take a condition or a group out; a group that is empty then goes with it."""
    body, parent, number = _found(bench, post)
    del parent["items"][number]
    place = split_place(post.get("place", ""))[0]
    while place and not parent["items"]:
        upper, number = split_place(place)
        parent = group_at(body[_root(post)], upper)
        del parent["items"][number]
        place = upper
    return body


def take_offer(bench: Workbench, post: QueryDict) -> Body:
    """Add a suggested filter."""
    try:
        condition = json.loads(post.get("condition", ""))
    except ValueError:
        condition = None
    read = Members({"filters": [condition]}, "", [])
    if not parse_filters(read, "filters").items or read.problems:
        raise operations.InvalidFields({"condition": [say("This suggestion cannot be read.")]})
    body = copy.deepcopy(bench.body)
    if body["filters"]["op"] != "and" and body["filters"]["items"]:
        body["filters"] = {"op": "and", "items": [body["filters"]]}
    body["filters"]["items"].append(condition)
    return body


def _root(post: QueryDict) -> str:
    root = post.get("root", "filters")
    return root if root in ROOTS else "filters"


def _group_of(body: Body, post: QueryDict) -> Body:
    try:
        return group_at(body[_root(post)], post.get("place", ""))
    except (LookupError, ValueError, TypeError):
        raise operations.InvalidFields(
            {"place": [say("This group is gone. Look at the filters as they are now.")]}
        ) from None


def _found(bench: Workbench, post: QueryDict) -> tuple[Body, Body, int]:
    """A copy of the body, the group in it and the number of the item that is meant."""
    body = copy.deepcopy(bench.body)
    try:
        place, number = split_place(post.get("place", ""))
        parent = group_at(body[_root(post)], place)
        parent["items"][number]
    except (LookupError, ValueError, TypeError):
        raise operations.InvalidFields(
            {"place": [say("This filter is gone. Look at the filters as they are now.")]}
        ) from None
    return body, parent, number


CHANGES: dict[str, Change] = {
    "filters.set": set_condition,
    "filters.add": add_condition,
    "filters.group": add_group,
    "filters.op": set_group,
    "filters.duplicate": duplicate,
    "filters.remove": remove,
    "filters.offer": take_offer,
}


@dataclass(frozen=True)
class Offer:
    """A suggested filter, ready to be posted."""

    label: str
    reason: str
    rows: int | None
    is_exact: bool
    posted: str


def offers_of(bench: Workbench) -> list[Offer]:
    """Filters worth offering for the base table, each with the rows it would leave. Raises ImporterError."""
    body = runnable(bench.body)
    if not body["fields"]:
        body |= {"fields": [{"source": option.text, "target": "external_id"} for option in bench.options[:1]]}
    found = operations.offer_filters(bench.profile, body, by=bench.user)
    return [
        Offer(
            offered.suggestion.label, offered.suggestion.reason, offered.rows.rows if offered.rows else None,
            bool(offered.rows and offered.rows.exact), json.dumps(offered.suggestion.condition),
        )
        for offered in found
    ]  # fmt: skip
