"""Hides personal data from people who only need to see that a mapping works (X17)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HIDDEN = "•••"
PERSONAL = ("email", "phone", "name", "body")
_OF_TARGET = {
    "email": "email", "phone": "phone", "name": "name", "first_name": "name", "last_name": "name", "title": "body",
    "description": "body", "content": "body", "body": "body", "company": "name", "address": "body",
    "author_email": "email", "author_name": "name",
}  # fmt: skip


def role_of_target(field: str) -> str:
    """Which kind of personal data a target field holds; "" when none."""
    return _OF_TARGET.get(field.rsplit(".", 1)[-1], "")


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
        case "phone":
            return f"{HIDDEN}{text[-2:]}"
        case "body":
            return f"{HIDDEN} ({len(text):,} characters)"
        case _:
            return " ".join(f"{part[0]}{HIDDEN}" for part in text.split())
