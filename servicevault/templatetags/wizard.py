"""What the pages of a profile's way need in templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

register = template.Library()


@register.simple_tag
def builder_url(profile: Any) -> str:
    """Address of the query builder; empty where the site has none."""
    try:
        return reverse("builder", args=[profile.pk])
    except NoReverseMatch:
        return ""


@register.filter
def get(values: Any, name: Any) -> Any:
    """The value a mapping has under a name that is known only here."""
    return values.get(name)
