"""Customers of a file get their accounts by company or mail domain, as those of a profile do (E34)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.test import Client
from django.urls import reverse

from importer import runner
from importer.models import ImportJob
from importer.operations import files, plans
from importer.operations.progress import view_of
from importer.options import InvalidOption
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.files.conftest import imported, outcomes, uploaded
from tests.importer.files.test_desk import help_desk  # noqa: F401 - a fixture
from tests.importer.files.test_rehearsal import rehearsed

PEOPLE = (
    "id,name,email,company\n1,Cora,cora@acme.example, ACME  Ltd \n2,Dan,dan@other.example,Acme Ltd\n"
    "3,Eve,eve@beta.example,\n4,Fay,fay@gmail.com,\n"
)
FOUND = "SELECT u.name, a.name FROM users u JOIN accounts a ON a.id = u.account_id WHERE u.user_type = 'account_user' ORDER BY 1"
MAPPING = {"id": "external_id", "name": "name", "email": "email", "company": "company"}


def people(**options: Any) -> ImportJob:
    job = imported(PEOPLE, target_type="customer_users", mappings=MAPPING, options=options)
    assert job.status == "completed", job.error_message
    return job


@pytest.mark.req("E34")
@pytest.mark.parametrize(
    ("strategy", "accounts"),
    [
        ("", ["ACME Ltd", "ACME Ltd", "Imported from files", "Imported from files"]),
        ("company_or_domain", ["ACME Ltd", "ACME Ltd", "beta.example", "Imported from files"]),
        ("domain", ["acme.example", "other.example", "beta.example", "Imported from files"]),
        ("single", ["Imported from files"] * 4),
    ],
)
def test_each_strategy_finds_the_account(
    help_desk: psycopg.Connection,  # noqa: F811
    strategy: str,
    accounts: list[str],
) -> None:
    options = {"account_strategy": strategy} if strategy else {}
    job = people(**options)
    assert [account for _, account in help_desk.execute(FOUND).fetchall()] == accounts
    made = len(set(accounts))
    assert outcomes(job) == {"read": 4 + made, "created": 4 + made}
    assert outcomes(people(**options)) == {"read": 4, "skipped": 4}  # accounts that are here are no rows
    assert outcomes(people(**options, on_duplicate="update")) == {"read": 4, "unchanged": 4}


@pytest.mark.req("E34", "F-042")
def test_accounts_that_are_here_are_taken_and_none_is_made_without_the_right(
    help_desk: psycopg.Connection,  # noqa: F811
) -> None:
    help_desk.execute("INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), 'acme ltd')")
    job = uploaded(PEOPLE, target_type="customer_users", mappings=MAPPING)
    report = files.validate(job, None, system=True)
    assert (report["totalRows"], report["validRows"], report["wouldCreate"]) == (4, 4, 4)
    planned = rehearsed(job)
    assert help_desk.execute("SELECT count(*) FROM accounts").fetchone() == (1,)
    assert planned.runs.get(target_type="accounts", key="file_accounts").skipped == 1
    people()
    assert {account for _, account in help_desk.execute(FOUND).fetchall()} == {"acme ltd", "Imported from files"}

    carl = person("carl", role="Import Operator")
    ImportPermission.objects.create(user=carl, table_name="users")
    late = "id,name,email,company\n7,Gil,gil@new.example,New Ltd\n8,Hal,hal@acme.example,Acme Ltd\n"
    job = uploaded(late, target_type="customer_users", mappings=MAPPING, user=carl, system=False)
    codes = [error["code"] for error in files.validate(job, carl)["errors"]]
    assert codes == []  # the default account is here
    with pytest.raises(InvalidOption, match="account_strategy"):
        uploaded(PEOPLE, target_type="customer_users", options={"account_strategy": "guess"})


@pytest.mark.req("X18", "X19", "J10", "F-031", "U29")
def test_pages_list_every_account_they_count_and_count_rows_as_the_file_has_them(
    help_desk: psycopg.Connection,  # noqa: F811
    logged_in: Callable[[Any], Client],
) -> None:
    root = person("root", is_superuser=True)
    job = uploaded(PEOPLE, target_type="customer_users", mappings=MAPPING, user=root)
    files.validate(job, root)
    planned, browser = rehearsed(job), logged_in(root)

    def shown(*address: Any) -> str:
        text = browser.get(reverse(address[0], args=address[1:]), follow=True).content.decode()
        assert re.findall(r'href="(\S+)"\s+aria-current="page"', text) == [reverse("data_import")]
        assert re.findall(r'sv-crumbs">\s*<a href="(\S+)"', text) == [reverse("data_import")]
        return text

    created = plans.rows_of(planned, {"action": "created"})
    assert created.count() == planned.counters()["created"] == 6
    default = plans.row_of(created.get(run__key="__default__"))
    assert (default.is_of_source, default.record.after_image["name"]) == (False, "Imported from files")
    plan = shown("job_plan", planned.pk)
    assert ("Create 6" in plan, "Default account</b>" in plan, "__default__</b>" in plan) == (True, True, False)
    assert "Import 4 rows" in plan
    files.start(job, root)
    runner.work(job.pk)
    job.refresh_from_db()
    shown("job_rollback", job.pk)
    done = shown("data_import_job", job.pk)
    assert "4 / 4 records" in done
    assert "4 read + 2 accounts for them = 6 created" in done
    told = files.status(job)
    assert [told[f"{name}_rows"] for name in ("total", "processed", "valid", "created")] == [4, 4, 4, 6]
    job.status = "running"
    assert files.percent(job) == view_of(job).percent == 99
