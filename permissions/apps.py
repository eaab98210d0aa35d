from __future__ import annotations

from django.apps import AppConfig

from servicevault.wording import say


class PermissionsConfig(AppConfig):
    name = "permissions"
    verbose_name = say("Roles and permissions")

    def ready(self) -> None:
        """Put on record who comes and goes from the first request on, and say how refusals are told."""
        from permissions import sessions  # noqa: F401 - it connects itself
        from permissions.api.failures import tell
        from servicevault.api import failures

        failures.register(tell)
