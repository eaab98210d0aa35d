"""What a page lets leave, below what the person may: it takes away and never adds (F-164)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from permissions.tables import ExportAllowance, expanded
from servicevault.tables import Column


@dataclass(frozen=True)
class Bounds:
    """The limits of one page; the defaults take nothing away."""

    columns: tuple[str, ...] | None = None  # in the order of the file
    filters: Any = ()  # may name columns the person does not export, as a permission's row filter may
    max_rows: int | None = None
    allowed_formats: tuple[str, ...] | None = None
    show_preview: bool = True

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Bounds:
        """Bounds as `stored` wrote them; no bounds for an empty object."""
        values = dict(stored)
        for name in ("columns", "allowed_formats"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)

    @property
    def stored(self) -> dict[str, Any]:
        """As JSON; empty when nothing is taken away."""
        return {} if self == Bounds() else asdict(self)

    def narrowed(self, allowance: ExportAllowance) -> ExportAllowance:
        """What is left of the allowance. Its columns stay: `left_of` takes those away."""
        formats = allowance.allowed_formats
        if self.allowed_formats is not None:
            here = expanded(list(self.allowed_formats))
            formats = tuple(name for name in formats if name in here)
        rows = allowance.max_rows_per_export
        return replace(
            allowance,
            can_preview=allowance.can_preview and self.show_preview,
            max_rows_per_export=rows if self.max_rows is None else min(rows, self.max_rows),
            allowed_formats=formats,
        )

    def left_of(self, permitted: Mapping[str, Column]) -> dict[str, Column]:
        """The permitted columns that are left, in the order of the page. None left means none, not all."""
        if self.columns is None:
            return dict(permitted)
        return {name: permitted[name] for name in self.columns if name in permitted}
