"""Rows that wait are decided on their page: each beside what it could be, many in one job (R4, R14, U35)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection

from importer.models import ImportJob, ImportRecord
from servicevault.models import Account
from tests.conftest import person
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def companies(desk: Desk) -> Desk:
    """Four companies: two may be ours, one could be either of two, one is new; the job is Ada's."""
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text)")
    desk.execute(
        "INSERT INTO c VALUES (1, 'Alpha', 'Rome'), (2, 'Beta', 'Oslo'), (3, 'Twin', 'Bonn'), (4, '<b>', 'Graz')"
    )
    for name, city in (("Alpha", "Paris"), ("Beta", "Lima"), ("Twin", ""), ("TWIN ", "")):
        Account.objects.create(name=name, city=city)
    desk.profile.matching = {"primary_fields": ["name"], "secondary_fields": ["city"], "review_floor": 70}
    desk.profile.save()
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    return desk


@pytest.fixture
def job(companies: Desk) -> ImportJob:
    job = companies.run()
    assert companies.outcomes(job) == {"read": 4, "created": 1, "review": 3}
    return job


def form(html: str, **chosen: str) -> dict[str, str]:
    """The choices named by source id: A, B, new or skip."""
    fields = {}
    for identifier, choice in chosen.items():
        part = html.split(f"Row {identifier.removeprefix('row')} of")[1].split("</fieldset>", maxsplit=1)[0]
        name = re.search(r'name="(row-[^"]+)"', part)[1]  # type: ignore[index]
        if choice in ("new", "skip"):
            fields[name] = choice
        else:
            fields[name] = re.findall(r'value="(match:[^"]+)"', part)["AB".index(choice)]
    return fields


@pytest.mark.req("R4", "R14", "U35", "C12")
def test_rows_are_decided_beside_what_they_could_be(companies: Desk, job: ImportJob, logged_in: Any) -> None:
    root = person("root", is_superuser=True)
    browser, url = logged_in(root), f"/import/jobs/{job.pk}/review"
    html = browser.get(url).content.decode()
    assert html.count("<fieldset") == 3
    assert "<mark>Paris</mark>" in html  # what an import would change
    assert "<mark>Alpha</mark>" not in html
    twins = sorted(str(pk) for pk in Account.objects.filter(name__istartswith="twin").values_list("pk", flat=True))
    answer = browser.post(url, form(html, row1="A", row2="new", row3="B"))
    assert (answer.status_code, answer["Location"]) == (302, url)
    again = ImportJob.objects.latest("number")
    assert companies.outcomes(companies.work(again)) == {"read": 3, "created": 1, "updated": 2}
    assert Account.objects.get(name="Alpha").city == "Rome"
    assert Account.objects.filter(name="Beta").count() == 2
    chosen = re.search(rf"match:({twins[0]}|{twins[1]})", form(html, row3="B").popitem()[1])[1]  # type: ignore[index]
    assert str(Account.objects.get(city="Bonn").pk) == chosen
    assert "Nothing to decide" in browser.get(url).content.decode()


@pytest.mark.req("R14")
def test_what_changed_since_it_was_shown_is_shown_again(companies: Desk, job: ImportJob, logged_in: Any) -> None:
    browser, url = logged_in(person("root", is_superuser=True)), f"/import/jobs/{job.pk}/review"
    html = browser.get(url).content.decode()
    Account.objects.filter(name="Alpha").update(city="Nice")
    answer = browser.post(url, form(html, row1="A", row2="skip"))
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "The record was changed since it was shown. Look at it again." in text
    assert "<mark>Nice</mark>" in text
    assert text.count("<fieldset") == 2  # what could be decided is
    nothing = browser.post(url, {"row-nonsense": "match:x", f"row-{job.pk}": "skip"}, follow=True)
    assert ImportRecord.objects.filter(run__job=job, verdict__decision="skip").count() == 1
    assert nothing.status_code == 200


@pytest.mark.req("R4", "G10")
def test_to_look_is_not_to_decide(companies: Desk, job: ImportJob, logged_in: Any) -> None:
    viewer = person("vera")
    for permission in ("system.import", "import.jobs.monitor", "pages.import.manage"):
        viewer.grants.create(permission=permission)
    browser, url = logged_in(viewer), f"/import/jobs/{job.pk}/review"
    html = browser.get(url).content.decode()
    assert "<fieldset" not in html
    assert "ask for the permission import.records.manage" in html
    assert browser.post(url, {}).status_code == 403


@pytest.mark.req("R4")
def test_rows_of_a_target_that_is_gone_are_listed_all_the_same(companies: Desk, job: ImportJob, logged_in: Any) -> None:
    job.runs.update(target_type="table:gone")
    answer = logged_in(person("root", is_superuser=True)).get(f"/import/jobs/{job.pk}/review")
    assert answer.status_code == 200
    assert answer.content.decode().count("<fieldset") == 3


def test_a_page_of_candidates_takes_few_queries(
    job: ImportJob, logged_in: Any, django_assert_max_num_queries: Any
) -> None:
    browser = logged_in(person("root", is_superuser=True))
    browser.get(f"/import/jobs/{job.pk}/review")
    with django_assert_max_num_queries(28, connection=connection):
        browser.get(f"/import/jobs/{job.pk}/review")
