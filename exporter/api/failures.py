"""How the exporter's failures are told: each carries its status, its code and what it adds (C15)."""

from __future__ import annotations

from typing import Any

from exporter.errors import ExportError

Told = tuple[int, str, str, dict[str, Any]]


def tell(error: Exception) -> Told | None:
    """Status, code, message and more of an ExportError; None for anything else."""
    if not isinstance(error, ExportError):
        return None
    return error.status, error.code, str(error), error.more
