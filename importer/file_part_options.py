"""Options of the parts of a document: each reads and imports as it says itself, else as the document does (F-067)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

PARTS = "parts"
OF_THE_FILE = frozenset({
    PARTS, "tables", "source_key", "validate_only", "batch_size", "read_ahead", "error_policy", "timeout", "format",
    "sheet", "record_path", "member",
})  # fmt: skip
_ALIASES = {"has_headers": "include_headers", "skip_rows": "skip_first_rows"}


class Named(Protocol):
    """A part, by what the option `tables` may call it."""

    @property
    def key(self) -> str: ...
    @property
    def place(self) -> str: ...


def own(options: Mapping[str, Any], part: Named) -> dict[str, Any]:
    """What the part says itself."""
    said = options.get(PARTS) or {}
    return dict(said.get(part.key) or said.get(part.place) or {})


def of_part(options: Mapping[str, Any], part: Named) -> dict[str, Any]:
    """The options that count for the part."""
    return merged(options, own(options, part))


def merged(options: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The document's options with these of a part in their place."""
    found = {name: value for name, value in options.items() if name != PARTS}
    for name, alias in _ALIASES.items():
        if name in said or alias in said:
            found.pop(name, None)
            found.pop(alias, None)
    return found | dict(said)


def with_own(options: Mapping[str, Any], part: Named, said: Mapping[str, Any]) -> dict[str, Any]:
    """The document's options with these as the part's own; none are taken away."""
    name = part.key if part.key in (options.get("tables") or {}) else part.place
    kept = {place: each for place, each in (options.get(PARTS) or {}).items() if place not in (part.key, part.place)}
    found = {each: value for each, value in options.items() if each != PARTS}
    changed = kept | ({name: dict(said)} if said else {})
    return found | ({PARTS: changed} if changed else {})
