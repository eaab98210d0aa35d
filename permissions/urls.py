"""Addresses of the pages about rights."""

from __future__ import annotations

from django.urls import path

from permissions.web import approvals, audit, preferences, tables

urlpatterns = [
    path("approvals", approvals.approval_list, name="approval_list"),
    path("approvals/<uuid:pk>", approvals.approval, name="approval"),
    path("audit", audit.log, name="audit"),
    path("settings/import", preferences.preferences_page, name="settings_import"),
    path("settings/permissions", tables.overview, name="table_permissions"),
    path("settings/permissions/<str:kind>", tables.grant, name="table_grant"),
    path("settings/permissions/<str:kind>/<uuid:pk>/revoke", tables.revoke, name="table_revoke"),
]
