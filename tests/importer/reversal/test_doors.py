"""The same rollback by API, page and command, for whoever may (R7, R20, R22, R23, U34, G2, G25)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from importer import runner
from importer.models import ImportJob, ImportRecord
from importer.operations.news import ended
from permissions.models import AuditEntry
from servicevault.models import Ticket, User
from tests.importer.reversal.conftest import Office, program_of, worked

pytestmark = pytest.mark.usefixtures("committed_db")


def job_of(answer: Any) -> ImportJob:
    assert answer.status_code == 202, answer.content
    return ImportJob.objects.get(pk=answer.json()["job"]["id"])


@pytest.mark.req("R6", "R7", "R19", "R20", "R22", "R23", "R3", "R1", "G1", "G2", "G25", "J5")
def test_by_the_api(office: Office, broom: Any, sent: list[str]) -> None:
    job = office.run(by=broom)
    api = program_of(broom)
    path = f"/jobs/{job.pk}/rollback"
    refused = api.post(path)
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["confirmation.understood_consequences"])
    assert api.post(path, {"rollback_options": {"target_actions": []}}).status_code == 422
    preview = worked(job_of(api.post(path, {"rollback_options": {"dry_run": True}})))
    assert sent == [str(preview.pk)]
    told = api.get(f"/rollback/{preview.pk}/status").json()
    assert (told["status"], told["dry_run"], told["undoable"]) == ("completed", True, False)
    assert told["buckets"] == {
        "reversed": 60 + job.counters()["late_linked"],
        "kept_edited": 0,
        "blocked": 0,
        "error": 0,
    }
    assert Ticket.objects.count() == 13

    Ticket.objects.filter(pk=office.target_of("tickets", 1)).update(title="Mine")
    confirmed = {"confirmation": {"understood_consequences": True, "backup_created": True}}
    rollback = worked(job_of(api.post(path, confirmed | {"rollback_options": {"batch_size": 10}})))
    told = api.get(f"/rollback/{rollback.pk}/status").json()
    assert (told["rollback_id"], told["job_id"], told["undoable"]) == (str(rollback.pk), str(job.pk), True)
    rows = api.get(told["rows_url"].removeprefix("/api/import") + "?bucket=kept_edited").json()
    assert rows["meta"]["total"] == told["buckets"]["kept_edited"] == 1
    assert (rows["data"][0]["code"], rows["data"][0]["kept_fields"]) == ("edited", ["title"])
    blocked = api.get(f"/rollback/{rollback.pk}/rows?bucket=blocked").json()["data"]
    assert {(item["table"]) for row in blocked for item in row["dependants"]} == {"tickets", "users"}
    assert api.get(f"/jobs/{rollback.pk}").json()["buckets"] == told["buckets"]
    seen = api.get(f"/records/{rows['data'][0]['record_id']}").json()
    assert (seen["rollback_bucket"], seen["rolled_back_at"]) == ("kept_edited", None)
    of_job = f"/records?job_id={job.pk}&rolled_back="
    assert api.get(f"{of_job}true").json()["meta"]["total"] == told["buckets"]["reversed"]
    assert api.get(f"{of_job}false").json()["meta"]["total"] == told["buckets"]["blocked"] + 1
    news = ended(rollback)
    assert news is not None
    assert str(news.title) == "Rollback of “Old desk”: completed"
    assert "1 kept, edited" in str(news.body)

    undo = worked(job_of(api.post(f"/rollback/{rollback.pk}/undo")))
    assert Ticket.objects.count() == 13
    assert api.post(f"/rollback/{rollback.pk}/undo").status_code == 409
    assert api.post(f"/rollback/{job.pk}/undo").status_code == 404
    assert api.post(f"/jobs/{undo.pk}/rollback", confirmed).status_code == 409
    assert api.post(f"/jobs/{rollback.pk}/retry").status_code == 409
    assert api.post(f"/jobs/{job.pk}/cancel", {"undo": True}).status_code == 409
    assert not ImportJob.objects.filter(status="pending").exists()

    # Single records, and single fields of them.
    record = ImportRecord.objects.filter(run__job=job, run__key="time_entries").first()
    one = worked(job_of(api.call("delete", "/records/bulk", {"record_ids": [str(record.pk)], "rollback_target": True})))
    assert api.get(f"/rollback/{one.pk}/status").json()["buckets"]["reversed"] == 1

    operations = (
        AuditEntry.objects.filter(operation__startswith="rollback").order_by("id").values_list("operation", "user_id")
    )
    assert set(operations) == {
        (name, broom.pk) for name in ("rollback_started", "rollback_completed", "rollback_undone")
    }


@pytest.mark.req("G2", "R7")
def test_the_right_is_asked_again_when_the_worker_starts(office: Office, broom: Any, sent: list[str]) -> None:
    job = office.run(by=broom)
    api = program_of(broom)
    path, confirmed = f"/jobs/{job.pk}/rollback", {"confirmation": {"understood_consequences": True}}
    pending = job_of(api.post(path, confirmed))
    broom.grants.all().delete()
    refused = api.post(path, confirmed)
    assert (refused.status_code, refused.json()["required_permission"]) == (403, "import.rollback")
    assert runner.work(pending.pk) == "failed"
    pending.refresh_from_db()
    assert pending.error_code == "permission_denied"
    assert Ticket.objects.count() == 13


@pytest.mark.req("U34", "R7", "R20", "C12")
def test_by_the_page(office: Office, broom: Any, sent: list[str], logged_in: Callable[[Any], Any]) -> None:
    job = office.run(by=broom)
    Ticket.objects.filter(pk=office.target_of("tickets", 1)).update(title="Mine")
    browser = logged_in(broom)
    path = f"/import/jobs/{job.pk}/rollback"
    assert path in browser.get(f"/import/jobs/{job.pk}").content.decode()
    assert "Show the preview" in browser.get(path).content.decode()
    both = {"target_actions": ["created", "updated"]}
    assert browser.post(path, {"action": "preview", **both})["Location"] == path
    assert "hx-get" in browser.get(path).content.decode()
    worked(ImportJob.objects.get(pk=sent[-1]))
    page = browser.get(path + "?bucket=kept_edited").content.decode()
    assert re.search(r"Stays as it is: title", page)
    assert "Ticket" in page

    refused = browser.post(path, {"action": "start", "number": "0", **both})
    assert refused.status_code == 422
    assert refused.content.decode().count("aria-invalid") == 2
    started = browser.post(path, {"action": "start", "number": str(job.number), "understood": "1", **both})
    rollback = ImportJob.objects.get(pk=sent[-1])
    assert started["Location"] == f"/import/jobs/{rollback.pk}/rollback"
    worked(rollback)
    page = browser.get(started["Location"]).content.decode()
    assert "Undo this rollback" in page
    assert "What came of each record" in browser.get(f"/import/jobs/{rollback.pk}").content.decode()
    assert "rolled back before" in browser.get(path).content.decode()
    assert "records = " in browser.get(f"/import/jobs/{rollback.pk}").content.decode()
    browser.post(started["Location"], {"action": "undo"})
    worked(ImportJob.objects.get(pk=sent[-1]))
    assert Ticket.objects.count() == 13
    assert "Undo this rollback" not in browser.get(started["Location"]).content.decode()


@pytest.mark.req("R7", "R20")
def test_by_the_command(office: Office) -> None:
    job = office.run()

    def told(*arguments: str) -> dict[str, Any]:
        out = StringIO()
        call_command("rollback_job", *arguments, "--json", stdout=out)
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    assert told(str(job.number), "--dry-run")["dry_run"] is True
    agent = User.objects.get(pk=office.target_of("agents", 1))
    User.objects.filter(pk=agent.pk).update(job_title="Boss")
    found = told(str(job.pk), "--batch-size", "20")
    assert (found["status"], found["buckets"]["kept_edited"]) == ("completed", 1)
    assert [row["kept_fields"] for row in found["rows"] if row["code"] == "edited"] == [["job_title"]]
    assert told(str(job.number), "--undo")["buckets"]["kept_edited"] == 0
    assert Ticket.objects.count() == 13
    call_command("rollback_job", str(job.number), "--only", "created")
    assert not Ticket.objects.exists()
    with pytest.raises(CommandError, match="There is no job"):
        call_command("rollback_job", "999999")
