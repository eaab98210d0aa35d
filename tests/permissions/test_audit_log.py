"""Reading the log, its proof, and its end (G26, G28, F-148)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from importer import operations
from permissions import audit, audit_log
from permissions.models import AuditEntry
from tests.api.conftest import Program, program
from tests.conftest import PASSWORD
from tests.permissions.test_audit import seal

__all__ = ["program"]
pytestmark = pytest.mark.django_db
READ = "/api/v1/data/audit"


def tamper(statement: str) -> None:
    """Do with the table's owner's rights what nobody may do."""
    cursor = connection.cursor()
    cursor.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_stays")
    cursor.execute(statement)
    cursor.execute("ALTER TABLE audit_log ENABLE TRIGGER audit_log_stays")


@pytest.fixture
def log(alice: Any) -> list[AuditEntry]:
    """Four sealed entries."""
    for operation in ("login", "query_saved", "query_deleted", "logout"):
        audit.record(operation, user=alice)
    seal()
    return list(AuditEntry.objects.order_by("position"))


@pytest.mark.req("G26")
@pytest.mark.parametrize(
    ("statement", "position", "word"),
    [
        ("UPDATE audit_log SET operation = 'login' WHERE operation = 'query_deleted'", 3, "changed"),
        ("UPDATE audit_log SET details = '{\"rows\": 1}' WHERE operation = 'login'", 1, "changed"),
        ("DELETE FROM audit_log WHERE operation = 'login'", 1, "removed"),
        ("DELETE FROM audit_log WHERE operation = 'query_saved'", 2, "removed"),
        ("DELETE FROM audit_log WHERE operation = 'logout'", 4, "removed"),
    ],
)
def test_it_names_what_was_tampered_with(log: list[AuditEntry], statement: str, position: int, word: str) -> None:
    assert audit_log.faults() == []
    tamper(statement)
    found = audit_log.faults()
    assert [fault.position for fault in found] == [position]
    assert found[0].what.startswith(word)
    if word == "changed":
        assert found[0].entry_id == str(log[position - 1].pk)


@pytest.mark.req("G26")
def test_the_command_fails_on_a_broken_chain(log: list[AuditEntry]) -> None:
    out = io.StringIO()
    call_command("audit_verify", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"entries": 4, "faults": []}
    tamper("DELETE FROM audit_log WHERE operation = 'query_saved'")
    with pytest.raises(SystemExit):
        call_command("audit_verify", stdout=out, stderr=out)


@pytest.mark.req("G28", "G26")
def test_a_purge_is_on_record_and_leaves_a_whole_chain(log: list[AuditEntry]) -> None:
    assert audit_log.purge() == 0
    old = timezone.now() - timedelta(days=731)
    tamper(f"UPDATE audit_log SET timestamp = '{old.isoformat()}' WHERE position <= 2")
    assert audit_log.purge() == 2
    seal()
    entries = list(AuditEntry.objects.order_by("position"))
    assert [entry.operation for entry in entries] == ["query_deleted", "logout", "data_purged"]
    assert entries[-1].details["entries"] == 2
    assert audit_log.faults() == []
    with pytest.raises(Exception, match="neither changed nor removed"):
        AuditEntry.objects.all().delete()


@pytest.mark.req("G28")
def test_people_read_their_own_entries_and_auditors_everybodys(
    log: list[AuditEntry], charlie: Any, alice: Any, program: Callable[[Any], Program]
) -> None:
    def listed(who: Any, query: str = "") -> Any:
        caller = program(who)
        return caller.client.get(READ + query, headers={"Authorization": f"Bearer {caller.token}"}).json()

    assert [entry["operation"] for entry in listed(charlie)["entries"]] == ["token_created"]
    assert listed(charlie, f"?user_id={alice.pk}")["total_count"] == 0
    charlie.grants.create(permission="audit.view")
    found = listed(charlie, f"?user_id={alice.pk}&operation=query_saved&limit=1")
    assert (found["total_count"], found["skip"], found["limit"]) == (1, 0, 1)
    assert found["entries"][0]["user"] == "Alice Ng"
    assert listed(charlie, "?from=2999-01-01T00:00:00Z")["total_count"] == 0
    assert listed(charlie, "?operation=coffee")["code"] == "validation_error"


@pytest.mark.req("G28", "F-174")
def test_the_log_comes_as_csv_that_a_spreadsheet_does_not_run(alice: Any, program: Callable[[Any], Program]) -> None:
    with audit.coming_from(audit.Origin(user_agent="=cmd|' /C calc'!A0")):
        audit.record("login", user=alice)
    caller = program(alice)
    answer = caller.client.get(f"{READ}/export?operation=login", headers={"Authorization": f"Bearer {caller.token}"})
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [row["operation"] for row in rows] == ["login"]
    assert rows[0]["user_agent"] == "'=cmd|' /C calc'!A0"


@pytest.mark.req("G25", "G29", "F-139")
def test_doors_are_on_record_with_the_last_untrusted_hop(client: Any, alice: Any, settings: Any) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    hop = {"HTTP_X_FORWARDED_FOR": "10.9.9.9, 198.51.100.7"}
    client.post("/login", {"username": "alice", "password": "hunter2"}, **hop)
    client.post("/login", {"username": "alice", "password": PASSWORD}, **hop)
    client.post("/logout", **hop)
    entries = list(AuditEntry.objects.order_by("timestamp"))
    assert [entry.operation for entry in entries] == ["login_failed", "login", "logout"]
    assert {entry.ip_address for entry in entries} == {"198.51.100.7"}
    assert (entries[0].user, entries[0].object_id) == (None, str(alice.pk))
    assert "hunter2" not in json.dumps([entry.details for entry in entries])


@pytest.mark.req("G25")
def test_refusals_are_on_record(charlie: Any, logged_in: Any, profile: Any, program: Any, settings: Any) -> None:
    logged_in(charlie).get("/import")
    program(charlie).get("/profiles")
    denied = AuditEntry.objects.filter(operation="access_denied", user=charlie, result="denied").order_by("timestamp")
    assert [entry.details["permission"] for entry in denied] == ["pages.import.manage", "system.import"]
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "profiles": (1, 3600)}
    caller = program(profile.created_by)
    assert [caller.get("/profiles").status_code for _ in range(4)] == [200, 429, 429, 429]
    assert AuditEntry.objects.get(operation="rate_limited").details == {"limit": "profiles"}


@pytest.mark.req("G27")
def test_what_cannot_be_recorded_is_not_done(alice: Any, profile: Any, program: Callable[[Any], Program]) -> None:
    caller = program(alice)
    seal()
    connection.cursor().execute(
        "ALTER TABLE audit_log ADD CONSTRAINT disk_is_full CHECK (operation <> 'profile_deleted') NOT VALID"
    )
    answer = caller.delete(f"/profiles/{profile.pk}")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer["Retry-After"]
    profile.refresh_from_db()
    assert profile.deleted_at is None


@pytest.mark.req("G25")
def test_the_life_of_a_job_is_on_record(profile: Any, alice: Any) -> None:
    job = operations.start_import(profile, by=alice)
    operations.cancel(job)
    operations.resume(job)
    found = AuditEntry.objects.filter(job_id=job.pk).order_by("timestamp").values_list("operation", flat=True)
    assert list(found) == ["import_started", "import_cancelled", "import_resumed"]
