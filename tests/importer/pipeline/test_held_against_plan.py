"""An import is held against the plan of its rehearsal: what changed meanwhile is named, or waits (X20, N-020, N-029)."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.utils import timezone

from importer import runner
from importer.models import ImportJob, ImportRecord
from importer.operations import cancel, resume
from importer.operations.failures import Conflict, InvalidFields
from importer.operations.plans import import_as_rehearsed
from servicevault.models import Account
from tests.conftest import person
from tests.importer.desk import Desk
from tests.importer.pipeline.test_rehearsal import AfterEachSlice, fill, whole  # noqa: F401 - a fixture
from tests.importer.pipeline.test_review_page import form

pytestmark = pytest.mark.usefixtures("committed_db")


def named(job: ImportJob) -> dict[tuple[str, str], tuple[str | None, str]]:
    """(query, source id) of each row that is not as planned → what was planned, what came of it."""
    found = ImportRecord.objects.filter(run__job=job, replanned_from__isnull=False).select_related("run")
    rows = {(row.run.key, row.source_identifier): (row.replanned_from, row.action) for row in found}
    assert job.counters()["replanned"] == len(rows) == found.count()
    return rows


def held_against(desk: Desk, plan: ImportJob, **options: Any) -> ImportJob:
    job = desk.run(options={"plan_id": str(plan.pk), **options})
    assert job.status == "completed", job.error_message
    return job


@pytest.mark.req("X20", "N-020", "N-029")
def test_exactly_the_rows_that_changed_meanwhile_are_named(whole: Desk, target: psycopg.Connection) -> None:  # noqa: F811
    fill(whole)
    whole.execute("UPDATE issues SET no = NULL WHERE id > 20; UPDATE people SET org = 99 WHERE id = 9")
    assert (
        named(held_against(whole, whole.run(dry_run=True))) == {}
    )  # every row is new, with ids and numbers of its own
    assert named(held_against(whole, whole.run(dry_run=True))) == {}  # every row is as it was

    whole.execute("UPDATE orgs SET city = 'new' WHERE id < 11; UPDATE issues SET title = 'new' WHERE id < 6")
    plan = whole.run(dry_run=True)
    whole.execute("UPDATE orgs SET city = 'other' WHERE id = 1; UPDATE orgs SET city = 'city' WHERE id = 2")  # or back
    whole.execute(
        "UPDATE orgs SET name = 'Renamed' WHERE id = 3; INSERT INTO orgs VALUES (31, 'Org 31', 'x', 'customer')"
    )
    whole.execute("DELETE FROM orgs WHERE id = 4; UPDATE orgs SET city = 'new' WHERE id = 20")
    target.execute(
        "UPDATE accounts SET city = 'new' WHERE name = 'Org 5'; UPDATE accounts SET city = 'x' WHERE name = 'Org 6'"
    )
    target.execute("UPDATE tickets SET deleted_at = now() WHERE ticket_number = 'N-2'")
    target.execute("UPDATE accounts SET phone = '1' WHERE name = 'Org 7'")  # nothing that the import writes
    assert named(held_against(whole, plan)) == {
        ("accounts", "1"): ("updated", "updated"),
        ("accounts", "2"): ("updated", "unchanged"),
        ("accounts", "3"): ("updated", "updated"),
        ("accounts", "31"): ("", "created"),
        ("accounts", "20"): ("", "updated"),
        ("accounts", "5"): ("updated", "unchanged"),
        ("accounts", "6"): ("updated", "updated"),
        ("tickets", "2"): ("updated", "skipped"),
    }


@pytest.mark.req("X20", "N-029")
def test_new_rows_that_the_source_changes_are_named_over_generated_data(whole: Desk) -> None:  # noqa: F811
    fill(whole, 60)
    plan, chance = whole.run(dry_run=True), random.Random(20261122)
    statements = {
        "accounts": "UPDATE orgs SET city = 'other' WHERE id = %s",
        "agents": "UPDATE staff SET name = 'Other' WHERE id = %s",
        "customer_users": "UPDATE people SET org = 1 + id %% 60 WHERE id = %s",  # belongs to another row that is new too
        "tickets": "UPDATE issues SET no = 'other ' || id WHERE id = %s",
        "ticket_comments": "UPDATE notes SET parent = NULL WHERE id = %s",
        "time_entries": "UPDATE logs SET began = '2024-02-02' WHERE id = %s",
    }
    expected = set()
    for key, statement in statements.items():
        for row in chance.sample(range(1, 6 if key == "agents" else 61), chance.randint(1, 5)):
            whole.execute(statement, [row])
            expected.add((key, str(row)))
            if key == "customer_users":  # the account of a ticket is its customer's
                expected |= {("tickets", str(row)), ("time_entries", str(row))}
    assert set(named(held_against(whole, plan))) == expected


@pytest.mark.req("X20", "N-029", "J13")
def test_a_resumed_import_goes_on_beside_its_plan(desk: Desk) -> None:
    desk.execute(
        "CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c SELECT i, 'C ' || i FROM generate_series(1, 9) i"
    )
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    plan = desk.run(dry_run=True)
    desk.execute("UPDATE c SET name = 'Other' || id WHERE id IN (2, 8)")
    job = desk.start(options={"plan_id": str(plan.pk), "batch_size": 3})
    assert runner.work(job.pk, sink=AfterEachSlice(lambda: cancel(job))) == "cancelled"
    assert set(named(job)) == {("accounts", "2")}
    assert desk.work(resume(job)).status == "completed"
    assert set(named(job)) == {("accounts", "2"), ("accounts", "8")}


@pytest.mark.req("X20", "R4", "U35")
def test_a_strict_import_lets_what_differs_wait_for_a_person(
    desk: Desk, target: psycopg.Connection, logged_in: Any
) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text)")
    desk.execute("INSERT INTO c SELECT i, 'C ' || i, 'Bonn' FROM generate_series(1, 8) i")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text, c int)")
    desk.execute("INSERT INTO p VALUES (1, 'Ada', 'a@x.de', 9), (2, 'Bob', 'b@x.de', 8)")
    person_fields = {"external_id": "id", "name": "name", "email": "mail", "account_external_id": "c"}
    desk.query("customer_users", "p", person_fields)
    desk.run(options={"selected_queries": ["accounts"]})
    desk.execute("UPDATE c SET city = 'Ulm' WHERE id < 5; INSERT INTO c VALUES (9, 'C 9', 'Bonn')")
    plan = desk.run(dry_run=True)
    desk.execute("UPDATE c SET city = 'Rome' WHERE id IN (1, 9); UPDATE c SET city = 'Bonn' WHERE id = 2")
    desk.execute("INSERT INTO c VALUES (10, 'C 10', 'Bonn')")
    target.execute("UPDATE accounts SET city = 'Ulm' WHERE name = 'C 3'")
    root = person("root", is_superuser=True)
    job = import_as_rehearsed(plan, by=root, strict=True)
    assert desk.work(job).status == "completed"
    # Ada's account is not there now, so she differs too; Bob and company 4 come in as planned.
    assert named(job) == {
        ("accounts", "1"): ("updated", "review"),
        ("accounts", "10"): ("", "review"),
        ("accounts", "2"): ("updated", "review"),
        ("accounts", "3"): ("updated", "review"),
        ("accounts", "9"): ("created", "review"),
        ("customer_users", "1"): ("created", "review"),
    }
    assert desk.outcomes(job) == {"read": 12, "created": 1, "updated": 1, "unchanged": 4, "review": 6}
    assert set(ImportRecord.objects.filter(run__job=job, action="review").values_list("code", flat=True)) == {
        "replanned"
    }
    written = Account.objects.exclude(city="Bonn").order_by("name").values_list("name", "city")
    assert list(written) == [("C 3", "Ulm"), ("C 4", "Ulm")]

    browser, url = logged_in(root), f"/import/jobs/{job.pk}/review"
    html = browser.get(url).content.decode()
    assert "Something else would become of it" in html
    answer = browser.post(url, form(html, row1="A", row10="new", row2="skip"))
    assert (answer.status_code, answer["Location"]) == (302, url)
    again = desk.work(ImportJob.objects.latest("number"))
    assert desk.outcomes(again) == {"read": 2, "created": 1, "updated": 1}
    assert Account.objects.get(city="Rome").name == "C 1"


@pytest.mark.req("X20")
def test_a_plan_holds_for_seven_days_and_for_its_profile(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'Acme')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    plan = desk.run(dry_run=True, mode="create")
    given = {"plan_id": str(plan.pk)}
    for wrong in ({"strict": True}, {"plan_id": str(desk.profile.pk)}):
        with pytest.raises(InvalidFields):
            desk.start(options=wrong)
    with pytest.raises(InvalidFields):
        desk.start(options=given, dry_run=True)
    ImportJob.objects.filter(pk=plan.pk).update(completed_at=timezone.now() - timedelta(days=7, seconds=9))
    for start in (
        lambda: desk.start(options=given),
        lambda: import_as_rehearsed(ImportJob.objects.get(pk=plan.pk), by=None),
    ):
        with pytest.raises(Conflict, match="older than 7 days"):
            start()
    ImportJob.objects.filter(pk=plan.pk).update(completed_at=timezone.now() - timedelta(days=6, hours=23))
    job = desk.run(options=given)
    assert (job.mode, named(job), desk.outcomes(job)) == ("create", {}, {"read": 1, "created": 1})


@pytest.mark.req("X20", "R3")
def test_pages_api_and_command_hold_against_a_plan_and_list_what_differs(desk: Desk, logged_in: Any) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'Acme'), (2, 'Beta')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    browser = logged_in(person("root", is_superuser=True))
    plan = desk.run(dry_run=True)
    body = {"profile_id": str(desk.profile.pk), "plan_id": str(plan.pk), "strict": True}
    ImportJob.objects.filter(pk=plan.pk).update(completed_at=timezone.now() - timedelta(days=8))
    refused = browser.post("/api/import/jobs", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    ImportJob.objects.filter(pk=plan.pk).update(completed_at=timezone.now())
    desk.execute("UPDATE c SET name = 'Bravo' WHERE id = 2")
    begun = browser.post("/api/import/jobs", body, content_type="application/json").json()["job"]
    assert begun["options"] == {"plan_id": str(plan.pk), "strict": True}
    desk.work(ImportJob.objects.get(pk=begun["id"]))
    told = browser.get(f"/api/import/jobs/{begun['id']}").json()
    assert [told[f"records_{name}"] for name in ("created", "review", "replanned")] == [1, 1, 1]
    assert browser.get(f"/api/import/jobs/{begun['id']}/status").json()["records_replanned"] == 1
    rows = {
        wanted: browser.get("/api/import/records", {"job_id": begun["id"], "replanned": wanted}).json()["data"]
        for wanted in ("true", "false")
    }
    assert [(row["source_identifier"], row["replanned_from"]) for row in rows["true"]] == [("2", "created")]
    assert [(row["source_identifier"], row["replanned_from"]) for row in rows["false"]] == [("1", None)]

    # What was left to a person is written by a job that is held against no plan, so it is planned anew.
    output = StringIO()
    arguments = {"name": desk.profile.name, "plan": str(desk.run(dry_run=True).pk), "json": True, "stdout": output}
    desk.execute("INSERT INTO c VALUES (3, 'Gamma')")
    call_command("import_profile", **arguments)
    report = json.loads(output.getvalue())
    assert [(query["created"], query["replanned"]) for query in report["queries"]] == [(2, 1)]
    page = f"/import/jobs/{report['job_id']}"
    assert f'href="{page}/records?replanned=1"' in browser.get(page).content.decode()
    listed = browser.get(f"{page}/records?replanned=1").content.decode()
    assert "Not as planned 1" in listed
    assert "not planned" in listed
    record = ImportRecord.objects.get(run__job=report["job_id"], source_identifier="3")
    assert "nothing to do for this row" in browser.get(f"{page}/records/{record.pk}").content.decode()
