"""Of what an import changed, each field that nobody changed since has its value back."""

from __future__ import annotations

import pytest

from importer import runner
from importer.models import ExternalRef, ImportRecord, JobKind
from importer.operations import rollbacks
from importer.operations.failures import Conflict, InvalidFields
from servicevault.models import Ticket, User
from tests.importer.reversal.conftest import Office, buckets, row_of, verdicts, worked

pytestmark = pytest.mark.usefixtures("committed_db")


def phones(office: Office) -> dict[str, str | None]:
    people = User.objects.filter(user_type="account_user", username=None)
    return dict(people.order_by("name").values_list("name", "phone"))


@pytest.mark.req("R15", "R18", "R19", "N-149")
def test_only_the_newest_import_of_a_field_is_taken_back(office: Office) -> None:
    first = office.run()
    before = office.picture()
    office.desk.execute("UPDATE people SET phone = '040 ' || id, name = name || '!' WHERE id <= 4")
    second = office.run()
    kept = office.target_of("customer_users", 1)
    User.objects.filter(pk=kept).update(phone="by hand")
    office.desk.execute("UPDATE people SET phone = '050' WHERE id = 3")
    third = office.run()

    # The third changed a field of one; the first created what both changed.
    preview = office.roll_back(second, dry_run=True)
    rollback = office.roll_back(second)
    assert verdicts(preview) == verdicts(rollback)
    assert buckets(rollback) == {"reversed": 2, "kept_edited": 1, "blocked": 1}
    person = row_of(rollback, kept)
    assert (person.bucket, person.kept, person.restored) == ("kept_edited", ["phone"], ["name"])
    blocked = row_of(rollback, office.target_of("customer_users", 3))
    assert (blocked.code, blocked.details["jobs"]) == ("later_job", [third.number])
    assert phones(office)["Person 1"] == "by hand"
    assert phones(office)["Person 3!"] == "050"
    assert row_of(office.roll_back(first, dry_run=True), blocked.key).details["jobs"] == [second.number, third.number]

    # Newest first, everything can be taken back but what a person changed.
    office.roll_back(third)
    office.roll_back(second)
    User.objects.filter(pk=kept).update(phone="030 1")
    same = {table: rows for table, rows in before.items() if table not in ("external_refs", "users")}
    assert {table: rows for table, rows in office.picture().items() if table in same} == same
    assert phones(office) == {f"Person {number}": f"030 {number}" for number in range(1, 7)}
    # The next import brings the values again: the rows are compared anew.
    assert office.desk.outcomes(office.run(), "customer_users") == {"read": 6, "updated": 4, "unchanged": 2}


@pytest.mark.req("R20", "R19")
def test_an_undo_brings_values_back_unless_somebody_changed_them_since(office: Office) -> None:
    office.run()
    office.desk.execute("UPDATE people SET phone = '040 ' || id, name = name || '!'")
    second = office.run()
    imported = office.picture()
    rollback = office.roll_back(second)
    undo = office.undo(rollback)
    assert (undo.kind, buckets(undo)) == (JobKind.UNDO, {"reversed": 6})
    assert office.picture() == imported
    with pytest.raises(Conflict, match="nothing that could be brought back"):
        rollbacks.start_undo(rollback)

    once_more = office.roll_back(second)
    User.objects.filter(pk=office.target_of("customer_users", 1)).update(phone="by hand")
    undo = office.undo(once_more)
    assert buckets(undo) == {"reversed": 5, "kept_edited": 1}
    assert phones(office)["Person 1!"] == "by hand"


@pytest.mark.req("R15", "R20")
def test_what_a_constraint_refuses_is_blocked(office: Office) -> None:
    office.run()
    office.desk.execute("UPDATE people SET mail = 'new' || id || '@x.example' WHERE id <= 3")
    second = office.run()
    User.objects.create(name="Took it", email="p1@x.example", user_type="account_user")
    preview = office.roll_back(second, dry_run=True)
    rollback = office.roll_back(second)
    assert verdicts(preview) == verdicts(rollback)
    assert buckets(rollback) == {"reversed": 2, "blocked": 1}
    blocked = row_of(rollback, office.target_of("customer_users", 1))
    assert (blocked.code, blocked.written) == ("unique_conflict", False)
    assert "users_email_per_type" in rollbacks.reason_of(blocked)


@pytest.mark.req("R15", "R22", "R10")
def test_single_records_single_fields_and_images_that_are_gone(office: Office) -> None:
    office.run()
    office.desk.execute("UPDATE people SET phone = '040 ' || id, name = name || '!'")
    second = office.run()
    first, other, expired = ImportRecord.objects.filter(run__job=second, action="updated").order_by("target_id")[:3]
    ImportRecord.objects.filter(pk=expired.pk).update(before_image=None, after_image=None)
    scope = rollbacks.Scope(records=[first.pk, expired.pk], fields=["phone"])
    rollback = office.roll_back(second, scope=scope)
    assert buckets(rollback) == {"reversed": 1, "error": 1}
    assert row_of(rollback, expired.target_id).code == "image_expired"
    person = User.objects.get(pk=first.target_id)
    assert person.phone.startswith("030")
    assert person.name.endswith("!")
    assert User.objects.get(pk=other.target_id).phone.startswith("040")
    rest = office.roll_back(second, scope=rollbacks.Scope(actions=["created"]))
    assert buckets(rest) == {}


@pytest.mark.req("R7", "G15")
def test_who_can_log_in_keeps_the_log_in(office: Office) -> None:
    office.desk.execute("INSERT INTO people VALUES (7, 'Solo', 'solo@x.example', 1, '1')")
    job = office.run()
    agent = User.objects.get(pk=office.target_of("agents", 1))
    agent.set_password("a password that opens the door")
    agent.save()
    rollback = office.roll_back(job)
    assert row_of(rollback, agent.pk).bucket == "kept_edited"
    assert set(row_of(rollback, agent.pk).kept) == {"login", "password"}
    assert User.objects.filter(pk=agent.pk).exists()
    assert not Ticket.objects.exists()


@pytest.mark.req("R7", "R19")
def test_what_cannot_be_rolled_back_is_refused(office: Office) -> None:
    job = office.desk.start()
    with pytest.raises(Conflict, match="pending"):
        rollbacks.start_rollback(job, understood=True)
    office.desk.work(job)
    with pytest.raises(InvalidFields):
        rollbacks.start_rollback(job)
    rehearsal = office.run(dry_run=True)
    with pytest.raises(Conflict, match="wrote nothing"):
        rollbacks.start_rollback(rehearsal, understood=True)
    pending = rollbacks.start_rollback(job, understood=True)
    with pytest.raises(Conflict, match="works on the same import"):
        rollbacks.start_rollback(job, dry_run=True)
    with pytest.raises(Conflict, match="is no rollback"):
        rollbacks.start_undo(job)
    # An import of the profile may be asked for meanwhile; it waits.
    again = office.desk.start()
    assert runner.work(again.pk, patient=False) == "pending"
    again.refresh_from_db()
    assert f"Waiting for job {pending.number}" in again.current_operation
    worked(pending)
    assert runner.work(again.pk, patient=False) == "completed"
    assert ExternalRef.objects.exists()
