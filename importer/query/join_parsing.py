"""Reads the tables and joins of a query's JSON: three ways to write a join, one form that is stored (Q6)."""

from __future__ import annotations

import re
from typing import Any, cast

from servicevault.wording import say

from . import nodes, spec
from .functions import AGGREGATES
from .nodes import Node
from .operators import join_type
from .reading import Members
from .rendering import render
from .spec import Join, JoinCondition, OrderItem, TableRef, Take, TakeColumn
from .words import INFIX

_JOIN_OPERATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")


def parse_base(members: Members, kind: str, aliases: dict[str, None]) -> TableRef:
    value = members.data.get("base_table")
    if kind == "sql" and value is None:
        return TableRef("", alias="query")
    if value is None or value == "":
        members.fault(
            "base_table", say("Choose the table to start from: base_table is missing."), code="missing_base_table"
        )
        return TableRef("")
    if isinstance(value, str):
        return _table(Members({"table": value}, "base_table", members.problems), aliases)
    inner = Members(value, "base_table", members.problems)
    inner.only("table", "name", "schema", "alias")
    return _table(inner, aliases, exact=True)


def _table(members: Members, aliases: dict[str, None], *, exact: bool = False) -> TableRef:
    """The table of `table`, or of `schema.table` unless `exact`; its alias is made unique and added to `aliases`."""
    name, schema = members.text("table", "name"), members.text("schema")
    if not name:
        members.fault("table", say("The table has no name."))
    if not exact and not schema and "." in name and "schema" not in members.data:
        schema, _, name = name.partition(".")
    alias = members.text("alias", limit=63)
    if alias in aliases:
        members.fault(
            "alias", say("The alias `{alias}` is used twice.", alias=alias), hint=say("Give each table its own alias.")
        )
    wanted = alias or name or "table"
    number = 2
    alias = wanted
    while alias in aliases:
        alias = f"{wanted}_{number}"
        number += 1
    aliases[alias] = None
    return TableRef(name, schema, alias)


def parse_join(members: Members, base: TableRef, aliases: dict[str, None], *, first: bool) -> Join | None:
    members.only(
        "type", "table", "schema", "alias", "on", "condition", "leftColumn", "rightColumn", "left_column",
        "right_column", "operator", "conditions", "where", "where_tree", "take",
    )  # fmt: skip
    written = members.text("type") or "left"
    kind = join_type(written)
    if kind is None:
        members.fault(
            "type",
            say("`{written}` is not a join type.", written=written[:40]),
            hint=say("Use INNER, LEFT, RIGHT or FULL."),
        )
    table = _table(members, aliases)
    conditions, extra = _join_conditions(members, base if first else None, table)
    where = members.expression("where") or members.expression("condition")
    if where is not None:
        extra.append(where)
    take = _take(Members(members.data["take"], members.at("take"), members.problems)) if members.has("take") else Take()
    if kind is None:
        return None
    if not conditions and not extra:
        members.fault("on", say("A join needs a condition."), hint=say("Say which columns belong together."))
    return Join(kind, table, tuple(conditions), _all_of(extra), take)


def _all_of(parts: list[Node]) -> Node | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    flat = [item for part in parts for item in _conjuncts(part)]
    return nodes.Logical("and", tuple(flat))


def _conjuncts(node: Node) -> tuple[Node, ...]:
    return node.operands if isinstance(node, nodes.Logical) and node.operator == "and" else (node,)


def _join_conditions(
    members: Members, base: TableRef | None, table: TableRef
) -> tuple[list[JoinCondition], list[Node]]:
    """The pairs of columns and what else the join requires."""
    if members.has("conditions"):
        return _stored_conditions(members, table), []
    left = _column(members, base, "leftColumn", "left_column")
    right = _column(members, table, "rightColumn", "right_column")
    if left and right:
        return [JoinCondition(left, _operator(members), right)], []
    if left or right:
        members.fault("leftColumn", say("A join needs both columns, leftColumn and rightColumn."))
        return [], []
    on = members.expression("on")
    conditions: list[JoinCondition] = []
    others: list[Node] = []
    for part in _conjuncts(on) if on is not None else ():
        condition = _pair(part, table)
        if condition:
            conditions.append(condition)
        else:
            others.append(part)
    return conditions, others


def _stored_conditions(members: Members, table: TableRef) -> list[JoinCondition]:
    found: list[JoinCondition] = []
    for index, item in enumerate(members.items("conditions", spec.MAX_JOINS)):
        inner = Members(item, f"{members.at('conditions')}[{index}]", members.problems)
        inner.only("left", "left_tree", "operator", "right", "right_tree")
        left, right = inner.expression("left"), inner.expression("right")
        if left is None or right is None:
            inner.fault("", say("A condition needs left and right."))
            continue
        found.append(JoinCondition(left, _operator(inner), right))
    on = members.text("on", limit=spec.MAX_BYTES)
    if on and found and on != render_on(tuple(found)) and not members.problems:
        members.fault("on", "`on` and `conditions` say different things.", hint=say("Send only one of them."))
    return found


