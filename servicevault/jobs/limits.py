"""How many jobs of one person may be unfinished at the same time, whatever their kind (G33)."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection

from servicevault.jobs.models import Job

MOST_UNFINISHED = 10
LOCK_CLASS = 0x534A  # "SJ": the first key of the advisory locks that people's requests for jobs take


def unfinished_of(user: Any) -> int:
    """Jobs of every kind that the person started and that did not end; a query for each kind."""
    kinds = [model for model in apps.get_models() if issubclass(model, Job)]
    return sum(model.unfinished().filter(created_by=user).count() for model in kinds)


def take_turns(user: Any) -> None:
    """Let requests of one person that count jobs and then make one go one after the other, to the transaction's end.

    Without it two at once would each count before the other's job is there, and both pass a quota of one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, str(user.pk)])
