"""Four eyes: who decides, when, and what becomes of the job (J22, J23, G20-G24)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from importer import operations
from importer.errors import ImporterError
from importer.models import ImportJob
from importer.operations import consent
from importer.tasks import run_job
from permissions import approvals
from permissions.models import Approval, AuditEntry
from servicevault.jobs.models import JobStatus
from tests.api.conftest import Program, program
from tests.conftest import person

__all__ = ["program"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def dora(db: None) -> Any:
    """An approver."""
    return person("dora", name="Dora Diaz", role="Approver")


@pytest.fixture
def careful(profile: Any) -> Any:
    """Alice's profile, whose imports need a second person; open to all who import."""
    profile.requires_approval, profile.visibility = True, "all"
    profile.save()
    return profile


@pytest.fixture
def asked(careful: Any, alice: Any, dora: Any) -> Approval:
    """Alice started an import; it waits."""
    job = operations.start_import(careful, by=alice)
    return Approval.objects.get(job_id=job.pk)


@pytest.mark.req("J22", "F-124", "G22", "G24")
def test_an_import_that_needs_consent_waits_for_it(asked: Approval, alice: Any, careful: Any) -> None:
    job = ImportJob.objects.get()
    assert job.status == JobStatus.AWAITING_APPROVAL
    assert (asked.requested_by, asked.profile, asked.kind, asked.status) == (alice, "Old desk", "import", "pending")
    assert asked.risk_flags == ["first_import_to_table", "personal_data"]
    assert "imports tickets from “Old desk”" in asked.summary
    found = AuditEntry.objects.filter(job_id=job.pk).values_list("operation", flat=True)
    assert list(found) == ["import_requested"]


@pytest.mark.req("J22", "DEC-22")
@pytest.mark.parametrize("reason", ["option", "installation"])
def test_the_option_and_the_installation_ask_for_it_too(
    reason: str, profile: Any, alice: Any, dora: Any, settings: Any
) -> None:
    settings.IMPORT_REQUIRE_APPROVAL = reason == "installation"
    options = {"requires_approval": True} if reason == "option" else {}
    assert operations.start_import(profile, by=alice, options=options).status == JobStatus.AWAITING_APPROVAL


def test_a_rehearsal_needs_no_consent(careful: Any, alice: Any, dora: Any) -> None:
    assert operations.start_import(careful, by=alice, dry_run=True).status == JobStatus.PENDING


@pytest.mark.req("G24", "J22", "G11")
def test_who_may_decide_and_who_asked_are_told(
    asked: Approval, alice: Any, bob: Any, dora: Any, logged_in: Any
) -> None:
    request = dora.notifications.get()
    assert (request.title, request.body) == ("Alice Ng asks for your approval", asked.summary)
    assert not bob.notifications.exists()  # may not decide
    browser = logged_in(dora)
    assert "1</span>" in browser.get("/").content.decode()
    assert browser.get(f"/notifications/{request.pk}")["Location"] == f"/approvals/{asked.pk}"
    assert logged_in(alice).get(f"/notifications/{request.pk}").status_code == 404
    approvals.decide(asked.pk, by=dora, approve=False, notes="Wrong source.")
    answer = alice.notifications.get()
    assert (answer.title, answer.url) == ("Your request was rejected by Dora Diaz", f"/import/jobs/{asked.job_id}")
    assert "Wrong source." in answer.body


@pytest.mark.req("G20", "J22", "G24")
def test_an_approval_queues_the_job(asked: Approval, dora: Any, program: Callable[[Any], Program]) -> None:
    answer = program(dora).post(f"/jobs/{asked.job_id}/approve", {"notes": "Go."})
    assert (answer.status_code, answer.json()["job"]["status"]) == (200, "pending")
    asked.refresh_from_db()
    assert (asked.status, asked.decided_by, asked.notes) == ("approved", dora, "Go.")
    assert AuditEntry.objects.get(operation="import_approved").user == dora
    assert AuditEntry.objects.get(operation="import_started").user == asked.requested_by


@pytest.mark.req("G20", "G21", "C16")
def test_a_rejection_cancels_the_job_and_says_why(
    asked: Approval, dora: Any, program: Callable[[Any], Program]
) -> None:
    path = f"/jobs/{asked.job_id}/reject"
    for notes in ("", "no", "x" * 2001):
        assert program(dora).post(path, {"notes": notes}).status_code == 422
    job = program(dora).post(path, {"notes": "Wrong source."}).json()["job"]
    assert (job["status"], job["error_code"], job["error_message"]) == ("cancelled", "rejected", "Wrong source.")


@pytest.mark.req("J22", "DEC-22")
def test_nobody_decides_what_they_asked_for(careful: Any, root: Any, dora: Any, program: Any) -> None:
    job = operations.start_import(careful, by=root)
    answer = program(root).post(f"/jobs/{job.pk}/approve")
    assert (answer.status_code, answer.json()["code"]) == (403, "self_approval")
    assert ImportJob.objects.get().status == JobStatus.AWAITING_APPROVAL


