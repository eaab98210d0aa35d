from __future__ import annotations

from django.apps import AppConfig


class ImporterConfig(AppConfig):
    name = "importer"
    verbose_name = "Imports"

    def ready(self) -> None:
        """Say how profiles and jobs are seen, before the first view asks."""
        from importer import access

        access.register()
