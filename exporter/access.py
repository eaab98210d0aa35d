"""How exports, templates and schedules are seen and used: the rules `permissions.policy` asks."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from exporter.models import ExportJob, ExportSchedule, ExportTemplate
from permissions import policy

EDIT_OTHERS = "data.permissions.manage"


class OwnRule:
    """Only whoever made it, and superusers (F-096)."""

    def visible(self, user: Any) -> Q:
        return Q(created_by=user)

    def allowed(self, user: Any, action: str, obj: Any) -> str:
        return ""


class TemplateRule:
    """Public ones are everybody's to run; the owner, or whoever manages table rights, edits (F-106)."""

    def visible(self, user: Any) -> Q:
        if policy.has(user, EDIT_OTHERS):
            return Q()
        return Q(created_by=user) | Q(is_public=True) | Q(is_system_template=True)

    def allowed(self, user: Any, action: str, obj: Any) -> str:
        if action in {"view", "run"} or obj.created_by_id == user.pk or policy.has(user, EDIT_OTHERS):
            return ""
        return EDIT_OTHERS


def register() -> None:
    policy.register(ExportJob, OwnRule())
    policy.register(ExportSchedule, OwnRule())
    policy.register(ExportTemplate, TemplateRule())
