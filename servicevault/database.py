"""Connections of our own to the application's database, beside Django's: for COPY, snapshots and set statements."""

from __future__ import annotations

import psycopg
from django.conf import settings
from django.db import connection as django_connection


def connect(
    application_name: str, *, options: str = "", autocommit: bool = False, role: str | None = None
) -> psycopg.Connection:
    """A new connection to the database Django uses; its clock is UTC. `options` are PostgreSQL's `-c name=value`.

    With `role` it has the rights of that role, which ours must be a member of.
    """
    database = settings.DATABASES["default"]
    if role:
        escaped = role.replace("\\", "\\\\").replace(" ", "\\ ")
        options = f"{options} -c role={escaped}"
    return psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        dbname=django_connection.settings_dict["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
        application_name=application_name,
        options=f"-c timezone=UTC {options}".strip(),
        autocommit=autocommit,
    )