@pytest.mark.req("G21")
def test_deciding_needs_the_permission_and_happens_once(asked: Approval, alice: Any, dora: Any, program: Any) -> None:
    missing = program(alice).post(f"/jobs/{asked.job_id}/approve")
    assert (missing.status_code, missing.json()["required_permission"]) == (403, "import.approve")
    assert program(dora).post(f"/jobs/{asked.job_id}/approve").status_code == 200
    again = program(dora).post(f"/jobs/{asked.job_id}/reject", {"notes": "Changed my mind."})
    assert (again.status_code, again.json()["code"], again.json()["status"]) == (409, "conflict", "approved")


@pytest.mark.req("G23")
def test_a_start_nobody_could_approve_says_so(careful: Any, alice: Any, program: Any) -> None:
    answer = program(alice).post(f"/profiles/{careful.pk}/import")
    assert (answer.status_code, answer.json()["code"]) == (409, "approval_required")
    assert "role Approver" in answer.json()["message"]
    assert not ImportJob.objects.exists()


@pytest.mark.req("J23", "DEC-22")
def test_a_change_before_the_decision_asks_again(asked: Approval, careful: Any, dora: Any) -> None:
    careful.queries.update(name="Tickets", value_maps={"status": {"1": "open"}})
    with pytest.raises(approvals.ApprovalRequired):
        approvals.decide(asked.pk, by=dora, approve=True)
    assert [row.status for row in Approval.objects.all()] == ["pending", "expired"]
    approvals.decide_job(asked.job_id, by=dora, approve=True)
    assert ImportJob.objects.get().status == JobStatus.PENDING


@pytest.mark.req("J23")
def test_a_change_after_the_decision_makes_the_job_wait_again(asked: Approval, careful: Any, dora: Any) -> None:
    approvals.decide(asked.pk, by=dora, approve=True)
    careful.queries.update(target_type="accounts")
    assert run_job(str(asked.job_id)) == JobStatus.AWAITING_APPROVAL
    assert ImportJob.objects.get().current_operation == "Changed since the approval: waiting for a new one"
    assert approvals.of_job(asked.job_id).status == "pending"  # type: ignore[union-attr]


@pytest.mark.req("J23")
def test_what_is_unchanged_may_run(asked: Approval, dora: Any) -> None:
    approvals.decide(asked.pk, by=dora, approve=True)
    assert not consent.hold_if_changed(asked.job_id)


@pytest.mark.req("J23")
def test_a_request_expires_after_fourteen_days(asked: Approval, alice: Any) -> None:
    Approval.objects.update(requested_at=timezone.now() - timedelta(days=13, hours=23))
    assert approvals.expire() == 0
    Approval.objects.update(requested_at=timezone.now() - timedelta(days=14, minutes=1))
    assert approvals.expire() == 1
    asked.refresh_from_db()
    assert (asked.status, ImportJob.objects.get().status) == ("expired", JobStatus.CANCELLED)
    assert alice.notifications.get().title == "Your request expired"


@pytest.mark.req("J22")
def test_a_rejected_job_cannot_be_resumed(asked: Approval, dora: Any) -> None:
    approvals.decide(asked.pk, by=dora, approve=False, notes="Wrong source.")
    with pytest.raises(ImporterError, match="was not approved"):
        operations.resume(ImportJob.objects.select_related("profile").get())


@pytest.mark.req("J5")
def test_a_cancelled_job_leaves_nothing_to_decide(asked: Approval) -> None:
    operations.cancel(ImportJob.objects.get())
    asked.refresh_from_db()
    assert asked.status == "expired"


@pytest.mark.req("G20", "G11")
def test_the_list_shows_what_a_person_may_see(asked: Approval, people: dict[str, Any], program: Any) -> None:
    def listed(name: str, query: str = "") -> Any:
        caller = program(people[name])
        headers = {"Authorization": f"Bearer {caller.token}"}
        return caller.client.get(f"/api/v1/data/approvals{query}", headers=headers).json()

    assert listed("dora") == listed("alice")
    found = listed("dora", "?status=pending&kind=import")
    assert (found["total_count"], found["skip"], found["limit"]) == (1, 0, 50)
    assert found["approvals"][0]["requested_by"] == {"id": str(people["alice"].pk), "name": "Alice Ng"}
    assert listed("dora", "?status=approved")["approvals"] == listed("charlie")["approvals"] == []
    assert listed("bob")["approvals"] == []
    assert [approvals.waiting_for(people[name]) for name in ("dora", "alice")] == [1, 0]


@pytest.fixture
def people(alice: Any, bob: Any, charlie: Any, dora: Any) -> dict[str, Any]:
    return {"alice": alice, "bob": bob, "charlie": charlie, "dora": dora}
