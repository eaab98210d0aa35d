"""The audit log: what an entry says, that nobody can change it, and that no act happens without one (F-139, G25-G29)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from permissions import audit, audit_log
from permissions.models import AuditEntry


def seal() -> None:
    """What a commit does."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.mark.django_db
@pytest.mark.req("F-139")
def test_an_entry_says_who_did_what_to_what_from_where(alice: Any, profile: Any) -> None:
    with audit.coming_from(audit.Origin("192.0.2.7", "Firefox", "abc123")):
        audit.record("profile_updated", user=alice, profile_id=profile.pk, obj=profile, details={"fields": ["host"]})
    entry = AuditEntry.objects.get()
    assert (entry.user, entry.operation, entry.result) == (alice, "profile_updated", "ok")
    assert (entry.object_type, entry.object_id) == ("importer.importprofile", str(profile.pk))
    assert (entry.ip_address, entry.user_agent, entry.request_id) == ("192.0.2.7", "Firefox", "abc123")
    assert entry.details == {"fields": ["host"]}


@pytest.mark.django_db
@pytest.mark.req("G25", "F-139")
def test_it_refuses_unknown_operations_and_secrets(alice: Any) -> None:
    with pytest.raises(ValueError, match="not an operation"):
        audit.record("coffee_made", user=alice)
    with pytest.raises(ValueError, match="does not belong"):
        audit.record("settings_changed", user=alice, details={"new": {"password": "hunter2"}})


@pytest.mark.django_db
@pytest.mark.req("G26")
@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET operation = 'logout'", "UPDATE audit_log SET hash = ''", "DELETE FROM audit_log"],
)
def test_nobody_changes_an_entry(alice: Any, statement: str) -> None:
    audit.record("login", user=alice)
    seal()
    with pytest.raises(DatabaseError, match="neither changed nor removed"), transaction.atomic():
        connection.cursor().execute(statement)


@pytest.mark.django_db
@pytest.mark.req("G26")
def test_nobody_empties_the_log() -> None:
    cursor = connection.cursor()
    cursor.execute("ALTER TABLE audit_log ENABLE TRIGGER audit_log_stays_whole")  # off in tests, see conftest
    with pytest.raises(DatabaseError, match="neither changed nor removed"), transaction.atomic():
        cursor.execute("TRUNCATE audit_log")


@pytest.mark.django_db
@pytest.mark.req("G26")
def test_each_entry_carries_the_hash_of_the_one_before(alice: Any) -> None:
    for operation in ("login", "template_applied", "logout"):
        audit.record(operation, user=alice)
    seal()
    entries = list(AuditEntry.objects.order_by("position"))
    assert [entry.operation for entry in entries] == ["login", "template_applied", "logout"]
    assert [entry.previous_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert len({entry.hash for entry in entries}) == 3


@pytest.mark.django_db
@pytest.mark.req("G27")
def test_it_says_so_when_the_entry_cannot_be_written(alice: Any) -> None:
    connection.cursor().execute("ALTER TABLE audit_log RENAME TO mislaid")
    with pytest.raises(audit.AuditUnavailable), transaction.atomic():
        audit.record("login", user=alice)


@pytest.mark.usefixtures("committed_db")
@pytest.mark.req("G26")
def test_long_acts_do_not_wait_for_each_other_and_the_chain_stays_whole() -> None:
    """The chain is locked by the commit only: an act that takes hours holds nobody up."""
    database = connection.settings_dict
    place = {"host": database["HOST"], "port": database["PORT"], "dbname": database["NAME"]}
    login = {"user": database["USER"], "password": database["PASSWORD"], "options": "-c lock_timeout=2s"}
    insert = (
        "INSERT INTO audit_log (id, operation, table_name, object_type, object_id, result, details, user_agent, request_id)"
        " VALUES (gen_random_uuid(), %s, '', '', '', 'ok', '{}', '', '')"
    )
    with psycopg.connect(**place, **login) as long, psycopg.connect(**place, **login) as short:
        long.execute(insert, ["rollback_started"])
        short.execute(insert, ["login"])
        short.commit()
        long.execute(insert, ["rollback_completed"])
        long.commit()
    entries = AuditEntry.objects.order_by("position").values_list("operation", flat=True)
    assert list(entries) == ["login", "rollback_started", "rollback_completed"]
    assert audit_log.faults() == []
