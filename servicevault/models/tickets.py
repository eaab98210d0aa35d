"""Tickets and their comments."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from servicevault.wording import say

from .base import TimestampedModel, is_object, text
from .lookups import TicketCategory, TicketPriority, TicketStatus
from .people import Account, User


class TextFormat(models.TextChoices):
    TEXT = "text", say("Text")
    HTML = "html", say("Html")
    MARKDOWN = "markdown", say("Markdown")


class Status(models.TextChoices):
    OPEN = "open", say("Open")
    PENDING = "pending", say("Pending")
    IN_PROGRESS = "in_progress", say("In Progress")
    RESOLVED = "resolved", say("Resolved")
    CLOSED = "closed", say("Closed")


class Priority(models.TextChoices):
    LOW = "low", say("Low")
    NORMAL = "normal", say("Normal")
    HIGH = "high", say("High")
    URGENT = "urgent", say("Urgent")


class Channel(models.TextChoices):
    EMAIL = "email", say("Email")
    PHONE = "phone", say("Phone")
    CHAT = "chat", say("Chat")
    WEB = "web", say("Web")
    API = "api", say("Api")
    OTHER = "other", say("Other")


class AuthorKind(models.TextChoices):
    AGENT = "agent", say("Agent")
    CUSTOMER = "customer", say("Customer")
    SYSTEM = "system", say("System")


class Ticket(TimestampedModel):
    """A request for help (E6); soft-deleted by `deleted_at`."""

    ticket_number = models.CharField(max_length=64)
    title = models.CharField(max_length=998)
    description = models.TextField(null=True, blank=True)
    description_format = models.CharField(max_length=8, default=TextFormat.TEXT, db_default=TextFormat.TEXT)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN, db_default=Status.OPEN)
    priority = models.CharField(
        max_length=8, choices=Priority.choices, default=Priority.NORMAL, db_default=Priority.NORMAL
    )
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="tickets")
    customer = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="requested_tickets"
    )
    agent = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="assigned_tickets")
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="created_tickets")
    category = models.ForeignKey(TicketCategory, null=True, blank=True, on_delete=models.SET_NULL, db_index=False)
    status_ref = models.ForeignKey(TicketStatus, null=True, blank=True, on_delete=models.SET_NULL, db_index=False)
    priority_ref = models.ForeignKey(TicketPriority, null=True, blank=True, on_delete=models.SET_NULL, db_index=False)
    customer_name = text()
    customer_email = text()
    queue = text()
    channel = models.CharField(max_length=8, choices=Channel.choices, null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=64), default=list, db_default=[], blank=True)
    estimated_hours = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    estimated_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    actual_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    custom_fields = models.JSONField(default=dict, db_default={}, blank=True)
    metadata = models.JSONField(default=dict, db_default={}, blank=True)

    class Meta:
        db_table = "tickets"
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["-created_at"], name="tickets_newest"),
            # Most tickets name no lookup: partial indexes keep their inserts cheap.
            models.Index("category", condition=Q(category__isnull=False), name="tickets_category"),
            models.Index("status_ref", condition=Q(status_ref__isnull=False), name="tickets_status_ref"),
            models.Index("priority_ref", condition=Q(priority_ref__isnull=False), name="tickets_priority_ref"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["ticket_number"], name="tickets_number_unique"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="tickets_status_known"),
            models.CheckConstraint(condition=Q(priority__in=Priority.values), name="tickets_priority_known"),
            models.CheckConstraint(condition=Q(channel__in=Channel.values), name="tickets_channel_known"),
            models.CheckConstraint(condition=Q(description_format__in=TextFormat.values), name="tickets_format_known"),
            models.CheckConstraint(condition=~Q(ticket_number="") & ~Q(title=""), name="tickets_named"),
            is_object("custom_fields", "tickets_custom_fields_object"),
            is_object("metadata", "tickets_metadata_object"),
        ]

    def __str__(self) -> str:
        return f"{self.ticket_number} {self.title}"


class TicketComment(TimestampedModel):
    """A reply or an internal note (E7). `author_kind` says who spoke when the author is unknown."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="comments")
    author_kind = models.CharField(
        max_length=8, choices=AuthorKind.choices, default=AuthorKind.SYSTEM, db_default=AuthorKind.SYSTEM
    )
    author_name = text()
    author_email = text()
    content = models.TextField()
    body_format = models.CharField(max_length=8, default=TextFormat.TEXT, db_default=TextFormat.TEXT)
    is_internal = models.BooleanField(default=False, db_default=False)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replies")
    message_id = text(998)
    attachments = models.JSONField(default=list, db_default=[], blank=True)
    edited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "ticket_comments"
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(author_kind__in=AuthorKind.values), name="comments_author_known"),
            models.CheckConstraint(condition=Q(body_format__in=TextFormat.values), name="comments_format_known"),
            models.CheckConstraint(condition=~Q(content=""), name="comments_not_empty"),
        ]

    def __str__(self) -> str:
        return self.content[:60]
