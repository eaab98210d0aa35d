from __future__ import annotations

from django.apps import AppConfig


class ServiceVaultConfig(AppConfig):
    name = "servicevault"
    verbose_name = "Service Vault"

    def ready(self) -> None:
        """Register what can be imported into and who sees it, before anyone asks; and the deploy checks."""
        from servicevault import access, checks, targets  # noqa: F401 - the checks register themselves
        from servicevault.api import limits

        limits.refuse_unknown()
        targets.register()
        access.register()
