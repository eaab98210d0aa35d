from __future__ import annotations

from django.apps import AppConfig


class ImporterConfig(AppConfig):
    name = "importer"
    verbose_name = "Imports"

    def ready(self) -> None:
        """Say how profiles and jobs are seen and approved, and how failures are told, before the first view asks."""
        from importer import access, consumers, file_targets, tasks
        from importer.api import failures as told
        from importer.operations import consent
        from importer.operations.files import consent as of_files
        from permissions import approvals
        from servicevault import catalog
        from servicevault.api import failures

        approvals.register(consent.SUBJECT, tasks.APPROVAL)
        approvals.register(of_files.SUBJECT, tasks.FILE_APPROVAL)
        access.register()
        consumers.register()
        catalog.register_maker(file_targets.OF_TABLES, file_targets.table_named)
        failures.register(told.tell)
