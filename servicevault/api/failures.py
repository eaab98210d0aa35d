"""Every failure has one body (C7) and one status (C15): `{message, code, errors?, request_id}` and what its kind adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_handler

from permissions import audit
from permissions.audit import AuditUnavailable
from permissions.policy import Denied
from servicevault.uploads import UploadTooLarge
from servicevault.wording import say, told

Told = tuple[int, str, str, dict[str, Any]]  # status, code, message, what the kind adds
Teller = Callable[[Exception], Told | None]

RETRY_AFTER = "10"  # seconds; G27, C15

_tellers: list[Teller] = []
_CODES = {
    status.HTTP_400_BAD_REQUEST: "malformed_request",
    status.HTTP_401_UNAUTHORIZED: "authentication_required",
    status.HTTP_403_FORBIDDEN: "permission_denied",
    status.HTTP_404_NOT_FOUND: "not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_406_NOT_ACCEPTABLE: "not_acceptable",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    status.HTTP_422_UNPROCESSABLE_ENTITY: "validation_error",
    status.HTTP_429_TOO_MANY_REQUESTS: "rate_limited",
}


def register(teller: Teller, *, first: bool = False) -> None:
    """Let an app say how its failures are told; a special kind is asked `first`."""
    _tellers.insert(0 if first else len(_tellers), teller)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None for what nobody foresaw: that is a 500, told by `unforeseen`."""
    request = context["request"]
    if isinstance(error, Denied):
        audit.record_denied(error.permission, request.path, request.method, user=request.user)
    for teller in (*_tellers, _told_here):
        if told := teller(error):
            code_status, code, message, more = told
            headers = {"Retry-After": RETRY_AFTER} if code_status == status.HTTP_503_SERVICE_UNAVAILABLE else None
            return Response(_body(request, code, message, more), status=code_status, headers=headers)
    answer = rest_handler(error, context)
    if answer is not None:
        answer.data = _body(request, _CODES.get(answer.status_code, "error"), _sentence(answer.data), {})
    return answer


def failure_body(request: HttpRequest, code: str, message: str) -> dict[str, Any]:
    """The body of a failure outside of any endpoint."""
    return _body(request, code, message, {})


def _told_here(error: Exception) -> Told | None:
    match error:
        case Denied():
            return 403, "permission_denied", str(error), {"required_permission": error.permission}
        case PermissionDenied():
            return 403, "permission_denied", say("This is not allowed."), {}
        case Http404():
            return 404, "not_found", say("There is nothing here, or nothing you may see."), {}
        case exceptions.ValidationError():
            errors = _flat(error.detail)
            return 422, "validation_error", next(iter(errors.values()))[0], {"errors": errors}
        case UploadTooLarge():
            return 413, "IMPORT_001", str(error), {"limit_mb": error.limit_mb, "size_mb": error.size_mb}
        case SuspiciousOperation():  # a body beyond Django's limits
            return 400, "malformed_request", say("The body is too large, or not what it says it is."), {}
        case AuditUnavailable():
            return (
                503,
                "service_unavailable",
                say("The audit log cannot be written, so nothing was done. Try again."),
                {},
            )
        case exceptions.NotAuthenticated():
            return None
        case _:
            return None


def _body(request: Any, code: str, message: str, more: dict[str, Any]) -> dict[str, Any]:
    body = {"message": message, "code": code, **more, "request_id": getattr(request, "request_id", "")}
    return {name: told(value) for name, value in body.items()}


def _flat(detail: Any, path: str = "") -> dict[str, list[str]]:
    """DRF's nested findings as one list of sentences for each member."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for name, inner in detail.items():
            at = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            found |= _flat(inner, at)
        return found
    if isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        found = {}
        for index, inner in enumerate(detail):
            found |= _flat(inner, f"{path}[{index}]") if inner else {}
        return found
    return {path: [str(item) for item in detail] if isinstance(detail, list) else [str(detail)]}


def _sentence(data: Any) -> str:
    if isinstance(data, dict):
        data = data.get("detail", data)
    return str(data)
