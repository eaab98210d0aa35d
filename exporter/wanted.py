"""An export as somebody asks for it; nothing here is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Wanted:
    """What somebody asks for; JSON as it came."""

    table_name: str
    export_format: str = "csv"
    selected_columns: Sequence[str] = ()
    filters: Any = ()
    search: str = ""
    search_columns: Sequence[str] = ()
    sort: Sequence[Mapping[str, Any]] = ()
    export_options: Mapping[str, Any] = field(default_factory=dict)
    within: Mapping[str, Any] = field(default_factory=dict)  # bounds of the page that asks; see exporter.bounds
