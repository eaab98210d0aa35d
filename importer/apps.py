from __future__ import annotations

from django.apps import AppConfig


class ImporterConfig(AppConfig):
    name = "importer"
    verbose_name = "Imports"

    def ready(self) -> None:
        """Say how profiles and jobs are seen, and how failures are told, before the first view asks."""
        from importer import access
        from importer.api import failures as told
        from servicevault.api import failures

        access.register()
        failures.register(told.tell)
