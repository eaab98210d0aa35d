"""Addresses of the query builder, below the profile's."""

from __future__ import annotations

from django.urls import path

from importer.web.builder import page, queries, result, sql, tables

urlpatterns = [
    path("builder", page.builder, name="builder"),
    path("builder-tables", tables.tree_part, name="builder_tables"),
    path("builder-table", tables.details, name="builder_table"),
    path("builder/<slug:key>", page.query_page, name="builder_query"),
    path("builder/<slug:key>/change", page.change, name="builder_change"),
    path("builder/<slug:key>/save", page.save, name="builder_save"),
    path("builder/<slug:key>/sql", sql.to_sql, name="builder_sql"),
    path("builder/<slug:key>/discard", page.discard, name="builder_discard"),
    path("builder/<slug:key>/restore", page.restore, name="builder_restore"),
    path("builder/<slug:key>/result", result.result_part, name="builder_result"),
    path("builder/<slug:key>/suggested-filters", page.offers_part, name="builder_offers"),
    path("builder/<slug:key>/query", queries.change_list, name="builder_list"),
]
