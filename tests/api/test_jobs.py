"""Jobs as programs see them: what one is, finding some, what they sum up to, a report, and taking one away."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from importer.models import ImportJob, ImportProfile, ImportRecord
from permissions.models import AuditEntry
from servicevault.jobs.models import JobStatus
from tests.api.conftest import Program

pytestmark = pytest.mark.django_db
J17 = """
id number kind source_kind trigger profile_id profile_name status mode options progress_percentage current_operation
records_total records_processed records_imported records_created records_updated records_unchanged records_skipped
records_failed records_review average_confidence rows_per_second has_failures error_code error_message errors queries
requires_approval approval retry_of created_by started_at completed_at duration heartbeat_at created_at
""".split()


@pytest.mark.req("J3", "J16")  # of J17 all but paused and pause_reason
def test_a_job_says_all_that_is_known_of_it(api: Program, finished_job: ImportJob) -> None:
    run = finished_job.runs.get()
    run.matched, run.confidence = 4, 38_200
    run.save()
    run.chunks.create(no=0, done=True)
    run.chunks.create(no=1)
    job = api.get(f"/jobs/{finished_job.pk}").json()
    assert set(J17) <= set(job)
    assert (job["status"], job["has_failures"], job["records_failed"]) == ("completed", True, 1)
    assert job["records_created"] == job["records_imported"] == 8
    assert (job["average_confidence"], job["duration"], job["duration_text"]) == (95.5, 372.0, "00:06:12")
    assert (job["requires_approval"], job["approval"], job["retry_of"]) == (False, None, None)
    (query,) = job["queries"]
    assert (query["key"], query["target_type"], query["status"]) == ("tickets", "tickets", "done")
    assert query["checkpoint"] == {"ranges": 2, "ranges_done": 1}
    assert query["counters"]["created"] == 8
    assert [error["code"] for error in job["errors"]] == ["not_a_date"]
    assert api.get(f"/jobs/{uuid4()}").status_code == 404


@pytest.mark.req("J2")
def test_jobs_are_found_by_what_they_are(
    api: Program, finished_job: ImportJob, pending_job: ImportJob, rehearsed_job: ImportJob, bob: Any
) -> None:
    ImportJob.objects.filter(pk=finished_job.pk).update(created_at=datetime(2025, 3, 1, 23, 59, tzinfo=UTC))
    ImportJob.objects.filter(pk=rehearsed_job.pk).update(created_by=bob)

    def found(question: str) -> list[str]:
        return [job["id"] for job in api.get(f"/jobs?{question}").json()["data"]]

    finished, pending, rehearsed = (str(job.pk) for job in (finished_job, pending_job, rehearsed_job))
    assert set(found("")) == {finished, pending, rehearsed}
    assert found("")[-1] == finished  # newest first
    assert found("status=pending") == [pending]
    both = found("status=completed,pending")
    assert set(both) == {finished, pending, rehearsed}
    assert found("status=completed&status=pending") == both
    assert found("kind=rehearsal") == [rehearsed]
    assert found("target_type=customer_users") == [rehearsed]
    assert found(f"created_by={bob.pk}") == [rehearsed]
    assert found("date_to=2025-03-01") == found("date_from=2025-03-01&date_to=2025-03-01") == [finished]
    assert set(found("date_from=2025-03-02")) == {pending, rehearsed}
    assert found(f"search={pending_job.number}") == [pending]
    assert len(found("search=old DESK")) == 3
    assert found("search=nowhere") == found(f"profile_id={uuid4()}") == []
    assert api.get("/jobs?status=done").status_code == 422


@pytest.mark.req("J9", "A8")
def test_the_jobs_one_sees_are_summed_up(
    program: Callable[[Any], Program], alice: Any, root: Any, finished_job: ImportJob, pending_job: ImportJob
) -> None:
    alice.grants.create(permission="import.jobs.monitor")
    started = timezone.now()
    ImportJob.objects.create(
        profile=finished_job.profile, mode="upsert", status=JobStatus.FAILED, started_at=started,
        completed_at=started + timedelta(seconds=28),
    )  # fmt: skip
    stats = program(alice).get("/jobs/stats").json()
    assert stats == program(root).get("/jobs/stats").json()
    assert stats["total"] == 3
    assert {status: number for status, number in stats["by_status"].items() if number} == {
        "completed": 1, "failed": 1, "pending": 1,
    }  # fmt: skip
    assert (stats["records_imported"], stats["records_failed"]) == (8, 1)
    assert (stats["average_duration"], stats["success_rate"]) == (200.0, 50.0)
    assert [job["status"] for job in stats["recent"]] == ["failed", "pending", "completed"]
    ImportJob.objects.update(hidden_at=started)
    nothing = program(alice).get("/jobs/stats").json()
    assert (nothing["total"], nothing["average_duration"], nothing["success_rate"], nothing["recent"]) == (
        0,
        None,
        None,
        [],
    )


@pytest.mark.req("J6")
def test_a_finished_job_leaves_the_lists_and_an_unfinished_one_is_cancelled(
    program: Callable[[Any], Program], logged_in: Any, bob: Any, finished_job: ImportJob, pending_job: ImportJob
) -> None:
    alice = finished_job.created_by
    api = program(alice)
    assert program(bob).delete(f"/jobs/{finished_job.pk}").status_code == 403
    for job, status in ((pending_job, "cancelled"), (finished_job, "completed")):
        answer = api.delete(f"/jobs/{job.pk}")
        assert (answer.status_code, answer.json()["job"]["status"]) == (200, status)
    assert [job["id"] for job in api.get("/jobs").json()["data"]] == [str(pending_job.pk)]
    assert api.delete(f"/jobs/{finished_job.pk}").status_code == 200  # once more changes nothing
    assert api.get(f"/jobs/{finished_job.pk}").status_code == 200
    assert ImportRecord.objects.filter(run__job=finished_job).count() == 2
    assert AuditEntry.objects.filter(operation="import_job_deleted", job_id=finished_job.pk).count() == 1

    browser = logged_in(alice)  # the page does the same
    browser.post(reverse("job_delete", args=[pending_job.pk]))
    assert api.get("/jobs").json()["data"] == []
    for page in (reverse("import_jobs"), reverse("profile", args=[finished_job.profile_id]), reverse("import")):
        assert f"/import/jobs/{finished_job.pk}" not in browser.get(page).content.decode(), page
    assert not ImportProfile.objects.get(pk=finished_job.profile_id).jobs.filter(hidden_at=None).exists()


@pytest.mark.req("J14")
def test_a_report_tells_what_became_of_a_job_in_every_form(
    api: Program, program: Callable[[Any], Program], bob: Any, finished_job: ImportJob
) -> None:
    ImportJob.objects.filter(pk=finished_job.pk).update(options={"batch_size": 200})
    warned = finished_job.runs.get().records.get(action="review")
    warned.warnings = [{"code": "shortened", "field": "title"}]
    warned.save()
    place = f"/jobs/{finished_job.pk}/report"
    report = api.get(place).json()
    assert report["options"] == {"batch_size": 200}
    assert report["counters"] == {
        "read": 10, "created": 8, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 1, "review": 1,
    }  # fmt: skip
    assert report["equation"] == "10 read = 8 created + 1 review + 1 failed"
    assert (report["seconds"], report["started_at"]) == (372.0, "2025-03-01T08:00:00Z")
    assert report["warnings"] == [{"query": "tickets", "code": "shortened", "field": "title", "count": 1}]
    assert [error["value"] for error in report["errors"]] == ["31.02.2024"]

    document = api.get(f"{place}?format=html")
    assert document["Content-Type"].startswith("text/html")
    said = document.content.decode()
    for words in ("10 read = 8 created + 1 review + 1 failed", "batch_size", "00:06:12", "shortened", "31.02.2024"):
        assert words in said, words
    lines = list(csv.DictReader(io.StringIO(api.get(f"{place}?format=csv").content.decode("utf-8-sig"))))
    values = {(line["part"], line["query"], line["name"]): line["value"] for line in lines}
    assert values["option", "", "batch_size"] == "200"
    assert values["counter", "", "created"] == values["query", "tickets", "created"] == "8"
    assert values["warning", "tickets", "shortened"] == "1"
    assert values["error", "tickets", "9"] == "31.02.2024"
    assert api.get(f"{place}?format=xlsx").content.startswith(b"PK")
    assert api.get(f"{place}?format=pdf").status_code == 422
    for form in ("html", "csv", "json"):  # of the rows, those who may not see them are told nothing
        assert b"31.02.2024" not in program(bob).get(f"{place}?format={form}").content
