"""A small help desk that was imported, what people did with it since, and pictures of the whole target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from django.test import Client

from importer import tasks
from importer.models import ImportJob, Reversal
from importer.operations import rollbacks
from permissions.models import ApiToken
from tests.api.conftest import Program
from tests.conftest import person
from tests.importer.desk import Desk
from tests.importer.files.conftest import shop as shop

TABLES = ("accounts", "users", "tickets", "ticket_comments", "time_entries", "external_refs")
SOURCE = """
CREATE TABLE orgs (id int PRIMARY KEY, name text, city text);
CREATE TABLE staff (id int PRIMARY KEY, name text, mail text);
CREATE TABLE people (id int PRIMARY KEY, name text, mail text, org int, phone text);
CREATE TABLE issues (id int PRIMARY KEY, title text, body text, person int, agent int, state text);
CREATE TABLE notes (id int PRIMARY KEY, issue int, body text, parent int);
CREATE TABLE work (id int PRIMARY KEY, issue int, agent int, minutes int, at timestamptz);
INSERT INTO orgs SELECT i, 'Org ' || i, 'City ' || i FROM generate_series(1, 3) i;
INSERT INTO staff SELECT i, 'Agent ' || i, 'agent' || i || '@desk.example' FROM generate_series(1, 2) i;
INSERT INTO people SELECT i, 'Person ' || i, 'p' || i || '@x.example', 1 + i % 3, '030 ' || i FROM generate_series(1, 6) i;
INSERT INTO issues SELECT i, 'Issue ' || i, 'Body ' || i, 1 + i % 6, 1 + i % 2, 'open' FROM generate_series(1, 12) i;
INSERT INTO issues VALUES (13, 'Nobody asked', 'Body', NULL, NULL, 'open');
INSERT INTO notes SELECT i, 1 + i % 12, 'Note ' || i, CASE WHEN i % 3 = 0 THEN 31 - i END FROM generate_series(1, 30) i;
INSERT INTO work SELECT i, 1 + i % 12, 1 + i % 2, 10 * i, '2024-05-06 07:08+00' FROM generate_series(1, 5) i;
"""


@dataclass
class Office:
    """The source with its profile, and the application's database."""

    desk: Desk
    target: psycopg.Connection

    def run(self, **arguments: Any) -> ImportJob:
        job = self.desk.run(**arguments)
        assert job.status == "completed", job.error_message
        return job

    def roll_back(self, job: ImportJob, **arguments: Any) -> ImportJob:
        return worked(rollbacks.start_rollback(job, understood=True, **arguments))

    def undo(self, rollback: ImportJob, **arguments: Any) -> ImportJob:
        return worked(rollbacks.start_undo(rollback, **arguments))

    def picture(self) -> dict[str, set[str]]:
        """Every row of the tables an import writes, whole."""
        return {
            table: {row for (row,) in self.target.execute(f"SELECT to_jsonb(t)::text FROM {table} t")}
            for table in TABLES
        }

    def target_of(self, entity: str, external_id: object) -> Any:
        return self.desk.target_of(entity, str(external_id))


def worked(job: ImportJob) -> ImportJob:
    """The job, worked on here until it ends, with every record in one bucket."""
    tasks.run_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == "completed", job.error_message
    buckets = rollbacks.buckets_of(job)
    assert sum(buckets.values()) == Reversal.objects.filter(run__job=job).exclude(bucket="").count()
    return job


def buckets(job: ImportJob) -> dict[str, int]:
    return {name: count for name, count in rollbacks.buckets_of(job).items() if count}


def row_of(job: ImportJob, target: Any) -> Reversal:
    """What became of a target that one record wrote."""
    return Reversal.objects.get(run__job=job, key=str(target))


def verdicts(job: ImportJob) -> set[tuple[Any, ...]]:
    """All that is said of every record, but when."""
    found = Reversal.objects.filter(run__job=job)
    return {
        (row.record_id, row.bucket, row.code, str(row.kept), str(row.restored), row.written, str(row.details))
        for row in found
    }


@pytest.fixture
def office(desk: Desk, target: psycopg.Connection) -> Office:
    desk.execute(SOURCE)
    person = {"external_id": "id", "name": "name", "email": "mail"}
    desk.query("accounts", "orgs", {"external_id": "id", "name": "name", "city": "city"})
    desk.query("agents", "staff", person)
    desk.query("customer_users", "people", person | {"account_external_id": "org", "phone": "phone"})
    desk.query("tickets", "issues", {
        "external_id": "id", "title": "title", "description": "body", "customer_external_id": "person",
        "assigned_user_external_id": "agent", "status": "state",
    })  # fmt: skip
    desk.query("ticket_comments", "notes", {
        "external_id": "id", "ticket_external_id": "issue", "content": "body", "parent_external_id": "parent",
    })  # fmt: skip
    desk.query("time_entries", "work", {
        "external_id": "id", "ticket_external_id": "issue", "user_external_id": "agent", "duration": "minutes",
        "started_at": "at", "description": "'Work ' || work.id::text",
    })  # fmt: skip
    return Office(desk, target)


@pytest.fixture
def broom(committed_db: None) -> Any:
    """Runs imports and may roll them back."""
    broom = person("broom", name="Bea Broom", role="Import Operator")
    broom.grants.create(permission="import.rollback")
    return broom


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs that a worker was told of; the test works on them itself."""
    found: list[str] = []
    monkeypatch.setattr(tasks.run_job, "delay", found.append)
    return found


def program_of(who: Any) -> Program:
    return Program(ApiToken.objects.make(who, "test")[1], Client())
