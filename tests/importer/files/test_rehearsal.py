"""A file is rehearsed: every row goes through the import, a plan is kept, and nothing else stays (F-042, X18 to X21)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.urls import reverse
from django.utils import timezone

from importer import runner
from importer.models import FileImport, ImportJob, ImportRecord
from importer.operations import files, plans
from importer.operations.failures import Conflict
from importer.operations.files.rehearsing import start_as_rehearsed
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


@pytest.mark.req("F-042", "F-067", "X18", "X20", "X21")
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
    files.validate(job, None, system=True)
    runner.work(start_as_rehearsed(rehearsal, None, system=True).pk)
    assert counted == outcomes(job) == {"read": 7, "created": 4, "failed": 2, "review": 1}  # none `replanned`


@pytest.mark.req("F-042", "F-065", "F-081")
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


@pytest.mark.req("X20", "N-020")
def test_a_file_is_held_against_its_plan(shop: psycopg.Connection, logged_in: Any) -> None:
    shop.execute("INSERT INTO products (sku, name, stock) SELECT s, 'old', 1 FROM unnest('{A,B,C,D}'::text[]) s")
    lines = "sku,stock\nA,7\nB,7\nC,7\nD,1\nE,7\nF,7\nG,x\n"
    root = person("root", is_superuser=True)
    browser = logged_in(root)
    for strict in (False, True):
        job = uploaded(lines, options={"on_duplicate": "update"}, user=root, system=False)
        files.validate(job, root)
        plan, url = rehearsed(job), reverse("api_file_start", args=[job.pk])
        assert browser.post(url, {"strict": True}, content_type="application/json").status_code == 422
        given = {"plan_id": str(plan.pk), "strict": strict}
        ImportJob.objects.filter(pk=plan.pk).update(completed_at=timezone.now() - timedelta(days=8))
        assert browser.post(url, given, content_type="application/json").status_code == 409
        ImportJob.objects.filter(pk=plan.pk).update(completed_at=timezone.now())
        # A is as the file says by now, B is another, C is as it was, D is to be updated, E is there, F and G as planned.
        shop.execute(
            "UPDATE products SET stock = CASE sku WHEN 'A' THEN 7 WHEN 'B' THEN 3 ELSE 9 END WHERE sku IN ('A', 'B', 'D')"
        )
        shop.execute("INSERT INTO products (sku, stock) VALUES ('E', 2)")
        assert browser.post(url, given, content_type="application/json").status_code == 202
        runner.work(job.pk)
        told = browser.get(reverse("api_file_status", args=[job.pk])).json()
        assert (told["status"], told["replanned_rows"], told["review_rows"]) == ("completed", 4, 4 if strict else 0)
        listed = browser.get(reverse("api_records"), {"job_id": str(job.pk), "replanned": "true"}).json()["data"]
        found = {row["source_identifier"]: (row["replanned_from"], row["import_action"]) for row in listed}
        now = ("review",) * 4 if strict else ("unchanged", "updated", "updated", "updated")
        assert found == dict(zip("2356", zip(("updated", "updated", "", "created"), now, strict=True), strict=True))
        stock = dict(shop.execute("SELECT sku, stock FROM products").fetchall())
        assert stock == (
            {"A": 7, "B": 3, "C": 7, "D": 9, "E": 2, "F": 7}
            if strict
            else {"A": 7, "B": 7, "C": 7, "D": 1, "E": 7, "F": 7}
        )
        assert b"rows not as planned" in browser.get(reverse("data_import_job", args=[job.pk])).content
        shop.execute("DELETE FROM products WHERE sku > 'D'; UPDATE products SET stock = 1")
