"""Values travel beside the text of a statement, never in it."""

from __future__ import annotations

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
    """A quoted identifier: `name("p", "title")` is `"p"."title"`."""
    return sql.Identifier(*parts)


def fragment(text: str) -> sql.SQL:
    """SQL a developer wrote, as a target's definition holds it."""
    return sql.SQL(text.replace("%", "%%"))
