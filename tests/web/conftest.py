"""A help desk's database to build queries for, and Alice's profile of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from importer import operations
from importer.models import ImportProfile
from importer.sources.params import ConnectionParams
from tests.web.builder_desk import make_source


@pytest.fixture(scope="session")
def builder_source(source_database: Callable[..., str]) -> ConnectionParams:
    return make_source(source_database)


@pytest.fixture
def shop(db: None, builder_source: ConnectionParams, alice: Any) -> ImportProfile:
    """Alice's profile of the shop; without a query."""
    profile, _ = operations.profile_named("Shop", builder_source, created_by=alice)
    return profile
