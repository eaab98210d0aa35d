"""How failures of templates are told."""

from __future__ import annotations

from typing import Any

from servicevault.api.failures import Told
from templates_registry.lint import Finding, LintFailed, LintReport
from templates_registry.operations import SystemTemplate, Undecided


def tell(error: Exception) -> Told | None:
    """Status, code, message and more of a failure of this app; None for anything else."""
    match error:
        case LintFailed():
            return 422, "validation_error", str(error), {"lint": linted(error.report)}
        case SystemTemplate():
            return 403, "permission_denied", str(error), {}
        case Undecided():
            return 409, "conflict", str(error), {"conflicts": [change.path for change in error.conflicts]}
        case _:
            return None


def linted(report: LintReport) -> dict[str, Any]:
    """A lint report as JSON (T14)."""
    return {
        "valid": report.valid,
        "errors": [_finding(item) for item in report.errors],
        "warnings": [_finding(item) for item in report.warnings],
    }


def _finding(item: Finding) -> dict[str, Any]:
    return {"file": item.file, "line": item.line, "column": item.column, "message": item.message}
