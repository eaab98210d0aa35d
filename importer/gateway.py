"""From a profile to an open source session: the only place where settings, secrets and sources meet."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import connection

from importer import crypto
from importer.models import ImportProfile
from importer.sources.hosts import HostPolicy
from importer.sources.params import ConnectionParams, SourceLimits
from importer.sources.recipe import IDENTITY
from importer.sources.session import SourceSession, open_session


def params_of(profile: ImportProfile) -> ConnectionParams:
    """The profile's connection with its password in clear; keep it short-lived. Raises SecretUnreadable."""
    return ConnectionParams(
        host=profile.host,
        port=profile.port,
        database=profile.database,
        username=profile.username,
        password=crypto.reveal(profile.secret, owner=profile.pk),
        ssl_mode=profile.ssl_mode,
        ssl_root_cert=profile.ssl_root_cert,
    )


def host_policy() -> HostPolicy:
    return HostPolicy(allow_loopback=settings.IMPORT_ALLOW_LOOPBACK, allowlist=tuple(settings.IMPORT_HOST_ALLOWLIST))


def limits() -> SourceLimits:
    return SourceLimits(
        connect_timeout_seconds=settings.IMPORT_SOURCE_CONNECT_TIMEOUT,
        statement_timeout_seconds=settings.IMPORT_SOURCE_STATEMENT_TIMEOUT,
        preview_timeout_seconds=settings.IMPORT_SOURCE_PREVIEW_TIMEOUT,
        lock_timeout_seconds=settings.IMPORT_SOURCE_LOCK_TIMEOUT,
        require_auth=settings.IMPORT_SOURCE_REQUIRE_AUTH,
        allow_privileged=settings.IMPORT_ALLOW_PRIVILEGED_SOURCE,
        own_database=_own_database(),
    )


def _own_database() -> str:
    """Which database is our own: it is never a source, for it holds what no import may read (G14)."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {IDENTITY}")
        found: str = cursor.fetchone()[0]
    return found


def open_source(
    profile: ImportProfile,
    *,
    purpose: str,
    snapshot_id: str | None = None,
    search_schemas: Sequence[str] = ("public",),
    preview: bool = False,
) -> SourceSession:
    """An open read-only session with the profile's database; `purpose` is seen in its pg_stat_activity.

    A `preview` has the short deadline of something a person waits for.
    """
    allowed = limits()
    return open_session(
        params_of(profile),
        policy=host_policy(),
        limits=allowed,
        application_name=f"service-vault/{purpose}"[:63],
        statement_timeout_seconds=allowed.preview_timeout_seconds if preview else None,
        snapshot_id=snapshot_id,
        search_schemas=search_schemas,
    )
