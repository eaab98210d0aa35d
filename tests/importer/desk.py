"""A small help desk to import from: tables made by the test, a profile, and its jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from importer import operations, runner
from importer.models import ExternalRef, ImportJob, ImportProfile, ImportQuery, ImportRecord
from importer.sources.params import ConnectionParams

PROJECT = Path(__file__).resolve().parents[2]
READER, READER_PASSWORD = "test_reader", "test-reader-pw"


@dataclass
class Desk:
    """One source database with a profile; `url` belongs to its owner, imports log in as a reader."""

    url: str
    profile: ImportProfile

    def execute(self, statement: str, params: Sequence[Any] | None = None) -> None:
        """Change the source; new tables become readable."""
        with psycopg.connect(self.url, autocommit=True) as source:
            source.execute(statement, params)
            source.execute(
                f"GRANT USAGE ON SCHEMA public TO {READER}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}"
            )

    def query(
        self, target_type: str, table: str, fields: Mapping[str, Any], *, key: str = "", **members: Any
    ) -> ImportQuery:
        """Save a query: `fields` maps target fields to columns of the table, expressions, or whole field objects."""
        key = key or target_type
        listed = [
            {"target": target, **(source if isinstance(source, dict) else {"source": _qualified(table, source)})}
            for target, source in fields.items()
        ]
        value_maps = members.pop("value_maps", {})
        entity = members.pop("entity", key)
        spec = {"key": key, "target_type": target_type, "base_table": table, "fields": listed, **members}
        query, _ = ImportQuery.objects.update_or_create(
            profile=self.profile,
            key=key,
            defaults={
                "name": key,
                "entity": entity,
                "target_type": target_type,
                "spec": spec,
                "value_maps": value_maps,
            },
        )
        return query

    def start(self, **arguments: Any) -> ImportJob:
        return operations.start_import(self.profile, **arguments)

    def run(self, **arguments: Any) -> ImportJob:
        """Start a job and work on it here until it ends."""
        return self.work(self.start(**arguments))

    def work(self, job: ImportJob) -> ImportJob:
        runner.work(job.pk)
        job.refresh_from_db()
        return job

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`manage.py import_profile` in a process of its own, on the test database."""
        return subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), "import_profile", *arguments],
            env=process_environment() | dict(env or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def outcomes(self, job: ImportJob, key: str = "") -> dict[str, int]:
        """Non-zero counters of the job, or of one of its queries."""
        runs = job.runs.filter(key=key) if key else job.runs.exclude(key="__default__")
        names = ("read", "created", "updated", "unchanged", "skipped", "failed", "review")
        sums = {name: sum(getattr(run, name) for run in runs) for name in names}
        return {name: number for name, number in sums.items() if number}

    def record(self, job: ImportJob, source_identifier: str, key: str = "") -> ImportRecord:
        records = ImportRecord.objects.filter(run__job=job, source_identifier=source_identifier)
        return records.get(run__key=key) if key else records.get()

    def target_of(self, entity: str, external_id: str) -> Any:
        return ExternalRef.objects.get(
            entity__source_key=self.profile.source_key, entity__entity=entity, external_id=external_id
        ).target_id


def make_desk(url: str, name: str = "Old desk", **fields: Any) -> Desk:
    """A desk on an empty database; `fields` go to the profile."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    with psycopg.connect(url, autocommit=True) as source:
        make_reader(source)
    params = ConnectionParams(
        host=str(parts["host"]),
        port=int(str(parts["port"])),
        database=str(parts["dbname"]),
        username=READER,
        password=READER_PASSWORD,
    )
    profile, _ = operations.profile_named(name, params)
    for member, value in ({"timezone_confirmed": True} | fields).items():
        setattr(profile, member, value)
    profile.save()
    return Desk(url, profile)


def make_reader(source: psycopg.Connection) -> None:
    """The role imports log in as, once a server; several tests at once may ask for it."""
    source.execute(
        sql.SQL(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN "
            "CREATE ROLE {role} LOGIN PASSWORD {password}; END IF; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ).format(name=READER, role=sql.Identifier(READER), password=READER_PASSWORD)
    )


def reader_url(desk: Desk) -> str:
    profile = desk.profile
    return f"postgresql://{READER}:{READER_PASSWORD}@{profile.host}:{profile.port}/{profile.database}"


def process_environment() -> dict[str, str]:
    """Environment in which a process of its own uses this test's database."""
    import os

    database = connection.settings_dict
    url = f"postgresql://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    return dict(os.environ) | {
        "DATABASE_URL": url,
        "SERVICEVAULT_EMBEDDED": "true",
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
    }


def loads(text: str) -> Any:
    """The one JSON object a command printed."""
    return json.loads(text)


def _qualified(table: str, source: str) -> str:
    plain = source.isidentifier() or source.startswith('"')
    return f"{table}.{source}" if plain else source
