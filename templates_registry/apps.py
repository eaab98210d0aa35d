from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from servicevault.wording import say


def load_shipped_packs(sender: AppConfig, **kwargs: Any) -> None:
    """Bring the packs up to date with the code that was just migrated to (T12)."""
    from templates_registry.loader import load_packs
    from templates_registry.models import Template

    # Migrating back and forth passes states in which the table is not there.
    if kwargs.get("using") == "default" and Template._meta.db_table in _tables():
        load_packs()


def _tables() -> list[str]:
    from django.db import connection

    return connection.introspection.table_names()


class TemplatesRegistryConfig(AppConfig):
    name = "templates_registry"
    verbose_name = say("Templates")

    def ready(self) -> None:
        from servicevault.api import failures
        from templates_registry.api import failures as told

        post_migrate.connect(load_shipped_packs, sender=self)
        failures.register(told.tell, first=True)  # its failures are the importer's too, and say more
