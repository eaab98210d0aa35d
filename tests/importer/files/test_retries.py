"""Rows that are imported again come in once, however often and in whatever order they are sent."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.test import Client

from importer import runner
from importer.models import ImportJob, ImportRecord
from importer.operations import Conflict, files
from importer.operations.decisions import hide
from importer.operations.files import ImportInvalid
from tests.conftest import person
from tests.importer.files.conftest import imported, outcomes


@pytest.fixture
def notes(shop: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A table without any key: nothing but us keeps a row from coming in twice."""
    shop.execute("DROP TABLE IF EXISTS notes; CREATE TABLE notes (body text, maker text REFERENCES makers (code))")
    yield shop
    shop.execute("DROP TABLE notes")


def ready(job: ImportJob) -> ImportJob:
    files.validate(job, None, system=True)
    return job


def run(job: ImportJob) -> dict[str, int]:
    files.start(job, None, accept_errors=True, system=True)
    runner.work(job.pk)
    job.refresh_from_db()
    return outcomes(job)


@pytest.mark.req("F-089", "R5")
def test_a_correction_sent_twice_comes_in_once(notes: psycopg.Connection) -> None:
    job = imported("body,maker\na,acme\nb,later\nc,never\n", table="notes")
    assert outcomes(job) == {"read": 3, "created": 1, "failed": 2}
    data = io.BytesIO()
    files.error_file(job, "csv", data)
    fixed = data.getvalue().replace(b"later", b"acme").replace(b"never", b"acme")
    first, second = (
        ready(files.retry_from_file(job, None, io.BytesIO(fixed), "fixed.csv", system=True)[0]) for _ in range(2)
    )
    files.start(first, None, system=True)
    with pytest.raises(Conflict, match="imports these rows too"):
        files.start(second, None, system=True)
    assert runner.work(first.pk) == "completed"
    with pytest.raises(Conflict, match="imports these rows too"):
        files.start(second, None, system=True)
    with pytest.raises(ImportInvalid, match="No row"):
        files.retry_from_file(job, None, io.BytesIO(fixed), "fixed.csv", system=True)
    with pytest.raises(Conflict, match="no failed row"):
        files.retry(job, None, system=True)
    assert notes.execute("SELECT string_agg(body, '' ORDER BY body) FROM notes").fetchone() == ("abc",)


@pytest.mark.req("F-089", "U52", "R6", "F-061")
def test_rows_that_a_person_took_out_are_neither_told_nor_corrected(
    notes: psycopg.Connection, logged_in: Callable[[Any], Client]
) -> None:
    job = imported("body,maker\na,acme\nb,later\nc,never\n", table="notes")
    data = io.BytesIO()
    files.error_file(job, "csv", data)  # before the decision
    assert (data.getvalue().count(b"\n"), files.errors(job)[1]) == (3, 2)
    out = ImportRecord.objects.get(run__job=job, source_row=3)
    hide(ImportRecord.objects.filter(pk=out.pk), by=None)
    after = io.BytesIO()
    files.error_file(job, "csv", after)
    assert (b"later" in after.getvalue(), b"never" in after.getvalue()) == (False, True)
    assert [error["row"] for error in files.errors(job)[0]] == [4]
    browser = logged_in(person("root", is_superuser=True))
    for page in ("", "/correct"):
        shown = browser.get(f"/settings/data-import/{job.pk}{page}").content.decode()
        assert ("later" in shown, "never" in shown) == (False, True), page
        assert "1 row that did not go in was taken out by a decision" in shown, page
    fixed = data.getvalue().replace(b"later", b"acme").replace(b"never", b"acme")
    again, refused = files.retry_from_file(job, None, io.BytesIO(fixed), "fixed.csv", system=True)
    assert [(each["key"], "taken out by a decision" in each["message"]) for each in refused] == [(str(out.pk), True)]
    assert run(ready(again)) == {"read": 1, "created": 1}
    with pytest.raises(Conflict, match="no failed row"):
        files.retry(job, None, system=True)


@pytest.mark.req("F-037", "J7")
def test_what_a_retry_of_a_retry_brought_in_is_left_out(notes: psycopg.Connection) -> None:
    job = imported("body,maker\na,acme\nb,later\nc,never\n", table="notes")
    notes.execute("INSERT INTO makers VALUES ('later', 'Later')")
    again = ready(files.retry(job, None, system=True))
    assert run(again) == {"read": 2, "created": 1, "failed": 1}
    assert [record.source_row for record in files.correctable(job)] == [4]
    notes.execute("INSERT INTO makers VALUES ('never', 'Never')")
    assert run(ready(files.retry(again, None, system=True))) == {"read": 1, "created": 1}
    with pytest.raises(Conflict, match="no failed row"):
        files.retry(job, None, system=True)
    assert notes.execute("SELECT string_agg(body, '' ORDER BY body) FROM notes").fetchone() == ("abc",)
