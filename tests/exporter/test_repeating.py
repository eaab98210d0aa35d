"""Exports that people repeat: templates with the rights of who runs them, and schedules."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from exporter import operations, run
from exporter.models import ExportJob, ExportSchedule, ExportTemplate, ScheduledRun
from tests.exporter.conftest import permit
from tests.exporter.conftest import run as sql

BASE = "/api/v1/data/export"


def send(client: Client, method: str, path: str, body: Any = None) -> Any:
    return getattr(client, method)(BASE + path, json.dumps(body or {}), content_type="application/json")


@pytest.mark.req("F-106", "F-178", "C10")
def test_a_template_runs_with_the_rights_of_who_runs_it(
    goods: str, alice: Any, bob: Any, logged_in: Callable[[Any], Client]
) -> None:
    permit(alice)
    permit(bob, allowed_columns=["id"])
    hers, his = logged_in(alice), logged_in(bob)
    wanted = {"name": "Prices", "table_name": "goods", "columns": ["id", "price"], "export_format": "csv"}
    made = send(hers, "post", "/templates", wanted).json()
    assert send(hers, "post", "/templates", wanted).status_code == 422  # the name is taken
    assert send(his, "post", "/templates", wanted).json()["code"] == "EXPORT_003"
    place = f"/templates/{made['id']}"
    assert his.get(BASE + place).status_code == 404
    assert send(hers, "put", place, {"is_public": True, "version": 1}).json()["version"] == 2
    conflict = send(hers, "put", place, {"name": "Other", "version": 1}).json()
    assert (conflict["code"], conflict["changed_by"]) == ("version_conflict", str(alice))
    assert send(his, "put", place, {"name": "Mine"}).json()["required_permission"] == "data.permissions.manage"
    refused = send(his, "post", f"{place}/run").json()
    assert (refused["code"], refused["invalid_columns"]) == ("EXPORT_003", ["price"])
    assert send(hers, "post", f"{place}/run").status_code == 201
    assert hers.get(BASE + place).json()["usage_count"] == 1
    sql("ALTER TABLE goods DROP COLUMN price")
    assert hers.get(f"{BASE}/templates").json()["templates"][0]["missing"] == ["column price"]
    gone = send(hers, "post", f"{place}/run")
    assert (gone.status_code, gone.json()["missing"]) == (409, ["column price"])
    assert send(hers, "delete", place).status_code == 200


@pytest.fixture
def schedule(dora: Any, stored_goods: Callable[[int], None]) -> ExportSchedule:
    stored_goods(6)
    permit(dora)
    template = ExportTemplate.objects.create(
        name="Goods", table_name="goods", columns=["id"], export_format="csv", created_by=dora
    )
    values = {"frequency": "daily", "recipients": [dora.pk], "changed_since_column": "made_at", "keep_last": 1}
    return operations.create_schedule(template, values, by=dora)


def due(schedule: ExportSchedule, *, late: timedelta = timedelta(seconds=1)) -> list[ExportJob]:
    ExportSchedule.objects.filter(pk=schedule.pk).update(next_run_at=timezone.now() - late)
    return operations.run_due()


@pytest.mark.req("F-107", "F-179", "S13", "S14")
def test_what_is_due_runs_once_and_only_with_what_changed(schedule: ExportSchedule, dora: Any) -> None:
    (job,) = due(schedule)
    assert operations.run_due() == []
    assert due(schedule) == []  # the last one is not finished
    assert run.work(job.pk) == "completed"
    job.refresh_from_db()
    assert job.processed_rows == 6
    assert operations.tell_ended() == 1
    assert operations.tell_ended() == 0
    assert "Export ready" in mail.outbox[-1].subject
    assert "/exports" in mail.outbox[-1].body
    sql("INSERT INTO goods (id, made_at) VALUES (100, now())")
    (later,) = due(schedule)
    run.work(later.pk)
    later.refresh_from_db()
    assert later.processed_rows == 1
    operations.tell_ended()
    assert [each.pk for each in ExportJob.objects.all()] == [later.pk]  # only the last is kept
    states = [each.outcome for each in ScheduledRun.objects.order_by("id")]
    assert states == ["started", "skipped_overlap", "completed"]
    schedule.refresh_from_db()
    assert schedule.next_run_at is not None
    assert schedule.next_run_at > timezone.now()


@pytest.mark.req("F-107", "S12", "S16", "F-178")
def test_what_cannot_run_is_written_down_and_told(schedule: ExportSchedule, dora: Any) -> None:
    ExportSchedule.objects.update(on_missed="skip")
    assert due(schedule, late=timedelta(hours=2)) == []
    ExportSchedule.objects.update(on_missed="run_once")
    ExportTemplate.objects.update(columns=["id", "vanished"])
    assert due(schedule) == []
    operations.tell_ended()
    assert "vanished" in mail.outbox[-1].body
    type(dora).objects.filter(pk=dora.pk).update(is_active=False)
    assert due(schedule) == []
    assert [each.outcome for each in ScheduledRun.objects.order_by("id")] == ["missed", "failed", "skipped_inactive"]


@pytest.mark.req("F-107", "S3", "F-105")
def test_a_schedule_is_checked_when_it_is_saved(
    schedule: ExportSchedule, dora: Any, logged_in: Callable[[Any], Client]
) -> None:
    api = logged_in(dora)
    place = f"/schedules/{schedule.pk}"
    for wrong in (
        {"frequency": "cron", "cron": "0 0 31 2 *"},
        {"timezone": "Mars/Olympus"},
        {"frequency": "weekly"},
        {"changed_since_column": "name"},
    ):
        assert send(api, "put", place, wrong).json()["code"] == "validation_error", wrong
    assert send(api, "put", place, {"at_time": "04:30", "version": 1}).json()["at_time"] == "04:30"
    assert send(api, "put", place, {"is_enabled": False, "version": 1}).json()["code"] == "version_conflict"
    other = type(dora).objects.create(
        username="eve", email="eve@desk.example", name="Eve", user_type="agent", is_active=True
    )
    refused = send(api, "put", place, {"recipients": [str(other.pk)]}).json()
    assert refused["required_permission"] == "export.links"
    assert send(api, "post", f"{place}/run-now").status_code == 202
    assert send(api, "post", f"{place}/run-now").status_code == 409
    assert send(api, "delete", place).status_code == 200
    assert api.get(f"{BASE}/schedules").json()["total_count"] == 0
