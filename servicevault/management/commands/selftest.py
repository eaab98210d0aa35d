"""`manage.py selftest`: one import and one export against the running service; ends 1 when anything differs (F-145)."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from psycopg import sql

from permissions.models import ApiToken
from servicevault.selftest import SelftestFailed, Service, run
from servicevault.wording import say


class Command(BaseCommand):
    help = say("Import and export a few awkward rows through the running service and compare the result.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help=say("where the service runs"))

    def handle(self, **options: Any) -> None:
        by = get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
        if by is None:
            raise CommandError(
                say("The selftest acts as a super admin, and there is none. Run manage.py createsuperuser.")
            )
        token, text = ApiToken.objects.make(by, "selftest", days=1)
        try:
            with _table() as name:
                run(Service(options["url"], text), name, self.stdout.write)
        except SelftestFailed as error:
            raise CommandError(str(error), returncode=1) from error
        finally:
            token.revoke()
        self.stdout.write(say("The service imports and exports as it must."))


@contextmanager
def _table() -> Iterator[str]:
    """An empty table of our own, gone afterwards."""
    name = f"selftest_{secrets.token_hex(6)}"
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("CREATE TABLE {} (id integer PRIMARY KEY, name text, price numeric(10, 2), active boolean)").format(
                sql.Identifier(name)
            )
        )
    try:
        yield name
    finally:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
