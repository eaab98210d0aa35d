"""Settings changed while the site runs; what the environment says wins (F-147)."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Preference(models.Model):
    """The value of one setting, by whom and why; the names are those of permissions.preferences."""

    name = models.CharField(max_length=64, primary_key=True)
    value = models.JSONField()
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "preferences"

    def __str__(self) -> str:
        return self.name
