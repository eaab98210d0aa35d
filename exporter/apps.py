from __future__ import annotations

from django.apps import AppConfig


class ExporterConfig(AppConfig):
    name = "exporter"
    verbose_name = "Exports"

    def ready(self) -> None:
        """Say how exports are seen, and how failures are told, before the first view asks."""
        from exporter import access
        from exporter.api import failures as told
        from servicevault.api import failures

        access.register()
        failures.register(told.tell)
