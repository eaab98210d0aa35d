from __future__ import annotations

from django.apps import AppConfig


class ImporterConfig(AppConfig):
    name = "importer"
    verbose_name = "Imports"

    def ready(self) -> None:
        """Say how profiles and jobs are seen and approved, and how failures are told, before the first view asks."""
        from importer import access, tasks
        from importer.api import failures as told
        from importer.operations import consent
        from permissions import approvals
        from servicevault.api import failures

        approvals.register(consent.SUBJECT, tasks.APPROVAL)
        access.register()
        failures.register(told.tell)
