"""The tree an expression is: frozen values that are compared, stored and composed, never text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

MAX_DEPTH = 30  # Q28
MAX_NODES = 400
MAX_WEIGHT = 5_000  # nodes after operands that appear twice in the generated SQL are counted twice


@dataclass(frozen=True)
class Node:
    """Base of all nodes; `children` are the operands in reading order."""

    @property
    def children(self) -> tuple[Node, ...]:
        return ()


@dataclass(frozen=True)
class Column(Node):
    name: str
    table: str = ""  # alias or table as the person wrote it; "" when left out
    schema: str = ""


@dataclass(frozen=True)
class Text(Node):
    value: str


@dataclass(frozen=True)
class Number(Node):
    digits: str  # "12" or "12.50"; never signed


@dataclass(frozen=True)
class Boolean(Node):
    value: bool


@dataclass(frozen=True)
class Null(Node):
    pass


@dataclass(frozen=True)
class TypedText(Node):
    type: str  # date, time, timestamp, timestamptz, interval
    value: str


@dataclass(frozen=True)
class Unary(Node):
    operator: str  # "-", "+", "not"
    operand: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(frozen=True)
class Binary(Node):
    operator: str  # a key of grammar.BINARY_OPERATORS
    left: Node
    right: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.left, self.right)


@dataclass(frozen=True)
class Logical(Node):
    operator: str  # "and", "or"
    operands: tuple[Node, ...]  # at least two; none is a Logical of the same operator unless it was in parentheses

    @property
    def children(self) -> tuple[Node, ...]:
        return self.operands


@dataclass(frozen=True)
class IsNull(Node):
    operand: Node
    negated: bool = False

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(frozen=True)
class In(Node):
    operand: Node
    items: tuple[Node, ...]
    negated: bool = False

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand, *self.items)


@dataclass(frozen=True)
class Between(Node):
    operand: Node
    low: Node
    high: Node
    negated: bool = False

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand, self.low, self.high)


@dataclass(frozen=True)
class Case(Node):
    subject: Node | None
    branches: tuple[tuple[Node, Node], ...]  # (when, then)
    default: Node | None = None

    @property
    def children(self) -> tuple[Node, ...]:
        inner = tuple(node for branch in self.branches for node in branch)
        return tuple(node for node in (self.subject, *inner, self.default) if node is not None)


@dataclass(frozen=True)
class Cast(Node):
    operand: Node
    type: str  # a key of functions.CAST_TYPES
    modifiers: tuple[int, ...] = ()  # varchar(n), numeric(p, s)

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(frozen=True)
class Call(Node):
    function: str  # a key of functions.FUNCTIONS, upper case
    arguments: tuple[Node, ...] = ()  # empty for COUNT(*)
    distinct: bool = False  # aggregates only

    @property
    def children(self) -> tuple[Node, ...]:
        return self.arguments


@dataclass(frozen=True)
class Extract(Node):
    field: str  # one of functions.EXTRACT_FIELDS
    operand: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(current.children))


def columns_of(node: Node) -> list[Column]:
    """The column references in `node` in reading order, each once."""
    return list(dict.fromkeys(found for found in walk(node) if isinstance(found, Column)))


def map_columns(node: Node, change: Callable[[Column], Node]) -> Node:
    """`node` with every column replaced by what `change` makes of it."""
    if isinstance(node, Column):
        return change(node)
    return type(node)(**{part.name: _mapped(getattr(node, part.name), change) for part in fields(node)})


def _mapped(value: object, change: Callable[[Column], Node]) -> object:
    if isinstance(value, Node):
        return map_columns(value, change)
    if isinstance(value, tuple):
        return tuple(_mapped(item, change) for item in value)
    return value


def depth_of(node: Node) -> int:
    """The number of levels of `node`; a lone value has one. Does not recurse."""
    deepest = 0
    pending = [(node, 1)]
    while pending:
        current, level = pending.pop()
        deepest = max(deepest, level)
        pending.extend((child, level + 1) for child in current.children)
    return deepest


def weight_of(node: Node) -> int:
    """How many nodes the SQL of `node` has, counting the copies that desugaring makes.

    Call only for a tree within MAX_DEPTH: recurses once per level.
    """
    copies: list[tuple[Node, int]] = [(child, 1) for child in node.children]
    if isinstance(node, Case) and node.subject is not None:
        copies = [(node.subject, len(node.branches)), *[(child, 1) for child in node.children[1:]]]
    elif isinstance(node, Between):
        copies = [(node.operand, 2), (node.low, 1), (node.high, 1)]
    elif isinstance(node, Binary) and node.operator.endswith("distinct from"):
        copies = [(node.left, 2), (node.right, 2)]
    elif isinstance(node, Call) and node.function == "NULLIF":
        copies = [(node.arguments[0], 2), *[(argument, 1) for argument in node.arguments[1:]]]
    return 1 + sum(weight_of(child) * times for child, times in copies)
