from __future__ import annotations

from django.apps import AppConfig


class PermissionsConfig(AppConfig):
    name = "permissions"
    verbose_name = "Roles and permissions"

    def ready(self) -> None:
        """Put on record who comes and goes, from the first request on."""
        from permissions import sessions  # noqa: F401 - it connects itself
