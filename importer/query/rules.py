"""What a tree must keep to beyond its grammar: how large it is, and which operands and arguments go together.

The parser and the reader of stored trees ask the same questions here.
"""

from __future__ import annotations

from importer.errors import ExpressionError

from . import nodes
from .functions import FUNCTIONS, MAX_GROWTH_NESTING, MAX_MODIFIERS, MAX_PAD, Function, literal_fault, pattern_fault
from .nodes import Node
from .words import PATTERN_OPERATORS


def check_limits(node: Node) -> None:
    """Raise ExpressionError when a tree is too deep, too large, or grows texts too often."""
    if nodes.depth_of(node) > nodes.MAX_DEPTH:
        raise ExpressionError(f"The expression is nested deeper than {nodes.MAX_DEPTH} levels.", position=0)
    if sum(1 for _ in nodes.walk(node)) > nodes.MAX_NODES:
        raise ExpressionError(f"The expression has more than {nodes.MAX_NODES} parts.", position=0)
    if nodes.weight_of(node) > nodes.MAX_WEIGHT:
        raise ExpressionError(
            "The expression repeats large parts too often (CASE x WHEN, NULLIF, BETWEEN inside each other).", position=0
        )
    if _growth_nesting(node) > MAX_GROWTH_NESTING:
        raise ExpressionError(
            f"CONCAT, REPLACE, LPAD, RPAD and REGEXP_REPLACE can be nested {MAX_GROWTH_NESTING} deep.", position=0
        )


def _growth_nesting(node: Node) -> int:
    below = max((_growth_nesting(child) for child in node.children), default=0)
    return below + (isinstance(node, nodes.Call) and FUNCTIONS[node.function].grows)


def operand_fault(operator: str, right: Node) -> str:
    """What forbids `right` as the right operand of `operator`; "" when it is allowed."""
    if operator in PATTERN_OPERATORS:
        return pattern_fault(right.value) if isinstance(right, nodes.Text) else "A pattern must be a text literal."
    if operator in ("#>", "#>>") and not isinstance(right, nodes.Text):
        return f"{operator} needs a path as a text literal, for example '{{a,b}}'."
    return ""


def call_fault(function: Function, arguments: tuple[Node, ...], *, distinct: bool = False) -> str:
    """What is wrong with a call; "" when it is allowed."""
    if not function.least <= len(arguments) <= function.most:
        return f"{function.name} is written as {function.signature}."
    if distinct and (not function.aggregate or not arguments):
        return "DISTINCT is written inside an aggregate, before a value."
    for index, argument in enumerate(arguments):
        kind = function.kind(index)
        if kind in ("text", "value"):
            continue
        if kind == "size":
            if not isinstance(argument, nodes.Number) or "." in argument.digits or int(argument.digits) > MAX_PAD:
                return f"{function.name} needs a whole number up to {MAX_PAD:,} as its size."
        elif not isinstance(argument, nodes.Text):
            return f"Argument {index + 1} of {function.name} must be a text literal."
        elif fault := literal_fault(kind, argument.value):
            return fault
    return ""


def modifiers_valid(type_name: str, modifiers: tuple[int, ...]) -> bool:
    """Whether varchar(n) or numeric(p, s) has numbers PostgreSQL accepts."""
    limits = MAX_MODIFIERS.get(type_name, ())
    if len(modifiers) > len(limits):
        return False
    in_range = all(0 <= value <= limit for value, limit in zip(modifiers, limits, strict=False))
    return in_range and (not modifiers or modifiers[0] >= 1) and (len(modifiers) < 2 or modifiers[1] <= modifiers[0])
