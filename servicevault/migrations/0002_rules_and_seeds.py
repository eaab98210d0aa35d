"""Rules no constraint can say, the sequences, and the rows every installation starts with (E6, E9, E10, E11, E37)."""

from django.db import migrations

SEQUENCES = """
CREATE SEQUENCE ticket_number;
CREATE SEQUENCE job_number;
CREATE SEQUENCE job_fence;
"""

# E9: an entry belongs to the account of its ticket. When a ticket moves, its entries follow.
TIME_ENTRY_ACCOUNT = """
CREATE FUNCTION time_entry_account_is_the_tickets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE expected uuid;
BEGIN
    SELECT account_id INTO expected FROM tickets WHERE id = NEW.ticket_id;
    IF expected IS NOT NULL AND expected IS DISTINCT FROM NEW.account_id THEN
        RAISE EXCEPTION 'the time entry''s account differs from its ticket''s account'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'time_entry_account_is_the_tickets', COLUMN = 'account_id';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER time_entry_account BEFORE INSERT OR UPDATE OF account_id, ticket_id ON time_entries
    FOR EACH ROW WHEN (NEW.ticket_id IS NOT NULL) EXECUTE FUNCTION time_entry_account_is_the_tickets();

CREATE FUNCTION time_entries_follow_their_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE time_entries SET account_id = NEW.account_id WHERE ticket_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER ticket_account AFTER UPDATE OF account_id ON tickets
    FOR EACH ROW WHEN (OLD.account_id IS DISTINCT FROM NEW.account_id)
    EXECUTE FUNCTION time_entries_follow_their_ticket();
"""
DROP_TIME_ENTRY_ACCOUNT = """
DROP TRIGGER ticket_account ON tickets;
DROP TRIGGER time_entry_account ON time_entries;
DROP FUNCTION time_entries_follow_their_ticket();
DROP FUNCTION time_entry_account_is_the_tickets();
"""

STATUSES = [
    ("open", "Open", "open", False),
    ("in_progress", "In progress", "in_progress", False),
    ("waiting_customer", "Waiting for customer", "pending", False),
    ("on_hold", "On hold", "pending", False),
    ("resolved", "Resolved", "resolved", True),
    ("closed", "Closed", "closed", True),
    ("cancelled", "Cancelled", "closed", True),
]
PRIORITIES = ["low", "normal", "high", "urgent", "emergency"]
CATEGORIES = [
    ("technical_support", "Technical support", 24),
    ("hardware_issues", "Hardware issues", 48),
    ("software_issues", "Software issues", 24),
    ("network_issues", "Network issues", 8),
    ("feature_request", "Feature request", None),
    ("security_issue", "Security issue", 4),
    ("general_inquiry", "General inquiry", 72),
]
RATES = [("Standard", 90, True), ("Senior", 130, False), ("Remote", 65, False), ("Travel", 40, False)]


def seed(apps, schema_editor):
    def model(name):
        return apps.get_model("servicevault", name).objects

    for order, (key, name, kind, closed) in enumerate(STATUSES):
        model("TicketStatus").create(
            key=key, name=name, type=kind, is_closed=closed, is_default=key == "open", sort_order=order
        )
    for level, key in enumerate(PRIORITIES):
        model("TicketPriority").create(key=key, name=key.capitalize(), level=level, sort_order=level)
    for order, (key, name, hours) in enumerate(CATEGORIES):
        model("TicketCategory").create(key=key, name=name, sla_hours=hours, sort_order=order)
    for name, rate, default in RATES:
        model("BillingRate").create(name=name, rate=rate, is_default=default)
    model("User").create(
        username="service-vault-import",
        name="Service Vault Import",
        user_type="agent",
        password="!",  # noqa: S106 - the mark of an unusable password
        is_active=False,
        is_visible=False,
    )


class Migration(migrations.Migration):
    dependencies = [("servicevault", "0001_initial")]
    run_before = [("importer", "0001_initial")]

    operations = [
        migrations.RunSQL(SEQUENCES, "DROP SEQUENCE ticket_number, job_number, job_fence;"),
        migrations.RunSQL(TIME_ENTRY_ACCOUNT, DROP_TIME_ENTRY_ACCOUNT),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
