"""Logging in with a username or an e-mail address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.db.models import Q
from django.http import HttpRequest


class EmailBackend(ModelBackend):
    """Accept the username, or the address: the agent who owns it first, then the customer (E5)."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        """Return the person, or None. Always hashes once, so that unknown names take as long as known ones."""
        if not username or password is None:
            return None
        model = get_user_model()
        people = model.objects.filter(Q(username=username) | Q(email=username.strip().lower()))
        # "agent" sorts after "account_user": agents first. A usable password is needed in either case.
        candidates = [person for person in people.order_by("-user_type", "id") if person.has_usable_password()]
        for person in candidates:
            if person.check_password(password) and self.user_can_authenticate(person):
                return person
        if not candidates:
            model().set_password(password)
        return None
