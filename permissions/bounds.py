"""What a page leaves of what the person may: bounds take away and never add (F-163, F-164). Whoever imports or exports
adds the limits of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from permissions.tables import expanded


@dataclass(frozen=True, kw_only=True)
class PageBounds:
    """The limits of one page; the defaults take nothing away."""

    columns: tuple[str, ...] | None = None  # of the table, or fields of the target type
    max_rows: int | None = None
    allowed_formats: tuple[str, ...] | None = None
    show_preview: bool = True

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Bounds as `stored` wrote them; no bounds for an empty object."""
        names = ("columns", "allowed_formats")
        return cls(**{**stored, **{name: tuple(stored[name]) for name in names if stored.get(name) is not None}})

    @property
    def stored(self) -> dict[str, Any]:
        """As JSON; empty when nothing is taken away."""
        return {} if self == type(self)() else asdict(self)

    @property
    def formats(self) -> tuple[str, ...] | None:
        """The real formats that the names mean."""
        return None if self.allowed_formats is None else tuple(expanded(list(self.allowed_formats)))


def lowest(*limits: int | None) -> int | None:
    """The limit that counts; None is no limit."""
    return min((limit for limit in limits if limit is not None), default=None)


def both(names: tuple[str, ...] | None, others: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The names in both, in the order of the first; None is all."""
    if names is None or others is None:
        return others if names is None else names
    return tuple(name for name in names if name in others)
