"""How a query is cut: chunks of every kind of key, slices by rows and bytes, and flat memory (X13, X25, X26, K11)."""

from __future__ import annotations

import random
import subprocess
import sys
import uuid
from collections import Counter
from typing import Any

import psycopg
import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from importer import runner
from importer.models import Chunk, ExternalRef, ImportJob, ImportRecord
from importer.operations import resume
from importer.pipeline import readers
from importer.pipeline.staging import Row, Slice, read_rows, slices
from servicevault.models import Account
from tests.importer.desk import PROJECT, Desk, process_environment
from tests.thoroughness import rounds

pytestmark = pytest.mark.usefixtures("committed_db")

MEBIBYTE = 1024 * 1024
WORKER_BYTES = 300 * 10**6  # X13


def a_table(desk: Desk, key_type: str, keys: list[Any], *, unique: bool = True) -> None:
    """Table `k` with these keys, in a random order, each with a name made of its key's place."""
    rule = "PRIMARY KEY" if unique else ""
    desk.execute(sql.SQL("CREATE TABLE k (id {} {}, name text, city text)").format(sql.SQL(key_type), sql.SQL(rule)))
    rows = [(key, f"Name {number}") for number, key in enumerate(keys)]
    random.Random(5).shuffle(rows)
    with psycopg.connect(desk.url) as source, source.cursor() as cursor:
        cursor.executemany("INSERT INTO k VALUES (%s, %s, 'c')", rows)
    desk.query("accounts", "k", {"external_id": "id", "name": "name", "city": "city"})
    desk.profile.matching = {"enabled": False}
    desk.profile.save()


def assert_all_once(desk: Desk, job: ImportJob) -> None:
    assert job.status == "completed", job.error_message
    with psycopg.connect(desk.url) as source:
        wanted = dict(source.execute("SELECT id::text, name FROM k").fetchall())
    names = dict(Account.objects.values_list("pk", "name"))
    assert {key: names[pk] for key, pk in ExternalRef.objects.values_list("external_id", "target_id")} == wanted
    assert len(names) == len(wanted)
    assert not Chunk.objects.filter(run__job=job, done=False).exists()


HARD_TEXTS = [
    "a", "A", "aa", "a b", "a\tb", "a\nb", "a\r", "back\\slash", "\\N", "\\.", "\\", "'", '"', "%", "{", "ä", "a\u0308", "漢", "😀", "z",
    "Z", "0", "10", "9", "-1", "\x01", "\x7f", "\u202e", "~", " lead", "trail ", "a" * 255,
]  # fmt: skip
KEYS: dict[str, list[Any]] = {
    "int": [-(2**31), -5, -1, 0, 1, 2, 3, 10, 999, 1000, 2**31 - 1],
    "smallint": [-(2**15), 0, 2**15 - 1],
    "bigint": [-(2**63), -1, 0, 2**31, 2**53 + 1, 2**63 - 1],
    "numeric": ["-1.5", "0", "0.1", "0.10000000000000001", "10", "9", "123456789012345678901234567890"],
    "uuid": [str(uuid.UUID(int=number * 2**120 + 7)) for number in range(40)],
    "text": HARD_TEXTS,
    "varchar(300)": HARD_TEXTS,
    "char(4)": ["a", "b", "ab", "abcd"],
    "date": ["2024-01-01", "2023-12-31", "0001-01-01"],
}


@pytest.mark.alike
@pytest.mark.req("X25", "X26", "X13")
@pytest.mark.parametrize("batch_size", [1, 3, 5000])
@pytest.mark.parametrize("key_type", KEYS)
def test_every_kind_of_key_is_read_once_and_completely(desk: Desk, key_type: str, batch_size: int) -> None:
    a_table(desk, key_type, KEYS[key_type])
    job = desk.run(options={"batch_size": batch_size})
    assert_all_once(desk, job)
    assert desk.outcomes(job) == {"read": len(KEYS[key_type]), "created": len(KEYS[key_type])}
    again = desk.run(options={"batch_size": batch_size})
    assert desk.outcomes(again) == {"read": len(KEYS[key_type]), "unchanged": len(KEYS[key_type])}


