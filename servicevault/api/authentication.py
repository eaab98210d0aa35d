"""Callers are known by a token of theirs or by the session of the pages (C2)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from permissions.models import ApiToken
from servicevault.wording import say


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`; `Token` is accepted for `Bearer`."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """The token's owner, None without such a header. A wrong, revoked or expired one is refused."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() not in (b"bearer", b"token"):
            return None
        if len(parts) != 2:
            raise AuthenticationFailed(say("The Authorization header is written: Bearer, a space, the token."))
        token = ApiToken.objects.presented(parts[1].decode("latin-1"))
        if token is None:
            raise AuthenticationFailed(say("This token does not exist, was revoked, or has expired."))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="service-vault"'


class TokenScheme(OpenApiAuthenticationExtension):
    """How the token appears in the OpenAPI document."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token made on /settings/tokens."}
