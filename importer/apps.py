from __future__ import annotations

from django.apps import AppConfig

from servicevault.wording import say


class ImporterConfig(AppConfig):
    name = "importer"
    verbose_name = say("Imports")

    def ready(self) -> None:
        """Say how profiles and jobs are seen and approved, and how failures are told, before the first view asks."""
        from importer import access, consumers, file_targets, tasks
        from importer.api import failures as told
        from importer.models import ImportJob
        from importer.operations import consent, news
        from importer.operations.files import consent as of_files
        from permissions import approvals
        from servicevault import catalog
        from servicevault.api import failures
        from servicevault.notifications import telling

        approvals.register(consent.SUBJECT, tasks.APPROVAL)
        approvals.register(of_files.SUBJECT, tasks.FILE_APPROVAL)
        access.register()
        telling.register(ImportJob, news.ended)
        consumers.register()
        catalog.register_maker(file_targets.OF_TABLES, file_targets.table_named)
        failures.register(told.tell)
