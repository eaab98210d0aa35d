"""Which target field a source column's bare name means (T15, by the rules of F-053 that need no sample)."""

from __future__ import annotations

import re

from servicevault.catalog import Target

# Names that mean the same in every help desk; the first of a group that the target has is taken.
_SYNONYMS = (
    ("external_id", "id", "uuid"),
    ("email", "mail", "email_address", "mail_address"),
    ("phone", "mobile", "tel", "telephone", "phone_number"),
    ("first_name", "fname", "firstname", "given_name"),
    ("last_name", "lname", "lastname", "surname", "family_name"),
    ("name", "full_name", "display_name"),
    ("title", "subject"),
    ("description", "body", "content", "text"),
    ("content", "body", "text", "message"),
    ("company", "organisation", "organization"),
    ("zip", "postal_code", "postcode"),
    ("created_at", "created", "created_on", "date_created"),
    ("updated_at", "updated", "updated_on", "modified_at"),
    ("ticket_number", "number"),
    ("customer_external_id", "customer_id"),
    ("assigned_user_external_id", "assignee_id", "agent_id"),
    ("user_external_id", "user_id"),
    ("ticket_external_id", "ticket_id", "conversation_id"),
    ("account_external_id", "account_id", "company_id", "organization_id"),
    ("duration", "minutes"),
    ("is_active", "active", "enabled"),
)


def target_field(target: Target, column: str) -> str:
    """The field of `target` that a column of this name feeds, "" when none does."""
    if target.field(column) is not None:
        return column
    folded = _folded(column)
    for name in target.known:
        if _folded(name) == folded:
            return name
    for field_name, *others in _SYNONYMS:
        if folded in map(_folded, others) and target.field(field_name) is not None:
            return field_name
    return ""


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
