"""Rows that wait are decided by people: they are somebody we know, somebody new, or left out (R4, R14, J18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from importer import operations
from importer.hiding import shown
from importer.models import Decision, ImportJob, ImportRecord, Verdict
from importer.operations.decisions import Approval, Done, approve, hide, retry_records, target_versions
from servicevault.models import Account
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def companies(desk: Desk) -> Desk:
    """Five companies: two may be ours, one could be either of two, one is new, one has no name."""
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text)")
    desk.execute(
        "INSERT INTO c VALUES (1, 'Alpha', 'Rome'), (2, 'Beta', 'Oslo'), (3, 'Twin', 'Bonn'), (4, 'New', 'Graz'), (5, NULL, 'x')"
    )
    Account.objects.create(name="Alpha", city="Paris")
    Account.objects.create(name="Beta", city="Lima")
    for name in ("Twin", "TWIN "):
        Account.objects.create(name=name)
    desk.profile.matching = {"primary_fields": ["name"], "secondary_fields": ["city"], "review_floor": 70}
    desk.profile.save()
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    return desk


@pytest.fixture
def job(companies: Desk) -> ImportJob:
    job = companies.run()
    assert companies.outcomes(job) == {"read": 5, "created": 1, "review": 3, "failed": 1}
    return job


def of(job: ImportJob, *ids: str) -> object:
    return ImportRecord.objects.filter(run__job=job, source_identifier__in=ids)


def decide(job: ImportJob, *ids: str, **said: object) -> Done:
    return approve(of(job, *ids), Approval(**said), by=None)  # type: ignore[arg-type]


def results(done: Done) -> list[str]:
    return [told.result for told in done.results]


@pytest.mark.req("R4", "R13", "J18", "K3")
def test_a_row_becomes_the_candidate_somebody_new_or_nobody(companies: Desk, job: ImportJob) -> None:
    alpha = Account.objects.get(name="Alpha")
    done = decide(job, "1", "4", "5")
    assert results(done) == ["queued", "not_applicable", "not_applicable"]
    assert companies.outcomes(companies.work(done.job)) == {"read": 1, "updated": 1}
    alpha.refresh_from_db()
    assert (alpha.city, companies.target_of("accounts", "1")) == ("Rome", alpha.pk)

    done = decide(job, "2", decision=Decision.NEW)
    assert companies.outcomes(companies.work(done.job)) == {"read": 1, "created": 1}
    assert Account.objects.filter(name="Beta").count() == 2

    done = decide(job, "3", decision=Decision.SKIP)
    assert (results(done), done.job) == (["skipped"], None)
    assert companies.outcomes(job) == {"read": 5, "created": 1, "failed": 1, "skipped": 3}
    assert results(decide(job, "1", "2", "3")) == ["not_applicable"] * 3  # once is enough
    again = companies.run()
    assert companies.outcomes(again)["review"] == 1  # who is left out waits again at the next import
    assert (companies.record(again, "3").code, Account.objects.filter(name="Beta").count()) == ("ambiguous_match", 2)


@pytest.mark.req("R4", "K10")
def test_a_tie_needs_the_one_that_is_meant(companies: Desk, job: ImportJob) -> None:
    assert results(decide(job, "3")) == ["failed"]
    twin = Account.objects.get(name="TWIN ")
    with pytest.raises(operations.InvalidFields, match="one record at a time"):
        decide(job, "1", "3", target_id=twin.pk)
    done = decide(job, "3", target_id=twin.pk)
    companies.work(done.job)
    twin.refresh_from_db()
    assert (twin.name, twin.city) == ("Twin", "Bonn")
    assert results(decide(job, "2", target_id=job.pk)) == ["failed"]  # nobody's id


@pytest.mark.req("R14")
def test_a_decision_about_what_has_changed_since_is_refused(job: ImportJob) -> None:
    alpha = Account.objects.get(name="Alpha")
    seen = target_versions([("accounts", alpha.pk)])[alpha.pk]
    Account.objects.filter(pk=alpha.pk).update(city="Nice")
    assert results(decide(job, "1", target_version=seen)) == ["stale"]
    now = target_versions([("accounts", alpha.pk)])[alpha.pk]
    assert results(decide(job, "1", target_version=now)) == ["queued"]


@pytest.mark.req("R4")
def test_a_decision_whose_job_was_cancelled_is_taken_again(companies: Desk, job: ImportJob) -> None:
    operations.cancel(decide(job, "1").job)  # type: ignore[arg-type]
    done = decide(job, "1")
    assert results(done) == ["queued"]
    companies.work(done.job)
    assert companies.outcomes(job)["review"] == 2  # counted once


@pytest.mark.req("R4", "DEC-21")
def test_skipped_rows_are_written_without_a_duplicate(companies: Desk, job: ImportJob) -> None:
    companies.execute("INSERT INTO c VALUES (6, 'Sixth', 'Bern')")
    update = companies.run(mode="update")
    assert companies.record(update, "6").code == "not_found"
    assert companies.outcomes(companies.work(decide(update, "6").job)) == {"read": 1, "created": 1}
    companies.execute("UPDATE c SET city = 'Linz' WHERE id = 4")
    create = companies.run(mode="create")
    assert companies.record(create, "4").code == "exists"
    nothing = approve(of(create, "4"), Approval(updates=False), by=None)  # type: ignore[arg-type]
    assert (results(nothing), nothing.job) == (["not_applicable"], None)
    done = decide(create, "4", decision=Decision.NEW)  # NEW is about rows that wait
    assert companies.outcomes(companies.work(done.job)) == {"read": 1, "updated": 1}
    assert Account.objects.get(name="New").city == "Linz"


@pytest.mark.req("R5", "R6", "R24")
def test_hidden_records_leave_the_lists_and_nothing_else(
    companies: Desk, job: ImportJob, root: Any, logged_in: Callable[[Any], Client]
) -> None:
    before = companies.outcomes(job)
    again = retry_records(of(job, "5", "1"), by=None, mode="upsert", options={"batch_size": 10})  # type: ignore[arg-type]
    assert results(again) == ["not_applicable", "queued"]
    assert again.job is not None
    assert again.job.options["batch_size"] == 10
    assert Verdict.objects.get(record=of(job, "5").get()).job == again.job  # type: ignore[attr-defined]
    assert results(hide(of(job, "5", "4"), by=None)) == ["hidden", "hidden"]  # type: ignore[arg-type]
    listed = shown(ImportRecord.objects.filter(run__job=job)).values_list("source_identifier", flat=True)
    assert sorted(listed) == ["1", "2", "3"]
    assert Verdict.objects.get(record=of(job, "5").get()).decision == Decision.RETRY  # type: ignore[attr-defined]
    assert (companies.outcomes(job), Account.objects.filter(name="New").count()) == (before, 1)
    assert operations.job_errors(job) == []
    boss, hidden = logged_in(root), of(job, "5").get()  # type: ignore[attr-defined]
    assert boss.get(reverse("api_job_errors", args=[job.pk])).json()["data"] == []
    assert boss.get(reverse("job_record", args=[job.pk, hidden.pk])).status_code == 404


@pytest.mark.req("X18", "R4")
def test_rows_of_a_rehearsal_are_not_decided(companies: Desk) -> None:
    rehearsed = companies.run(dry_run=True)
    assert results(decide(rehearsed, "1")) == ["not_applicable"]
    tried = retry_records(of(rehearsed, "5"), by=None, mode="upsert")  # type: ignore[arg-type]
    assert (results(tried), tried.job) == (["not_applicable"], None)
    assert operations.retry(rehearsed, by=None).kind == rehearsed.kind
