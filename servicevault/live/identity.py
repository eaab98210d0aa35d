"""Who is behind a socket or a stream: a session or a token, asked again as long as it is open (L1, L15)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils import timezone

from permissions.models import ApiToken


@dataclass(frozen=True)
class Identity:
    """A way in, as it was shown once; `user` says whose it is now."""

    session_key: str = ""
    token_id: UUID | None = None

    def user(self) -> Any:
        """The person with the rights of this moment; None once they logged out, are inactive, or the token is gone."""
        return self._by_session() if self.token_id is None else self._by_token(self.token_id)

    def _by_session(self) -> Any:
        if not self.session_key:
            return None
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(self.session_key)
        found: Any = get_user(request)
        return found if found.is_authenticated and found.is_active else None

    def _by_token(self, pk: UUID) -> Any:
        token = ApiToken.objects.filter(pk=pk, revoked_at=None, user__is_active=True).select_related("user__role")
        found = token.first()
        is_over = found is not None and found.expires_at is not None and found.expires_at <= timezone.now()
        return None if found is None or is_over else found.user


def of_token(text: str) -> Identity | None:
    """The identity that a token shows; None for a wrong, revoked or expired one."""
    token = ApiToken.objects.presented(text)
    return None if token is None else Identity(token_id=token.pk)


def of_request(request: Any) -> Identity:
    """The identity of a request of the API: its token, else its session."""
    if isinstance(request.auth, ApiToken):
        return Identity(token_id=request.auth.pk)
    return Identity(session_key=request.session.session_key or "")


def of_cookie(request: ASGIRequest) -> Identity | None:
    """The identity that a browser's cookie shows; None without a cookie."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return Identity(session_key=key) if key else None


def origin_of(request: ASGIRequest) -> str:
    """ "own" for a page of ours, "foreign" for another site's, "none" for a program that is no browser.

    A browser sends its cookies along from every site, and lets no script lie about the origin.
    """
    origin = request.headers.get("Origin")
    try:
        host = request.get_host()
    except DisallowedHost:
        return "foreign"
    if origin is None:
        return "none"
    parts = urlsplit(origin)
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return "own"
    schemes = ("https",) if settings.SESSION_COOKIE_SECURE else ("http", "https")
    return "own" if parts.scheme in schemes and _plain(parts.netloc) == _plain(host) else "foreign"


def _plain(netloc: str) -> str:
    """A host with its port, without the port that everybody means."""
    return netloc.lower().removesuffix(":443").removesuffix(":80")
