"""Who sees the help desk's own records: agents all of them, customers none yet."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, Q

from permissions import policy
from servicevault.models import Account, Ticket, TicketComment, TimeEntry, User


class AgentsRule:
    """Agents see every row that is not deleted; nobody but super admins changes one."""

    def __init__(self, model: type[Model]) -> None:
        self.name = model._meta.model_name
        self.soft_deletes = any(field.name == "deleted_at" for field in model._meta.fields)

    def visible(self, user: Any) -> Q:
        if not user.is_agent:
            return Q(pk__in=[])
        return Q(deleted_at=None) if self.soft_deletes else Q()

    def allowed(self, user: Any, action: str, obj: Any) -> str:
        return "" if action == "view" else f"{action}_{self.name}"


def register() -> None:
    for model in (Account, User, Ticket, TicketComment, TimeEntry):
        policy.register(model, AgentsRule(model))
