"""Time spent, and what it costs."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from servicevault.wording import say

from .base import TimestampedModel, is_object
from .people import Account, User
from .tickets import Ticket


class EntryStatus(models.TextChoices):
    PENDING = "pending", say("Pending")
    APPROVED = "approved", say("Approved")
    REJECTED = "rejected", say("Rejected")


class TimeEntry(TimestampedModel):
    """Minutes an agent worked (E8); soft-deleted.

    A trigger refuses an entry whose account differs from its ticket's account (E9).
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="time_entries")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="time_entries")
    ticket = models.ForeignKey(Ticket, null=True, blank=True, on_delete=models.PROTECT, related_name="time_entries")
    description = models.TextField(default="", db_default="", blank=True)
    duration = models.IntegerField(help_text=say("whole minutes; negative for corrections"))
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    billing_rate = models.ForeignKey("BillingRate", null=True, blank=True, on_delete=models.SET_NULL)
    rate_at_time = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    rate_override = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    billed_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    billable = models.BooleanField(default=True, db_default=True)
    status = models.CharField(max_length=8, choices=EntryStatus.choices, default="pending", db_default="pending")
    activity = models.CharField(max_length=255, null=True, blank=True)
    notes = models.TextField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    custom_fields = models.JSONField(default=dict, db_default={}, blank=True)

    class Meta:
        db_table = "time_entries"
        ordering = ["-started_at", "id"]
        verbose_name_plural = say("time entries")
        constraints = [
            models.CheckConstraint(condition=Q(status__in=EntryStatus.values), name="time_entries_status_known"),
            is_object("custom_fields", "time_entries_custom_fields_object"),
        ]

    def __str__(self) -> str:
        return str(say("{duration} min", duration=self.duration))


class BillingRate(TimestampedModel):
    """An hourly rate: of a person, of an account, or for all (E10)."""

    name = models.CharField(max_length=255)
    rate = models.DecimalField(max_digits=10, decimal_places=2)
    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.CASCADE)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)
    is_default = models.BooleanField(default=False, db_default=False)
    is_active = models.BooleanField(default=True, db_default=True)

    class Meta:
        db_table = "billing_rates"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=Q(is_default=True, account__isnull=True, user__isnull=True),
                name="billing_rates_one_global_default",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.rate}"


def rate_for(entry: TimeEntry) -> BillingRate | None:
    """The rate that prices an entry without `rate_override`; up to three queries.

    The account's default, else the global default, else the first active by name (E10).
    """
    active = BillingRate.objects.filter(is_active=True)
    return (
        active.filter(account_id=entry.account_id, is_default=True).first()
        or active.filter(account=None, user=None, is_default=True).first()
        or active.filter(account=None, user=None).first()
    )
