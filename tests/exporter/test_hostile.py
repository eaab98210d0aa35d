"""What somebody with one narrow row, a taken right or a borrowed schedule tries: nothing more leaves than may."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from exporter import operations, run
from exporter.models import ExportJob, ExportTemplate
from exporter.wanted import Wanted
from permissions import granting
from permissions.models import AuditEntry
from servicevault import metrics
from tests.conftest import person
from tests.exporter.conftest import permit

BASE = "/api/v1/data"


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(f"{BASE}{path}", json.dumps(body or {}), content_type="application/json")


@pytest.mark.req("F-107", "F-131", "S16")
def test_a_schedule_run_now_by_a_super_admin_gives_out_what_its_owner_may(
    dora: Any, stored_goods: Callable[[int], None], logged_in: Callable[[Any], Client]
) -> None:
    stored_goods(6)
    permit(dora, row_filter={"column": "id", "operator": "<=", "value": 2})
    template = ExportTemplate.objects.create(
        name="Goods", table_name="goods", columns=["id"], export_format="csv", created_by=dora
    )
    schedule = operations.create_schedule(template, {"frequency": "daily"}, by=dora)
    boss = logged_in(person("boss", is_superuser=True))
    assert post(boss, f"/export/schedules/{schedule.pk}/run-now").status_code in {201, 202}
    job = ExportJob.objects.get(template=template)
    assert (job.created_by, run.work(job.pk)) == (dora, "completed")
    job.refresh_from_db()
    assert job.processed_rows == 2
    assert metrics.measure("hour")["rows_exported"] == 2


@pytest.mark.req("F-105")
def test_links_end_with_the_right_to_make_them(dora: Any, stored_goods: Callable[[int], None], client: Client) -> None:
    stored_goods(3)
    permit(dora)
    grant = dora.grants.create(permission="export.links")
    job = operations.DataExporter(dora).export_table("goods").job
    _, secret = operations.make_link(job, by=dora, expires_in=None, single_use=False)
    assert client.get(f"{BASE}/export/links/{secret}").status_code == 200
    grant.delete()
    assert client.get(f"{BASE}/export/links/{secret}").status_code == 410


@pytest.mark.req("F-108", "F-174")
def test_a_right_taken_between_create_and_run_ends_the_export_with_its_cause(
    dora: Any, stored_goods: Callable[[int], None]
) -> None:
    stored_goods(3)
    permit(dora)
    grant = dora.grants.create(permission="export.unguarded")
    job = operations.create_export(Wanted("goods", export_options={"formula_guard": False}), by=dora)
    grant.delete()
    assert run.work(job.pk) == "failed"
    job.refresh_from_db()
    assert job.error_code == "permission_denied"


@pytest.mark.req("F-130", "F-132", "F-139", "G27")
def test_a_row_filter_is_checked_when_it_is_given_and_recorded_whatever_it_names(
    goods: str, root: Any, alice: Any, logged_in: Callable[[Any], Client]
) -> None:
    boss = logged_in(root)

    def given(row_filter: Any) -> Any:
        return post(
            boss, "/permissions/export", {"user_id": str(alice.pk), "table_name": "goods", "row_filter": row_filter}
        )

    for wrong in ({"nothing": 1}, {"id": "abc"}, {"op": "or", "items": []}, {"column": "id", "operator": "?"}):
        answer = given(wrong)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, ["row_filter"])
    made = given({"api_key": "x"})  # it may name what the person does not see
    assert made.status_code == 201
    changed = granting.change("export", made.json()["id"], by=root, values={"row_filter": {"id": 1}})
    assert changed.row_filter == {"id": 1}
    entry = AuditEntry.objects.get(operation="permission_changed")
    assert entry.details["old"] == {"row_filter": '{"api_key": "x"}'}


@pytest.mark.req("F-111")
@pytest.mark.parametrize("encoding", ["idna", "punycode", "undefined", "unicode_escape"])
def test_an_encoding_no_file_has_is_refused(goods: str, alice: Any, logged_in: Any, encoding: str) -> None:
    permit(alice)
    body = {"table_name": "goods", "export_format": "csv", "export_options": {"encoding": encoding}}
    assert post(logged_in(alice), "/export/create", body).status_code == 422
