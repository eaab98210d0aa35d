"""What every table of the domain shares."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now
from django.db.models.lookups import Exact


class TimestampedModel(models.Model):
    """A row with a UUID key and two instants.

    The database fills the instants, so that set statements which name neither still store them;
    imports store the source's own values (E12).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True


def is_object(column: str, name: str) -> models.CheckConstraint:
    """The rule that a JSON column holds an object (E1, E2)."""
    kind = models.Func(models.F(column), function="jsonb_typeof", output_field=models.TextField())
    return models.CheckConstraint(condition=Exact(kind, models.Value("object")), name=name)


def text(max_length: int = 255, *, null: bool = True) -> models.CharField[str | None, str | None]:
    """A short text column: NULL when unknown, as the domain's tables have it (E1, E2)."""
    return models.CharField(max_length=max_length, null=null, blank=null)
