"""Files that go in and tables that go out are followed like every job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter import operations as exports
from exporter import run
from exporter.wanted import Wanted
from importer import runner
from importer.operations import files
from tests.importer.conftest import target
from tests.importer.files.conftest import shop, uploaded
from tests.live.conftest import Socket

__all__ = ["shop", "target"]
Opened = Callable[..., Socket]
ROWS = 40


@pytest.mark.req("F-060", "L2", "L5")
def test_a_file_and_an_export_are_followed_to_their_ends(
    *, opened: Opened, shop: psycopg.Connection, root: Any, logged_in: Any, settings: Any, tmp_path: Path
) -> None:
    settings.EXPORT_TEMP_DIR = tmp_path / "exports"
    socket = opened(logged_in(root))
    job = uploaded("sku,name\n" + "".join(f"s{number},Thing {number}\n" for number in range(ROWS)), user=root)
    files.validate(job, root)
    socket.subscribe(f"import.job.{job.pk}")
    files.start(job, root)
    runner.work(job.pk)
    data = socket.until(lambda frame: frame["data"].get("event_type") == "job_completed")[-1]["data"]
    assert (data["profile_id"], data["profile_name"], data["progress"]) == (None, "products.csv", 100)
    assert (data["records_total"], data["records_imported"], data["records_failed"]) == (ROWS, ROWS, 0)

    export = exports.create_export(Wanted(table_name="products", export_format="csv"), by=root)
    socket.subscribe(f"export.job.{export.pk}")
    run.work(export.pk)
    frames = socket.until(lambda frame: frame["data"].get("event_type") == "job_completed")
    assert frames[0]["event"] == "export.job.status.changed"  # it started
    data = frames[-1]["data"]
    assert (data["progress"], data["processed_rows"], data["previous_status"]) == (100.0, ROWS, "running")
    assert data["download_url"].startswith(f"/api/v1/data/export/{export.pk}")
