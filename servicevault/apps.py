from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils import translation

from servicevault import wording
from servicevault.celery import app as celery_app


class ServiceVaultConfig(AppConfig):
    name = "servicevault"
    celery = celery_app  # with the registry there is the application that shared tasks belong to
    verbose_name = "Service Vault"

    def ready(self) -> None:
        """Register what can be imported into and who sees it, before anyone asks; and the deploy checks."""
        from servicevault import access, checks, database_roles, targets  # noqa: F401 - the checks register themselves
        from servicevault.api import limits
        from servicevault.notifications import consumers

        wording.speak(translation.gettext, translation.ngettext, translation.get_language)
        limits.refuse_unknown()
        targets.register()
        access.register()
        consumers.register()
        post_migrate.connect(database_roles.create, sender=self)
