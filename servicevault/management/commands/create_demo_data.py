"""`manage.py create_demo_data`: tables, rights, files and a source database to try everything on (F-144)."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from importer import operations
from importer.errors import ImporterError
from importer.models import ImportProfile
from importer.sources.params import ConnectionParams
from permissions import granting
from permissions.models import Role
from servicevault import embedded
from servicevault.demo import database, shop
from servicevault.management.commands.demo import PROFILE
from servicevault.wording import say, say_count

ROLE = "Admin"


class Command(BaseCommand):
    help = say("Make the tables customers, products and orders, rights on them, sample files and a demo help desk.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--role", default=ROLE, help=say("who gets the rights on the tables (default: {role})", role=ROLE)
        )
        parser.add_argument("--files", type=Path, default=None, help=say("folder of the sample files"))
        parser.add_argument("--no-source", action="store_true", help=say("leave the demo help desk as it is"))
        parser.add_argument("--remove", action="store_true", help=say("take all of it away again"))

    def handle(self, **options: Any) -> None:
        folder = options["files"] or embedded.data_directory() / "demo-files"
        role = Role.objects.filter(name=options["role"]).first()
        by = get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
        if role is None:
            raise CommandError(say("There is no role “{role}”.", role=options["role"]))
        if by is None:
            raise CommandError(
                say("Rights are given by a super admin, and there is none. Run manage.py createsuperuser.")
            )
        try:
            if options["remove"]:
                self._remove(role, by, folder, with_source=not options["no_source"])
            else:
                self._make(role, by, folder, with_source=not options["no_source"])
        except (shop.NotOurs, ImporterError) as error:
            raise CommandError(str(error)) from error

    def _make(self, role: Role, by: Any, folder: Path, *, with_source: bool) -> None:
        for name, rows in shop.make_tables().items():
            self.stdout.write(say_count("Table {name}: {count} row", "Table {name}: {count:,} rows", rows, name=name))
        for kind, values in (("import", shop.IMPORTS), ("export", shop.EXPORTS)):
            granting.grant_many(kind, by=by, table_names=shop.GRANTED, values=values, role=role)
        self.stdout.write(
            say(
                "The role {role} may import into and export {granted}.", role=role.name, granted=", ".join(shop.GRANTED)
            )
        )
        for path in shop.write_files(folder):
            self.stdout.write(say("File {path}", path=path))
        if with_source:
            source = database.generate(settings.DATABASE_URL)
            # Its reader has a new password now; a profile that reads it must know.
            params, _ = ConnectionParams.from_url(source.url)
            for profile in ImportProfile.objects.filter(name=PROFILE, deleted_at=None):
                operations.save_connection(profile, params)
            self.stdout.write(say("Help desk to connect to: {url}", url=source.url))

    def _remove(self, role: Role, by: Any, folder: Path, *, with_source: bool) -> None:
        shop.drop_tables()
        for kind, model in granting.KINDS.items():
            for row in model.objects.filter(role=role, table_name__in=shop.GRANTED):
                granting.revoke(kind, row.pk, by=by)
        shop.remove_files(folder)
        if with_source:
            database.remove(settings.DATABASE_URL)
        self.stdout.write(say("The demo's tables, rights and files are gone."))
