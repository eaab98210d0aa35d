"""What must not reach production; run by `manage.py check --deploy`. Django's own checks say the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from servicevault import database_roles, embedded
from servicevault.wording import say

KEY_CHARACTERS = 50  # as Django's security.W009 has it


@register(Tags.security, deploy=True)
def deployment(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Everything about these settings that is fit for a laptop only."""
    return [*_servers(), *_keys(), *_sources()]


def _servers() -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield Error(
            say("DEBUG is on: pages of errors show settings and code."),
            hint=say("Unset DEBUG, or set DEBUG=false."),
            id="servicevault.E001",
        )
    if settings.EMBEDDED:
        yield Error(
            say("The embedded PostgreSQL and Valkey are in use; they are made for one machine and one person."),
            hint=say("Set DATABASE_URL and REDIS_URL to servers of your own, and unset SERVICEVAULT_EMBEDDED."),
            id="servicevault.E002",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Error(
            say("ALLOWED_HOSTS accepts any host name, so links in e-mails can be made to point elsewhere."),
            hint=say("Name the hosts of the site: ALLOWED_HOSTS=desk.example.com."),
            id="servicevault.E003",
        )
    if settings.STATIC_ROOT and not Path(settings.STATIC_ROOT).is_dir() and not settings.WHITENOISE_USE_FINDERS:
        yield Warning(
            say(
                "{static_root} does not exist, so pages come without style and script.",
                static_root=settings.STATIC_ROOT,
            ),
            hint=say("Run manage.py collectstatic, or point STATIC_ROOT to where it put the files."),
            id="servicevault.W001",
        )


def _keys() -> Iterator[CheckMessage]:
    generated = {} if settings.EMBEDDED else _generated()
    if generated.get("SECRET_KEY") == settings.SECRET_KEY:
        yield Error(
            say("SECRET_KEY is the one generated for the embedded servers; it lies in the data directory."),
            hint=say("Set SECRET_KEY to fifty or more random characters of its own."),
            id="servicevault.E004",
        )
    if generated.get("FIELD_ENCRYPTION_KEYS") in settings.FIELD_ENCRYPTION_KEYS:
        yield Error(
            say(
                "FIELD_ENCRYPTION_KEYS holds the key generated for the embedded servers; it lies in the data directory."
            ),
            hint=say("Put a key of its own first; keep the old one behind it until the passwords are stored again."),
            id="servicevault.E005",
        )
    if settings.SECRET_KEY in settings.FIELD_ENCRYPTION_KEYS:
        yield Error(
            say("SECRET_KEY also encrypts the stored passwords: who can sign sessions can read them."),
            hint=say("Generate FIELD_ENCRYPTION_KEYS separately."),
            id="servicevault.E006",
        )


def _sources() -> Iterator[CheckMessage]:
    if settings.IMPORT_ALLOW_PRIVILEGED_SOURCE:
        yield Warning(
            say("IMPORT_ALLOW_PRIVILEGED_SOURCE is on: a source's superuser may be logged in as."),
            hint=say("Unset it; the connection test prints the SQL of a role that can only read."),
            id="servicevault.W002",
        )
    if settings.IMPORT_ALLOW_LOOPBACK:
        yield Warning(
            say("IMPORT_ALLOW_LOOPBACK is on: whoever makes profiles can reach services of this machine."),
            hint=say("Unset it, or list the one host in IMPORT_HOST_ALLOWLIST."),
            id="servicevault.W003",
        )


def _generated() -> dict[str, str]:
    """Secrets already generated in the data directory; none are made here."""
    found = {}
    for name in ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS"):
        with contextlib.suppress(OSError):  # no such file, or another account's
            found[name] = (embedded.data_directory() / "secrets" / name).read_text().strip()
    return found


@register(Tags.database, deploy=True)
def separate_roles(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Whether exports and imports have roles of their own; asks the database, so `--database default` goes with it."""
    return [
        Warning(
            said,
            hint=say(
                "Let the service's role create roles and run manage.py migrate, or as a superuser: "
                'CREATE ROLE "{role}" NOLOGIN NOINHERIT; GRANT "{role}" TO its role.',
                role=role,
            ),
            id=f"servicevault.{number}",
        )
        for purpose, number, said in _ROLES
        if not database_roles.exists(purpose)
        for role in [database_roles.name(purpose)]
    ]


_ROLES = (
    (
        database_roles.EXPORT,
        "W004",
        say("Exports read with every right this service has: there is no role that may only read exported tables."),
    ),
    (
        database_roles.IMPORT,
        "W005",
        say("Imports write with every right this service has: there is no role that may only write imported tables."),
    ),
    (
        database_roles.ROLLBACK,
        "W006",
        say("Rollbacks write with every right this service has: there is no role that may only undo imports."),
    ),
)
