"""Whoever listens hears what is theirs to know, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from websockets.exceptions import InvalidStatus

from importer.models import ImportJob, ImportProfile, Visibility
from permissions.models import ApiToken
from servicevault.jobs import lifecycle
from servicevault.live import telling
from tests.live.conftest import Site, Socket

pytestmark = pytest.mark.usefixtures("committed_db")
Opened = Callable[..., Socket]


def job_of(user: Any, **fields: Any) -> ImportJob:
    """A job of the person's own restricted profile."""
    profile = ImportProfile.objects.create(
        name=f"Desk of {user.username}", host="127.0.0.1", port=9, database="d", username="r",
        source_key=f"desk-{user.username}", visibility=Visibility.RESTRICTED, created_by=user,
    )  # fmt: skip
    return ImportJob.objects.create(profile=profile, mode="upsert", created_by=user, **fields)


def told(job: ImportJob) -> None:
    """Something happens to the job that is told."""
    ImportJob.objects.filter(pk=job.pk).update(told_at=None)
    telling.progressed(ImportJob, job.pk)


@pytest.mark.req("L1", "L2", "L4", "L8", "L9", "L10")
def test_every_tab_of_hers_hears_how_her_job_stands_and_what_becomes_of_it(
    opened: Opened, alice: Any, logged_in: Any
) -> None:
    job, browser = job_of(alice), logged_in(alice)
    tabs = [opened(browser), opened(browser)]
    for tab in tabs:
        answer, now = tab.subscribe(f"import.job.{job.pk}")
        assert answer == {"type": "subscribed", "channel": f"import.job.{job.pk}"}
        assert (now["event"], now["data"]["job_id"]) == ("import.progress.updated", str(job.pk))
    lifecycle.claim(ImportJob, job.pk)
    for tab in tabs:
        frame = tab.hear()
        assert frame["event"] == "import.job.status.changed"
        assert frame["data"]["event_type"] == "job_started"
        assert (frame["data"]["previous_status"], frame["data"]["status"]) == ("pending", "running")
    told(job)
    data = tabs[0].hear()["data"]
    assert data["progress"] == data["progress_percentage"]
    assert data["sequence"] > frame["data"]["sequence"]
