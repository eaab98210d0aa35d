"""How many rows go into one transaction and are asked for at a time: settings, options of a job, and of the command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from importer import job_limits, runner
from importer import options as job_options
from importer.models import ImportJob, ImportRecord
from importer.operations import files
from importer.options import InvalidOption
from servicevault.jobs.progress import NullSink
from tests.importer.files.conftest import imported, outcomes, uploaded

ACCOUNTS = "external_id,name\n" + "".join(f"A{n},Account {n}\n" for n in range(25))
PRODUCTS = "sku\n" + "".join(f"S{n}\n" for n in range(25))


def slices(job: ImportJob) -> int:
    return ImportRecord.objects.filter(run__job=job).values("batch_no").distinct().count()


@pytest.mark.req("F-171", "F-058")
@pytest.mark.parametrize("given", [{"content": ACCOUNTS, "target_type": "accounts"}, {"content": PRODUCTS}])
def test_a_file_says_how_many_rows_are_written_and_read_at_a_time(shop: psycopg.Connection, given: Any) -> None:
    job = imported(**given, options={"batch_size": 10, "read_ahead": 3})
    assert (outcomes(job), slices(job)) == ({"read": 25, "created": 25}, 3)
    session = runner._Session(job, NullSink())
    assert (session._batch_rows, job_limits.read_ahead(job)) == (10, 3)


@pytest.mark.req("F-171")
def test_the_environment_says_it_for_those_that_do_not(
    shop: psycopg.Connection, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = uploaded(PRODUCTS)
    settings.IMPORT_FILE_BATCH_SIZE, settings.IMPORT_READ_AHEAD = 12, 7
    session = runner._Session(job, NullSink())
    assert (session._batch_rows, job_limits.read_ahead(job)) == (settings.IMPORT_BATCH_SIZE, 7)  # as other imports
    monkeypatch.setenv("IMPORT_FILE_BATCH_SIZE", "12")
    assert session._batch_rows == 12
    files.validate(job, None, system=True)
    files.start(job, None, system=True)
    assert (runner.work(job.pk), slices(job)) == ("completed", 3)


@pytest.mark.req("F-171", "C8")
@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 9), ("batch_size", 50_001), ("batch_size", "many"), ("read_ahead", 0), ("read_ahead", 10_001)],
)
def test_sizes_out_of_bounds_are_refused_by_name(shop: psycopg.Connection, name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=rf"import_options\.{name} is auto or a number from"):
        uploaded(PRODUCTS, options={name: value})
    job = uploaded(PRODUCTS)
    with pytest.raises(InvalidOption, match=name):
        files.configure(job, None, options={name: value}, system=True)
    if name == "read_ahead":  # of a database too
        with pytest.raises(InvalidOption, match="read_ahead"):
            job_options.checked({name: value})


@pytest.mark.req("F-171", "G37")
def test_the_command_takes_both(shop: psycopg.Connection, tmp_path: Path) -> None:
    file, said = tmp_path / "products.csv", io.StringIO()
    file.write_text(PRODUCTS)
    call_command(
        "import_file", file, "--table", "products", "--batch-size", "10", "--read-ahead", "5", "--json", stdout=said
    )
    assert json.loads(said.getvalue())["status"] == "completed"
    job = ImportJob.objects.get()
    assert (job.options, slices(job)) == ({"batch_size": 10, "read_ahead": 5}, 3)
    with pytest.raises(CommandError, match="batch_size is auto or a number from 10 to 50,000"):
        call_command("import_file", file, "--table", "products", "--batch-size", "5")