def render_on(conditions: tuple[JoinCondition, ...]) -> str:
    """The text of the pairs of columns of a join."""
    return " AND ".join(render(nodes.Binary(item.operator, item.left, item.right)) for item in conditions)


def _operator(members: Members) -> str:
    operator = members.text("operator") or "="
    if operator not in _JOIN_OPERATORS or operator not in INFIX:
        members.fault(
            "operator",
            say("`{operator}` cannot join two columns.", operator=operator[:40]),
            hint=say("Use =, <>, <, <=, > or >=."),
        )
        return "="
    return "<>" if operator == "!=" else operator


def _column(members: Members, table: TableRef | None, *names: str) -> Node | None:
    """A column named by itself or as table.column; the builder sends exact names, so case is kept."""
    text = members.text(*names, limit=spec.MAX_BYTES)
    if not text:
        return None
    if re.fullmatch(r"[^\s\"'.()]+(\.[^\s\"'.()]+){0,2}", text) and not text[0].isdigit():
        schema, prefix, name = ["", "", *text.split(".")][-3:]
        node: Node | None = nodes.Column(name, prefix, schema)
    else:
        node = members.one_expression(text, None, members.at(names[0]))
    if isinstance(node, nodes.Column) and not node.table and table is not None:
        return nodes.Column(node.name, table.alias)
    return node


def _pair(node: Node, table: TableRef) -> JoinCondition | None:
    """`node` as a condition between an earlier table and `table`, its column on the right; None when it is none."""
    if not isinstance(node, nodes.Binary) or node.operator not in _JOIN_OPERATORS:
        return None
    left, right = node.left, node.right
    if not isinstance(left, nodes.Column) or not isinstance(right, nodes.Column):
        return None
    own = (table.alias, table.name)
    if left.table in own and right.table not in own:
        mirrored = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
        return JoinCondition(right, mirrored.get(node.operator, node.operator), left)
    return JoinCondition(left, node.operator, right) if right.table in own and left.table not in own else None


def _take(members: Members) -> Take:
    if isinstance(members.data.get("mode", members.data.get("take")), type(None)) and not members.data:
        return Take()
    members.only("mode", "order_by", "columns")
    mode = members.choice("mode", ("all", "first", "last", "aggregate"), "all")
    columns = []
    for index, item in enumerate(members.items("columns", spec.MAX_FIELDS)):
        inner = Members(item, f"{members.at('columns')}[{index}]", members.problems)
        inner.only("column", "function", "separator")
        function = inner.text("function").upper()
        if function not in AGGREGATES:
            inner.fault(
                "function",
                say("`{function}` is not an aggregate.", function=function[:40]),
                hint=", ".join(sorted(AGGREGATES)),
            )
        separator = inner.text("separator") if inner.has("separator") else ", "
        columns.append(TakeColumn(inner.text("column"), function, separator))
    return Take(cast(Any, mode), order_items(members), tuple(columns))


def order_items(members: Members) -> tuple[OrderItem, ...]:
    """The list `order_by`: texts ("emails.id DESC") or objects."""
    found = []
    for index, item in enumerate(members.items("order_by", spec.MAX_JOINS)):
        path = f"{members.at('order_by')}[{index}]"
        direction, nulls = "asc", ""
        if isinstance(item, str):
            text, direction, nulls = _order_words(item)
            node = members.one_expression(text, None, path)
        else:
            inner = Members(item, path, members.problems)
            inner.only("expression", "expression_tree", "column", "direction", "nulls")
            direction = inner.choice("direction", ("asc", "desc"), "asc")
            nulls = inner.choice("nulls", ("", "first", "last"), "")
            node = inner.expression("expression") or inner.expression("column")
            if node is None:
                inner.fault("expression", say("Say what to order by."))
        if node is not None:
            found.append(OrderItem(node, cast(Any, direction), cast(Any, nulls)))
    return tuple(found)


def _order_words(text: str) -> tuple[str, str, str]:
    """The expression, direction and place of NULLs of "emails.id DESC NULLS LAST"."""
    words = text.split()
    lowered = [word.lower() for word in words[-3:]]
    nulls = direction = ""
    if len(lowered) > 2 and lowered[-2] == "nulls" and lowered[-1] in ("first", "last"):
        nulls = lowered[-1]
        text = text.rstrip()[: -len(nulls)].rstrip()[: -len("nulls")]
        lowered = [word.lower() for word in text.split()[-2:]]
    if len(lowered) > 1 and lowered[-1] in ("asc", "desc"):
        direction = lowered[-1]
        text = text.rstrip()[: -len(direction)]
    return text.strip(), direction or "asc", nulls
