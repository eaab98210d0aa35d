"""A record says all of R1 about its row, and shows each step of its mapping again (R2)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from rest_framework.test import APIClient

from importer import operations
from importer.mapping import tracing
from importer.models import Chunk, ImportJob, ImportRecord
from importer.operations import records as details
from servicevault.models import User
from tests.importer.desk import Desk
from tests.triggers import trigger

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def people(desk: Desk) -> Desk:
    desk.execute("CREATE TABLE people (id int PRIMARY KEY, name text, mail text, hours text, since timestamp)")
    desk.execute("INSERT INTO people VALUES (1, '  ada lovelace ', 'Ada@X.de', '7', '2024-07-01 10:00')")
    desk.execute("INSERT INTO people VALUES (2, 'Bob', 'broken', '7', '2024-07-01')")
    desk.query(
        "agents",
        "people",
        {
            "external_id": "id",
            "name": {"source": "name", "transformation": ["trim", "upper"]},
            "email": "mail",
            "created_at": "since",
            "custom_fields.kind": {"source": "hours", "transformation": [{"name": "map"}]},
        },
        value_maps={"custom_fields.kind": {"7": "full time"}},
    )
    desk.profile.source_timezone = "Europe/Berlin"
    desk.profile.save()
    return desk


def told(record: ImportRecord) -> dict[str, Any]:
    """What the API tells a super admin about a record."""
    root, _ = User.objects.get_or_create(
        username="root", defaults={"name": "Root", "email": "root@x.de", "user_type": "agent", "is_superuser": True}
    )
    client = APIClient()
    client.force_authenticate(root)
    answer = client.get(f"/api/import/records/{record.pk}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.req("R1", "R2")
def test_a_record_shows_each_step_of_its_mapping_and_the_values_as_mapped(people: Desk) -> None:
    job = people.run()
    found = told(people.record(job, "1"))
    assert found["transformed_data"] == {
        "external_id": "1",
        "name": "ADA LOVELACE",
        "email": "ada@x.de",
        "created_at": "2024-07-01T08:00:00+00:00",
        "custom_fields.kind": "full time",
    }
    steps = {
        field["field"]: [(step["name"], step["input"], step["output"]) for step in field["steps"]]
        for field in found["transformation_steps"]
    }
    assert steps["name"] == [
        ("trim", "  ada lovelace ", "ada lovelace"),
        ("upper", "ada lovelace", "ADA LOVELACE"),
        ("store", "ADA LOVELACE", "ADA LOVELACE"),
    ]
    assert steps["custom_fields.kind"] == [("value_map", "7", "full time")]
    assert steps["created_at"][-1] == ("store", "2024-07-01T10:00:00", "2024-07-01T08:00:00+00:00")

    # What was in force then is told, not what is now.
    people.query("agents", "people", {"external_id": "id", "name": "name", "email": "mail"})
    assert told(people.record(job, "1"))["transformed_data"]["name"] == "ADA LOVELACE"


@pytest.mark.req("R1", "J25")
def test_a_record_has_every_field_of_the_audit_entry(people: Desk) -> None:
    job = people.run()
    good, bad = told(people.record(job, "1")), told(people.record(job, "2"))
    assert good["import_profile_id"] == str(people.profile.pk)
    assert (good["import_mode"], good["import_action"], good["attempt"]) == ("upsert", "created", 1)
    assert good["source_bytes"] == len(
        '{"external_id":1,"name":"  ada lovelace ","email":"Ada@X.de","created_at":"2024-07-01T10:00:00","custom_fields.kind":"7"}'
    )
    assert good["duration_ms"] > 0
    assert good["batch_no"] == 0
    assert {field["target"] for field in good["field_mappings"]["fields"]} >= {"name", "email"}
    assert len(good["field_mappings"]["version"]) == 64
    assert good["matching_rules"]["primary_fields"] == ["email"]
    assert (good["skip_reason"], good["error_code"], good["error_message"]) == (None, None, None)
    assert (bad["error_code"], bad["transformed_data"]["email"]) == ("bad_email", "broken")
    assert "e-mail" in bad["error_message"]
    assert Chunk.objects.get(run__job=job).rows == 2


@pytest.mark.req("R1", "K14")
def test_a_matched_row_tells_both_values_and_the_record_before(people: Desk) -> None:
    first = people.run()
    people.execute("INSERT INTO people VALUES (3, 'Ada', 'ADA@x.de', '7', NULL)")
    people.profile.matching = {"strategy": "case_insensitive"}
    people.profile.save()
    found = told(people.record(people.run(), "3"))
    assert found["import_action"] == "updated"
    assert found["duplicate_of"] == str(people.record(first, "1").pk)
    assert found["matched_target_id"] == found["target_id"]
    assert found["matching_fields"] == [{"field": "email", "source": "ada@x.de", "target": "ada@x.de", "similarity": 1}]
    assert found["matching_rules"]["strategy"] == "case_insensitive"
    assert found["candidates"][0]["id"] == found["target_id"]


@pytest.mark.req("R1", "R5")
def test_a_retried_row_counts_its_attempts_and_names_what_came_after(people: Desk) -> None:
    first = people.run()
    failed = people.record(first, "2")
    again = people.work(operations.retry(first, by=None))
    people.execute("UPDATE people SET mail = 'bob@x.de' WHERE id = 2")
    done = people.work(operations.retry(again, by=None))
    second, third = people.record(again, "2"), people.record(done, "2")
    assert [details.attempts(record).number for record in (failed, second, third)] == [1, 2, 3]
    assert details.attempts(failed).superseded_by == second.pk
    assert details.attempts(second).superseded_by == third.pk
    assert details.attempts(third).superseded_by is None


@pytest.mark.req("R1", "R2")
def test_a_row_the_database_refused_says_how_to_monitors_only(people: Desk, target: psycopg.Connection) -> None:
    with trigger(target, "users", "IF NEW.name LIKE 'ADA%' THEN RAISE EXCEPTION 'not her'; END IF;"):
        record = people.record(people.run(), "1")
    found = told(record)
    assert (found["error_code"], found["error_message"]) == ("rejected", "not her")
    assert found["error_detail"].splitlines()[0] == "RaiseException (SQLSTATE P0001)"
    assert "meddle()" in found["error_detail"]
    assert all("detail" not in problem for problem in found["problems"])


@pytest.mark.req("R2", "R10")
def test_a_record_without_its_row_says_why_there_are_no_steps(people: Desk) -> None:
    job = people.run()
    ImportRecord.objects.filter(run__job=job).update(source_data=None)
    found = told(people.record(ImportJob.objects.get(pk=job.pk), "1"))
    assert (found["transformed_data"], found["transformation_steps"]) == (None, [])
    assert "not kept" in found["transformation_note"]


@pytest.mark.req("R2")
def test_steps_that_take_too_long_are_left_out_of_the_record(people: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    record = people.record(people.run(), "1")
    monkeypatch.setattr(tracing, "TIMEOUT", "SET LOCAL statement_timeout = '10ms'; SELECT pg_sleep(1)")
    found = told(record)
    assert (found["transformation_steps"], found["source_data"]["name"]) == ([], "  ada lovelace ")
    assert "take too long" in found["transformation_note"]
