"""The domain's targets (spec/domain.md, E14-E38): what each field is, where it goes, what stands in for it."""

from __future__ import annotations

from servicevault.catalog import (
    Field,
    Guard,
    Lookup,
    Reference,
    Rule,
    Target,
    UniqueKey,
    register_guard,
    register_lookup,
)
from servicevault.catalog import register as register_target
from servicevault.field_labels import labelled
from servicevault.models.people import AccountType
from servicevault.models.tickets import AuthorKind, Channel, Priority, Status, TextFormat
from servicevault.models.time_entries import EntryStatus
from servicevault.wording import say

_ACCOUNT = Reference(types=("accounts",), unresolved="default")
_TIMES = (Field("created_at", "timestamptz"), Field("updated_at", "timestamptz"))
_ID = Field("external_id", column="", must_map=True, not_empty=True, max_length=255)
_SYSTEM_USER = "(SELECT u.id FROM users u WHERE u.username = 'service-vault-import')"  # a migration creates the row
_NAME = "coalesce(nullif(btrim(p.name), ''), nullif(btrim(concat_ws(' ', nullif(btrim(p.first_name), ''), nullif(btrim(p.last_name), ''))), ''), {})"


def _texts(*names: str, length: int = 255) -> tuple[Field, ...]:
    return tuple(Field(name, max_length=length) for name in names)


ACCOUNTS = Target(
    name="accounts",
    label=say("Accounts"),
    table="accounts",
    order=10,
    json_column="custom_fields",
    fields=(
        _ID,
        Field("name", max_length=255, must_map=True, not_empty=True),
        Field("description"),
        Field("domain", max_length=255, lower=True),
        Field("timezone", max_length=64, zone=True),
        Field("account_type", choices=tuple(AccountType.values)),
        *_texts("email", "phone", "website", "contact_person", "city", "state", "postal_code", "country", "tax_id"),
        Field("address"),
        Field("notes"),
        Field("is_active", "boolean"),
        Field("billing_address"),
        *_texts("billing_city", "billing_state", "billing_postal_code", "billing_country"),
        *_TIMES,
    ),
    defaults={"timezone": "'UTC'", "account_type": "'customer'", "is_active": "true"},
    match_fields=("name",),
    match_strategy="case_insensitive",
    natural_keys={"name": "lower(btrim(t.name)) = lower(btrim(%s))", "domain": "t.domain = lower(%s)"},
)

_PERSON_FIELDS = (
    _ID,
    Field("name", max_length=255, must_map=True, not_empty=True),
    Field("first_name", column=""),
    Field("last_name", column=""),
    Field("email", "email", max_length=255, must_map=True, lower=True),
    *_texts("phone", "job_title"),
    Field("timezone", max_length=64, zone=True),
    Field("is_active", "boolean"),
    *_TIMES,
)
_PERSON_DEFAULTS = {"timezone": "'UTC'", "locale": "'en'", "is_active": "true"}
_PERSON_KEYS = {"email": "lower(t.email) = lower(btrim(%s))", "name": "lower(btrim(t.name)) = lower(btrim(%s))"}


def _email_key(user_type: str) -> UniqueKey:
    return UniqueKey(
        "email", "lower(t.email)", "lower(p.email)", f"t.user_type = '{user_type}' AND t.email IS NOT NULL"
    )


CUSTOMER_USERS = Target(
    name="customer_users",
    label=say("Customer users"),
    table="users",
    order=30,
    json_column="custom_fields",
    scope="t.user_type = 'account_user'",
    constants={"user_type": "'account_user'"},  # the password is unusable by default (E38)
    fields=(
        *_PERSON_FIELDS,
        Field("company", json_key="company"),
        Field("account_external_id", column="account_id", reference=_ACCOUNT),
        Field("locale", max_length=16),
        Field("country", json_key="country"),
        Field("state", json_key="state"),
        Field("city", json_key="city"),
        Field("address", json_key="address"),
        Field("zip", json_key="zip"),
        Field("notes", json_key="notes"),
    ),
    derived={"name": _NAME.format("p.email")},
    derived_needs={"name": (("first_name", "last_name"),)},
    fallbacks={"account_id": "x.account_external_id"},
    default_account="account_id",
    defaults=_PERSON_DEFAULTS,
    match_fields=("email",),
    unique_keys=(_email_key("account_user"),),
    natural_keys=_PERSON_KEYS,
)

