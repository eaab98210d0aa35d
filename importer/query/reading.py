"""Reads members of an untrusted JSON object; what is wrong is collected, never raised one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from importer.errors import ExpressionError
from servicevault.wording import say

from .expressions import from_json, parse, render
from .nodes import Node
from .problems import Problem, from_expression_error, nearest

MAX_TEXT = 10_000  # characters of one value
MAX_INTEGER = 10**36


class Members:
    """One JSON object of a query, at `path`; `problems` is shared by all objects of the query."""

    def __init__(self, data: object, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        self.data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
        if not isinstance(data, Mapping):
            self.fault("", say("An object is expected here."))

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name else self.path or name

    def fault(self, name: str, message: str, *, hint: str = "", code: str = "query_invalid") -> None:
        self.problems.append(Problem(self.at(name), message, hint, code))

    def only(self, *names: str) -> None:
        """Report every member that is not in `names` (C8: a typing error must not switch a filter off)."""
        for key in self.data:
            if key not in names:
                closest = nearest(str(key), [name for name in names if not name.endswith("_tree")])
                hint = say("Did you mean {closest}?", closest=closest) if closest else ""
                self.fault(
                    str(key)[:80], say("Unknown member `{key}`.", key=str(key)[:80]), hint=hint, code="unknown_member"
                )

    def has(self, name: str) -> bool:
        return self.data.get(name) is not None

    def text(self, *names: str, limit: int = 255) -> str:
        """The first text among `names`, "" when none is given."""
        for name in names:
            value = self.data.get(name)
            if value is None:
                continue
            if not isinstance(value, str):
                self.fault(name, say("A text is expected here."))
            elif len(value) > limit:
                self.fault(name, say("The text has more than {limit:,} characters.", limit=limit))
            elif fault := text_fault(value):
                self.fault(name, fault)
            else:
                return value
        return ""

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.data.get(name, default)
        if not isinstance(value, bool):
            self.fault(name, say("true or false is expected here."))
            return default
        return value

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        value = self.text(name) or default
        if value.lower() not in choices:
            self.fault(
                name,
                say(
                    "`{value}` is not one of {choices}.",
                    value=value[:40],
                    choices=", ".join(choice for choice in choices if choice),
                ),
            )
            return default
        return value.lower()

    def items(self, name: str, limit: int) -> list[Any]:
        """The list `name`; a single text or object counts as a list of one."""
        value = self.data.get(name)
        if value is None:
            return []
        if isinstance(value, str | Mapping):
            return [value]
        if not isinstance(value, list | tuple):
            self.fault(name, say("A list is expected here."))
            return []
        if len(value) > limit:
            self.fault(name, say("At most {limit} are allowed; there are {count}.", limit=limit, count=len(value)))
            return []
        return list(value)

    def pairs(self, name: str) -> tuple[tuple[str, object], ...]:
        """The members of the object `name` as pairs."""
        value = self.data.get(name)
        if value is None:
            return ()
        if not isinstance(value, Mapping):
            self.fault(name, say("An object is expected here."))
            return ()
        return tuple((str(key), item) for key, item in value.items())

    def expression(self, name: str) -> Node | None:
        """The expression `name`: its tree when the text still says the same, else the parsed text."""
        return self.one_expression(self.data.get(name), self.data.get(f"{name}_tree"), self.at(name))

    def expressions(self, name: str, limit: int) -> tuple[Node, ...]:
        texts = self.items(name, limit)
        trees = self.items(f"{name}_tree", limit) if self.has(f"{name}_tree") else []
        if not texts and trees:
            texts = [None] * len(trees)
        trees = trees if len(trees) == len(texts) else [None] * len(texts)
        found = [
            self.one_expression(text, tree, f"{self.at(name)}[{index}]")
            for index, (text, tree) in enumerate(zip(texts, trees, strict=True))
        ]
        return tuple(node for node in found if node is not None)

    def one_expression(self, text: object, tree: object, path: str) -> Node | None:
        if text is None and tree is None:
            return None
        if text is not None and not isinstance(text, str):
            self.problems.append(Problem(path, say("An expression is a text.")))
            return None
        try:
            if tree is not None:
                node = from_json(tree)
                if text is None or render(node) == text:
                    return node
            return parse(str(text))
        except ExpressionError as error:
            self.problems.append(from_expression_error(error, path))
            return None


def text_fault(value: str) -> str:
    """What keeps a database from holding `value`; "" when nothing does."""
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return say("The text holds a character that no database text can hold.")
    return ""


def scalar_fault(value: object) -> str:
    """What is wrong with a JSON value that is to be bound; "" when it can be."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return (
            say("The text has more than {max_text:,} characters.", max_text=MAX_TEXT)
            if len(value) > MAX_TEXT
            else text_fault(value)
        )
    if isinstance(value, int):
        return "" if abs(value) < MAX_INTEGER else say("The number is too large.")
    if isinstance(value, float):
        return "" if math.isfinite(value) else say("The number is not finite.")
    return say("A text, a number or true/false is expected here.")
