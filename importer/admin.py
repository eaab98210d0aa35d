"""Imports in Django's admin: to look at, never to edit; passwords of sources and rows of people are not shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from importer.models import Chunk, ImportJob, ImportProfile, ImportRecord, QueryRun, SourceEntity, TableRule


class LookOnly(admin.ModelAdmin):
    """A model whose rows the application alone writes."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ImportProfile)
class ImportProfileAdmin(LookOnly):
    list_display = ("name", "host", "port", "database", "source_key", "visibility", "is_active", "created_by")
    list_filter = ("is_active", "visibility")
    list_select_related = ("created_by",)
    search_fields = ("name", "host", "source_key")
    exclude = ("secret", "ssl_root_cert")


@admin.register(ImportJob)
class ImportJobAdmin(LookOnly):
    list_display = ("number", "kind", "profile", "status", "mode", "created_by", "created_at", "completed_at")
    list_filter = ("status", "kind", "mode")
    list_select_related = ("profile", "created_by")
    search_fields = ("=number", "profile__name")
    exclude = ("snapshot_id",)


@admin.register(QueryRun)
class QueryRunAdmin(LookOnly):
    list_display = ("name", "job", "target_type", "status", "read", "created", "updated", "failed", "review")
    list_filter = ("status", "target_type")
    list_select_related = ("job",)


@admin.register(Chunk)
class ChunkAdmin(LookOnly):
    list_display = ("run", "no", "done", "position", "fence", "lease_until")
    list_filter = ("done",)
    list_select_related = ("run",)


@admin.register(ImportRecord)
class ImportRecordAdmin(LookOnly):
    list_display = ("source_identifier", "run", "action", "code", "confidence", "created_at")
    list_filter = ("action",)
    list_select_related = ("run",)
    search_fields = ("=source_identifier",)
    ordering = ("-id",)
    exclude = ("source_data", "before_image", "after_image", "source_hash")


@admin.register(SourceEntity)
class SourceEntityAdmin(LookOnly):
    """Where external ids live. The ids themselves have a key of two columns, which the admin cannot show:
    the ticket pages do, and `/from/<source>/<entity>/<id>`."""

    list_display = ("source_key", "entity", "target_type")
    list_filter = ("target_type",)
    search_fields = ("source_key", "entity")


@admin.register(TableRule)
class TableRuleAdmin(admin.ModelAdmin):
    """Validations that every file into a table passes (F-075)."""

    list_display = ("table_name", "column", "rule", "value", "severity", "is_active")
    list_filter = ("table_name", "severity", "is_active")
    search_fields = ("table_name", "column")
