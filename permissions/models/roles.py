"""Roles and direct grants: who may use which function, page and widget."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models

from permissions import roles
from servicevault.wording import say


def known_permissions(names: Iterable[str]) -> None:
    """Raise ValidationError naming the first permission that does not exist."""
    for name in names:
        if name not in roles.ALL:
            raise ValidationError(say("“{name}” is not a permission.", name=name))


class Role(models.Model):
    """A named set of permissions over the three dimensions function, page and widget (G1)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64, unique=True)
    permissions = ArrayField(models.CharField(max_length=64), default=list, blank=True, validators=[known_permissions])
    is_system = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """The name as people read it: a shipped role's in their language."""
        return roles.LABELS.get(self.name, self.name) if self.is_system else self.name


class Grant(models.Model):
    """One permission given to one person beside the role."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="grants")
    permission = models.CharField(max_length=64, choices=sorted(roles.ALL.items()))
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "permission"], name="grant_once")]

    def __str__(self) -> str:
        return f"{self.user} {self.permission}"
