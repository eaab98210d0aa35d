"""What a page lets a file bring in, below what the person may: it takes away and never adds (F-163)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from permissions.tables import ImportAllowance, expanded
from servicevault.catalog import Target


@dataclass(frozen=True)
class Bounds:
    """The limits of one page; the defaults take nothing away."""

    columns: tuple[str, ...] | None = None  # of the table, or fields of the target type
    max_file_size_mb: int | None = None
    max_rows: int | None = None
    allowed_formats: tuple[str, ...] | None = None
    can_import: bool = True
    can_validate: bool = True
    show_preview: bool = True
    require_validation: bool = False  # the check is to be seen before the start
    requires_approval: bool = False

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
        return {} if self == UNBOUNDED else asdict(self)

    def also(self, other: Bounds) -> Bounds:
        """What both of them leave."""
        return Bounds(
            columns=_both(self.columns, other.columns),
            max_file_size_mb=_lowest(self.max_file_size_mb, other.max_file_size_mb),
            max_rows=_lowest(self.max_rows, other.max_rows),
            allowed_formats=_both(_real(self.allowed_formats), _real(other.allowed_formats)),
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
            max_file_size_mb=_lowest(allowance.max_file_size_mb, self.max_file_size_mb) or 0,
            max_rows_per_import=_lowest(allowance.max_rows_per_import, self.max_rows) or 0,
            allowed_formats=_both(allowance.allowed_formats, _real(self.allowed_formats)) or (),
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


def _lowest(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _both(names: tuple[str, ...] | None, others: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The names in both, in the order of the first; None is all."""
    if names is None or others is None:
        return others if names is None else names
    return tuple(name for name in names if name in others)


def _real(formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if formats is None else tuple(expanded(list(formats)))
