"""Tokens for programs: shown once, stored hashed, revoked at any time (C2)."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

PREFIX = "sv_"  # so that a leaked one is recognised by scanners
NOTED_EVERY = timedelta(minutes=1)


class Tokens(models.Manager["ApiToken"]):
    def make(self, user: Any, name: str, *, days: int | None = None) -> tuple[ApiToken, str]:
        """A new token of the person and its text, which is stored nowhere."""
        text = PREFIX + secrets.token_urlsafe(32)
        expires = timezone.now() + timedelta(days=days) if days else None
        with transaction.atomic():
            token = self.create(user=user, name=name, digest=_digest(text), shown=text[:7], expires_at=expires)
            _record("token_created", token)
        return token, text

    def presented(self, text: str) -> ApiToken | None:
        """The valid token of this text, with its user; None for any other. Notes the use once a minute."""
        now = timezone.now()
        valid = Q(expires_at=None) | Q(expires_at__gt=now)
        token = self.filter(valid, digest=_digest(text), revoked_at=None, user__is_active=True).select_related(
            "user__role"
        )
        found = token.first()
        if found is not None and (found.last_used_at is None or now - found.last_used_at > NOTED_EVERY):
            self.filter(pk=found.pk).update(last_used_at=now)
        return found


class ApiToken(models.Model):
    """A way in for a program, with all the rights of its owner."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    shown = models.CharField(max_length=8, editable=False)  # the first characters, to tell tokens apart
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = Tokens()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.shown}…)"

    def revoke(self) -> None:
        """Refuse the token from now on; the row stays for the record."""
        self.revoked_at = self.revoked_at or timezone.now()
        with transaction.atomic():
            self.save(update_fields=["revoked_at"])
            _record("token_revoked", self)


def _record(operation: str, token: ApiToken) -> None:
    from permissions import audit  # which reads models, of which this module is one

    audit.record(operation, user=token.user, obj=token, details={"name": token.name})


def _digest(text: str) -> str:
    """A plain hash suffices: the text has 256 bits of chance."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
