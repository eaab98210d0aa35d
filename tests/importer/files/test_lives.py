"""A file's job from the command and through failure: killed workers, triggers, corrections, odd names."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command

from importer import runner
from importer.models import ImportJob, ImportRecord
from importer.operations import files, resume
from importer.pipeline import faults
from tests.importer.files.conftest import imported, outcomes, uploaded
from tests.importer.pipeline.test_crash import in_a_process
from tests.triggers import trigger


def many(count: int) -> str:
    return "sku,name,stock\n" + "".join(f"S{number:04d},Product {number},{number}\n" for number in range(count))


@pytest.mark.alike
@pytest.mark.req("X23", "X26", "F-062")
@pytest.mark.parametrize(
    "fate", ["after_fence:3", "after_stage:3", "after_insert:3", "before_commit:3", "after_commit:3"]
)
def test_a_killed_worker_loses_and_doubles_nothing(shop: psycopg.Connection, fate: str) -> None:
    # Every tenth row has something to be said of it: most of a slice goes in as it was judged, the rest is looked at anew.
    job = uploaded(re.sub(r",(\d*0)\n", r",0\1\n", many(100)), options={"batch_size": 20})
    files.validate(job, None, system=True)
    files.start(job, None, system=True)

    def act() -> None:
        faults.arm(fate)
        runner.work(job.pk)

    pid = in_a_process(act)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    runner.work(job.pk)
    job = ImportJob.objects.get(pk=job.pk)
    assert job.status == "completed"
    assert outcomes(job) == {"read": 100, "created": 100, "warnings": 10}
    assert shop.execute("SELECT count(*), count(DISTINCT sku) FROM products").fetchone() == (100, 100)
    assert ImportRecord.objects.filter(run__job=job, action="created").count() == 100
    assert shop.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'importer_stage_%'").fetchone() == (0,)


@pytest.mark.req("X24", "F-062", "F-061")
def test_what_only_the_database_refuses_fails_alone(shop: psycopg.Connection) -> None:
    refuse = (
        "IF NEW.name = 'loud' THEN RAISE EXCEPTION 'not this one'; END IF; "
        "IF NEW.name = 'silent' THEN RETURN NULL; END IF;"
    )
    with trigger(shop, "products", refuse):
        job = imported("sku,name\nA,x\nB,loud\nC,y\nD,silent\nE,z\n")
    assert outcomes(job) == {"read": 5, "created": 3, "failed": 2}
    found, total = files.errors(job)
    assert total == 2
    assert [(item["row"], item["code"]) for item in found] == [(3, "rejected"), (5, "rejected")]
    assert "not this one" in found[0]["message"]


@pytest.mark.req("F-089", "F-037")
def test_bad_rows_come_back_corrected(shop: psycopg.Connection) -> None:
    job = imported("sku,stock\nA,1\nB,two\nC,three\n")
    data = io.BytesIO()
    assert files.error_file(job, "csv", data) == 2
    text = data.getvalue().decode("utf-8-sig")
    header, first, second = text.splitlines()
    assert header == "sku,stock,_row,_errors,_key"
    assert first.startswith("B,two,3,")
    fixed = "\n".join([header, first.replace("B,two", "B,2"), second.replace("three", "III"), "X,9,9,,nobody"]) + "\n"
    again, refused = files.retry_from_file(job, None, io.BytesIO(fixed.encode()), "fixed.csv", system=True)
    assert [(item["result"], item["key"]) for item in refused] == [(409, "nobody")]
    assert again.retry_of_id == job.pk
    files.validate(again, None, system=True)
    files.start(again, None, accept_errors=True, system=True)
    runner.work(again.pk)
    again.refresh_from_db()
    assert outcomes(again) == {"read": 2, "created": 1, "failed": 1}
    for kind in ("xlsx", "json"):
        other = io.BytesIO()
        assert files.error_file(job, kind, other) == 2
        assert other.getvalue()


@pytest.mark.req("F-037", "J7")
def test_a_retry_takes_the_failed_rows_alone(shop: psycopg.Connection) -> None:
    job = imported("sku,maker\nA,acme\nB,later\n")
    assert outcomes(job) == {"read": 2, "created": 1, "failed": 1}
    shop.execute("INSERT INTO makers VALUES ('later', 'Later')")
    again = files.retry(job, None, system=True)
    assert files.validate(again, None, system=True)["totalRows"] == 1
    files.start(again, None, system=True)
    runner.work(again.pk)
    assert outcomes(again) == {"read": 1, "created": 1}


@pytest.mark.req("F-014", "F-084")
def test_odd_names_of_tables_and_columns(shop: psycopg.Connection) -> None:
    shop.execute('CREATE SCHEMA IF NOT EXISTS "Ärger"; CREATE TABLE "Ärger"."My ""Tab%le" '
                 '("the id" serial PRIMARY KEY, "p%s" text UNIQUE, "a""b" integer CHECK ("a""b" < 10), "sel;ect" text)')  # fmt: skip
    try:
        text = 'p%s,"a""b",sel;ect\n1%,5,"x\'; DROP TABLE products; --"\n2%,50,y\n'
        job = imported(text, table='Ärger.My "Tab%le', options={"on_duplicate": "update"})
        assert outcomes(job) == {"read": 2, "created": 1, "failed": 1}, files.errors(job)
        assert shop.execute('SELECT "p%s", "a""b", "sel;ect" FROM "Ärger"."My ""Tab%le"').fetchall() == [
            ("1%", 5, "x'; DROP TABLE products; --")
        ]
        again = imported(text.replace("1%,5", "1%,6"), table='Ärger.My "Tab%le', options={"on_duplicate": "update"})
        assert outcomes(again) == {"read": 2, "updated": 1, "failed": 1}
    finally:
        shop.execute('DROP SCHEMA "Ärger" CASCADE')


@pytest.mark.req("F-066")
def test_stamps_numbers_and_tables_without_a_key(shop: psycopg.Connection) -> None:
    shop.execute(
        "CREATE TABLE marks (id uuid PRIMARY KEY, name text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, created_by text)"
    )
    shop.execute("CREATE TABLE loose (name text NOT NULL, stamp timestamptz DEFAULT now())")
    shop.execute("CREATE TABLE counted (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)")
    try:
        job = imported("name\nx\n", table="marks")
        row = shop.execute(
            "SELECT id, created_at = updated_at, created_at > now() - interval '1 minute' FROM marks"
        ).fetchone()
        assert row is not None
        assert row[1:] == (True, True)
        record = ImportRecord.objects.get(run__job=job)
        assert (record.target_id, record.target_key) == (row[0], {"id": str(row[0])})
        assert outcomes(imported("name\nx\nx\n", table="loose")) == {"read": 2, "created": 2}
        assert (
            outcomes(imported("id,name\n7,x\n9,y\n", table="counted", mappings={"id": "id", "name": "name"}))["created"]
            == 2
        )
        assert outcomes(imported("name\nz\n", table="counted"))["created"] == 1
        assert shop.execute("SELECT max(id) FROM counted").fetchone() == (10,)
    finally:
        shop.execute("DROP TABLE marks, loose, counted")


@pytest.mark.req("F-028", "F-170")
def test_programs_import_rows_of_their_own(shop: psycopg.Connection) -> None:
    importer = files.DataImporter(system=True)
    found = importer.parse_file(io.BytesIO(b"sku,name\nA,x\n"), table="products")
    assert (found["headers"], found["total_rows"], found["sample_rows"]) == (
        ["sku", "name"],
        1,
        [{"sku": "A", "name": "x"}],
    )
    rows = [{"sku": "A", "stock": 1}, {"sku": "B", "stock": "no"}]
    assert importer.validate_data(rows, None, "products")["errorRows"] == 1
    told = importer.import_data(rows, None, "products", accept_errors=True)
    assert (told["status"], told["progress_percent"], told["created_rows"], told["failed_rows"]) == (
        "completed",
        100.0,
        1,
        1,
    )


@pytest.mark.req("F-031", "F-035", "F-021")
def test_a_job_tells_where_it_stands(shop: psycopg.Connection) -> None:
    job = uploaded(many(30))
    told = files.described(job)
    assert (told["status"], told["total_rows"], told["progress_percent"], told["headers"]) == (
        "pending",
        30,
        0.0,
        ["sku", "name", "stock"],
    )
    assert files.stage(job) == "mapping"
    runner.work(job.pk)
    job.refresh_from_db()
    assert (job.status, job.awaits_start) == ("pending", True)  # nobody started it
    files.validate(job, None, system=True)
    assert (files.stage(job), files.status(job)["valid_rows"]) == ("validation", 30)
    files.start(job, None, system=True)
    runner.work(job.pk)
    job = ImportJob.objects.get(pk=job.pk)
    done = files.progress(job)
    assert (done["stage"], done["progress_percent"], done["processed_rows"], done["created_rows"]) == (
        "result",
        100.0,
        30,
        30,
    )
    assert [entry["operation"] for entry in done["log"]][-1] == "file_uploaded"
    with pytest.raises(Exception, match="completed"):
        resume(job)


@pytest.mark.req("F-050", "U50")
def test_the_command_imports_and_reports(shop: psycopg.Connection, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "p.csv"
    path.write_text("Artikel,stock\nA,1\nB,x\n")
    arguments = [str(path), "--table", "products", "--mapping", "Artikel=sku", "stock=stock", "--json"]
    with pytest.raises(SystemExit):
        call_command("import_file", *arguments)
    refused = json.loads(capsys.readouterr().out)
    assert (refused["status"], refused["errors"][0]["code"], refused["errors"][0]["errorRows"]) == (
        "failed",
        "IMPORT_004",
        1,
    )
    with pytest.raises(SystemExit):
        call_command("import_file", *arguments, "--validate-only")
    assert json.loads(capsys.readouterr().out)["validation"]["errorRows"] == 1
    call_command("import_file", *arguments, "--accept-errors")
    done = json.loads(capsys.readouterr().out)
    assert (done["status"], done["queries"][0]["created"], done["queries"][0]["failed"]) == ("completed", 1, 1)
    call_command("import_file", *arguments, "--accept-errors", "--on-duplicate", "update", "--key", "sku")
    assert json.loads(capsys.readouterr().out)["queries"][0]["unchanged"] == 1
