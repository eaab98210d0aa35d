"""Names of columns: blank ones are numbered, repeated ones told apart, nobody's cell is lost."""

from __future__ import annotations

import re
from collections.abc import Iterable

from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import Limits
from servicevault.tabular.records import Notice
from servicevault.wording import say

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def named(cells: Iterable[str | None], line: int, notices: list[Notice], limits: Limits) -> list[str]:
    """Return a distinct name for each header cell and give notice of each that had to be made up."""
    names: list[str] = []
    taken: set[str] = set()
    for position, cell in enumerate(cells, start=1):
        check_columns(position, limits)
        name = checked((cell or "").strip(), line)
        if not name:
            name = f"column_{position}"
            notices.append(
                Notice(
                    "blank_header",
                    say("Column {position} has no name; it is called `{name}`.", position=position, name=name),
                    line,
                )
            )
        if name in taken:
            free = _free_name(name, taken)
            message = say(
                "Column {position} is called `{name}` like one before; it is called `{free}`.",
                position=position,
                name=name,
                free=free,
            )
            notices.append(Notice("duplicate_header", message, line))
            name = free
        names.append(name)
        taken.add(name)
    return names


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def numbered(count: int, limits: Limits) -> list[str]:
    """Return column_1, column_2, ... for a table without a header row."""
    check_columns(count, limits)
    return [f"column_{position}" for position in range(1, count + 1)]


def checked(name: str, line: int = 0) -> str:
    """The name. Raises FileRejected for one that neither PostgreSQL nor JSON can hold."""
    if _UNSTORABLE.search(name):
        raise FileRejected(
            say("The name of a column has a NUL byte or half a character. Rename it and send the file again."),
            line=line,
        )
    return name


def check_columns(count: int, limits: Limits) -> None:
    """Refuse more columns than any table has."""
    if count > limits.columns:
        raise FileRejected(
            say(
                "The file has more than {columns:,} columns. Check the delimiter and the quotes.",
                columns=limits.columns,
            )
        )
