"""Values travel beside the text of a statement, never in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import sql


class Bind:
    """Collects the parameters of one statement: `bind(value, "text")` gives its placeholder with a cast."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def __call__(self, value: Any, type_name: str) -> sql.Composable:
        """The placeholder of `value`; `type_name` is one of ours, never somebody's text."""
        name = f"b{len(self.params)}"
        self.params[name] = value
        return sql.SQL("{}::{}").format(sql.Placeholder(name), sql.SQL(type_name))


def name(*parts: str) -> sql.Composable:
    """A quoted identifier: `name("p", "title")` is `"p"."title"`; for statements that take parameters."""
    return sql.Identifier(*(part.replace("%", "%%") for part in parts))


def literal(text: str) -> sql.Composable:
    """A text as a literal, for statements that take parameters: the key of a JSON column."""
    return sql.Literal(text.replace("%", "%%"))


def literals(texts: Iterable[str]) -> sql.Composable:
    """The same as an array of texts."""
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(literal(text) for text in texts))


def fragment(text: str) -> sql.SQL:
    """SQL a developer wrote, as a target's definition holds it."""
    return sql.SQL(text.replace("%", "%%"))


# Columns of ours beside the values; a table has columns of these names too.
_OURS = frozenset({"n", "key", "ordinal", "problem", "hit", "repeated", "failures", "held", "warnings"})


def slot(field_name: str) -> str:
    """The column in which a field's value travels: named as the field, unless we need the name ourselves."""
    return f"value:{field_name}" if field_name in _OURS else field_name
