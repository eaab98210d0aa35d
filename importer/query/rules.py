"""What a tree must keep to beyond its grammar: how large it is, and which operands and arguments go together.

The parser and the reader of stored trees ask the same questions here.
"""

from __future__ import annotations

from importer.errors import ExpressionError
from servicevault.wording import say

from . import nodes
from .functions import FUNCTIONS, MAX_GROWTH_NESTING, MAX_MODIFIERS, MAX_PAD, Function, literal_fault, pattern_fault
from .nodes import Node
from .words import PATTERN_OPERATORS


def check_limits(node: Node) -> None:
    """Raise ExpressionError when a tree is too deep, too large, or grows texts too often."""
    if nodes.depth_of(node) > nodes.MAX_DEPTH:
        raise ExpressionError(
            say("The expression is nested deeper than {max_depth} levels.", max_depth=nodes.MAX_DEPTH), position=0
        )
    if sum(1 for _ in nodes.walk(node)) > nodes.MAX_NODES:
        raise ExpressionError(
            say("The expression has more than {max_nodes} parts.", max_nodes=nodes.MAX_NODES), position=0
        )
    if nodes.weight_of(node) > nodes.MAX_WEIGHT:
        raise ExpressionError(
            say("The expression repeats large parts too often (CASE x WHEN, NULLIF, BETWEEN inside each other)."),
            position=0,
        )
    if _growth_nesting(node) > MAX_GROWTH_NESTING:
        raise ExpressionError(
            say(
                "CONCAT, REPLACE, LPAD, RPAD and REGEXP_REPLACE can be nested {max_growth_nesting} deep.",
                max_growth_nesting=MAX_GROWTH_NESTING,
            ),
            position=0,
        )


def _growth_nesting(node: Node) -> int:
    below = max((_growth_nesting(child) for child in node.children), default=0)
    return below + (isinstance(node, nodes.Call) and FUNCTIONS[node.function].grows)


def operand_fault(operator: str, right: Node) -> str:
    """What forbids `right` as the right operand of `operator`; "" when it is allowed."""
    if operator in PATTERN_OPERATORS:
        return pattern_fault(right.value) if isinstance(right, nodes.Text) else say("A pattern must be a text literal.")
    if operator in ("#>", "#>>") and not isinstance(right, nodes.Text):
        return say("{operator} needs a path as a text literal, for example '{{a,b}}'.", operator=operator)
    return ""


def call_fault(function: Function, arguments: tuple[Node, ...], *, distinct: bool = False) -> str:
    """What is wrong with a call; "" when it is allowed."""
    if not function.least <= len(arguments) <= function.most:
        return say("{function} is written as {signature}.", function=function.name, signature=function.signature)
    if distinct and (not function.aggregate or not arguments):
        return say("DISTINCT is written inside an aggregate, before a value.")
    for index, argument in enumerate(arguments):
        kind = function.kind(index)
        if kind in ("text", "value"):
            continue
        if kind == "size":
            if not isinstance(argument, nodes.Number) or "." in argument.digits or int(argument.digits) > MAX_PAD:
                return say(
                    "{function} needs a whole number up to {max_pad:,} as its size.",
                    function=function.name,
                    max_pad=MAX_PAD,
                )
        elif not isinstance(argument, nodes.Text):
            return say(
                "Argument {index} of {function} must be a text literal.", index=index + 1, function=function.name
            )
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