AGENTS = Target(
    name="agents",
    label=say("Agents"),
    table="users",
    order=20,
    json_column="custom_fields",
    scope="t.user_type = 'agent'",
    constants={
        "user_type": "'agent'",
        "role_id": "(SELECT r.id FROM permissions_role r WHERE r.name = 'Agent')",
    },
    fields=(*_PERSON_FIELDS, Field("role", json_key="role", help=say("Kept as a note; grants nothing here."))),
    derived={"name": _NAME.format("p.email")},
    derived_needs={"name": (("first_name", "last_name"),)},
    defaults=_PERSON_DEFAULTS,
    stand_in=_SYSTEM_USER,
    match_fields=("email",),
    unique_keys=(_email_key("agent"),),
    natural_keys=_PERSON_KEYS,
)

TICKETS = Target(
    name="tickets",
    label=say("Tickets"),
    table="tickets",
    order=40,
    json_column="custom_fields",
    fields=(
        _ID,
        Field("title", max_length=998, must_map=True, blank="'(no subject)'"),
        Field("description", must_map=True),
        Field("description_format", choices=tuple(TextFormat.values)),
        Field("status", choices=tuple(Status.values)),
        Field("priority", choices=tuple(Priority.values)),
        Field("category", column="category_id", help=say("Key of a ticket category.")),
        Field("queue", max_length=255),
        Field("channel", choices=tuple(Channel.values)),
        Field("tags", "tags", max_length=64),
        Field("ticket_number", max_length=64),
        Field("account_external_id", column="account_id", reference=_ACCOUNT),
        Field(
            "customer_external_id",
            column="customer_id",
            reference=Reference(types=("customer_users",), spare=("customer_email", "email")),
        ),
        Field(
            "assigned_user_external_id",
            column="agent_id",
            reference=Reference(types=("agents",)),
            aliases=("agent_external_id",),
        ),
        Field(
            "created_by_external_id", column="created_by_id", reference=Reference(types=("agents", "customer_users"))
        ),
        *_texts("customer_name", "customer_email"),
        Field("due_at", "timestamptz"),
        Field("started_at", "timestamptz"),
        Field("resolved_at", "timestamptz"),
        Field("closed_at", "timestamptz"),
        Field("estimated_hours", "numeric", precision="10,2"),
        *_TIMES,
    ),
    derived={"category": "(SELECT k.id FROM ticket_categories k WHERE k.key = lower(btrim(p.category)))"},
    fallbacks={
        "account_id": "coalesce(x.account_external_id, (SELECT u.account_id FROM users u WHERE u.id = x.customer_external_id))",
        "created_by_id": "coalesce(x.created_by_external_id, x.customer_external_id, x.assigned_user_external_id, "
        f"{_SYSTEM_USER})",  # E37
    },
    default_account="account_id",
    defaults={"description_format": "'text'", "status": "'open'", "priority": "'normal'", "tags": "'{}'"},
    unique_keys=(
        UniqueKey(
            "ticket_number",
            "t.ticket_number",
            "p.ticket_number",
            on_conflict="renumber",
            fresh="'TKT-' || to_char(now(), 'YYYY') || '-' || lpad(nextval('ticket_number')::text, 4, '0')",
        ),
    ),
    soft_delete="deleted_at",
    natural_keys={"number": "t.ticket_number = %s"},
)

TICKET_COMMENTS = Target(
    name="ticket_comments",
    label=say("Comments"),
    table="ticket_comments",
    order=50,
    fields=(
        _ID,
        Field(
            "ticket_external_id",
            column="ticket_id",
            must_map=True,
            not_empty=True,
            reference=Reference(types=("tickets",), unresolved="blocked"),
        ),
        Field("content", must_map=True, not_empty=True),
        Field("author_kind", choices=tuple(AuthorKind.values)),
        Field(
            "author_external_id",
            column="author_id",
            reference=Reference(
                types=("agents", "customer_users"),
                choose_by="author_kind",
                choices={"agent": ("agents",), "customer": ("customer_users",)},
                spare=("author_email", "email"),
            ),
        ),
        *_texts("author_name", "author_email"),
        Field("body_format", choices=tuple(TextFormat.values)),
        Field("is_internal", "boolean"),
        Field("parent_external_id", column="parent_id", reference=Reference(types=("ticket_comments",))),
        Field("message_id", max_length=998),
        Field("attachments", "json"),
        Field("edited_at", "timestamptz"),
        *_TIMES,
    ),
    defaults={
        "author_kind": "CASE WHEN x.author_external_id IS NULL THEN 'system' "
        "ELSE (SELECT CASE u.user_type WHEN 'agent' THEN 'agent' ELSE 'customer' END FROM users u WHERE u.id = x.author_external_id) END",
        "body_format": "'text'",
        "is_internal": "false",
        "attachments": "'[]'",
    },
    natural_keys={"message_id": "t.message_id = %s"},
)

