"""SQL laid out for people. Only shown, never run."""

from __future__ import annotations

import sqlglot
from sqlglot.errors import SqlglotError


def readable(text: str) -> str:
    """The statement on several lines; as it is when the formatter cannot read it."""
    try:
        return sqlglot.transpile(text, read="postgres", write="postgres", pretty=True)[0]
    except (SqlglotError, RecursionError, ValueError):
        return text
