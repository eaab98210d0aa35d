"""What a page lets a file bring in, below what the person may: it takes away and never adds (F-163)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from permissions.bounds import PageBounds, both, lowest
from permissions.tables import ImportAllowance
from servicevault.catalog import Target


@dataclass(frozen=True, kw_only=True)
class Bounds(PageBounds):
    """The limits of one page; the defaults take nothing away."""

    max_file_size_mb: int | None = None
    can_import: bool = True
    can_validate: bool = True
    require_validation: bool = False  # the check is to be seen before the start
    requires_approval: bool = False

    def also(self, other: Bounds) -> Bounds:
        """What both of them leave."""
        return Bounds(
            columns=both(self.columns, other.columns),
            max_file_size_mb=lowest(self.max_file_size_mb, other.max_file_size_mb),
            max_rows=lowest(self.max_rows, other.max_rows),
            allowed_formats=both(self.formats, other.formats),
            can_import=self.can_import and other.can_import,
            can_validate=self.can_validate and other.can_validate,
            show_preview=self.show_preview and other.show_preview,
            require_validation=self.require_validation or other.require_validation,
            requires_approval=self.requires_approval or other.requires_approval,
        )

    def narrowed(self, allowance: ImportAllowance) -> ImportAllowance:
        """What is left of the allowance. Its columns stay: `left_of` takes those away."""
        return replace(
            allowance,
            can_import=allowance.can_import and self.can_import,
            can_validate=allowance.can_validate and self.can_validate,
            can_preview=allowance.can_preview and self.show_preview,
            max_file_size_mb=lowest(allowance.max_file_size_mb, self.max_file_size_mb) or 0,
            max_rows_per_import=lowest(allowance.max_rows_per_import, self.max_rows) or 0,
            allowed_formats=both(allowance.allowed_formats, self.formats) or (),
            requires_approval=allowance.requires_approval or self.requires_approval,
        )

    def left_of(self, target: Target) -> Target:
        """The target with the fields that are left. None left means none, not all."""
        if self.columns is None:
            return target
        names = set(self.columns)
        return replace(
            target,
            fields=tuple(field for field in target.fields if names & {field.name, *field.aliases}),
            json_column=target.json_column if target.json_column in names else "",
        )


UNBOUNDED = Bounds()