@pytest.mark.req("J24", "X25")
@pytest.mark.parametrize("key_type", ["smallint", "numeric", "uuid", "text"])
def test_every_kind_of_key_is_read_completely_in_halves(
    desk: Desk, key_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = readers.reader_for

    def lacking_memory(*args: Any, **options: Any) -> readers.Reader:
        reader = make(*args, **options)
        assert isinstance(reader, readers.RangeReader)
        reader.most_keys = 2
        return reader

    monkeypatch.setattr(runner, "reader_for", lacking_memory)
    a_table(desk, key_type, KEYS[key_type])
    assert_all_once(desk, desk.run(options={"batch_size": 7}))


@pytest.mark.alike
@pytest.mark.req("X13", "X25")
@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 20, 21])
def test_chunks_cover_any_number_of_rows(desk: Desk, count: int) -> None:
    a_table(desk, "int", list(range(0, count * 1000, 1000)))
    job = desk.run(options={"batch_size": 10})
    assert job.status == "completed"
    assert job.counters()["read"] == count
    sizes = Chunk.objects.filter(run__job=job).count()
    assert sizes == -(-count // 10) or (count == 0 and sizes <= 1)


@pytest.mark.req("X25")
def test_filters_that_leave_gaps_and_empty_chunks_lose_nothing(desk: Desk) -> None:
    a_table(desk, "int", list(range(500)))
    desk.query("accounts", "k", {"external_id": "id", "name": "name"}, filters=["id BETWEEN 95 AND 105 OR id = 499"])
    job = desk.run(options={"batch_size": 10})
    assert desk.outcomes(job) == {"read": 12, "created": 12}
    assert Chunk.objects.filter(run__job=job).count() == 50


@pytest.mark.req("X25")
def test_rows_beyond_the_last_key_that_was_planned_belong_to_the_last_chunk(desk: Desk) -> None:
    """A resumed job has a new snapshot: what came behind the end meanwhile is read, what came between is left."""
    a_table(desk, "int", list(range(0, 200, 2)))
    job = desk.start(options={"batch_size": 20})

    class Stop:
        def update(self, progress: object) -> None:
            ImportJob.objects.filter(pk=job.pk).update(cancel_requested=True)

    assert runner.work(job.pk, sink=Stop()) == "cancelled"
    desk.execute("INSERT INTO k VALUES (1000, 'Late', 'c'), (199, 'Late too', 'c')")
    job.refresh_from_db()
    desk.work(resume(job))
    assert_all_once(desk, job)


# -- sources without a key


@pytest.mark.alike
@pytest.mark.req("K11", "X26")
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_repeats_of_an_identifier_are_judged_together_wherever_a_chunk_would_end(desk: Desk, batch_size: int) -> None:
    keys = [key for key in HARD_TEXTS if key.strip() and len(key) < 200 for _ in range(1 + len(key) % 4)]
    a_table(desk, "text", keys, unique=False)
    job = desk.run(options={"batch_size": batch_size})
    different = len(set(keys))
    assert job.status == "completed", job.error_message
    assert desk.outcomes(job) == {"read": len(keys), "created": different, "skipped": len(keys) - different}
    assert set(ExternalRef.objects.values_list("external_id", flat=True)) == set(keys)
    skipped = ImportRecord.objects.filter(run__job=job, action="skipped")
    assert set(skipped.values_list("code", flat=True)) == {"duplicate_in_source"}


@pytest.mark.req("K11")
def test_the_first_of_the_repeats_wins(desk: Desk) -> None:
    desk.execute("CREATE TABLE k (id text, name text, city text)")
    desk.execute("INSERT INTO k SELECT 'same', 'Name ' || i, 'c' FROM generate_series(1, 50) i")
    desk.query("accounts", "k", {"external_id": "id", "name": "name"})
    job = desk.run(options={"batch_size": 7})
    assert desk.outcomes(job) == {"read": 50, "created": 1, "skipped": 49}
    assert Account.objects.get().name == "Name 1"


@pytest.mark.req("K11")
def test_more_repeats_than_a_small_number_can_count_fail_nothing(desk: Desk) -> None:
    """The ordinal of a repeat is a smallint."""
    desk.execute("CREATE TABLE k (id text, name text, city text)")
    desk.execute("INSERT INTO k SELECT 'same', 'Name', 'c' FROM generate_series(1, 33000) i")
    desk.query("accounts", "k", {"external_id": "id", "name": "name"})
    job = desk.run()
    assert job.status == "completed", job.error_message
    assert job.counters()["read"] == 33_000


# -- slices


def pairs(sizes: list[int]) -> list[tuple[bytes, bytes]]:
    return [(b"%06d" % number, b"x" * size) for number, size in enumerate(sizes)]


@given(
    sizes=st.lists(st.integers(0, 50), max_size=60),
    repeats=st.integers(1, 4),
    max_rows=st.integers(1, 10),
    max_bytes=st.integers(1, 200),
)
def test_slices_keep_order_cut_only_between_keys_and_keep_their_limits(
    sizes: list[int], repeats: int, max_rows: int, max_bytes: int
) -> None:
    cells = [cell for cell in pairs(sizes) for _ in range(repeats)]
    rows = list(read_rows(cells))
    cut = list(slices(rows, max_rows=max_rows, max_bytes=max_bytes))
    assert [row for piece in cut for row in piece.rows] == rows
    for piece in cut:
        assert piece.last_key == piece.rows[-1].key.decode()
        assert piece.rows[0].ordinal == 0
        assert keys_of(piece) <= max_rows
        without_last_key = [row for row in piece.rows if row.key != piece.rows[-1].key]
        assert sum(row.size for row in without_last_key) <= max_bytes or not without_last_key


def keys_of(piece: Slice) -> int:
    return len(Counter(row.key for row in piece.rows))


def test_a_row_knows_its_size() -> None:
    assert Row(b"12", b"{}").size == 4


@pytest.mark.req("X13")
def test_large_rows_cut_slices_before_the_batch_is_full(desk: Desk, target: psycopg.Connection) -> None:
    """Forty rows of a megabyte: at most eight in one transaction, which the order of their commits shows."""
    a_table(desk, "int", list(range(40)))
    desk.execute("UPDATE k SET city = NULL; ALTER TABLE k ADD COLUMN notes text")
    desk.execute("UPDATE k SET notes = repeat('x', 1024 * 1024)")
    desk.query("accounts", "k", {"external_id": "id", "name": "name", "notes": "notes"})
    job = desk.run()
    assert_all_once(desk, job)
    sizes = [count for (count,) in target.execute("SELECT count(*) FROM accounts GROUP BY xmin::text")]
    assert max(sizes) <= 8
    assert sum(sizes) == 40


@pytest.mark.req("X13", "X23")
@pytest.mark.parametrize(("batch_size", "transactions"), [(1, 20), (7, 3), (20, 1), (1000, 1)])
def test_each_slice_is_one_transaction(
    desk: Desk, target: psycopg.Connection, batch_size: int, transactions: int
) -> None:
    a_table(desk, "int", list(range(20)))
    job = desk.run(options={"batch_size": batch_size})
    for table in ("accounts", "external_refs"):
        found = target.execute(f"SELECT count(DISTINCT xmin::text) FROM {table}").fetchone()
        assert found == (transactions,)
    together = (
        "SELECT count(*) FROM accounts a JOIN external_refs e ON e.target_id = a.id AND e.xmin::text = a.xmin::text"
    )
    assert target.execute(together).fetchone() == (20,)
    assert job.counters()["created"] == 20


@pytest.mark.alike
@pytest.mark.slow
@pytest.mark.req("X13", "X28")
@pytest.mark.parametrize(
    ("unique", "dry_run"),
    [(False, True), (True, False), (False, False)],
    ids=["staged rehearsal", "ranges", "staged"],
)
def test_memory_of_a_worker_stays_flat_over_large_rows(desk: Desk, unique: bool, dry_run: bool) -> None:
    count, mebibytes = rounds(60, 45), 4  # together more than a worker may hold
    a_table(desk, "int", list(range(count)), unique=unique)
    desk.execute("ALTER TABLE k ADD COLUMN notes text")
    desk.execute(f"UPDATE k SET notes = repeat(md5(id::text), {mebibytes * 32768})")
    desk.query("accounts", "k", {"external_id": "id", "name": "name", "notes": "notes"})
    job = desk.start(dry_run=dry_run)
    connections.close_all()
    # A process of its own, as a worker is: a copy of this one would begin with all that the tests have loaded.
    worker = subprocess.run(
        [sys.executable, "-c", WORKER, str(job.pk)],
        cwd=PROJECT, env=process_environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert worker.returncode == 0, worker.stderr
    job.refresh_from_db()
    assert desk.outcomes(job) == {"read": count, "created": count}
    assert int(worker.stdout.split()[-2]) * 1024 < WORKER_BYTES


WORKER = """
import sys, django
django.setup()
from importer import runner
runner.work(sys.argv[1])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
