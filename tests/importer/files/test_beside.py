"""What a file's job writes beside its own rows needs the right to write that; rights are asked again by the worker."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from importer import runner
from importer.models import ImportJob
from importer.operations import files
from permissions import roles
from permissions.models import ImportPermission
from servicevault.jobs import lifecycle
from tests.conftest import person
from tests.importer.files.conftest import imported, outcomes, uploaded

TICKETS = "external_id,title,description,account_external_id\nT1,Printer,It smokes,A1\nT2,Scanner,It hums,\n"
PERSON = "external_id,name,email\nC1,Cora,cora@acme.example\n"


@pytest.fixture
def help_desk(committed_db: None, target: psycopg.Connection, settings: Any, tmp_path: Any) -> psycopg.Connection:
    settings.IMPORT_TEMP_DIR = tmp_path / "imports"
    return target


@pytest.fixture
def clerk(help_desk: psycopg.Connection) -> Any:
    """May import tickets, and nothing else; the account A1 came in before."""
    imported("external_id,name\nA1,Acme\n", name="a.csv", target_type="accounts")
    clerk = person("clerk")
    ImportPermission.objects.create(user=clerk, table_name="tickets")
    return clerk


def ready(clerk: Any, content: str = TICKETS, kind: str = "tickets") -> ImportJob:
    job = uploaded(content, name="t.csv", user=clerk, system=False, target_type=kind)
    files.validate(job, clerk)
    return job


def run(job: ImportJob) -> ImportJob:
    runner.work(job.pk)
    job.refresh_from_db()
    return job


def accounts(help_desk: psycopg.Connection) -> list[str]:
    return [name for (name,) in help_desk.execute("SELECT name FROM accounts ORDER BY name")]


@pytest.mark.req("F-025", "E34", "E36")
def test_no_default_account_is_made_without_the_right_on_accounts(clerk: Any, help_desk: psycopg.Connection) -> None:
    job = ready(clerk)
    told = [(error["row"], error["code"], error["field"]) for error in files.report_of(job.file)["errors"]]
    assert told == [(3, "no_account", "account_external_id")]
    assert "right to import into accounts" in files.report_of(job.file)["errors"][0]["suggestion"]
    files.start(job, clerk, accept_errors=True)
    assert outcomes(run(job)) == {"read": 2, "created": 1, "failed": 1}
    assert files.errors(job)[0][0]["code"] == "no_account"
    assert accounts(help_desk) == ["Acme"]
    # With the right on accounts, but not on their names, it is the same; with both the row comes in.
    permission = ImportPermission.objects.create(user=clerk, table_name="accounts", allowed_columns=["email"])
    again = files.retry(job, clerk)
    assert files.validate(again, clerk)["errorRows"] == 1
    permission.allowed_columns = []
    permission.save()
    assert files.validate(again, clerk)["isValid"]
    files.start(again, clerk)
    assert outcomes(run(again)) == {"read": 2, "created": 2}  # the ticket and its account
    assert accounts(help_desk) == ["Acme", "Imported from files"]
    # An account that is there already is taken: nothing is made then.
    permission.delete()
    later = ready(clerk, "external_id,title,description\nT3,Mouse,Gone\n")
    files.start(later, clerk)
    assert outcomes(run(later)) == {"read": 1, "created": 1}


@pytest.mark.req("F-025", "E34")
def test_a_right_on_accounts_that_is_withdrawn_meanwhile_counts(clerk: Any, help_desk: psycopg.Connection) -> None:
    permission = ImportPermission.objects.create(user=clerk, table_name="accounts")
    job = ready(clerk)
    files.start(job, clerk)
    permission.delete()
    assert outcomes(run(job)) == {"read": 2, "created": 1, "failed": 1}
    assert accounts(help_desk) == ["Acme"]


@pytest.mark.req("G16", "G2")
def test_a_right_withdrawn_while_the_job_waits_stops_it(clerk: Any, help_desk: psycopg.Connection) -> None:
    for table in ("users", "accounts"):
        ImportPermission.objects.create(user=clerk, table_name=table)
    for permission in roles.EXECUTE:
        clerk.grants.create(permission=permission)
    waiting, resumed = ready(clerk, PERSON, "customer_users"), ready(clerk)
    for job in (waiting, resumed):
        files.start(job, clerk)
    lifecycle.claim(ImportJob, resumed.pk)
    assert lifecycle.hand_back(ImportJob, resumed.pk)  # by a worker that was shut down
    clerk.grants.all().delete()  # G16: people need more than the row
    ImportPermission.objects.filter(table_name="tickets").delete()
    for job in (waiting, resumed):
        run(job)
        assert (job.status, job.error_code, job.counters()["read"]) == ("failed", "permission_denied", 0), (
            job.error_message
        )
    assert "You may not import into tickets" in resumed.error_message
    found = help_desk.execute("SELECT (SELECT count(*) FROM tickets), (SELECT count(*) FROM users WHERE name = 'Cora')")
    assert found.fetchone() == (0, 0)


@pytest.mark.req("F-059", "F-122")
def test_a_limit_that_was_lowered_meanwhile_counts_in_the_worker(clerk: Any, help_desk: psycopg.Connection) -> None:
    job = ready(clerk, TICKETS.replace("hums,", "hums,A1"))
    files.start(job, clerk)
    ImportPermission.objects.update(max_rows_per_import=1)
    assert (run(job).status, job.error_code, job.counters()["read"]) == ("failed", "source_limit", 0)
