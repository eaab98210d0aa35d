"""Templates as JSON (T1, T2, T6, T20, T21)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from servicevault.api.views import PageParameters
from servicevault.wording import say
from templates_registry import signing
from templates_registry.models import Template as StoredTemplate
from templates_registry.operations.exchange import files_of


class TemplateParameters(PageParameters):
    source_type = serializers.CharField(required=False, max_length=64)
    database_type = serializers.CharField(required=False, max_length=32)
    platform = serializers.CharField(required=False, max_length=64)
    active = serializers.BooleanField(required=False, default=True)
    search = serializers.CharField(required=False, max_length=255)


class QueryNamed(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    target_type = serializers.CharField()


class TemplateListed(serializers.Serializer[Any]):
    """A template without its configuration."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    platform = serializers.CharField()
    database_type = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    version = serializers.CharField()
    is_system = serializers.BooleanField()
    is_active = serializers.BooleanField()
    queries = QueryNamed(many=True)
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: StoredTemplate) -> dict[str, Any]:
        return {
            "id": str(instance.pk),
            **{
                name: getattr(instance, name)
                for name in ("name", "platform", "database_type", "description", "version", "is_system", "is_active")
            },
            "queries": _queries(instance.definition),
            "created_at": instance.created_at,
        }


class TemplateShown(TemplateListed):
    """A template with everything in it."""

    configuration = serializers.DictField()
    probes = serializers.ListField(child=serializers.DictField())
    parameters = serializers.ListField(child=serializers.DictField())
    fingerprint = serializers.ListField(child=serializers.DictField())
    source_timezone = serializers.CharField(allow_blank=True)
    changelog = serializers.CharField(allow_blank=True)
    signature = serializers.DictField(allow_null=True)

    def to_representation(self, instance: StoredTemplate) -> dict[str, Any]:
        data = instance.definition
        return {
            **super().to_representation(instance),
            "configuration": data.get("configuration") or {},
            "probes": data.get("probes") or [],
            "parameters": data.get("parameters") or [],
            "fingerprint": data.get("fingerprint") or [],
            "source_timezone": data.get("source_timezone") or "",
            "changelog": instance.files.get("CHANGELOG.md", ""),
            "signature": _signature(instance),
        }


class ApplyBody(serializers.Serializer[Any]):
    """Which template, and what becomes of queries that are there already."""

    template_id = serializers.UUIDField()
    strategy = serializers.ChoiceField(["replace", "merge"], required=False, allow_null=True)
    variant = serializers.JSONField(required=False, allow_null=True, help_text="One name, or a name by query.")
    parameters = serializers.DictField(required=False)

    def validate_variant(self, value: Any) -> Any:
        listed = list(value.values()) if isinstance(value, dict) else [value]
        if not all(item is None or isinstance(item, str) for item in listed):
            raise serializers.ValidationError(say("One name, or a name by query, is expected."))
        return value


class FitParameters(serializers.Serializer[Any]):
    template_id = serializers.UUIDField()


class SaveBody(serializers.Serializer[Any]):
    """A template of a profile's queries (T10)."""

    name = serializers.CharField(max_length=255)
    platform = serializers.SlugField(max_length=64, required=False)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    keep_filter_values = serializers.BooleanField(default=False)


class UpgradeBody(serializers.Serializer[Any]):
    decisions = serializers.DictField(child=serializers.ChoiceField(["mine", "theirs"]), required=False)


class Upgrade(serializers.Serializer[Any]):
    """What a newer version would change; a conflict is a place that a person changed too."""

    from_version = serializers.CharField()
    to_version = serializers.CharField()
    is_needed = serializers.BooleanField()
    changes = serializers.ListField(child=serializers.DictField())


class Detected(serializers.Serializer[Any]):
    candidates = serializers.ListField(child=serializers.DictField())
    suggestion = serializers.CharField(required=False)


class Linted(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    errors = serializers.ListField(child=serializers.DictField())
    warnings = serializers.ListField(child=serializers.DictField())


def _signature(template: StoredTemplate) -> dict[str, Any] | None:
    found = signing.check(files_of(template))
    return {"signed_by": found.signed_by, "valid": found.valid} if found else None


def _queries(definition: dict[str, Any]) -> list[dict[str, str]]:
    queries = (definition.get("configuration") or {}).get("queries") or {}
    return [
        {
            "key": str(key),
            "name": str(query.get("name") or key),
            "target_type": str(query.get("target_type") or _target(query)),
        }
        for key, query in queries.items()
        if isinstance(query, dict)
    ]


def _target(query: dict[str, Any]) -> str:
    """The target of the first form of a query that has several."""
    forms = [form for form in query.get("variants") or [] if isinstance(form, dict)]
    return str(next((form["target_type"] for form in forms if form.get("target_type")), ""))
