"""What template tags of ours are given, as lists and numbers."""

from __future__ import annotations

from collections.abc import Iterable

Names = str | Iterable[str] | None


def from_zero(number: int | None) -> int | None:
    """The number, never below zero; None where nothing was said."""
    return None if number is None else max(0, int(number))


def names(given: Names) -> tuple[str, ...] | None:
    """The names of a list or of a text with commas, each once; None where nothing was said."""
    if given is None:
        return None
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(dict.fromkeys(name for part in parts if (name := str(part).strip())))
