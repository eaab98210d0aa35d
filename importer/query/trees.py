"""Stores expression trees as JSON and reads them back without trusting what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from importer.errors import ExpressionError
from servicevault.wording import say

from . import nodes
from .functions import CAST_TYPES, EXTRACT_FIELDS, FUNCTIONS, TYPED_TEXTS
from .lexer import MAX_DIGITS, check_characters
from .nodes import Node
from .rules import call_fault, check_limits, modifiers_valid, operand_fault
from .words import BINARY_OPERATORS

Json = Any


def to_json(node: Node) -> dict[str, Json]:
    """The tree as JSON-able values; `from_json` gives the same tree back."""
    match node:
        case nodes.Column(name, table, schema):
            return _without_empty({"node": "column", "name": name, "table": table, "schema": schema})
        case nodes.Text(value):
            return {"node": "text", "value": value}
        case nodes.Number(digits):
            return {"node": "number", "digits": digits}
        case nodes.Boolean(value):
            return {"node": "boolean", "value": value}
        case nodes.Null():
            return {"node": "null"}
        case nodes.TypedText(type_name, value):
            return {"node": "typed", "type": type_name, "value": value}
        case nodes.Unary(operator, operand):
            return {"node": "unary", "operator": operator, "operand": to_json(operand)}
        case nodes.Binary(operator, left, right):
            return {"node": "binary", "operator": operator, "left": to_json(left), "right": to_json(right)}
        case nodes.Logical(operator, operands):
            return {"node": "logical", "operator": operator, "operands": [to_json(item) for item in operands]}
        case nodes.IsNull(operand, negated):
            return {"node": "is_null", "operand": to_json(operand), "negated": negated}
        case nodes.In(operand, items, negated):
            listed = [to_json(item) for item in items]
            return {"node": "in", "operand": to_json(operand), "items": listed, "negated": negated}
        case nodes.Between(operand, low, high, negated):
            bounds = {"low": to_json(low), "high": to_json(high)}
            return {"node": "between", "operand": to_json(operand), **bounds, "negated": negated}
        case nodes.Case(subject, branches, default):
            return {
                "node": "case",
                "subject": None if subject is None else to_json(subject),
                "branches": [{"when": to_json(when), "then": to_json(then)} for when, then in branches],
                "default": None if default is None else to_json(default),
            }
        case nodes.Cast(operand, type_name, modifiers):
            return {"node": "cast", "operand": to_json(operand), "type": type_name, "modifiers": list(modifiers)}
        case nodes.Call(function, arguments, distinct):
            listed = [to_json(argument) for argument in arguments]
            return {"node": "call", "function": function, "arguments": listed, "distinct": distinct}
        case nodes.Extract(field, operand):
            return {"node": "extract", "field": field, "operand": to_json(operand)}
    raise TypeError(f"not an expression node: {type(node).__name__}")


def from_json(data: object) -> Node:
    """The tree stored as `data`.

    Raises ExpressionError for anything `to_json` could not have written from a parsed text.
    """
    node = _read(data, 1)
    check_limits(node)
    return node


def _without_empty(data: dict[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in data.items() if value != ""}


def _fault(message: str) -> ExpressionError:
    return ExpressionError(say("The stored expression is damaged: {message}.", message=message), position=0)


def _read(data: object, level: int) -> Node:
    if level > nodes.MAX_DEPTH:
        raise _fault(say("it is nested too deep"))
    if not isinstance(data, Mapping):
        raise _fault(say("a part is not an object"))
    kind = data.get("node")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise _fault(say("a part has an unknown kind"))
    return reader(_Members(data, level))


class _Members:
    """Typed access to the members of one stored node; a missing or wrong one raises ExpressionError."""

    def __init__(self, data: Mapping[str, Json], level: int) -> None:
        self.data = data
        self.level = level

    def only(self, *names: str) -> None:
        if unknown := [key for key in self.data if key not in (*names, "node")]:
            raise _fault(f"unknown member {str(unknown[0])[:40]!r}")

    def text(self, name: str, *, optional: bool = False) -> str:
        value = self.data.get(name, "" if optional else None)
        if not isinstance(value, str):
            raise _fault(say("{name} is not a text", name=name))
        check_characters(value, 0)
        return value

    def choice(self, name: str, choices: object) -> str:
        value = self.text(name)
        if value not in choices:  # type: ignore[operator]
            raise _fault(say("{value!r} is not a known {name}", value=value[:40], name=name))
        return value

    def flag(self, name: str) -> bool:
        value = self.data.get(name)
        if not isinstance(value, bool):
            raise _fault(say("{name} is not true or false", name=name))
        return value

    def items(self, name: str) -> list[Json]:
        value = self.data.get(name)
        if not isinstance(value, list) or len(value) > nodes.MAX_NODES:
            raise _fault(say("{name} is not a list", name=name))
        return value

    def node(self, name: str) -> Node:
        return _read(self.data.get(name), self.level + 1)

    def optional_node(self, name: str) -> Node | None:
        return None if self.data.get(name) is None else self.node(name)

    def nodes(self, name: str) -> tuple[Node, ...]:
        return tuple(_read(item, self.level + 1) for item in self.items(name))


def _column(members: _Members) -> Node:
    members.only("name", "table", "schema")
    name, table = members.text("name"), members.text("table", optional=True)
    schema = members.text("schema", optional=True)
    if not name or (schema and not table):
        raise _fault(say("a column has no name"))
    return nodes.Column(name, table, schema)


def _text(members: _Members) -> Node:
    members.only("value")
    return nodes.Text(members.text("value"))


def _number(members: _Members) -> Node:
    members.only("digits")
    digits = members.text("digits")
    whole, point, fraction = digits.partition(".")
    parts = [whole, fraction] if point else [whole]
    if not all(part.isascii() and part.isdigit() and len(part) <= MAX_DIGITS for part in parts):
        raise _fault(say("a number is not digits"))
    return nodes.Number(digits)


def _boolean(members: _Members) -> Node:
    members.only("value")
    return nodes.Boolean(members.flag("value"))


def _null(members: _Members) -> Node:
    members.only()
    return nodes.Null()


def _typed(members: _Members) -> Node:
    members.only("type", "value")
    return nodes.TypedText(members.choice("type", TYPED_TEXTS), members.text("value"))


def _unary(members: _Members) -> Node:
    members.only("operator", "operand")
    return nodes.Unary(members.choice("operator", ("-", "+", "not")), members.node("operand"))


def _binary(members: _Members) -> Node:
    members.only("operator", "left", "right")
    node = nodes.Binary(members.choice("operator", BINARY_OPERATORS), members.node("left"), members.node("right"))
    if fault := operand_fault(node.operator, node.right):
        raise _fault(fault.rstrip("."))
    return node


def _logical(members: _Members) -> Node:
    members.only("operator", "operands")
    operands = members.nodes("operands")
    if len(operands) < 2:
        raise _fault("AND and OR join at least two parts")
    return nodes.Logical(members.choice("operator", ("and", "or")), operands)


def _is_null(members: _Members) -> Node:
    members.only("operand", "negated")
    return nodes.IsNull(members.node("operand"), members.flag("negated"))


def _in(members: _Members) -> Node:
    members.only("operand", "items", "negated")
    items = members.nodes("items")
    if not items:
        raise _fault("IN has no values")
    return nodes.In(members.node("operand"), items, members.flag("negated"))


def _between(members: _Members) -> Node:
    members.only("operand", "low", "high", "negated")
    return nodes.Between(members.node("operand"), members.node("low"), members.node("high"), members.flag("negated"))


def _case(members: _Members) -> Node:
    members.only("subject", "branches", "default")
    branches = []
    for item in members.items("branches"):
        if not isinstance(item, Mapping):
            raise _fault(say("a branch of CASE is not an object"))
        branch = _Members(item, members.level)
        branch.only("when", "then")
        branches.append((branch.node("when"), branch.node("then")))
    if not branches:
        raise _fault("CASE has no WHEN")
    return nodes.Case(members.optional_node("subject"), tuple(branches), members.optional_node("default"))


def _cast(members: _Members) -> Node:
    members.only("operand", "type", "modifiers")
    type_name = members.choice("type", CAST_TYPES)
    modifiers = members.items("modifiers")
    if not all(type(value) is int for value in modifiers) or not modifiers_valid(type_name, tuple(modifiers)):
        raise _fault(say("the size of a type is out of range"))
    return nodes.Cast(members.node("operand"), type_name, tuple(modifiers))


def _call(members: _Members) -> Node:
    members.only("function", "arguments", "distinct")
    function = FUNCTIONS[members.choice("function", FUNCTIONS)]
    arguments, distinct = members.nodes("arguments"), members.flag("distinct")
    if fault := call_fault(function, arguments, distinct=distinct):
        raise _fault(fault.rstrip("."))
    return nodes.Call(function.name, arguments, distinct)


def _extract(members: _Members) -> Node:
    members.only("field", "operand")
    return nodes.Extract(members.choice("field", EXTRACT_FIELDS), members.node("operand"))


_READERS: dict[str, Callable[[_Members], Node]] = {
    "column": _column, "text": _text, "number": _number, "boolean": _boolean, "null": _null, "typed": _typed,
    "unary": _unary, "binary": _binary, "logical": _logical, "is_null": _is_null, "in": _in, "between": _between,
    "case": _case, "cast": _cast, "call": _call, "extract": _extract,
}  # fmt: skip
