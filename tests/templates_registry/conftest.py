"""Packs are held against real databases; imports of theirs run on connections of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.importer.conftest import desk, target

__all__ = ["desk", "pack", "target"]


@pytest.fixture
def pack() -> dict[str, Any]:
    """The guide's example of a template, as it stands there."""
    return {
        "name": "Custom Platform",
        "platform": "custom_platform",
        "database_type": "postgresql",
        "configuration": {
            "queries": {
                "users": {
                    "name": "Platform Users",
                    "base_table": "users",
                    "fields": ["id", "name", "email"],
                    "target_type": "customer_users",
                }
            },
            "priority_order": ["users", "tickets"],
            "suggested_filters": {"users": {"active_only": "status = 'active'"}},
        },
    }
