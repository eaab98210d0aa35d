"""What holds for every endpoint (C1-C11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from importer.models import ImportJob, ImportProfile
from permissions.models import ApiToken
from servicevault.api import limits
from servicevault.jobs.models import JobStatus
from tests.api.conftest import Program

pytestmark = pytest.mark.django_db


@pytest.mark.req("C2")
@pytest.mark.parametrize("scheme", ["Bearer", "Token", "bearer"])
def test_a_token_opens_and_is_stored_hashed(alice: Any, scheme: str) -> None:
    token, text = ApiToken.objects.make(alice, "ci")
    assert text not in str(vars(token))
    answer = Client().get("/api/import/profiles", headers={"Authorization": f"{scheme} {text}"})
    assert answer.status_code == 200
    token.refresh_from_db()
    assert token.last_used_at


@pytest.mark.req("C2", "C7")
def test_tokens_that_are_wrong_revoked_expired_or_of_people_who_left_are_refused(alice: Any) -> None:
    revoked, revoked_text = ApiToken.objects.make(alice, "revoked")
    revoked.revoke()
    expired, expired_text = ApiToken.objects.make(alice, "expired", days=1)
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    texts = [revoked_text, expired_text, "sv_nonsense", "", "a b", "\xff\xfe"]
    for text in texts:
        answer = Client().get("/api/import/profiles", headers={"Authorization": f"Bearer {text}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_required"), text
        assert answer.json()["request_id"] == answer["X-Request-ID"]
    _, text = ApiToken.objects.make(alice, "left")
    alice.is_active = False
    alice.save()
    assert Client().get("/api/import/profiles", headers={"Authorization": f"Bearer {text}"}).status_code == 401


@pytest.mark.req("C2")
def test_a_session_needs_its_csrf_token(alice: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="permissions.backends.EmailBackend")
    assert client.get("/api/import/profiles").status_code == 200
    refused = client.post("/api/import/jobs", {}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


@pytest.mark.req("C1", "C7")
@pytest.mark.parametrize("path", ["/api/import/profiles/", "/api/import/nothing", "/api/import/profiles/no-uuid"])
def test_an_address_that_does_not_exist_is_told_in_json(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.req("C5")
def test_lists_are_cut_by_page(api: Program, shop: ImportProfile) -> None:
    assert api.get("/profiles?page=9").json() == {"data": [], "meta": {"current_page": 9, "per_page": 15, "total": 1}}
    for wrong in ("per_page=0", "per_page=101", "page=0", "page=x", "page=99999999999999999999"):
        answer = api.get(f"/profiles?{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_error"), wrong
        assert wrong.split("=", maxsplit=1)[0] in answer.json()["errors"]


@pytest.mark.req("C7", "C15")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ('{"name": "a\\u0000b"}', 400),
        ('{"name": "\\ud800"}', 400),
        ('{"port": NaN}', 400),
        ('{"parameters": {"most": 1e999}}', 400),
        pytest.param(f'{{"name": "{"x" * 2_700_000}"}}', 400, id="endless"),
        ("[" * 500 + "]" * 500, 400),
        ("[" * 100_000, 400),
        ("[]", 422),
        ('"text"', 422),
        ("{}", 422),
    ],
)
def test_a_body_nobody_can_mean_is_refused(api: Program, body: str, status: int) -> None:
    answer = api.call("post", "/profiles", body)
    assert answer.status_code == status, answer.content
    assert {"message", "code", "request_id"} <= set(answer.json())


@pytest.mark.req("C10")
def test_an_old_version_is_told_with_who_changed_it(api: Program, shop: ImportProfile, alice: Any) -> None:
    place = f"/profiles/{shop.pk}"
    assert api.put(place, {"notes": "one", "version": 1}).json()["profile"]["version"] == 2
    answer = api.put(place, {"notes": "two", "version": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict")
    assert answer.json()["changed_by"] == str(alice)
    assert api.call("patch", place, {"name": "Shop 3"}).json()["profile"]["notes"] == "one"


@pytest.mark.req("C11", "G9")
def test_a_shared_profile_is_seen_and_not_changed(
    api: Program, program: Callable[[Any], Program], shop: ImportProfile, bob: Any
) -> None:
    for permission in ("system.import.configure",):
        bob.grants.create(permission=permission)
    hers, his = api, program(bob)
    place = f"/profiles/{shop.pk}"
    hers.put(f"{place}/access", {"visibility": "restricted", "grants": []})
    assert his.get(place).status_code == 404
    assert his.get("/profiles").json()["meta"]["total"] == 0
    shared = hers.put(
        f"{place}/access", {"visibility": "restricted", "grants": [{"user_id": str(bob.pk), "rights": ["view"]}]}
    )
    assert shared.json()["grants"][0]["rights"] == ["view"]
    assert his.get(place).status_code == 200
    refused = his.put(place, {"notes": "mine"})
    assert (refused.status_code, refused.json()["required_permission"]) == (403, "change_importprofile")
    hers.put(
        f"{place}/access", {"visibility": "restricted", "grants": [{"user_id": str(bob.pk), "rights": ["change"]}]}
    )
    assert his.put(place, {"notes": "mine"}).status_code == 200
    unknown = {"visibility": "all", "grants": [{"user_id": str(shop.pk), "rights": ["view"]}]}
    assert hers.put(f"{place}/access", unknown).status_code == 422


@pytest.mark.req("G30", "G31", "P14")
def test_too_many_requests_are_told_to_wait(api: Program, settings: Any) -> None:
    settings.RATE_LIMITS = {"profiles": (2, 86_400)}
    first = api.get("/profiles")
    assert (first["X-RateLimit-Limit"], first["X-RateLimit-Remaining"]) == ("2", "1")
    api.get("/profiles")
    refused = api.get("/profiles")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 0 < int(refused["Retry-After"]) <= 86_400
    assert limits.spend("monitoring", "someone-else").allowed


@pytest.mark.req("P2", "P16", "C15")
def test_a_source_that_cannot_be_reached_is_told_with_stage_and_remedy(
    api: Program, connection_values: dict[str, Any]
) -> None:
    answer = api.post("/profiles", connection_values | {"port": 9})
    assert (answer.status_code, answer.json()["code"]) == (400, "connection_failed")
    assert answer.json()["connection_error"]["stage"] == "tcp"
    assert answer.json()["connection_error"]["remedy"]
    stored = api.post("/profiles?skip_test=1", connection_values | {"port": 9})
    assert stored.status_code == 201
    assert stored.json()["profile"]["last_test_result"] is None
    refused = api.post("/profiles", connection_values | {"name": "Metadata", "host": "169.254.169.254"})
    assert (refused.status_code, refused.json()["code"]) == (403, "host_not_allowed")


@pytest.mark.req("X17")
def test_unmasked_rows_need_permission_and_purpose(
    api: Program, program: Callable[[Any], Program], shop: ImportProfile, root: Any
) -> None:
    place, body = f"/profiles/{shop.pk}/preview-table?reveal=1", {"table_name": "people"}
    assert api.post(place, body).json()["required_permission"] == "import.pii.reveal"
    hers = program(root)
    assert hers.post(place, body).status_code == 422
    shown = hers.post(f"{place}&purpose=Checking+addresses", body).json()
    assert shown["sample_data"][0]["email"].endswith("@shop.example")


@pytest.mark.req("P18")
def test_a_url_is_taken_apart_without_its_password(api: Program) -> None:
    url = "postgresql://reader:s3cret@db.example:6432/desk?sslmode=require&application_name=x"
    answer = api.post("/profiles/parse-url", {"url": url})
    assert answer.json()["unused_parameters"] == ["application_name"]
    assert answer.json()["connection"]["port"] == 6432
    assert "s3cret" not in answer.content.decode()
    assert api.post("/profiles/parse-url", {"url": "mysql://x"}).status_code == 422


@pytest.mark.req("G10", "J8")
def test_who_sees_a_job_but_not_its_records_is_told_no_value_of_a_row(
    program: Callable[[Any], Program], alice: Any, bob: Any, finished_job: Any
) -> None:
    place = f"/jobs/{finished_job.pk}"
    for path in (place, f"{place}/report"):
        assert len(program(alice).get(path).json()["errors"]) == 1
        assert program(bob).get(path).json()["errors"] == [], path
    assert program(bob).get(f"{place}/errors").status_code == 403


@pytest.mark.req("G9", "R5")
def test_records_of_a_profile_that_is_not_yours_to_run_are_not_put_to_work(
    program: Callable[[Any], Program], bob: Any, finished_job: Any
) -> None:
    for permission in ("import.jobs.monitor", "import.records.manage"):
        bob.grants.create(permission=permission)
    sent = {"criteria": {"job_id": str(finished_job.pk)}}
    answer = program(bob).post("/records/bulk/retry", sent)
    assert (answer.status_code, answer.json()["required_permission"]) == (403, "execute_importprofile")
    assert finished_job.profile.jobs.count() == 1
    assign_perm("importer.execute_importprofile", bob, finished_job.profile)
    assert program(bob).post("/records/bulk/retry", sent).status_code == 202


@pytest.mark.req("P12")
def test_a_job_of_a_profile_that_is_switched_off_is_not_resumed(api: Program, pending_job: Any) -> None:
    assert api.post(f"/jobs/{pending_job.pk}/cancel").status_code == 200
    ImportProfile.objects.filter(pk=pending_job.profile_id).update(is_active=False)
    answer = api.post(f"/jobs/{pending_job.pk}/resume")
    assert (answer.status_code, answer.json()["code"]) == (409, "profile_inactive")


@pytest.mark.req("P6")
def test_a_listed_profile_says_what_it_is_and_what_it_did(
    api: Program, shop: ImportProfile, people_query: dict[str, Any], alice: Any
) -> None:
    for _ in range(4):
        ImportJob.objects.create(profile=shop, mode="upsert", created_by=alice, status=JobStatus.COMPLETED)
    (before,) = api.get("/profiles").json()["data"]
    assert (before["configuration_type"], before["template"], before["has_password"]) == ("none", None, True)
    assert [job["number"] for job in before["recent_jobs"]] == [
        job.number for job in ImportJob.objects.order_by("-created_at", "-number")[:3]
    ]
    assert before["password_set_at"]
    api.post(f"/profiles/{shop.pk}/queries", people_query)
    (after,) = api.get("/profiles").json()["data"]
    assert (after["configuration_type"], after["has_custom_queries"]) == ("custom", True)
    for words in ("SHO", shop.host, shop.database[:6]):
        assert api.get(f"/profiles?search={words}").json()["meta"]["total"] == 1, words
    assert api.get("/profiles?search=nobody").json()["meta"]["total"] == 0
    assert api.get("/profiles?active=false").json()["meta"]["total"] == 0


@pytest.mark.req("S1", "P7", "D2")
def test_a_sync_is_stored_and_nothing_pretends_to_run_it(api: Program, shop: ImportProfile) -> None:
    place = f"/profiles/{shop.pk}/sync-config"
    guides = {
        "sync_enabled": True, "sync_frequency": "daily", "sync_time": "02:00", "sync_timezone": "Europe/Berlin",
        "sync_options": {"update_existing": True, "skip_existing": False, "batch_size": 100, "timeout_minutes": 30},
    }  # fmt: skip
    answer = api.put(place, guides)
    assert answer.status_code == 200, answer.json()
    stored = answer.json()
    assert (stored["next_sync_at"], len(stored["next_runs"])) == (None, 5)
    assert "not started by the clock yet" in stored["message"]
    assert (stored["sync"]["sync_options"]["batch_size"], stored["sync"]["sync_options"]["missed_run"]) == (
        100,
        "run_once",
    )
    profile = api.get(f"/profiles/{shop.pk}").json()["profile"]
    assert (profile["sync"]["sync_enabled"], profile["next_sync_at"], profile["last_sync_at"]) == (True, None, None)
    weekly = api.put(place, {"sync_frequency": "weekly", "sync_weekday": "3"}).json()
    assert weekly["sync"]["sync_weekday"] == "wednesday"
    zone = ZoneInfo("Europe/Berlin")
    due = [datetime.fromisoformat(run).astimezone(zone) for run in weekly["next_runs"]]
    assert {(run.weekday(), run.hour, run.minute) for run in due} == {(2, 2, 0)}
    copy = api.post(f"/profiles/{shop.pk}/duplicate", {"name": "Shop two"}).json()["profile"]
    assert (copy["sync"]["sync_enabled"], copy["sync"]["sync_timezone"]) == (False, "Europe/Berlin")


@pytest.mark.req("S3")
@pytest.mark.parametrize(
    "wrong",
    [
        {"sync_frequency": "custom"}, {"sync_frequency": "custom", "cron_expression": "* * * * *"}, {"sync_time": "25:00"},
        {"sync_frequency": "custom", "cron_expression": "0 0 31 2 *"}, {"sync_timezone": "Mars/North"},
        {"sync_weekday": "someday"}, {"sync_day_of_month": 29}, {"sync_options": {"batch_sise": 10}},
        {"sync_options": {"batch_size": 5}},
    ],
)  # fmt: skip
def test_a_sync_that_cannot_be_kept_is_refused(api: Program, shop: ImportProfile, wrong: dict[str, Any]) -> None:
    assert api.put(f"/profiles/{shop.pk}/sync-config", wrong).status_code == 422
    shop.refresh_from_db()
    assert shop.sync == {}


@pytest.mark.req("Q25", "C10", "C12")
def test_a_query_becomes_sql_by_the_api(
    api: Program, program: Any, root: Any, shop: ImportProfile, people_query: dict[str, Any]
) -> None:
    place = f"/profiles/{shop.pk}/queries"
    api.post(place, people_query)
    assert api.post(f"{place}/people/convert-to-sql").status_code == 403
    hers = program(root)
    assert hers.post(f"{place}/people/convert-to-sql", {"version": 7}).json()["code"] == "version_conflict"
    answer = hers.post(f"{place}/people/convert-to-sql")
    assert answer.status_code == 200, answer.json()
    query = answer.json()["query"]
    assert (query["kind"], query["version"], query["params"]) == ("sql", 2, {"p0": "10"})
    assert [field["source"] for field in query["fields"]] == ["external_id", "name", "email", "company"]
    assert hers.post(f"{place}/people/convert-to-sql").status_code == 409
    kinds = [item["query"]["kind"] for item in hers.get(f"{place}/people/versions").json()["data"]]
    assert kinds == ["sql", "builder"]
    assert hers.post(f"{place}/people/versions/1/restore").json()["query"]["kind"] == "builder"


@pytest.mark.req("X19", "X21", "C12")
def test_a_plan_is_read_row_by_row(api: Program, program: Any, bob: Any, rehearsed_job: Any, finished_job: Any) -> None:
    place = f"/jobs/{rehearsed_job.pk}/plan"
    plan = api.get(f"{place}?action=updated").json()
    assert plan["data"][0]["diff"][1] == {"field": "timezone", "old": "UTC", "new": "Europe/Berlin"}
    assert (plan["meta"]["total"], plan["summary"]["created"], plan["summary"]["failed"]) == (1, 1, 2)
    assert plan["summary"]["errors"][0]["count"] == 2
    assert "cora@acme.example" not in api.get(place).content.decode()
    assert api.get(f"{place}?search=nobody").json()["meta"]["total"] == 2
    assert program(bob).get(place).status_code == 403
    assert api.get(f"/jobs/{finished_job.pk}/plan").json()["code"] == "conflict"
