"""How many jobs of one person may be unfinished at the same time, whatever their kind (G33)."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from servicevault.jobs.models import ACTIVE, Job

MOST_UNFINISHED = 10


def unfinished_of(user: Any) -> int:
    """Jobs of every kind that the person started and that did not end; a query for each kind."""
    kinds = [model for model in apps.get_models() if issubclass(model, Job)]
    return sum(model._default_manager.filter(created_by=user, status__in=ACTIVE).count() for model in kinds)
