"""The help desk's own tables (spec/domain.md)."""

from servicevault.api.models import IdempotentRequest
from servicevault.notifications.models import Notification

from .lookups import TicketCategory, TicketPriority, TicketStatus
from .people import Account, AccountType, User, UserType
from .tickets import Channel, Priority, Status, Ticket, TicketComment
from .time_entries import BillingRate, TimeEntry, rate_for

__all__ = [
    "Account",
    "AccountType",
    "BillingRate",
    "Channel",
    "IdempotentRequest",
    "Notification",
    "Priority",
    "Status",
    "Ticket",
    "TicketCategory",
    "TicketComment",
    "TicketPriority",
    "TicketStatus",
    "TimeEntry",
    "User",
    "UserType",
    "rate_for",
]
