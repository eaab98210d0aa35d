"""Packs as they are installed here: configuration for one platform."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Template(models.Model):
    """A pack: queries, mappings, value maps and probes for one platform (T6).

    System templates come from `packs/` and are replaced by `manage.py import_templates sync`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    platform = models.SlugField(max_length=64)
    database_type = models.CharField(max_length=16, default="postgresql", editable=False)
    description = models.TextField(blank=True)
    version = models.CharField(max_length=32, default="1.0.0")
    definition = models.JSONField()
    source = models.TextField(blank=True)  # the text of pack.yaml, as it came; what it means is `definition`
    files = models.JSONField(default=dict, blank=True)  # the other files of the pack: path → text
    is_system = models.BooleanField(default=False, editable=False)
    is_active = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["platform"], condition=models.Q(is_system=True), name="template_one_per_platform"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Application(models.Model):
    """What a profile got from its template: against this an upgrade tells a person's edits from the pack's (T17)."""

    profile = models.OneToOneField("importer.ImportProfile", on_delete=models.CASCADE, related_name="application")
    template = models.ForeignKey(Template, null=True, on_delete=models.SET_NULL, related_name="applications")
    name = models.CharField(max_length=255)  # stays when the template is deleted (T16)
    version = models.CharField(max_length=32)
    queries = models.JSONField(default=dict)  # key → the query as it was stored
    variants = models.JSONField(default=dict)  # key → the variant a person chose
    applied_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"
