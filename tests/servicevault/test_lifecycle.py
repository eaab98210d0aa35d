"""The life of a job: every transition of J1 happens, every other one is refused and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from importer import operations
from importer.models import ImportJob, ImportProfile, JobKind
from importer.options import InvalidOption
from servicevault.jobs import lifecycle
from servicevault.jobs.models import ACTIVE, FINISHED, JobStatus

pytestmark = pytest.mark.django_db

TRANSITIONS: dict[str, Callable[[ImportJob], bool]] = {
    "claim": lambda job: lifecycle.claim(ImportJob, job.pk),
    "heartbeat": lambda job: lifecycle.heartbeat(ImportJob, job.pk),
    "complete": lambda job: lifecycle.complete(ImportJob, job.pk),
    "fail": lambda job: lifecycle.fail(ImportJob, job.pk, code="timeout", message="Too long."),
    "crash": lambda job: lifecycle.crash(ImportJob, job.pk),
    "request_cancel": lambda job: lifecycle.request_cancel(ImportJob, job.pk),
    "cancel": lambda job: lifecycle.cancel(ImportJob, job.pk),
    "requeue": lambda job: lifecycle.requeue(ImportJob, job.pk),
}
# (state before, transition) → (state after, error_code); whatever is not here is refused.
ALLOWED = {
    ("pending", "claim"): ("running", ""),
    ("pending", "request_cancel"): ("cancelled", "cancelled_by_user"),
    ("awaiting_approval", "request_cancel"): ("cancelled", "cancelled_by_user"),
    ("running", "claim"): ("running", ""),  # one more worker joins
    ("running", "heartbeat"): ("running", ""),
    ("running", "complete"): ("completed", ""),
    ("running", "fail"): ("failed", "timeout"),
    ("running", "crash"): ("failed", "internal_error"),
    ("running", "request_cancel"): ("running", ""),
    ("failed", "requeue"): ("pending", ""),
    ("cancelled", "requeue"): ("pending", ""),
}


@pytest.fixture
def profile() -> ImportProfile:
    return ImportProfile.objects.create(name="p", source_key="p", host="h", database="d", username="u")


def a_job(profile: ImportProfile, status: str, **values: object) -> ImportJob:
    return ImportJob.objects.create(profile=profile, mode="upsert", status=status, **values)


@pytest.mark.req("J1")
@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("status", JobStatus.values)
def test_each_state_takes_exactly_the_transitions_of_the_table(
    profile: ImportProfile, status: str, transition: str
) -> None:
    job = a_job(profile, status)
    before = ImportJob.objects.values().get(pk=job.pk)
    won = TRANSITIONS[transition](job)
    after = ImportJob.objects.values().get(pk=job.pk)
    if (status, transition) in ALLOWED:
        assert won
        assert (after["status"], after["error_code"]) == ALLOWED[status, transition]
    else:
        assert not won
        assert after == before


@pytest.mark.req("J1", "J5")
def test_a_running_job_is_cancelled_only_when_somebody_asked(profile: ImportProfile) -> None:
    job = a_job(profile, "running")
    assert not lifecycle.cancel(ImportJob, job.pk)
    assert lifecycle.request_cancel(ImportJob, job.pk)
    assert not lifecycle.heartbeat(ImportJob, job.pk)
    assert lifecycle.cancel(ImportJob, job.pk)
    job.refresh_from_db()
    assert (job.status, job.error_code, job.cancel_requested) == ("cancelled", "cancelled_by_user", False)


@pytest.mark.req("J5")
def test_asking_twice_is_asking_once(profile: ImportProfile) -> None:
    job = a_job(profile, "running")
    assert lifecycle.request_cancel(ImportJob, job.pk)
    assert lifecycle.request_cancel(ImportJob, job.pk)
    assert lifecycle.cancel(ImportJob, job.pk)
    assert not lifecycle.request_cancel(ImportJob, job.pk)


@pytest.mark.req("J1")
@pytest.mark.parametrize("end", ["complete", "fail", "crash"])
def test_an_ended_job_has_an_end_and_no_lease(profile: ImportProfile, end: str) -> None:
    job = a_job(profile, "pending")
    lifecycle.claim(ImportJob, job.pk)
    TRANSITIONS[end](job)
    job.refresh_from_db()
    assert job.status in FINISHED
    assert job.duration is not None
    assert (job.lease_until, job.current_operation, job.cancel_requested) == (None, "", False)


@pytest.mark.req("J13", "J20")
def test_a_resumed_job_forgets_why_it_stopped_and_keeps_its_first_start(profile: ImportProfile) -> None:
    started = timezone.now() - timedelta(hours=2)
    job = a_job(profile, "failed", started_at=started, completed_at=timezone.now(), error_code="x", error_message="y")
    lifecycle.requeue(ImportJob, job.pk)
    lifecycle.claim(ImportJob, job.pk)
    job.refresh_from_db()
    assert (job.status, job.error_code, job.error_message, job.completed_at) == ("running", "", "", None)
    assert job.started_at == started


@pytest.mark.req("J12")
def test_only_jobs_nobody_works_on_are_handed_out(profile: ImportProfile) -> None:
    def orphans() -> list[ImportJob]:
        return list(lifecycle.orphaned(ImportJob))

    job = a_job(profile, "pending")
    assert orphans() == [job]
    lifecycle.claim(ImportJob, job.pk)
    assert orphans() == []
    ImportJob.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert orphans() == [job]
    lifecycle.heartbeat(ImportJob, job.pk)
    assert orphans() == []


@pytest.mark.req("X11", "J1")
@pytest.mark.parametrize("status", JobStatus.values)
def test_a_profile_has_one_unfinished_job(profile: ImportProfile, status: str) -> None:
    a_job(profile, status)
    if status in ACTIVE:
        with pytest.raises(operations.ProfileBusy):
            operations.start_import(profile)
    else:
        assert operations.start_import(profile).status == "pending"


@pytest.mark.req("X11")
def test_other_profiles_do_not_count(profile: ImportProfile) -> None:
    other = ImportProfile.objects.create(name="q", source_key="q", host="h", database="d", username="u")
    operations.start_import(profile)
    assert operations.start_import(other).status == "pending"


def test_the_database_refuses_a_state_nobody_knows(profile: ImportProfile) -> None:
    with pytest.raises(IntegrityError, match="status_known"), transaction.atomic():
        a_job(profile, "paused")


@pytest.mark.req("J1", "J13")
@pytest.mark.parametrize("status", JobStatus.values)
def test_resume_answers_by_the_state(profile: ImportProfile, status: str) -> None:
    job = a_job(profile, status)
    if status in ("completed", "awaiting_approval"):
        with pytest.raises(operations.Conflict):
            operations.resume(job)
        job.refresh_from_db()
        assert job.status == status
    else:
        assert operations.resume(job).status == ("running" if status == "running" else "pending")


@pytest.mark.req("J5")
@pytest.mark.parametrize("status", JobStatus.values)
def test_cancel_answers_by_the_state(profile: ImportProfile, status: str) -> None:
    job = a_job(profile, status)
    if status in FINISHED:
        with pytest.raises(operations.Conflict):
            operations.cancel(job)
    else:
        assert operations.cancel(job).status == ("running" if status == "running" else "cancelled")


@pytest.mark.req("J13", "X11")
def test_resume_waits_for_the_job_that_took_its_place(profile: ImportProfile) -> None:
    job = a_job(profile, "failed")
    newer = operations.start_import(profile)
    with pytest.raises(operations.ProfileBusy) as caught:
        operations.resume(job)
    assert caught.value.running_jobs == [newer.number]
    job.refresh_from_db()
    assert job.status == "failed"


@pytest.mark.req("X18")
def test_a_rehearsal_is_rehearsed_again_not_resumed(profile: ImportProfile) -> None:
    with pytest.raises(operations.Conflict):
        operations.resume(a_job(profile, "failed", kind=JobKind.REHEARSAL))


@pytest.mark.req("X22", "O4")
def test_start_refuses_options_and_modes_it_does_not_know(profile: ImportProfile) -> None:
    for arguments in ({"options": {"bath_size": 1}}, {"mode": "merge"}, {"options": {"mode": "merge"}}):
        with pytest.raises(InvalidOption) as caught:
            operations.start_import(profile, **arguments)
        assert caught.value.code == "validation_error"
    assert not ImportJob.objects.exists()


@pytest.mark.req("X22")
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": "many"},
        {"batch_size": 0},
        {"batch_size": -5},
        {"batch_size": 60_000},
        {"timeout": "soon"},
        {"timeout": 5},
        {"timeout": 90_000},
        {"concurrent_jobs": 50},
        {"error_policy": {"on_error": "panic"}},
        {"error_policy": {"max_errors": "few"}},
        {"error_policy": "stop"},
        {"import_filters": {"limit": 0}},
        {"import_filters": {"date_from": "last week"}},
        {"import_filters": {"dates": []}},
        {"matching": {"strategy": "psychic"}},
        {"selected_types": "accounts"},
    ],
    ids=str,
)
def test_start_refuses_option_values_out_of_range(profile: ImportProfile, options: dict[str, object]) -> None:
    with pytest.raises(InvalidOption):
        operations.start_import(profile, options=options)


@pytest.mark.req("X8")
def test_an_inactive_or_deleted_profile_starts_nothing(profile: ImportProfile) -> None:
    for values in ({"is_active": False}, {"is_active": True, "deleted_at": timezone.now()}):
        for name, value in values.items():
            setattr(profile, name, value)
        with pytest.raises(operations.Conflict) as caught:
            operations.start_import(profile)
        assert caught.value.code == "profile_inactive"
