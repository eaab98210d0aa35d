"""Headers every answer carries."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from permissions import audit
from servicevault import logs
from servicevault.web.addresses import client_address
from servicevault.web.errors import unavailable

POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'{sockets}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)


class RequestId:
    """Give each request a number that its answer, its error page and the log share (C7)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = secrets.token_hex(8)  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response


class RequestOrigin:
    """Tell the audit log where everything that happens during the request comes from (F-139, G29)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        origin = audit.Origin(
            address=client_address(request),
            user_agent=request.META.get("HTTP_USER_AGENT", ""),
            request_id=request.request_id,  # type: ignore[attr-defined]
        )
        with audit.coming_from(origin), logs.about(request_id=origin.request_id):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """503 for an act whose audit entry cannot be written; it did not happen (G27)."""
        return unavailable(request) if isinstance(exception, audit.AuditUnavailable) else None


class ContentSecurityPolicy:
    """Send a strict Content-Security-Policy; templates read the nonce as `request.csp_nonce`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        nonce = secrets.token_urlsafe(16)
        request.csp_nonce = nonce  # type: ignore[attr-defined]
        response = self.get_response(request)
        policy = POLICY.format(nonce=nonce, sockets=_sockets(request))
        response.headers.setdefault("Content-Security-Policy", policy)
        return response


def _sockets(request: HttpRequest) -> str:
    """The site's own sockets, said aloud: not every browser counts them as 'self'."""
    try:
        return f" {'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
    except DisallowedHost:
        return ""
