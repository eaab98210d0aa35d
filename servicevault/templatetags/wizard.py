"""What the pages of a profile's way need in templates."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def get(values: Any, name: Any) -> Any:
    """The value a mapping has under a name that is known only here."""
    return values.get(name)
