"""One finding about a query: where it is, what is wrong, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from importer.errors import ExpressionError, QueryError

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """A sentence a person can act on; `path` is the member of the query, "" for the query as a whole."""

    path: str
    message: str
    hint: str = ""
    code: str = "query_invalid"  # stable, from the specification's lists
    position: int | None = None  # 0-based, in the text of the member; None when the member is no text
    severity: Severity = "error"

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def under(self, path: str) -> Problem:
        """The same problem with its path placed below `path`."""
        if not self.path:
            return replace(self, path=path)
        return replace(self, path=f"{path}{self.path}" if self.path.startswith("[") else f"{path}.{self.path}")


class QueryProblems(QueryError):
    """A query with one or more errors; `problems` holds them all, the first gives the message."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: list[Problem] = list(problems)
        first = self.problems[0]
        super().__init__(first.message, hint=first.hint, where=first.path, code=first.code)


def from_expression_error(error: ExpressionError, path: str) -> Problem:
    """The problem that a refused expression text is, at `path`."""
    return Problem(path, error.message, hint=error.hint, code=error.code, position=error.position)


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The candidate most like `name` regardless of case, or "" when none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    hits = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[hits[0]] if hits else ""
