"""Queries as JSON: the body of Q21, what is stored, and what previews answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from importer import operations
from importer.api.failures import shown
from importer.models import ImportProfile, ImportQuery
from importer.operations.previews import Judged
from importer.query import layout
from importer.query.compiled import CompiledQuery


class QueryBody(serializers.Serializer[Any]):
    """A query in any of the guides' shapes; it is read, checked and normalised member by member (Q21)."""

    key = serializers.CharField(required=False)
    name = serializers.CharField(required=False, allow_blank=True)
    base_table = serializers.JSONField(required=False)
    joins = serializers.ListField(child=serializers.JSONField(), required=False)
    fields_ = serializers.ListField(child=serializers.JSONField(), required=False)
    filters = serializers.JSONField(required=False)
    group_by = serializers.JSONField(required=False)
    having = serializers.JSONField(required=False)
    distinct_on = serializers.JSONField(required=False)
    target_type = serializers.CharField(required=False)
    source_identifier = serializers.CharField(required=False)
    watermark = serializers.JSONField(required=False)
    kind = serializers.ChoiceField(["builder", "sql"], required=False)
    sql = serializers.CharField(required=False)
    params = serializers.DictField(required=False)
    value_maps = serializers.DictField(required=False)
    enabled = serializers.BooleanField(required=False)
    version = serializers.IntegerField(required=False)

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {name.rstrip("_"): field for name, field in fields.items()}


class PreviewBody(QueryBody):
    limit = serializers.IntegerField(required=False, help_text="1 to 100 rows, 10 when absent.")
    steps = serializers.BooleanField(required=False, help_text="Also count the rows after each block.")


class Query(serializers.Serializer[Any]):
    """A stored query; `joins`, `fields` and `filters` as they are stored, with texts beside their trees."""

    key = serializers.CharField()
    name = serializers.CharField()
    entity = serializers.CharField()
    target_type = serializers.CharField()
    kind = serializers.CharField()
    base_table = serializers.JSONField(allow_null=True)
    joins = serializers.ListField(child=serializers.DictField())
    fields_ = serializers.ListField(child=serializers.DictField())
    filters = serializers.JSONField()
    group_by = serializers.ListField(child=serializers.CharField())
    having = serializers.JSONField()
    distinct_on = serializers.JSONField(allow_null=True)
    source_identifier = serializers.CharField()
    watermark = serializers.JSONField(allow_null=True)
    sql = serializers.CharField(allow_blank=True)
    params = serializers.DictField()
    value_maps = serializers.DictField()
    variant = serializers.CharField(allow_blank=True)
    position = serializers.IntegerField()
    enabled = serializers.BooleanField()
    disabled_reason = serializers.CharField(allow_blank=True)
    version = serializers.IntegerField()
    updated_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {name.rstrip("_"): field for name, field in fields.items()}

    def to_representation(self, instance: ImportQuery) -> dict[str, Any]:
        spec = without_trees(instance.spec)
        return {
            "key": instance.key,
            "name": instance.name,
            "entity": instance.entity,
            "target_type": instance.target_type,
            "kind": spec.get("kind", "builder"),
            "base_table": spec.get("base_table"),
            "joins": spec.get("joins") or [],
            "fields": spec.get("fields") or [],
            "filters": spec.get("filters") or {"op": "and", "items": []},
            "group_by": spec.get("group_by") or [],
            "having": spec.get("having") or {"op": "and", "items": []},
            "distinct_on": spec.get("distinct_on"),
            "source_identifier": spec.get("source_identifier", "external_id"),
            "watermark": spec.get("watermark"),
            "sql": spec.get("sql", ""),
            "params": spec.get("params") or {},
            "value_maps": instance.value_maps,
            "variant": instance.variant,
            "position": instance.position,
            "enabled": instance.enabled,
            "disabled_reason": instance.disabled_reason,
            "version": instance.version,
            "updated_at": instance.updated_at,
        }


class Finding(serializers.Serializer[Any]):
    code = serializers.CharField()
    member = serializers.CharField(allow_blank=True)
    message = serializers.CharField()
    hint = serializers.CharField(allow_blank=True)
    position = serializers.IntegerField(allow_null=True)
    severity = serializers.CharField()


class Validated(serializers.Serializer[Any]):
    """What is wrong with a query, its SQL and what to expect of it (Q11)."""

    valid = serializers.BooleanField()
    generated_sql = serializers.CharField(allow_blank=True)
    parameters = serializers.DictField()
    sql_hash = serializers.CharField(allow_blank=True)
    estimated_records = serializers.IntegerField(allow_null=True)
    estimate_exact = serializers.BooleanField()
    errors = Finding(many=True)
    warnings = Finding(many=True)
    complexity = serializers.CharField()
    performance = serializers.CharField(allow_blank=True)


class OutputColumn(serializers.Serializer[Any]):
    name = serializers.CharField()
    type = serializers.CharField()
    source = serializers.CharField(allow_null=True)


class Previewed(serializers.Serializer[Any]):
    """The first rows of a query (Q13); personal data is masked unless `masked` is false."""

    sample_data = serializers.ListField(child=serializers.DictField())
    estimated_records = serializers.IntegerField(allow_null=True)
    estimate_exact = serializers.BooleanField()
    generated_query = serializers.CharField()
    parameters = serializers.DictField()
    sql_hash = serializers.CharField()
    columns = OutputColumn(many=True)
    counts = serializers.ListField(child=serializers.IntegerField())
    warnings = Finding(many=True)
    query_ms = serializers.IntegerField()
    masked = serializers.BooleanField()


def judged_json(judged: Judged) -> dict[str, Any]:
    """A judged query as `Validated` describes it."""
    return {
        "valid": judged.is_valid,
        "generated_sql": readable(judged.compiled) if judged.compiled else "",
        "parameters": parameters_of(judged.compiled) if judged.compiled else {},
        "sql_hash": judged.compiled.sql_hash if judged.compiled else "",
        "estimated_records": judged.rows.rows if judged.rows else None,
        "estimate_exact": bool(judged.rows and judged.rows.exact),
        "errors": [shown(problem) for problem in judged.errors],
        "warnings": [shown(problem) for problem in judged.warnings],
        "complexity": judged.complexity,
        "performance": judged.performance,
    }


def readable(compiled: CompiledQuery) -> str:
    """The statement laid out for people."""
    return layout.readable(compiled.text)


def parameters_of(compiled: CompiledQuery) -> dict[str, Any]:
    """The values bound to the statement's placeholders."""
    return {name: value if isinstance(value, list) else _plain(value) for name, value in compiled.params.items()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def without_trees(value: Any) -> Any:
    """A stored query without the parsed trees beside its texts: those are for us."""
    if isinstance(value, Mapping):
        return {key: without_trees(item) for key, item in value.items() if not str(key).endswith("_tree")}
    if isinstance(value, list):
        return [without_trees(item) for item in value]
    return value


def mappings_of(profile: ImportProfile) -> list[dict[str, Any]]:
    """All mappings of all queries, flat (M12)."""
    return [
        {
            "query": query.key,
            "source_table": (query.spec.get("base_table") or {}).get("table") or "sql",
            "source": field.get("source") or field.get("sources") or "",
            "target_type": query.target_type,
            "target": field.get("target"),
            "transformation": field.get("transformation"),
            "import_order": order,
        }
        for order, query in enumerate(operations.profile_queries(profile))
        for field in without_trees(query.spec.get("fields") or [])
    ]
