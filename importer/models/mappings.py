"""Mappings people confirmed, to be proposed again (M17)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from servicevault.wording import say


class MappingMemory(models.Model):
    """One source column that somebody mapped to a target field, for this source or for files with these headers."""

    source = models.CharField(max_length=80)  # "source:<source key>" or "headers:<digest>"
    target_type = models.CharField(max_length=128)
    source_column = models.TextField()  # as the mapping wrote it: column or expression
    target_field = models.CharField(max_length=255)
    transformation = models.JSONField(default=list, blank=True)  # [{name, params}]
    used_at = models.DateTimeField(db_default=Now())
    used_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name_plural = say("mapping memories")
        constraints = [
            models.UniqueConstraint(fields=["source", "target_type", "target_field"], name="mappingmemory_unique")
        ]

    def __str__(self) -> str:
        return f"{self.source}: {self.source_column} → {self.target_type}.{self.target_field}"
