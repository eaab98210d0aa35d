"""What a page lets leave, below what the person may: it takes away and never adds (F-164)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from permissions.bounds import PageBounds, both, lowest
from permissions.tables import ExportAllowance
from servicevault.tables import Column


@dataclass(frozen=True, kw_only=True)
class Bounds(PageBounds):
    """The limits of one page; the defaults take nothing away. Columns are in the order of the file."""

    filters: Any = ()  # may name columns the person does not export, as a permission's row filter may

    def narrowed(self, allowance: ExportAllowance) -> ExportAllowance:
        """What is left of the allowance. Its columns stay: `left_of` takes those away."""
        return replace(
            allowance,
            can_preview=allowance.can_preview and self.show_preview,
            max_rows_per_export=lowest(allowance.max_rows_per_export, self.max_rows) or 0,
            allowed_formats=both(allowance.allowed_formats, self.formats) or (),
        )

    def left_of(self, permitted: Mapping[str, Column]) -> dict[str, Column]:
        """The permitted columns that are left, in the order of the page. None left means none, not all."""
        if self.columns is None:
            return dict(permitted)
        return {name: permitted[name] for name in self.columns if name in permitted}
