"""The bell: what people are told when their jobs end, what is unread, and how long it is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from exporter.models import ExportJob
from importer.models import ImportJob
from permissions.tasks import forget_notifications
from servicevault.jobs import lifecycle
from servicevault.jobs.models import JobStatus
from servicevault.notifications import telling
from servicevault.notifications.models import Kind, Notification
from servicevault.notifications.telling import News

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(pending_job: Any) -> ImportJob:
    """A job of Alice's that has read three rows."""
    assert lifecycle.claim(ImportJob, pending_job.pk)
    pending_job.runs.create(
        key="tickets", name="Tickets", target_type="tickets", source_table="tickets", position=0, status="done",
        total=3, read=3, created=2, failed=1,
    )  # fmt: skip
    return pending_job  # type: ignore[no-any-return]


@pytest.mark.req("L13")
def test_whoever_started_a_job_is_told_how_it_ended(
    running: ImportJob, alice: Any, bob: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert lifecycle.complete(ImportJob, running.pk)
    told = alice.notifications.get()
    assert (told.kind, told.title) == ("job_completed", "Import of “Old desk”: completed with 1 failure")
    assert "2 created, 1 failed" in told.body
    assert told.url == f"/import/jobs/{running.pk}"
    assert not bob.notifications.exists()


@pytest.mark.req("L13")
def test_a_failure_is_told_with_its_code_and_what_to_do(
    running: ImportJob, alice: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert lifecycle.fail(ImportJob, running.pk, code="source_lost", message="The source hung up.")
        assert not lifecycle.fail(ImportJob, running.pk, code="source_lost", message="The source hung up.")  # once
    told = alice.notifications.get()
    assert told.kind == "job_failed"
    assert told.body.startswith("The source hung up. See that the source runs")
    assert told.body.endswith("(source_lost)")


def test_a_file_and_an_export_are_named(waiting_file: Any, alice: Any, django_capture_on_commit_callbacks: Any) -> None:
    export = ExportJob.objects.create(
        table_name="tickets", export_format="csv", filename="tickets.csv", selected_columns=["id"], created_by=alice,
        status=JobStatus.RUNNING, processed_rows=1200,
    )  # fmt: skip
    ImportJob.objects.filter(pk=waiting_file.pk).update(status=JobStatus.RUNNING)
    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.complete(ExportJob, export.pk)
        lifecycle.complete(ImportJob, waiting_file.pk)
    titles = dict(alice.notifications.values_list("title", "url"))
    assert titles == {
        "Export of tickets: ready": "/exports",
        "Import of tickets.csv: completed": f"/settings/data-import/{waiting_file.pk}",
    }
    assert alice.notifications.filter(body__contains="1,200 rows").exists()


@pytest.mark.req("G11")
def test_the_list_is_ones_own_and_is_read_at_once_or_one_by_one(alice: Any, bob: Any, logged_in: Any) -> None:
    for number in range(30):
        telling.tell([alice], News(Kind.JOB_COMPLETED, f"Import <{number}>", "/import", "All in."))
    browser = logged_in(alice)
    text = browser.get("/notifications").content.decode()
    assert text.count("sv-unread") == 25
    assert "Import &lt;29&gt;" in text
    assert "Import" not in logged_in(bob).get("/notifications").content.decode().split('id="main"')[1]
    first = alice.notifications.first()
    assert browser.get(f"/notifications/{first.pk}")["Location"] == "/import"
    assert telling.unread(alice) == 29
    assert browser.get("/notifications?unread=1&page=2").content.decode().count("sv-unread") == 4
    assert browser.post("/notifications/read")["Location"] == "/notifications"
    assert telling.unread(alice) == 0
    assert "Nothing unread" in browser.get("/notifications?unread=1").content.decode()


def test_what_is_old_is_forgotten(alice: Any) -> None:
    for days in (89, 91):
        telling.tell([alice], News(Kind.JOB_FAILED, str(days), "/"))
        Notification.objects.filter(title=str(days)).update(created_at=timezone.now() - timedelta(days=days))
    assert forget_notifications() == 1
    assert [told.title for told in alice.notifications.all()] == ["89"]
