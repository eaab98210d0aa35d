"""A source that lacks memory is asked for less at a time; a row that is too large for it fails alone (J24)."""

from __future__ import annotations

import pytest

from importer import operations
from servicevault.models import Account
from tests.importer.desk import Desk
from tests.importer.pipeline.test_failure_classes import states, three

__all__ = ["three"]
pytestmark = pytest.mark.usefixtures("committed_db")

HUGE = "to_json(repeat(repeat('x', 1000000), 2000))"  # two billion characters, which PostgreSQL refuses to put together
THRIFTY = """
    IF split_part(current_setting('thrift.rows', true), '/', 1) = statement_timestamp()::text THEN
        rows := split_part(current_setting('thrift.rows', true), '/', 2)::int + 1;
    END IF;
    IF rows > {most} THEN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200'; END IF;
    PERFORM set_config('thrift.rows', statement_timestamp() || '/' || rows, true);
"""


def tell_names(desk: Desk, body: str) -> None:
    """Let these statements of the source tell the name of an account, `$1`, each time its row is put together."""
    labels = ", ".join(f"'Org {number}'" for number in range(1, 21))
    desk.execute(f"CREATE TYPE org_name AS ENUM ({labels})")
    desk.execute("ALTER TABLE orgs ALTER name TYPE org_name USING name::org_name")
    desk.execute(
        "CREATE FUNCTION told(org_name) RETURNS json LANGUAGE plpgsql AS $$ "
        f"DECLARE rows int := 1; BEGIN {body} RETURN to_json($1::text); END $$"
    )
    desk.execute("CREATE CAST (org_name AS json) WITH FUNCTION told(org_name)")


@pytest.mark.req("J24", "X24", "N-029")
@pytest.mark.parametrize(
    "refused",
    [f"RETURN {HUGE};", "RAISE EXCEPTION 'invalid memory alloc request size 2000000004' USING ERRCODE = 'XX000';"],
    ids=["really", "as an internal error"],
)
@pytest.mark.parametrize("dry_run", [False, True], ids=["import", "rehearsal"])
def test_a_row_the_source_cannot_put_together_fails_alone(three: Desk, refused: str, dry_run: bool) -> None:
    tell_names(three, f"IF $1 = 'Org 7' THEN {refused} END IF;")
    job = three.run(options={"batch_size": 8, "selected_queries": ["accounts", "agents"]}, dry_run=dry_run)
    assert job.status == "completed", job.error_message
    assert three.outcomes(job, "accounts") == {"read": 20, "created": 19, "failed": 1}
    assert three.record(job, "7", "accounts").code == "row_too_large"
    assert [(error["query"], error["code"]) for error in operations.job_errors(job)] == [("accounts", "row_too_large")]
    assert Account.objects.count() == (0 if dry_run else 19)


@pytest.mark.req("J24")
@pytest.mark.parametrize("dry_run", [False, True], ids=["import", "rehearsal"])
def test_too_little_memory_of_the_source_halves_what_it_is_asked_for(three: Desk, dry_run: bool) -> None:
    tell_names(three, THRIFTY.format(most=3))
    job = three.run(options={"batch_size": 16, "selected_queries": ["accounts"]}, dry_run=dry_run)
    assert job.status == "completed", job.error_message
    assert three.outcomes(job) == {"read": 20, "created": 20}
    (said,) = operations.job_errors(job)
    assert (said["query"], said["code"]) == ("accounts", "source_memory")
    assert job.runs.get(key="accounts").plan["rows_at_once"] <= 4


@pytest.mark.req("J24", "K11")
def test_rows_that_share_a_key_are_all_read_when_memory_lacks_between_them(three: Desk) -> None:
    tell_names(three, THRIFTY.format(most=5))
    three.execute(
        "CREATE TABLE sites (org int, id int); INSERT INTO sites SELECT i, n FROM generate_series(1, 20) i, generate_series(1, 2) n"
    )
    three.query(
        "accounts",
        "orgs",
        {"external_id": "id", "name": "name"},
        joins=[{"type": "left", "table": "sites", "on": "sites.org = orgs.id"}],
    )
    job = three.run(options={"batch_size": 16, "selected_queries": ["accounts"]})
    assert three.outcomes(job) == {"read": 40, "created": 20, "skipped": 20}


@pytest.mark.req("J24", "X24")
def test_single_rows_for_which_memory_lacks_fail_and_the_ones_between_them_go_in(three: Desk) -> None:
    tell_names(
        three, "IF $1 IN ('Org 5', 'Org 7') THEN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200'; END IF;"
    )
    job = three.run(options={"selected_queries": ["accounts"]})
    assert job.status == "completed", job.error_message
    assert three.outcomes(job) == {"read": 20, "created": 18, "failed": 2}
    assert {three.record(job, key).code for key in ("5", "7")} == {"row_too_large"}


@pytest.mark.req("J24", "J13")
def test_a_source_without_memory_for_a_single_row_fails_the_query_and_blames_no_row(three: Desk) -> None:
    tell_names(three, THRIFTY.format(most=0))
    job = three.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "memory" in job.error_message
    assert states(job) == {"accounts": ("failed", 0), "agents": ("done", 20), "customer_users": ("failed", 0)}
    three.execute("DROP CAST (org_name AS json)")
    three.work(operations.resume(job))
    assert job.status == "completed", job.error_message
    assert set(states(job).values()) == {("done", 20)}


@pytest.mark.req("J24")
def test_a_result_without_a_key_fails_its_query_when_the_source_lacks_memory(three: Desk) -> None:
    tell_names(three, f"IF $1 = 'Org 7' THEN RETURN {HUGE}; END IF;")
    three.execute("CREATE VIEW keyless AS SELECT id, name FROM orgs")
    three.query("accounts", "keyless", {"external_id": "id", "name": "name"})
    job = three.run(options={"selected_queries": ["accounts", "agents"]})
    assert states(job) == {"accounts": ("failed", 0), "agents": ("done", 20)}
    assert "larger than the source can put together" in job.error_message
