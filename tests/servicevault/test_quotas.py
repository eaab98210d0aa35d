"""Of two requests at the same moment one passes a quota of one, and the other is told so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction

from exporter.errors import TooOften
from exporter.models import ExportJob
from exporter.operations import create_export
from exporter.wanted import Wanted
from importer.models import ImportJob
from importer.operations import files
from permissions.models import ExportPermission, ImportPermission
from tests.conftest import person
from tests.importer.conftest import target
from tests.importer.files.conftest import shop, uploaded

__all__ = ["shop", "target"]


@pytest.fixture
def clerk(shop: psycopg.Connection) -> Any:
    """May import into products, and export them, once an hour."""
    clerk = person("clerk")
    ImportPermission.objects.create(user=clerk, table_name="products", max_imports_per_hour=1)
    ExportPermission.objects.create(user=clerk, table_name="products", max_exports_per_hour=1)
    return clerk


def both(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[bool, list[Any]]:
    """Ask for the second while the first is not committed: whether it waited, and what it came to."""
    is_asked, may_commit, found = threading.Event(), threading.Event(), []

    def ask_first() -> None:
        try:
            with transaction.atomic():
                first()
                is_asked.set()
                may_commit.wait(10)
        finally:
            is_asked.set()
            connections.close_all()

    def ask_second() -> None:
        is_asked.wait(10)
        try:
            with transaction.atomic():
                found.append(second())
        except (TooOften, files.TooManyImports) as error:
            found.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask_first), threading.Thread(target=ask_second)]
    for thread in threads:
        thread.start()
    threads[1].join(1)
    waited = threads[1].is_alive()
    may_commit.set()
    for thread in threads:
        thread.join(20)
    return waited, found


@pytest.mark.req("G30")
def test_two_starts_at_once_do_not_pass_a_quota_of_one(clerk: Any) -> None:
    jobs = [uploaded(f"sku\n{name}\n", user=clerk, system=False) for name in "AB"]
    for job in jobs:
        files.validate(job, clerk)
    waited, (refused,) = both(lambda: files.start(jobs[0], clerk), lambda: files.start(jobs[1], clerk))
    assert (waited, type(refused)) == (True, files.TooManyImports)
    assert ImportJob.objects.filter(awaits_start=False).count() == 1


@pytest.mark.req("G30", "F-130")
def test_two_exports_at_once_do_not_pass_a_quota_of_one(clerk: Any) -> None:
    def export() -> ExportJob:
        return create_export(Wanted("products", "csv", ["sku"]), by=clerk)

    waited, (refused,) = both(export, export)
    assert (waited, type(refused)) == (True, TooOften)
    assert ExportJob.objects.count() == 1
