"""Addresses under /api/v1/data."""

from __future__ import annotations

from django.urls import path

from permissions.api import approvals

urlpatterns = [
    path("approvals", approvals.Approvals.as_view(), name="api_approvals"),
]
