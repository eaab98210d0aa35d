from __future__ import annotations

from django.apps import AppConfig


class ServiceVaultConfig(AppConfig):
    name = "servicevault"
    verbose_name = "Service Vault"

    def ready(self) -> None:
        """Register what can be imported into, before anyone asks for it."""
        from servicevault import targets

        targets.register()
