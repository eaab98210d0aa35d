"""The filters of a query as JSON (F1-F7): nested groups of field, operator and value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from servicevault.wording import say

from . import spec
from .functions import pattern_fault
from .operators import DATE_TRUNC_UNITS, FILTER_OPERATORS, MAX_VALUES, FilterOperator, filter_operator
from .problems import Problem, nearest
from .reading import Members, scalar_fault
from .relative import relative_fault
from .spec import Condition, FilterGroup, RelativeDate, Value

_ITEM = re.compile(r"""\s*(?:"((?:[^"]|"")*)"|'((?:[^']|'')*)'|([^,]*))\s*(?:,|$)""")


def parse_filters(members: Members, name: str) -> FilterGroup:
    """The filters under `name`: a list (AND), a group, one condition, or an expression text."""
    data = members.data.get(name)
    if not data and data != 0:
        return FilterGroup()
    reader = _Reader(members.problems)
    if isinstance(data, Mapping) and ("items" in data or "op" in data):
        return reader.group(Members(data, name, members.problems), 1, root=True)
    items = data if isinstance(data, list | tuple) else [data]
    return FilterGroup("and", reader.items(list(items), name, 1))


class _Reader:
    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.count = 0

    def group(self, members: Members, level: int, *, root: bool = False) -> FilterGroup:
        members.only("op", "items")
        op = members.choice("op", ("and", "or", "not"), "and")
        items = self.items(members.items("items", spec.MAX_CONDITIONS), members.at("items"), level)
        if not items and not (root and op == "and") and not self.problems:
            members.fault("items", say("A group of filters needs at least one filter."), code="empty_group")
        return FilterGroup(cast(Any, op), items)

    def items(self, data: list[Any], path: str, level: int) -> tuple[FilterGroup | Condition, ...]:
        if level > spec.MAX_FILTER_DEPTH:
            self.problems.append(
                Problem(
                    path,
                    say("Filters are nested at most {max_filter_depth} deep.", max_filter_depth=spec.MAX_FILTER_DEPTH),
                )
            )
            return ()
        found: list[FilterGroup | Condition] = []
        for index, item in enumerate(data):
            self.count += 1
            if self.count == spec.MAX_CONDITIONS + 1:
                self.problems.append(
                    Problem(
                        path, say("A query has at most {max_conditions} filters.", max_conditions=spec.MAX_CONDITIONS)
                    )
                )
                break
            members = Members({"field": item} if isinstance(item, str) else item, f"{path}[{index}]", self.problems)
            if "items" in members.data or "op" in members.data:
                found.append(self.group(members, level + 1))
            elif condition := self.condition(members, text=isinstance(item, str)):
                found.append(condition)
        return tuple(found)

    def condition(self, members: Members, *, text: bool) -> Condition | None:
        members.only("field", "field_tree", "operator", "value", "value2", "unit")
        if text and not isinstance(members.data.get("field"), str):
            return None
        field = members.expression("field")
        written = "expression" if text else members.text("operator")
        operator = filter_operator(written)
        if operator is None:
            closest = nearest(written, FILTER_OPERATORS)
            hint = (
                say("Did you mean {closest}?", closest=closest)
                if closest
                else say("Use one of {filter_operators}.", filter_operators=", ".join(FILTER_OPERATORS))
            )
            members.fault(
                "operator",
                say("`{written}` is not an operator.", written=written[:40]),
                hint=hint,
                code="unknown_operator",
            )
            return None
        if field is None:
            if not members.has("field"):
                members.fault("field", say("The filter has no field."))
            return None
        values, unit = _values(members, operator)
        return None if values is None else Condition(field, operator.name, values, unit)


def _values(members: Members, operator: FilterOperator) -> tuple[tuple[Value, ...] | None, str]:
    """The values to bind and the unit of DATE_TRUNC; None when they are wrong."""
    given = members.data.get("value")
    unit = ""
    if operator.arity == "none":
        return (), ""
    if operator.arity == "unit":
        inner = Members(given, members.at("value"), members.problems) if isinstance(given, Mapping) else members
        if inner is not members:
            inner.only("unit", "value")
        unit = inner.choice("unit", DATE_TRUNC_UNITS, "month")
        given = inner.data.get("value")
    items = _split(given, operator) if operator.arity == "list" else [given]
    if operator.arity == "pair":
        items = list(given) if isinstance(given, list | tuple) else [given, members.data.get("value2")]
    if operator.arity == "pair" and len(items) != 2:
        members.fault("value", say("{operator} needs two values.", operator=operator.name))
        return None, ""
    if not items or len(items) > MAX_VALUES:
        members.fault(
            "value",
            say("{operator} needs 1 to {max_values:,} values.", operator=operator.name, max_values=MAX_VALUES),
            code="value_count",
        )
        return None, ""
    values = tuple(_value(members, item, operator) for item in items)
    if operator.shape == "pattern" and isinstance(values[0], str) and (fault := pattern_fault(values[0])):
        members.fault("value", fault, code="pattern_rejected")
    return values, unit


def _split(given: object, operator: FilterOperator) -> list[Any]:
    """The items of IN: a JSON list, or a text cut at commas outside quotes."""
    if isinstance(given, list | tuple):
        return list(given)
    if not isinstance(given, str):
        return [] if given is None else [given]
    if not given.strip():
        return []
    found: list[str] = []
    position = 0
    while position < len(given) and (match := _ITEM.match(given, position)):
        double, single, plain = match.groups()
        if double is not None:
            found.append(double.replace('""', '"'))
        elif single is not None:
            found.append(single.replace("''", "'"))
        else:
            found.append(plain.strip())
        position = match.end()
    return found


def _value(members: Members, item: object, operator: FilterOperator) -> Value:
    if isinstance(item, Mapping):
        text = item.get("relative")
        if set(item) != {"relative"} or not isinstance(text, str):
            members.fault("value", say('A value is a text, a number, true, false or {"relative": "-6 months"}.'))
            return None
        if fault := relative_fault(text):
            members.fault("value", fault)
        return RelativeDate(" ".join(text.lower().split()))
    if fault := scalar_fault(item):
        members.fault("value", fault)
        return None
    if item is None:
        members.fault(
            "value",
            say("{operator} needs a value.", operator=operator.name),
            hint=say("To find empty fields use IS NULL."),
        )
    return cast("Value", item)
