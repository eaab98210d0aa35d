"""Writes a tree as text for people; parsing that text gives the same tree again."""

from __future__ import annotations

from . import nodes
from .nodes import Node
from .words import AND, BINARY_OPERATORS, CAST, INFIX_WORDS, IS, NOT, OR, RANGE, RESERVED, SIGN

_ATOM = 1_000  # binds tighter than every operator
_TIGHT_RIGHT = frozenset({"like", "not like", "ilike", "not ilike", "=", "<>", "<", "<=", ">", ">="})


def render(node: Node) -> str:
    """The canonical text of an expression."""
    return _render(node)[0]


def quote_name(name: str) -> str:
    """`name` as it is written in an expression: quoted only when it must be."""
    plain = name.isidentifier() and name.isascii() and name == name.lower()
    if plain and name.upper() not in RESERVED and name.upper() not in INFIX_WORDS and name != "current_date":
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _render(node: Node) -> tuple[str, int]:
    """The text of `node` and the power with which its outermost operator binds."""
    match node:
        case nodes.Column(name, table, schema):
            return ".".join(quote_name(part) for part in (schema, table, name) if part), _ATOM
        case nodes.Text(value):
            return quote_text(value), _ATOM
        case nodes.Number(digits):
            return digits, _ATOM
        case nodes.Boolean(value):
            return "TRUE" if value else "FALSE", _ATOM
        case nodes.Null():
            return "NULL", _ATOM
        case nodes.TypedText(type_name, value):
            return f"{type_name.upper()} {quote_text(value)}", _ATOM
        case nodes.Unary("not", operand):
            return f"NOT {_inside(operand, NOT)}", NOT
        case nodes.Unary(operator, operand):
            # The space keeps - -x from becoming a comment.
            return f"{operator} {_inside(operand, SIGN)}", SIGN
        case nodes.Binary():
            return _binary(node)
        case nodes.Logical(operator, operands):
            power = OR if operator == "or" else AND
            return f" {operator.upper()} ".join(_inside(operand, power + 1) for operand in operands), power
        case nodes.IsNull(operand, negated):
            return f"{_inside(operand, IS + 1)} IS {'NOT ' if negated else ''}NULL", IS
        case nodes.In(operand, items, negated):
            listed = ", ".join(render(item) for item in items)
            return f"{_inside(operand, RANGE + 1)} {'NOT ' if negated else ''}IN ({listed})", RANGE
        case nodes.Between(operand, low, high, negated):
            bounds = f"{_inside(low, RANGE + 1)} AND {_inside(high, RANGE + 1)}"
            return f"{_inside(operand, RANGE + 1)} {'NOT ' if negated else ''}BETWEEN {bounds}", RANGE
        case nodes.Case():
            return _case(node), _ATOM
        case nodes.Cast(operand, type_name, modifiers):
            size = f"({', '.join(map(str, modifiers))})" if modifiers else ""
            return f"{_inside(operand, CAST)}::{type_name}{size}", CAST
        case nodes.Call():
            return _call(node), _ATOM
        case nodes.Extract(field, operand):
            return f"EXTRACT({field} FROM {render(operand)})", _ATOM
    raise TypeError(f"not an expression node: {type(node).__name__}")


def _inside(node: Node, power: int) -> str:
    """`node` as an operand: in parentheses unless it binds at least with `power`."""
    text, own = _render(node)
    return text if own >= power else f"({text})"


def _binary(node: nodes.Binary) -> tuple[str, int]:
    power = BINARY_OPERATORS[node.operator]
    chains = node.operator not in _TIGHT_RIGHT and not node.operator.startswith("is ")
    left = _inside(node.left, power if chains else power + 1)
    return f"{left} {node.operator.upper()} {_inside(node.right, power + 1)}", power


def _case(node: nodes.Case) -> str:
    parts = ["CASE"]
    if node.subject is not None:
        parts.append(render(node.subject))
    for when, then in node.branches:
        parts.append(f"WHEN {render(when)} THEN {render(then)}")
    if node.default is not None:
        parts.append(f"ELSE {render(node.default)}")
    return " ".join([*parts, "END"])


def _call(node: nodes.Call) -> str:
    if node.function == "CURRENT_DATE":
        return "CURRENT_DATE"
    if node.function == "COUNT" and not node.arguments:
        return "COUNT(*)"
    if node.function == "POSITION":
        return f"POSITION({_inside(node.arguments[0], RANGE + 1)} IN {_inside(node.arguments[1], RANGE + 1)})"
    arguments = ", ".join(render(argument) for argument in node.arguments)
    return f"{node.function}({'DISTINCT ' if node.distinct else ''}{arguments})"
