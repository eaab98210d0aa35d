"""A rollback takes back what nobody changed since, and says of everything else why it stays."""

from __future__ import annotations

import pytest

from importer.models import ExternalRef
from importer.operations import rollbacks
from servicevault.models import Ticket, TicketComment, TimeEntry, User
from tests.importer.reversal.conftest import Office, buckets, row_of, verdicts

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.mark.req("R7", "R16", "R20", "R21", "E34", "E36")
def test_an_untouched_import_goes_and_comes_back_exactly(office: Office) -> None:
    before = office.picture()
    job = office.run(options={"batch_size": 10})
    imported = office.picture()
    rollback = office.roll_back(job, batch_size=7)
    # Comments whose parent came later have a record more; the default account of a ticket nobody asked for has one.
    records = 60 + job.counters()["late_linked"]
    assert records > 60
    assert buckets(rollback) == {"reversed": records}
    assert office.picture() == before
    undo = office.undo(rollback)
    assert buckets(undo) == {"reversed": records}
    assert office.picture() == imported
    assert office.desk.outcomes(office.run())["unchanged"] == 59
    office.roll_back(job)
    assert office.picture() == before
    assert office.desk.outcomes(office.run()) == {"read": 59, "created": 59}


@pytest.mark.req("R15", "R16", "R17")
def test_what_people_did_since_stays(office: Office) -> None:
    job = office.run()
    edited, answered, own = (Ticket.objects.get(pk=office.target_of("tickets", number)) for number in (1, 2, 3))
    Ticket.objects.filter(pk=edited.pk).update(title="Mine now")
    answer = TicketComment.objects.create(ticket=answered, content="By a person")
    approved = TimeEntry.objects.get(pk=office.target_of("time_entries", 3))
    TimeEntry.objects.filter(pk=approved.pk).update(status="approved")
    deleted = office.target_of("ticket_comments", 5)
    TicketComment.objects.filter(pk=deleted).delete()
    # The preview says the same as the work, and writes nothing.
    seen = office.picture()
    preview = office.roll_back(job, dry_run=True)
    assert office.picture() == seen
    rollback = office.roll_back(job)
    assert verdicts(preview) == verdicts(rollback)

    assert Ticket.objects.get(pk=edited.pk).title == "Mine now"
    kept = row_of(rollback, edited.pk)
    assert (kept.bucket, kept.code, kept.kept) == ("kept_edited", "edited", ["title"])
    # An answer of a person keeps its ticket, and the ticket its people and their accounts.
    held = row_of(rollback, answered.pk)
    assert (held.bucket, held.code) == ("blocked", "dependants")
    assert held.details["dependants"] == [{"table": "ticket_comments", "count": 1, "rows": [str(answer.pk)]}]
    customer = row_of(rollback, answered.customer_id)
    assert customer.details["dependants"][0]["table"] == "tickets"
    assert row_of(rollback, answered.account_id).bucket == "blocked"
    assert row_of(rollback, approved.pk).code == "settled"
    assert row_of(rollback, deleted).code == "gone"
    assert not Ticket.objects.filter(pk=own.pk).exists() or own.pk == approved.ticket_id
    # Nothing that stays points to something that went.
    assert User.objects.filter(pk__in=[edited.customer_id, answered.customer_id]).count() == 2
    assert TicketComment.objects.filter(ticket=answered).count() == 1
    assert ExternalRef.objects.filter(target_id=edited.pk).exists()
    assert not ExternalRef.objects.filter(target_id=own.pk).exists() or own.pk == approved.ticket_id
    # Once more changes nothing.
    seen = office.picture()
    again = office.roll_back(job)
    assert office.picture() == seen
    assert rollbacks.buckets_of(again)["blocked"] == rollbacks.buckets_of(rollback)["blocked"]