TIME_ENTRIES = Target(
    name="time_entries",
    label=say("Time entries"),
    table="time_entries",
    order=60,
    json_column="custom_fields",
    fields=(
        _ID,
        Field("description", must_map=True),
        Field("duration", "minutes", must_map=True, not_empty=True),
        Field("started_at", "timestamptz", must_map=True, not_empty=True),
        Field(
            "user_external_id",
            column="user_id",
            not_empty=True,
            reference=Reference(types=("agents",), unresolved="fail", also_placeholder=True),
            aliases=("agent_external_id",),
        ),
        Field("ticket_external_id", column="ticket_id", reference=Reference(types=("tickets",), unresolved="blocked")),
        Field("account_external_id", column="account_id", reference=_ACCOUNT),
        Field("billable", "boolean"),
        Field("rate_override", "numeric", precision="10,2"),
        Field("ended_at", "timestamptz"),
        Field("activity", max_length=255),
        Field("status", choices=tuple(EntryStatus.values)),
        Field("notes"),
        *_TIMES,
    ),
    derived={
        "duration": "coalesce(p.duration, round(extract(epoch FROM p.ended_at - p.started_at) / 60)::integer)",
    },
    derived_needs={"duration": (("ended_at",),)},
    # E9: the ticket's account wins; a trigger refuses anything else.
    fallbacks={
        "account_id": "coalesce((SELECT k.account_id FROM tickets k WHERE k.id = x.ticket_external_id), x.account_external_id)"
    },
    default_account="account_id",
    defaults={"description": "''", "billable": "true", "status": "'pending'"},
    soft_delete="deleted_at",
    settled="(t.status = 'approved' OR t.billed_amount IS NOT NULL)",
    warnings={
        "unusual_duration": "p.duration <= 0 OR p.duration > 1440",
        "account_taken_from_ticket": "x.account_external_id <> "
        "(SELECT k.account_id FROM tickets k WHERE k.id = x.ticket_external_id)",
    },
    rules={
        "end_after_start": Rule(
            say("Ends after it starts"),
            "ended_at",
            "p.ended_at <= p.started_at",
            say("The work ends before it starts."),
        ),
        "at_most_a_day": Rule(
            say("At most 24 hours"),
            "duration",
            "p.duration > 1440 OR p.ended_at > p.started_at + interval '24 hours'",
            say("The work takes more than 24 hours."),
        ),
        "no_second_entry": Rule(
            say("No second entry with the same agent, start and duration"),
            "started_at",
            "x.user_external_id IS NOT NULL AND (EXISTS (SELECT FROM time_entries t WHERE t.user_id = x.user_external_id "
            "AND t.started_at = p.started_at AND t.duration = p.duration AND t.deleted_at IS NULL "
            "AND t.id IS DISTINCT FROM i.target_id) "
            "OR row_number() OVER (PARTITION BY x.user_external_id, p.started_at, p.duration ORDER BY p.n) > 1)",
            say("There is an entry of the same agent with this start and duration."),
        ),
    },
)

LOOKUPS = (
    Lookup("billing_rates", "billing_rates", ("name", "id"), ("rate", "name", "id")),
    Lookup("ticket_statuses", "ticket_statuses", ("key", "name", "id"), ("type", "key", "name", "id")),
    Lookup("ticket_priorities", "ticket_priorities", ("key", "name", "id"), ("key", "name", "level", "id")),
    Lookup("ticket_categories", "ticket_categories", ("key", "name", "id"), ("key", "name", "id")),
)

# Whoever can log in, or sends a token, keeps what the log-in and the rights hang on; a name may be brought up to date.
LOGINS = Guard(
    table="users",
    protects="user_can_log_in(t.id)",  # made by a migration
    open=frozenset({
        "name", "phone", "job_title", "timezone", "locale", "custom_fields", "created_at", "updated_at",
    }),
    code="login_kept",
    message=say("was not written: the person can log in here, and no import changes that."),
)  # fmt: skip


def register() -> None:
    """Make the domain's targets known to the importer."""
    for target in (ACCOUNTS, AGENTS, CUSTOMER_USERS, TICKETS, TICKET_COMMENTS, TIME_ENTRIES):
        register_target(labelled(target))
    for lookup in LOOKUPS:
        register_lookup(lookup)
    register_guard(LOGINS)
