"""Loading takes what validation found, and asks again what may have changed since."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from importer import file_planning, runner
from importer.file_parts import part_of
from importer.models import ImportJob, ImportRecord, TableRule
from importer.operations import files
from importer.pipeline import staging
from importer.pipeline.tables import judged, load, stage
from importer.pipeline.tables.judge import judge, stage_and_judge
from importer.runner import connect_target
from servicevault.tabular.errors import FileRejected
from tests.importer.files.conftest import outcomes, uploaded

FILE = "sku,name,size,barcode,maker,stock\nA,a,S,1,acme,1\nB,b,M,2,acme,2\nC,c,L,3,acme,3\nD,d,S,4,acme,x\nE,e,,,,007\n"


def validated(text: str = FILE, **given: object) -> ImportJob:
    job = uploaded(text, **given)
    files.validate(job, None, system=True)
    return job


def loaded(job: ImportJob) -> ImportJob:
    files.start(job, None, accept_errors=True, system=True)
    runner.work(job.pk)
    job.refresh_from_db()
    assert job.status == "completed", job.error_message
    return job


@pytest.fixture
def judged_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each slice of a load judged for itself."""
    found: list[int] = []
    take = load.stage.take

    def watched(*args: object, **given: object) -> int:
        found.append(take(*args, **given))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(load.stage, "take", watched)
    return found


@pytest.mark.req("F-029", "F-080")
def test_a_good_row_is_judged_once(shop: psycopg.Connection, judged_again: list[int]) -> None:
    job = loaded(validated())
    assert judged_again == [2]  # the bad one, and the one with something to say about it
    assert outcomes(job) == {"read": 5, "created": 4, "failed": 1, "warnings": 1}
    assert shop.execute("SELECT sku, size::text, stock FROM products ORDER BY sku").fetchall() == [
        ("A", "S", 1), ("B", "M", 2), ("C", "L", 3), ("E", None, 7),
    ]  # fmt: skip
    records = ImportRecord.objects.filter(run__job=job, action="created").order_by("source_row")
    assert [record.source_row for record in records] == [2, 3, 4, 6]
    assert all(record.after_image["sku"] == record.source_data["sku"] for record in records)
    same = "SELECT bool_and(sha256(convert_to(source_data::text, 'UTF8')) = source_hash) FROM importer_importrecord"
    assert shop.execute(same).fetchone() == (True,)
    assert shop.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'importer_stage_%'").fetchone() == (0,)


@pytest.mark.req("F-072", "F-079", "F-057")
def test_what_changed_since_is_seen(shop: psycopg.Connection, judged_again: list[int]) -> None:
    shop.execute("INSERT INTO makers VALUES ('gone', 'Gone')")
    job = validated(
        FILE.replace("C,c,L,3,acme", "C,c,L,3,gone") + "F,f,S,6,acme,6\n", options={"duplicate_key": ["sku"]}
    )
    shop.execute("INSERT INTO products (sku, barcode) VALUES ('A', '99'), ('Z', '2')")
    shop.execute("DELETE FROM makers WHERE code = 'gone'")
    loaded(job)
    assert judged_again == [5]
    records = ImportRecord.objects.filter(run__job=job).order_by("source_row")
    assert [(record.action, record.code) for record in records] == [
        ("skipped", "exists"), ("failed", "unique_conflict"), ("failed", "foreign_key"), ("failed", "not_a_number"),
        ("created", None), ("created", None),
    ]  # fmt: skip


@pytest.mark.req("F-029")
def test_another_rule_judges_every_row_anew(shop: psycopg.Connection, judged_again: list[int]) -> None:
    job = validated()
    TableRule.objects.create(table_name="products", column="name", rule="min_length", value=2, is_active=True)
    loaded(job)
    assert judged_again == [5]
    assert outcomes(job) == {"read": 5, "failed": 5, "warnings": 1}


def wide_file() -> ImportJob:
    lines = [f"S{number % 50},n{number},{'x' if number % 7 == 0 else number * number % 5}" for number in range(99)]
    return validated("sku,name,stock\n" + "\n".join([*lines, "T,far away,900"]) + "\n")


def staged_lines(connection: psycopg.Connection, run_id: int) -> list[bytes]:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(staging.run_table(run_id))) as copy:
        return [bytes(line) for line in copy]


@pytest.mark.req("F-027", "F-044", "F-078")
def test_rows_are_judged_alike_by_one_session_by_two_and_while_they_come(shop: psycopg.Connection) -> None:
    job = wide_file()
    plan, run = file_planning.plan_part(job.file, part_of(job.file)), job.runs.get()
    found = []
    with connect_target() as connection:
        lines = staged_lines(connection, run.pk)
        for way in (
            lambda: judge(connection, plan, run.pk, max_rows=9),
            lambda: judge(connection, plan, run.pk, max_rows=9, helper=connect_target),
            lambda: stage_and_judge(connection, plan, run.pk, lines, connect=connect_target, max_rows=9),
        ):
            verdict = way()
            said = connection.execute('SELECT "row", code, value FROM pg_temp.found ORDER BY 1, 2').fetchall()
            assert judged.are_known(connection, plan, run.pk)
            found.append((verdict, said))
            connection.rollback()
        assert stage.count_rows(connection, run.pk) == 100
    assert found[0] == found[1] == found[2]
    assert found[0][0].counts["failed"] == 15
    assert (101, "unusual_value", "900") in found[0][1]


@pytest.mark.req("F-029")
def test_a_file_that_was_read_by_half_counts_for_nothing(shop: psycopg.Connection) -> None:
    job = wide_file()
    plan, run = file_planning.plan_part(job.file, part_of(job.file)), job.runs.get()

    def broken(lines: list[bytes]) -> Iterator[bytes]:
        yield from lines[:50]
        assert stage.is_staged(other, run.pk) is False, "while it is read"
        other.rollback()
        raise FileRejected("The rest is torn off.")

    with connect_target() as connection, connect_target() as other:
        lines = staged_lines(connection, run.pk)
        assert stage.is_staged(connection, run.pk)
        with pytest.raises(FileRejected):
            stage_and_judge(connection, plan, run.pk, broken(lines), connect=connect_target, max_rows=9)
        assert not stage.is_staged(connection, run.pk)
        assert connection.execute("SELECT to_regclass(%s)", (f"importer_stage_{run.pk}_judged",)).fetchone() == (None,)
