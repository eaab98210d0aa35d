"""Lookups a help desk configures: statuses, priorities, categories (E11)."""

from __future__ import annotations

from django.db import models

from servicevault.wording import say

from .base import TimestampedModel


class Lookup(TimestampedModel):
    key = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=255)
    sort_order = models.PositiveSmallIntegerField(default=0, db_default=0)
    is_active = models.BooleanField(default=True, db_default=True)

    class Meta(TimestampedModel.Meta):
        abstract = True
        ordering = ["sort_order", "key"]

    def __str__(self) -> str:
        return self.name


class TicketStatus(Lookup):
    """A status people choose from; `type` is one of the five the product understands."""

    type = models.CharField(max_length=16)
    is_closed = models.BooleanField(default=False, db_default=False)
    is_default = models.BooleanField(default=False, db_default=False)

    class Meta(Lookup.Meta):
        db_table = "ticket_statuses"
        verbose_name_plural = say("ticket statuses")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(type__in=["open", "pending", "in_progress", "resolved", "closed"]),
                name="ticket_statuses_type_known",
            ),
        ]


class TicketPriority(Lookup):
    level = models.PositiveSmallIntegerField()

    class Meta(Lookup.Meta):
        db_table = "ticket_priorities"
        verbose_name_plural = say("ticket priorities")


class TicketCategory(Lookup):
    sla_hours = models.PositiveIntegerField(null=True, blank=True)

    class Meta(Lookup.Meta):
        db_table = "ticket_categories"
        verbose_name_plural = say("ticket categories")
