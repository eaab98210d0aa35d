"""How the importer's failures are told: status and code of C15, and the members each kind adds."""

from __future__ import annotations

from typing import Any

from importer import operations
from importer.errors import ExpressionError, ImporterError, QueryError, SourceError
from importer.options import InvalidOption
from importer.query.problems import Problem, QueryProblems

CONFLICTS = {"conflict", "profile_busy", "profile_inactive", "version_conflict", "approval_required"}
Told = tuple[int, str, str, dict[str, Any]]


def tell(error: Exception) -> Told | None:
    """Status, code, message and more of an ImporterError; None for anything else."""
    match error:
        case operations.ConnectionTestFailed():
            more = {"connection_error": connection_error(error), "connection_test": error.test.as_dict()}
            return (403 if error.code == "host_not_allowed" else 400), error.code, str(error), more
        case operations.InvalidFields():
            return 422, "validation_error", str(error), {"errors": error.errors}
        case InvalidOption():
            return 422, "validation_error", str(error), {"errors": {error.where: [str(error)]}}
        case operations.VersionConflict():
            changed = {"changed_by": error.changed_by, "changed_at": error.changed_at}
            return 409, error.code, str(error), changed
        case operations.ProfileBusy():
            return 409, error.code, str(error), {"running_jobs": error.running_jobs}
        case ImporterError() if error.code in CONFLICTS:
            queries = getattr(error, "queries", None)
            return 409, error.code, str(error), {"queries": list(queries)} if queries is not None else {}
        case operations.TooManyJobs():
            return 429, error.code, str(error), {}
        case ImporterError() if error.code == "not_found":
            return 404, "not_found", str(error), {}
        case ImporterError() if error.code == "host_not_allowed":
            return 403, "host_not_allowed", str(error), {"connection_error": connection_error(error)}
        case SourceError() if error.code in ("url_invalid", "params_invalid"):
            return 422, "validation_error", str(error), {"errors": {error.where or "url": [error.message]}}
        case SourceError():
            return 400, "connection_failed", str(error), {"connection_error": connection_error(error)}
        case QueryError():
            return _query(error)
        case ImporterError():
            return 422, "validation_error", str(error), {"errors": {error.where: [str(error)]}}
        case _:
            return None


def connection_error(error: ImporterError) -> dict[str, str]:
    """Stage, cause and remedy of a source that cannot be reached."""
    return {
        "stage": error.where,
        "cause": str(getattr(error, "cause", "") or error.code),
        "message": error.message,
        "remedy": error.hint,
    }


def _query(error: QueryError) -> Told:
    problems = error.problems if isinstance(error, QueryProblems) else []
    first = problems[0] if problems else None
    errors: dict[str, list[str]] = {}
    for problem in problems:
        errors.setdefault(problem.path, []).append(f"{problem.message} {problem.hint}".strip())
    more: dict[str, Any] = {
        "errors": errors or {error.where: [str(error)]},
        "problems": [shown(problem) for problem in problems],
        "position": first.position if first else getattr(error, "position", None),
        "token": getattr(error, "token", ""),
        "suggestion": (first.hint if first else "") or getattr(error, "suggestion", "") or error.hint,
    }
    rejected = error.code == "expression_rejected" or isinstance(error, ExpressionError)
    return 422, "expression_rejected" if rejected else "query_invalid", str(error), more


def shown(problem: Problem) -> dict[str, Any]:
    """A problem as the API tells it (Q11)."""
    return {
        "code": problem.code,
        "member": problem.path,
        "message": problem.message,
        "hint": problem.hint,
        "position": problem.position,
        "severity": problem.severity,
    }
