"""Addresses under /api/v1/data."""

from __future__ import annotations

from django.urls import path

from permissions.api import approvals, audit, tables

urlpatterns = [
    path("approvals", approvals.Approvals.as_view(), name="api_approvals"),
    path("audit", audit.Audit.as_view(), name="api_audit"),
    path("audit/export", audit.AuditExport.as_view(), name="api_audit_export"),
    path("permissions/import", tables.ImportPermissions.as_view(), name="api_import_permissions"),
    path("permissions/import/<uuid:pk>", tables.OneImportPermission.as_view(), name="api_import_permission"),
    path("permissions/export", tables.ExportPermissions.as_view(), name="api_export_permissions"),
    path("permissions/export/<uuid:pk>", tables.OneExportPermission.as_view(), name="api_export_permission"),
]
