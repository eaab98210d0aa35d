"""Turns a condition of the language into filters of the builder, as far as they have its form (Q32)."""

from __future__ import annotations

from typing import Any

from . import nodes
from .rendering import render

_COMPARED = {"=": "=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_TEXTS = {"like": "LIKE", "not like": "NOT LIKE", "ilike": "ILIKE", "not ilike": "NOT ILIKE", "~": "~", "~*": "~*", "!~": "!~", "!~*": "!~*"}  # fmt: skip
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def filter_items(node: nodes.Node) -> list[Any]:
    """The parts of a condition that must all hold."""
    if isinstance(node, nodes.Logical) and node.operator == "and":
        return [item for operand in node.operands for item in filter_items(operand)]
    return [_item(node)]


def _item(node: nodes.Node) -> Any:
    match node:
        case nodes.Logical("or", operands):
            return {"op": "or", "items": [_item(operand) for operand in operands]}
        case nodes.Logical("and", operands):
            return {"op": "and", "items": [_item(operand) for operand in operands]}
        case nodes.Unary("not", operand):
            return {"op": "not", "items": [_item(operand)]}
        case nodes.IsNull(operand, negated):
            return {"field": render(operand), "operator": "IS NOT NULL" if negated else "IS NULL"}
        case nodes.In(operand, items, negated) if all(_is_value(item) for item in items):
            listed = [_value(item) for item in items]
            return {"field": render(operand), "operator": "NOT IN" if negated else "IN", "value": listed}
        case nodes.Between(operand, low, high, negated) if _is_value(low) and _is_value(high):
            word = "NOT BETWEEN" if negated else "BETWEEN"
            return {"field": render(operand), "operator": word, "value": [_value(low), _value(high)]}
        case nodes.Binary(operator, left, right) if operator in _COMPARED or operator in _TEXTS:
            return _comparison(operator, left, right) or render(node)
    return render(node)


def _comparison(operator: str, left: nodes.Node, right: nodes.Node) -> dict[str, Any] | None:
    if _is_value(left) and not _is_value(right) and operator in _MIRRORED:
        left, right, operator = right, left, _MIRRORED[operator]
    # The value is read in the column's type; a call has none that is declared.
    if not isinstance(left, nodes.Column) or not _is_value(right):
        return None
    if not isinstance(right, nodes.Text) and operator in _TEXTS:
        return None
    return {"field": render(left), "operator": {**_COMPARED, **_TEXTS}[operator], "value": _value(right)}


def _is_value(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Unary) and node.operator == "-":
        return isinstance(node.operand, nodes.Number)
    return (
        isinstance(node, nodes.Text | nodes.Number | nodes.Boolean | nodes.TypedText)
        and getattr(node, "type", "") != "interval"
    )


def _value(node: nodes.Node) -> Any:
    match node:
        case nodes.Text(text) | nodes.TypedText(_, text):
            return text
        case nodes.Boolean(truth):
            return truth
        case nodes.Unary(_, nodes.Number(digits)):
            return -_number(digits)
        case nodes.Number(digits):
            return _number(digits)
    raise TypeError(type(node).__name__)


def _number(digits: str) -> int | float:
    return int(digits) if digits.isdigit() else float(digits)
