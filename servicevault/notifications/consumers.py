"""What is heard of a notification by whom it was told to (L6)."""

from __future__ import annotations

from typing import Any

from servicevault.live import channels
from servicevault.live.channels import Data, Hint
from servicevault.notifications.models import Notification


def register() -> None:
    channels.register(notification__created=_created)


def _created(user: Any, hint: Hint) -> Data | None:
    told = Notification.objects.filter(pk=hint["id"], user=user).first()
    if told is None:
        return None
    return {"id": str(told.pk), "kind": told.kind, "title": told.title, "body": told.body, "url": told.url}
