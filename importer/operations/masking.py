"""Hides personal data from people who only need to see that a mapping works (X17)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from importer.models import ImportProfile
from importer.query.binding import BoundQuery, bind
from importer.query.nodes import Column, columns_of
from importer.query.spec import Field, QuerySpec
from importer.sources.roles import column_role
from importer.sources.schema import SourceSchema
from permissions import audit
from servicevault.wording import say_count

HIDDEN = "•••"
MADE_OF = "made of"  # an expression over personal data: a part of it may be any part of the original
PERSONAL = ("email", "phone", "name", "body", MADE_OF)
_OF_TARGET = {
    "email": "email", "phone": "phone", "name": "name", "first_name": "name", "last_name": "name", "title": "body",
    "description": "body", "content": "body", "body": "body", "company": "name", "address": "body",
    "author_email": "email", "author_name": "name",
}  # fmt: skip


def record_shown(profile: ImportProfile, by: Any, what: str, *, rows: int, revealed: bool) -> None:
    """Put on record that somebody saw rows of the source, and whether personal data was in them."""
    details = {"what": what, "rows": rows}
    audit.record("preview_shown", user=by, profile_id=profile.pk, details=details)
    if revealed:
        audit.record("pii_revealed", user=by, profile_id=profile.pk, details=details)


def role_of_target(field: str) -> str:
    """Which kind of personal data a target field holds; "" when none."""
    return _OF_TARGET.get(field.rsplit(".", 1)[-1], "")


def roles_of_query(spec: QuerySpec, schema: SourceSchema, names: Sequence[str]) -> list[str]:
    """The role of each output column of a query, by its target and by the source columns it is made of.

    Of a query written as SQL only the output names can be judged.
    """
    bound = bind(spec, schema)
    fields = {field.target: field for field in bound.spec.fields} if spec.kind == "builder" else {}
    return [role_of_target(name) or _role_of_field(fields.get(name), bound) for name in names]


def _role_of_field(field: Field | None, bound: BoundQuery) -> str:
    nodes = [] if field is None else [*field.sources, *([field.source] if field.source else [])]
    if len(nodes) == 1 and isinstance(nodes[0], Column):
        return _role_of_column(nodes[0], bound)
    read = [_role_of_column(column, bound) for node in nodes for column in columns_of(node)]
    return MADE_OF if any(role in PERSONAL for role in read) else ""


def _role_of_column(column: Column, bound: BoundQuery) -> str:
    found = next((item.scope for item in bound.relations if item.scope.alias == column.table), None)
    return column_role(column.name, found.columns.get(column.name, "")) or "" if found else ""


def masked(values: Sequence[Any], roles: Sequence[str]) -> tuple[Any, ...]:
    """The values with those of a personal role hidden; empty ones stay what they are."""
    return tuple(_hidden(value, role) if role in PERSONAL else value for value, role in zip(values, roles, strict=True))


def _hidden(value: Any, role: str) -> Any:
    text = "" if value is None else str(value)
    if not text.strip():
        return value
    match role:
        case "email" if "@" in text:
            domain = text.rsplit("@", 1)[1]
            return f"{text[0]}{HIDDEN}@{HIDDEN}.{domain.rsplit('.', 1)[-1]}"
        case _ if role == MADE_OF:
            return HIDDEN
        case "phone":
            return f"{HIDDEN}{text[-2:]}"
        case "body":
            return say_count(
                "{hidden} ({count} character)", "{hidden} ({count:,} characters)", len(text), hidden=HIDDEN
            )
        case _:
            return " ".join(f"{part[0]}{HIDDEN}" for part in text.split())
