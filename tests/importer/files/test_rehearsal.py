"""A file is rehearsed: every row goes through the import, a plan is kept, and nothing else stays (F-042, X18 to X21)."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from django.urls import reverse

from importer import runner
from importer.models import FileImport, ImportJob, ImportRecord
from importer.operations import files, plans
from importer.operations.failures import Conflict
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.files.conftest import outcomes, uploaded
from tests.importer.files.test_desk import document, help_desk, run  # noqa: F401 - a fixture

WHOLE = (
    "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM (SELECT 'a', a::text FROM accounts a UNION ALL "
    "SELECT 'u', u::text FROM users u UNION ALL SELECT 't', t::text FROM tickets t UNION ALL "
    "SELECT 'e', e::text FROM external_refs e UNION ALL SELECT 's', last_value::text || is_called::text FROM ticket_number) t"
)


def rehearsed(job: ImportJob) -> ImportJob:
    rehearsal = files.rehearse(job, None, system=True)
    runner.work(rehearsal.pk)
    rehearsal.refresh_from_db()
    assert rehearsal.status == "completed", rehearsal.error_message
    return rehearsal


@pytest.mark.req("F-042", "X18", "X19")
def test_rows_of_a_table_are_planned_and_neither_rows_nor_numbers_are_used_up(shop: psycopg.Connection) -> None:
    shop.execute(
        "CREATE TABLE batches (no smallint GENERATED ALWAYS AS IDENTITY CHECK (no > 0), batch serial, sku text PRIMARY KEY)"
    )
    shop.execute("INSERT INTO products (sku, name, stock) VALUES ('A', 'old', 1)")
    state = "SELECT (SELECT json_agg(p) FROM products p)::text, (SELECT last_value FROM products_id_seq)"
    before = shop.execute(state).fetchone()
    job = uploaded("sku,stock\nA,7\nB,2\nC,x\n", options={"on_duplicate": "update"})
    rehearsal = rehearsed(job)
    assert (rehearsal.kind, rehearsal.rehearses_id, rehearsal.source_name) == ("rehearsal", job.pk, "products.csv")
    assert outcomes(rehearsal) == {"read": 3, "created": 1, "updated": 1, "failed": 1}
    assert shop.execute(state).fetchone() == before
    by_action = {row.action: plans.row_of(row) for row in plans.rows_of(rehearsal, {})}
    assert [(c.field, c.old, c.new) for c in by_action["updated"].changes] == [("stock", "1", "7")]
    created = {change.field: change.new for change in by_action["created"].changes}
    assert created["sku"] == "B"
    assert "id" not in created
    assert by_action["failed"].problems[0]["field"] == "stock"
    assert plans.groups_of(rehearsal)[0].count == 1

    numbered = uploaded("sku\nA\nB\n", table="batches")
    assert outcomes(rehearsed(numbered)) == {"read": 2, "created": 2}
    assert shop.execute("SELECT last_value, is_called FROM batches_batch_seq").fetchone() == (1, False)
    assert shop.execute("SELECT last_value, is_called FROM batches_no_seq").fetchone() == (1, False)
    shop.execute("DROP TABLE batches")

    files.validate(job, None, system=True)
    started = plans.import_as_rehearsed(rehearsal, by=person("root", is_superuser=True))
    assert started.pk == job.pk
    runner.work(job.pk)
    assert outcomes(job) == {"read": 3, "created": 1, "updated": 1, "failed": 1}


@pytest.mark.req("F-042", "F-067", "X18", "X21")
def test_a_document_is_planned_as_it_is_imported_then(help_desk: psycopg.Connection) -> None:  # noqa: F811
    before = help_desk.execute(WHOLE).fetchone()
    tables = {"accounts": "accounts", "customers": "customer_users", "tickets": "tickets"}
    job = uploaded(document(), name="desk.json", options={"tables": tables})
    rehearsal = rehearsed(job)
    assert help_desk.execute(WHOLE).fetchone() == before
    tickets = ImportRecord.objects.filter(run__job=rehearsal, run__key="tickets", action="created")
    assert [record.after_image.get("ticket_number") for record in tickets] == [None]  # nobody knows it yet
    assert plans.facets_of(rehearsal)["reason"]
    counted = outcomes(rehearsal)
    assert counted == run(job) == {"read": 7, "created": 4, "failed": 2, "review": 1}


@pytest.mark.req("F-042", "F-065", "F-081", "X20")
def test_what_cannot_be_rehearsed_or_started_says_why(shop: psycopg.Connection) -> None:
    root = person("root", is_superuser=True)
    job = uploaded("sku,name\nA,new\n", options={"validate_only": True})
    waiting = files.rehearse(job, None, system=True)
    for refused in (lambda: files.rehearse(job, None, system=True), lambda: files.start(job, None, system=True)):
        with pytest.raises(Conflict):
            refused()
    runner.work(waiting.pk)
    waiting.refresh_from_db()
    assert outcomes(waiting) == {"read": 1, "created": 1}
    assert "validate_only" in files.why_not_start(waiting)
    files.configure(job, None, options={"on_duplicate": "update"}, system=True)
    with pytest.raises(Conflict, match="otherwise since"):
        plans.import_as_rehearsed(waiting, by=root)
    changed = files.rehearse(job, None, system=True)
    files.configure(job, None, options={"on_duplicate": "skip"}, system=True)
    runner.work(changed.pk)
    changed.refresh_from_db()
    assert (changed.status, changed.error_code) == ("failed", "drift_detected")
    files.validate(job, None, system=True)
    files.start(job, None, system=True)
    with pytest.raises(Conflict):
        files.rehearse(job, None, system=True)


@pytest.mark.req("F-042", "X18", "X19")
def test_the_api_rehearses_and_tells_the_plan(shop: psycopg.Connection, logged_in: Any) -> None:
    alice = person("alice")
    ImportPermission.objects.create(user=alice, table_name="products", can_import=True, can_validate=True)
    job = uploaded("sku,name\nA,new\nB,\n", user=alice, system=False)
    browser = logged_in(alice)
    assert browser.get(reverse("api_file_plan", args=[job.pk])).status_code == 409
    answer = browser.post(reverse("api_file_rehearse", args=[job.pk]))
    assert answer.status_code == 202
    told = answer.json()["job"]
    assert (told["kind"], told["status"], told["source_kind"]) == ("rehearsal", "pending", "file")
    assert browser.post(reverse("api_file_rehearse", args=[job.pk])).status_code == 409
    runner.work(told["id"])
    assert browser.get(reverse("api_file_status", args=[told["id"]])).json()["created_rows"] == 2
    for pk in (job.pk, told["id"]):
        plan = browser.get(reverse("api_file_plan", args=[pk]), {"action": "created", "limit": 1}).json()
        assert (plan["total_count"], len(plan["rows"]), plan["summary"]["created"]) == (2, 1, 2)
        assert plan["rehearsal"]["id"] == told["id"]
    assert json.dumps(browser.get(reverse("api_file_jobs")).json()).count(told["id"]) == 0  # no file of its own
    ImportPermission.objects.update(max_rows_per_import=1)
    runner.work(browser.post(reverse("api_file_rehearse", args=[job.pk])).json()["job"]["id"])
    assert ImportJob.objects.latest("number").error_code == "source_limit"
    assert logged_in(person("bob")).post(reverse("api_file_rehearse", args=[job.pk])).status_code == 404
    assert FileImport.objects.count() == 1
