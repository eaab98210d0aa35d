from __future__ import annotations

from django.apps import AppConfig

from servicevault.wording import say


class ExporterConfig(AppConfig):
    name = "exporter"
    verbose_name = say("Exports")

    def ready(self) -> None:
        """Say how exports are seen, and how failures are told, before the first view asks."""
        from exporter import access, consumers, planning, tasks
        from exporter.api import failures as told
        from exporter.models import ExportJob
        from exporter.operations import consent, news
        from permissions import approvals, granting
        from servicevault.api import failures
        from servicevault.notifications import telling

        approvals.register(consent.SUBJECT, tasks.APPROVAL)
        access.register()
        telling.register(ExportJob, news.ended)
        consumers.register()
        granting.check_row_filter.append(planning.row_filter_fault)
        failures.register(told.tell)
