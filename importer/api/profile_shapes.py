"""Profiles as JSON: what is accepted, what is answered (P7)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from importer.models import ImportProfile, SSLMode, Visibility
from importer.modes import AccountStrategy, AgentStrategy
from importer.operations.sync import sync_of


class ConnectionBody(serializers.Serializer[Any]):
    """Where a source is and how to log in."""

    database_type = serializers.CharField(max_length=32, default="postgresql")
    host = serializers.CharField(max_length=255)
    port = serializers.IntegerField(min_value=1, max_value=65_535, default=5432)
    database = serializers.CharField(max_length=255)
    username = serializers.CharField(max_length=255)
    password = serializers.CharField(max_length=1024, write_only=True, trim_whitespace=False)
    ssl_mode = serializers.ChoiceField(SSLMode.choices, default=SSLMode.PREFER)
    ssl_root_cert = serializers.CharField(max_length=100_000, required=False, allow_blank=True, write_only=True)


class ProfileBody(ConnectionBody):
    """A new profile."""

    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    notes = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    source_key = serializers.SlugField(max_length=64, required=False)
    source_timezone = serializers.CharField(max_length=64, required=False)
    timezone_confirmed = serializers.BooleanField(required=False)
    import_mode = serializers.CharField(max_length=32, required=False)
    matching = serializers.DictField(required=False)
    account_strategy = serializers.ChoiceField(AccountStrategy.choices, required=False)
    agent_strategy = serializers.ChoiceField(AgentStrategy.choices, required=False)
    number_prefix = serializers.CharField(max_length=16, required=False, allow_blank=True)
    requires_approval = serializers.BooleanField(required=False)
    visibility = serializers.ChoiceField(Visibility.choices, required=False)
    is_active = serializers.BooleanField(required=False)


class ProfileChange(ProfileBody):
    """Members that are absent stay as they are; an empty password too (P8, C10)."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            field.required = False
            field.default = serializers.empty
        return fields

    password = serializers.CharField(
        max_length=1024, write_only=True, trim_whitespace=False, required=False, allow_blank=True, allow_null=True
    )
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False, write_only=True)


class DuplicateBody(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    source_key = serializers.ChoiceField(["same", "new"], default="same")


class Named(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class RecentJob(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    number = serializers.IntegerField()
    kind = serializers.CharField()
    status = serializers.CharField()
    created_at = serializers.DateTimeField()


class Profile(serializers.Serializer[Any]):
    """A profile without its secrets."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    notes = serializers.CharField(allow_blank=True)
    database_type = serializers.CharField()
    host = serializers.CharField()
    port = serializers.IntegerField()
    database = serializers.CharField()
    username = serializers.CharField()
    ssl_mode = serializers.CharField()
    has_password = serializers.BooleanField()
    password_set_at = serializers.DateTimeField(allow_null=True)
    is_active = serializers.BooleanField()
    configuration_type = serializers.CharField()
    has_custom_queries = serializers.BooleanField()
    template = Named(allow_null=True)
    template_version = serializers.CharField(allow_blank=True)
    import_mode = serializers.CharField()
    matching = serializers.DictField()
    account_strategy = serializers.CharField()
    agent_strategy = serializers.CharField()
    number_prefix = serializers.CharField(allow_blank=True)
    requires_approval = serializers.BooleanField()
    source_key = serializers.CharField()
    source_timezone = serializers.CharField()
    timezone_confirmed = serializers.BooleanField()
    sync = serializers.SerializerMethodField()
    visibility = serializers.CharField()
    last_tested_at = serializers.DateTimeField(allow_null=True)
    last_test_result = serializers.DictField(allow_null=True)
    last_sync_at = serializers.SerializerMethodField(help_text="Always null: no import starts by the clock yet.")
    next_sync_at = serializers.SerializerMethodField(help_text="Always null: no import starts by the clock yet.")
    created_by = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    version = serializers.IntegerField()
    recent_jobs = serializers.SerializerMethodField()

    def get_created_by(self, profile: ImportProfile) -> dict[str, str] | None:
        author = profile.created_by
        return {"id": str(author.pk), "name": str(author)} if author else None

    def get_sync(self, profile: ImportProfile) -> dict[str, Any]:
        return sync_of(profile).settings

    def get_last_sync_at(self, profile: ImportProfile) -> datetime | None:
        return None

    def get_next_sync_at(self, profile: ImportProfile) -> datetime | None:
        return None

    def get_recent_jobs(self, profile: ImportProfile) -> list[dict[str, Any]]:
        jobs = self.context.get("jobs", {}).get(profile.pk, [])
        return [dict(RecentJob(job).data) for job in jobs]


class Check(serializers.Serializer[Any]):
    name = serializers.CharField()
    status = serializers.ChoiceField(["ok", "failed", "skipped"])
    ms = serializers.IntegerField()
    message = serializers.CharField(allow_blank=True)
    remedy = serializers.CharField(allow_blank=True)


class Warned(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    remedy = serializers.CharField(allow_blank=True)


class ConnectionTested(serializers.Serializer[Any]):
    """What a test of a connection found (P10, P16, P22)."""

    success = serializers.BooleanField()
    message = serializers.CharField()
    server_info = serializers.DictField()
    database_info = serializers.DictField()
    checks = Check(many=True)
    warnings = Warned(many=True)
    error_code = serializers.CharField(allow_blank=True)
    least_privilege_sql = serializers.CharField(allow_blank=True)


class Grantee(serializers.Serializer[Any]):
    user_id = serializers.UUIDField()
    rights = serializers.ListField(child=serializers.ChoiceField(["view", "change", "execute", "delete"]))


class Access(serializers.Serializer[Any]):
    """Who may do what with a restricted profile (G9)."""

    visibility = serializers.ChoiceField(Visibility.choices)
    owner = serializers.DictField(read_only=True, allow_null=True)
    owner_id = serializers.UUIDField(write_only=True, required=False)
    grants = Grantee(many=True, max_length=200)
