"""A connection to a source database, and the queries that read it."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from importer.modes import AccountStrategy, AgentStrategy, Mode
from servicevault.live import telling
from servicevault.wording import say


class SSLMode(models.TextChoices):
    DISABLE = "disable", say("Disable")
    ALLOW = "allow", say("Allow")
    PREFER = "prefer", say("Prefer")
    REQUIRE = "require", say("Require")
    VERIFY_CA = "verify-ca", say("Verify Ca")
    VERIFY_FULL = "verify-full", say("Verify Full")


class Visibility(models.TextChoices):
    ALL = "all", say("All")
    RESTRICTED = "restricted", say("Restricted")


def one_line(value: str) -> None:
    if any(ord(character) < 32 for character in value):
        raise ValidationError(say("Control characters are not allowed here."))


class ImportProfile(models.Model):
    """A stored connection with its queries, modes and defaults (P7).

    The password is kept encrypted and bound to this row; `importer.crypto` is the only reader.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255, validators=[one_line])
    description = models.TextField(blank=True, validators=[MaxLengthValidator(10_000)])
    notes = models.TextField(blank=True, validators=[MaxLengthValidator(10_000)])
    database_type = models.CharField(max_length=16, default="postgresql", editable=False)
    host = models.CharField(max_length=255, validators=[one_line])
    port = models.PositiveIntegerField(default=5432, validators=[MinValueValidator(1), MaxValueValidator(65_535)])
    database = models.CharField(max_length=255, validators=[one_line])
    username = models.CharField(max_length=255, validators=[one_line])
    secret = models.BinaryField(null=True, blank=True, editable=False)
    password_set_at = models.DateTimeField(null=True, blank=True, editable=False)
    ssl_mode = models.CharField(max_length=16, choices=SSLMode.choices, default=SSLMode.PREFER)
    ssl_root_cert = models.TextField(blank=True)
    source_key = models.SlugField(max_length=64, help_text=say("Profiles with the same key share external ids."))
    source_timezone = models.CharField(max_length=64, default="UTC")
    timezone_confirmed = models.BooleanField(default=False)
    import_mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.UPSERT)
    matching = models.JSONField(default=dict, blank=True)
    account_strategy = models.CharField(max_length=24, choices=AccountStrategy.choices, default=AccountStrategy.COMPANY)
    agent_strategy = models.CharField(max_length=16, choices=AgentStrategy.choices, default=AgentStrategy.CREATE)
    placeholder_agent = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    number_prefix = models.CharField(max_length=16, blank=True)
    priority_order = models.JSONField(default=list, blank=True)
    template = models.ForeignKey(
        "templates_registry.Template", null=True, blank=True, on_delete=models.SET_NULL, related_name="profiles"
    )
    template_version = models.CharField(max_length=32, blank=True)
    views = models.JSONField(default=list, blank=True)  # named SELECTs of the applied pack
    parameters = models.JSONField(default=dict, blank=True)
    sync = models.JSONField(default=dict, blank=True)  # when it shall run by the clock; see operations.sync
    has_custom_queries = models.BooleanField(default=False)
    requires_approval = models.BooleanField(default=False)
    visibility = models.CharField(max_length=12, choices=Visibility.choices, default=Visibility.ALL)
    is_active = models.BooleanField(default=True)
    last_tested_at = models.DateTimeField(null=True, blank=True)
    last_test_result = models.JSONField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="import_profiles"
    )
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name"]
        permissions = [("execute_importprofile", say("Can run imports of the profile"))]
        constraints = [
            models.UniqueConstraint(Lower("name"), condition=Q(deleted_at=None), name="importprofile_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Tell whoever watches that there is a new version."""
        is_new, fields = self._state.adding, kwargs.get("update_fields")
        super().save(*args, **kwargs)
        if not is_new and (fields is None or "version" in fields):
            telling.happened("import.profile.updated", self, [self.channel])

    @property
    def channel(self) -> str:
        """Where those listen who want to know what becomes of it."""
        return f"import.profile.{self.pk}"

    @property
    def has_password(self) -> bool:
        return self.secret is not None

    @property
    def configuration_type(self) -> str:
        """ "custom" once a person saved or edited a query, else "template" or "none" (P6, Q4)."""
        if self.has_custom_queries:
            return "custom"
        return "template" if self.template_id else "none"


class ImportQuery(models.Model):
    """One read of the source that feeds one target type; only the parsed form is stored."""

    profile = models.ForeignKey(ImportProfile, on_delete=models.CASCADE, related_name="queries")
    key = models.SlugField(max_length=64)
    name = models.CharField(max_length=255)
    entity = models.CharField(max_length=64)  # fixed at creation, survives renaming the key (E23a)
    target_type = models.CharField(max_length=128)
    spec = models.JSONField()
    value_maps = models.JSONField(default=dict, blank=True)
    variant = models.CharField(max_length=64, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=255, blank=True)
    version = models.PositiveIntegerField(default=1)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["position", "key"]
        verbose_name_plural = say("import queries")
        constraints = [models.UniqueConstraint(fields=["profile", "key"], name="importquery_key_unique")]

    def __str__(self) -> str:
        return self.name


class SourceEntity(models.Model):
    """A kind of source row of one source: the space in which an external id is unique (E23, E24)."""

    source_key = models.SlugField(max_length=64)
    entity = models.CharField(max_length=64)
    target_type = models.CharField(max_length=128)

    class Meta:
        verbose_name_plural = say("source entities")
        constraints = [models.UniqueConstraint(fields=["source_key", "entity"], name="sourceentity_unique")]

    def __str__(self) -> str:
        return f"{self.source_key}/{self.entity}"


class MappingVersion(models.Model):
    """One form a query's mapping had; rows written under another form are compared again, not skipped by hash."""

    entity = models.ForeignKey(SourceEntity, on_delete=models.CASCADE, related_name="versions")
    digest = models.CharField(max_length=64)
    mapping = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entity", "digest"], name="mappingversion_unique")]

    def __str__(self) -> str:
        return f"{self.entity} {self.digest[:8]}"
