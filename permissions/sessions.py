"""Who came, who went, and who tried to: on record as it happens (G25)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Q
from django.dispatch import receiver

from permissions import audit


@receiver(user_logged_in)
def logged_in(user: Any, **_: Any) -> None:
    audit.record("login", user=user)


@receiver(user_logged_out)
def logged_out(user: Any, **_: Any) -> None:
    if user is not None:
        audit.record("logout", user=user)


@receiver(user_login_failed)
def login_failed(credentials: dict[str, Any], **_: Any) -> None:
    """Names the person who was meant, never what was typed: people type passwords into the wrong field."""
    name = str(credentials.get("username") or "").strip().replace("\x00", "")
    people = get_user_model().objects.filter(Q(username=name) | Q(email=name.lower())) if name else None
    audit.record("login_failed", obj=people.first() if people is not None else None, result="failed")
