"""A job that the target's disk cannot take fails before it writes (X16)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from importer import operations, room
from importer.api.job_shapes import Job
from importer.models import ExternalRef, ImportRecord
from servicevault.models import Account
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def wide(desk: Desk) -> Desk:
    """Two thousand rows of a kilobyte: about five megabytes."""
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, notes text)")
    desk.execute("INSERT INTO c SELECT i, 'Company ' || i, repeat('x', 1000) FROM generate_series(1, 2000) i")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "notes": "notes"})
    return desk


def assert_nothing_was_written(job: Any) -> None:
    assert (job.status, job.error_code) == ("failed", "storage_full")
    assert "Nothing was written" in job.error_message
    assert not Account.objects.exists()
    assert not ImportRecord.objects.exists()
    assert not ExternalRef.objects.exists()


@pytest.mark.req("X16")
def test_the_free_disk_is_that_of_the_servers_data_directory(target: psycopg.Connection) -> None:
    row = target.execute("SHOW data_directory").fetchone()
    assert row is not None
    found = room.free_bytes()
    assert found is not None
    assert found == pytest.approx(shutil.disk_usage(Path(row[0])).free, rel=0.05)


@pytest.mark.req("X16", "J24")
def test_a_disk_that_is_too_small_fails_the_job_before_it_writes(wide: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.statvfs_result((4096, 4096, 10_000, 500, 500, 10, 10, 10, 0, 255))  # 2 MB are free
    with monkeypatch.context() as patch:
        patch.setattr(room.os, "statvfs", lambda path: full)
        job = wide.run()
    assert_nothing_was_written(job)
    assert "2 MB are free" in job.error_message
    wide.work(operations.resume(job))
    assert (job.status, job.counters()["created"]) == ("completed", 2000)
    assert Job(job).data["findings"] == []


@pytest.mark.req("X16")
def test_a_limit_stands_for_a_disk_that_cannot_be_looked_at(wide: Desk, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda: None)
    settings.IMPORT_MAX_GROWTH = 4
    assert_nothing_was_written(job := wide.run())
    assert "IMPORT_MAX_GROWTH" in job.error_message

    settings.IMPORT_MAX_GROWTH = 0
    done = wide.run()
    assert done.status == "completed"
    assert [item["code"] for item in Job(done).data["findings"]] == ["room_unknown"]

    settings.IMPORT_MAX_GROWTH = 1  # rows that are here already need no room
    assert wide.run().status == "completed"
