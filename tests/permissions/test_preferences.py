"""Settings changed while the site runs: each is read by the code, the environment wins, the change is on record (F-147, F-148)."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from importer import operations, runner
from importer.models import ImportJob
from permissions import audit_log, preferences, tables
from permissions.models import AuditEntry, ImportPermission
from servicevault.jobs.models import JobStatus
from tests.api.conftest import program
from tests.conftest import person

__all__ = ["program"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def change(root: Any) -> Any:
    return lambda **given: preferences.change(given, by=root, reason="A test.")


@pytest.mark.req("F-147")
def test_the_largest_file_and_the_formats_are_read(change: Any, charlie: Any) -> None:
    ImportPermission.objects.create(user=charlie, table_name="tickets", max_file_size_mb=50)
    change(IMPORT_MAX_FILE_SIZE=7, IMPORT_ALLOWED_EXTENSIONS=["csv", "xls"])
    allowance = tables.import_allowance(charlie, "tickets")
    assert (allowance.max_file_size_mb, allowance.allowed_formats) == (7, ("csv", "xls"))


@pytest.mark.req("F-147")
def test_the_approval_is_asked_for(change: Any, profile: Any, alice: Any) -> None:
    person("dora", role="Approver")
    change(IMPORT_REQUIRE_APPROVAL=True)
    assert operations.start_import(profile, by=alice).status == JobStatus.AWAITING_APPROVAL


@pytest.mark.req("F-147")
def test_the_runner_reads_batch_timeout_and_turns(change: Any, pending_job: Any, profile: Any, alice: Any) -> None:
    change(IMPORT_BATCH_SIZE=77, IMPORT_JOB_TIMEOUT=123, IMPORT_MAX_CONCURRENT_JOBS=1)
    session = runner._Session(pending_job, runner.NullSink())
    assert (session._batch_rows, session.limit_seconds) == (77, 123)
    other = type(profile).objects.create(name="Other", host="h", database="d", username="u", source_key="other")
    ImportJob.objects.create(profile=other, mode="upsert", status=JobStatus.RUNNING)
    assert runner.work(pending_job.pk, patient=False) == JobStatus.PENDING


@pytest.mark.req("F-147", "G28")
def test_the_purge_reads_the_retention(change: Any, monkeypatch: Any) -> None:
    change(AUDIT_RETENTION_DAYS=36_500)
    assert preferences.value("AUDIT_RETENTION_DAYS") == 36_500
    assert audit_log.purge() == 0


@pytest.mark.req("F-147")
def test_the_environment_wins_and_locks(change: Any, monkeypatch: Any, settings: Any) -> None:
    change(IMPORT_MAX_FILE_SIZE=7)
    settings.IMPORT_MAX_FILE_SIZE = 9
    monkeypatch.setenv("IMPORT_MAX_FILE_SIZE", "9")
    assert preferences.value("IMPORT_MAX_FILE_SIZE") == preferences.values()["IMPORT_MAX_FILE_SIZE"] == 9
    with pytest.raises(preferences.Refused, match="environment"):
        change(IMPORT_MAX_FILE_SIZE=8)


@pytest.mark.req("F-147")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMPORT_MAX_FILE_SIZE", 0),
        ("IMPORT_MAX_FILE_SIZE", 1001),
        ("IMPORT_BATCH_SIZE", 9),
        ("IMPORT_JOB_TIMEOUT", 86_401),
        ("IMPORT_MAX_CONCURRENT_JOBS", 21),
        ("IMPORT_ALLOWED_EXTENSIONS", ["docx"]),
        ("IMPORT_REQUIRE_APPROVAL", "yes"),
        ("SECRET_KEY", "x"),
    ],
)
def test_what_is_out_of_range_is_refused(name: str, value: Any, change: Any) -> None:
    with pytest.raises(preferences.Refused):
        change(**{name: value})


@pytest.mark.req("F-148", "F-147")
def test_a_super_admin_changes_them_on_the_page(root: Any, alice: Any, logged_in: Any) -> None:
    browser = logged_in(root)
    now = preferences.values()
    form = {name: value for name, value in now.items() if value is not False}
    form |= {"IMPORT_MAX_FILE_SIZE": 12, "reason": "Small disks."}
    assert browser.post("/settings/import", form).status_code == 302
    entry = AuditEntry.objects.get(operation="settings_changed")
    assert entry.details == {"setting": "IMPORT_MAX_FILE_SIZE", "old": 100, "new": 12, "reason": "Small disks."}
    assert entry.user == root
    assert browser.post("/settings/import", form | {"IMPORT_MAX_FILE_SIZE": 0}).status_code == 422
    with pytest.raises(PermissionDenied):
        preferences.change({"IMPORT_MAX_FILE_SIZE": 5}, by=alice)


@pytest.mark.req("G33")
def test_ten_unfinished_jobs_are_enough(profile: Any, alice: Any, program: Any) -> None:
    for number in range(10):
        other = type(profile).objects.create(
            name=f"Desk {number}", host="h", database="d", username="u", source_key=f"desk-{number}"
        )
        ImportJob.objects.create(profile=other, mode="upsert", created_by=alice)
    answer = program(alice).post(f"/profiles/{profile.pk}/import")
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert "10 unfinished jobs" in answer.json()["message"]
