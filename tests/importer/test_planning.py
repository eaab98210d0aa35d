"""From a profile to runs: which queries, in which order, and what stops a job before its first write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from importer import gateway, operations, planning
from importer.errors import JobFailed
from importer.models import ExternalRef, ImportJob, ImportRecord, MappingVersion, QueryRun, SourceEntity
from importer.operations import save_connection
from importer.planning import RunPlan, plan_job, specs_of
from importer.sources.params import ConnectionParams
from importer.sources.session import SourceSession
from servicevault.models import Account, Ticket, User
from tests.importer.desk import READER, READER_PASSWORD, Desk

pytestmark = pytest.mark.usefixtures("committed_db")

ORDER = ["accounts", "agents", "customer_users", "tickets", "ticket_comments", "time_entries"]


@pytest.fixture
def whole(desk: Desk) -> Desk:
    """A query for each target type, saved in an order that is wrong for running."""
    desk.execute(
        "CREATE TABLE t (id int PRIMARY KEY, name text, mail text, company text, ref int, spent int, began timestamptz)"
    )
    desk.execute("INSERT INTO t VALUES (1, 'One', 'one@acme.com', 'Acme', 1, 5, '2024-01-01')")
    fields: dict[str, dict[str, Any]] = {
        "time_entries": {"description": "name", "duration": "spent", "started_at": "began", "user_external_id": "ref"},
        "ticket_comments": {"ticket_external_id": "ref", "content": "name"},
        "tickets": {"title": "name", "description": "name"},
        "customer_users": {"name": "name", "email": "mail", "account_external_id": "ref"},
        "agents": {"name": "name", "email": "mail"},
        "accounts": {"name": "name"},
    }
    for place, (target_type, columns) in enumerate(fields.items()):
        desk.query(target_type, "t", {"external_id": "id", **columns})
        desk.profile.queries.filter(key=target_type).update(position=place)
    return desk


@pytest.fixture
def session(desk: Desk) -> Iterator[SourceSession]:
    with gateway.open_source(desk.profile, purpose="test") as opened:
        yield opened


def plans(desk: Desk, **options: Any) -> list[RunPlan]:
    job = ImportJob.objects.create(profile=desk.profile, mode="upsert", options=options, status="completed")
    with gateway.open_source(desk.profile, purpose="test") as session:
        return plan_job(job, session)


def keys(found: list[RunPlan]) -> list[str]:
    return [plan.key for plan in found]


def refusal(desk: Desk) -> ImportJob:
    """A run that fails before anything is read or written."""
    job = desk.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert job.error_message
    assert not QueryRun.objects.filter(job=job, read__gt=0).exists()
    assert not ImportRecord.objects.exists()
    assert not ExternalRef.objects.exists()
    assert not Account.objects.exists()
    return job


# -- order (E28)


@pytest.mark.req("E28")
def test_parents_come_first_whatever_the_order_of_the_queries(whole: Desk) -> None:
    assert keys(plans(whole)) == ORDER


@pytest.mark.req("E28")
def test_the_profile_may_say_otherwise(whole: Desk) -> None:
    whole.profile.priority_order = ["tickets", "accounts"]
    assert keys(plans(whole))[:2] == ["tickets", "accounts"]


@pytest.mark.req("E28")
def test_queries_the_profile_does_not_name_stay_in_the_order_of_their_types(whole: Desk) -> None:
    whole.profile.priority_order = ["tickets"]
    assert keys(plans(whole)) == ["tickets", *(key for key in ORDER if key != "tickets")]


@pytest.mark.req("E28")
def test_the_order_is_kept_in_the_job(whole: Desk) -> None:
    job = whole.run()
    assert list(job.runs.exclude(key="__default__").order_by("position").values_list("key", flat=True)) == ORDER


def test_a_disabled_query_is_left_out(whole: Desk) -> None:
    whole.profile.queries.filter(key="tickets").update(enabled=False)
    assert "tickets" not in keys(plans(whole))


# -- restrictions (F11)


@pytest.mark.req("F11")
def test_a_job_takes_the_queries_and_types_it_names(whole: Desk) -> None:
    assert keys(plans(whole, selected_queries=["tickets", "agents"])) == ["agents", "tickets"]
    assert keys(plans(whole, selected_types=["accounts", "time_entries"])) == ["accounts", "time_entries"]
    assert keys(plans(whole, selected_queries=["tickets", "agents"], selected_types=["agents"])) == ["agents"]


@pytest.mark.req("F11")
@pytest.mark.parametrize(
    "options", [{"selected_queries": ["ticket"]}, {"selected_types": ["table:x"]}, {"selected_queries": ["agents"], "selected_types": ["tickets"]}]
)  # fmt: skip
def test_a_selection_that_leaves_nothing_says_so(whole: Desk, options: dict[str, Any]) -> None:
    with pytest.raises(JobFailed) as caught:
        plans(whole, **options)
    assert caught.value.code == "query_failed"
    assert caught.value.hint


@pytest.mark.req("X16")
def test_a_profile_without_queries_says_so(desk: Desk) -> None:
    assert "Nothing is configured" in refusal(desk).error_message


@pytest.mark.req("F11")
def test_import_filters_narrow_each_query(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, made timestamptz)")
    desk.execute("INSERT INTO c SELECT i, 'C ' || i, date '2024-01-01' + i FROM generate_series(1, 30) i")
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "created_at": "made"})
    for filters, count in (
        ({"ids": ["3", "5", "99"]}, 2),
        ({"limit": 7}, 7),
        ({"date_from": "2024-01-11", "date_to": "2024-01-20"}, 10),
        ({"date_from": "2024-01-11", "limit": 3}, 3),
        ({}, 30),
    ):
        job = desk.run(options={"import_filters": filters, "record_unchanged": True})
        assert job.status == "completed", job.error_message
        assert job.counters()["read"] == count, filters


@pytest.mark.req("F11")
def test_dates_on_a_query_without_a_date_fail_before_anything_is_written(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'x')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    job = desk.run(options={"import_filters": {"date_from": "2024-01-01"}})
    assert (job.status, job.counters()["read"]) == ("failed", 0)
    assert "created_at" in job.error_message


# -- what would fail every row stops the job at once (X16)


@pytest.mark.req("X16", "E14")
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"external_id": "id"}, "name"),
        ({"name": "name"}, "external_id"),
        ({"external_id": "id", "name": "name", "nmae": "name"}, "nmae"),
        ({"external_id": "id", "name": "name", "password": "name"}, "password"),
        ({"external_id": "id", "name": "name", "is_superuser": "name"}, "is_superuser"),
        ({"external_id": "id", "name": "nothing_here"}, "nothing_here"),
        ({"external_id": "id", "name": {"source": "UPPER(id)"}}, ""),
        ({"external_id": "id", "name": {"source": "name", "transformation": ["lower", "html_to_text"]}}, "html_to_text"),
        pytest.param(
            {"external_id": "id", "name": {"source": "name", "reference": {"by": "shoe size"}}},
            "shoe size"
        ),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_mapping_that_cannot_work_stops_the_job_and_is_named(desk: Desk, fields: dict[str, Any], named: str) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'x')")
    desk.query("accounts", "c", fields)
    try:
        said = refusal(desk).error_message
    except operations.InvalidFields as refused:  # what the mapping alone shows is said before there is a job (M9)
        said = str(refused)
    assert named in said


@pytest.mark.req("X16")
def test_a_bad_query_stops_the_good_ones_too(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'x')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    desk.query("tickets", "missing", {"external_id": "id", "title": "name", "description": "name"})
    assert "missing" in refusal(desk).error_message


@pytest.mark.req("X16", "J24")
def test_a_table_we_may_not_read_is_named_with_the_grant(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text)")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    with psycopg.connect(desk.url, autocommit=True) as source:
        source.execute(f"REVOKE SELECT ON c FROM {READER}")
    job = refusal(desk)
    assert "c" in job.error_message


@pytest.mark.req("O5")
@pytest.mark.parametrize("matching", [{"strategy": "psychic"}, {"matching_strategy": "fuzzy-ish"}])
def test_an_unknown_strategy_of_the_profile_stops_the_job(whole: Desk, matching: dict[str, Any]) -> None:
    whole.profile.matching = matching
    whole.profile.save()
    assert "strategy" in refusal(whole).error_message


@pytest.mark.req("O5")
def test_an_unknown_match_field_stops_the_job(whole: Desk) -> None:
    whole.profile.matching = {"primary_fields": ["emial"]}
    whole.profile.save()
    assert "emial" in refusal(whole).error_message


@pytest.mark.req("E26")
def test_a_reference_to_an_entity_nobody_feeds_is_named(whole: Desk) -> None:
    fields = {
        "external_id": "id",
        "title": "name",
        "description": "name",
        "account_external_id": {"source": "ref", "reference": {"entity": "nobody"}},
    }
    whole.query("tickets", "t", fields)
    job = whole.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "nobody" in job.error_message


@pytest.mark.req("E27")
def test_an_unknown_policy_for_references_is_named(whole: Desk) -> None:
    fields = {
        "external_id": "id",
        "title": "name",
        "description": "name",
        "account_external_id": {"source": "ref", "reference": {"unresolved": "guess"}},
    }
    whole.query("tickets", "t", fields)
    job = whole.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "guess" in job.error_message


# -- derived accounts (E34)


@pytest.mark.req("E34")
@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        ("company", {"Acme", "Beta GmbH"}),
        ("domain", {"acme.com", "beta.de"}),
        ("company_or_domain", {"Acme", "Beta GmbH", "acme.com"}),
        ("single", set()),
    ],
)
def test_accounts_are_made_of_what_the_customers_say(desk: Desk, strategy: str, names: set[str]) -> None:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text, company text)")
    desk.execute(
        "INSERT INTO p VALUES (1, 'A', 'a@acme.com', 'Acme'), (2, 'B', 'b@ACME.com', ' acme '), (3, 'C', 'c@gmail.com', NULL), "
        "(4, 'D', 'd@acme.com', ''), (5, 'E', NULL, NULL), (6, 'F', 'f@beta.de', 'Beta  GmbH')"
    )
    desk.profile.account_strategy = strategy
    desk.profile.save()
    desk.query("customer_users", "p", {"external_id": "id", "name": "name", "email": "mail", "company": "company"})
    job = desk.run()
    assert job.status == "completed", job.error_message
    default = f"Imported from {desk.profile.name}"
    assert set(Account.objects.values_list("name", flat=True)) == names | {default}
    assert User.objects.filter(user_type="account_user", account=None).count() == 0
    before = Account.objects.count()
    again = desk.run()
    assert Account.objects.count() == before
    assert again.counters()["created"] == 0


@pytest.mark.req("E34", "F11")
def test_the_derived_accounts_come_along_when_only_the_customers_are_selected(desk: Desk) -> None:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text, company text)")
    desk.execute("INSERT INTO p VALUES (1, 'A', 'a@acme.com', 'Acme')")
    desk.query("customer_users", "p", {"external_id": "id", "name": "name", "email": "mail", "company": "company"})
    assert keys(plans(desk, selected_queries=["customer_users"])) == ["customer_users_accounts", "customer_users"]


@pytest.mark.req("E34", "F11")
def test_the_derived_accounts_come_along_when_only_their_type_is_selected(desk: Desk) -> None:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text, company text)")
    desk.execute("INSERT INTO p VALUES (1, 'A', 'a@acme.com', 'Acme')")
    desk.query("customer_users", "p", {"external_id": "id", "name": "name", "email": "mail", "company": "company"})
    desk.run(options={"selected_types": ["customer_users"]})
    assert User.objects.get(user_type="account_user").account.name == "Acme"


@pytest.mark.req("E34")
def test_a_query_may_have_the_longest_key_and_still_derive_accounts(desk: Desk) -> None:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text, company text)")
    desk.execute("INSERT INTO p VALUES (1, 'A', 'a@acme.com', 'Acme')")
    fields = {"external_id": "id", "name": "name", "email": "mail", "company": "company"}
    desk.query("customer_users", "p", fields, key="k" * 64)
    job = desk.run()
    assert job.status == "completed", job.error_message


# -- entities and versions (E23a)


@pytest.mark.req("E23a")
def test_one_entity_feeds_one_target_type(whole: Desk) -> None:
    whole.profile.queries.filter(key="agents").update(entity="people")
    whole.profile.queries.filter(key="customer_users").update(entity="people")
    assert "people" in refusal(whole).error_message


@pytest.mark.req("E23a")
def test_an_entity_keeps_its_target_type_over_jobs_and_profiles_of_the_source(whole: Desk) -> None:
    whole.run()
    params = ConnectionParams(whole.profile.host, whole.profile.port, whole.profile.database, READER, READER_PASSWORD)
    other = save_connection(type(whole.profile)(name="Second", source_key=whole.profile.source_key), params)
    desk = Desk(whole.url, other)
    desk.query("accounts", "t", {"external_id": "id", "name": "name"}, key="x", entity="tickets")
    job = desk.run()
    assert (job.status, job.error_code) == ("failed", "query_failed")
    assert "tickets" in job.error_message


@pytest.mark.req("E23a")
def test_renaming_the_key_keeps_the_identity_of_rows(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'x')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"}, key="old", entity="companies")
    desk.run()
    desk.profile.queries.update(key="new")
    job = desk.run()
    assert desk.outcomes(job) == {"read": 1, "unchanged": 1}
    assert SourceEntity.objects.filter(entity="companies").count() == 1


@pytest.mark.req("O7", "K14")
def test_a_mapping_has_a_version_and_rows_under_another_one_are_compared_again(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text, city text); INSERT INTO c VALUES (1, 'x', 'Rome')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    desk.run()
    desk.run()
    assert MappingVersion.objects.filter(entity__entity="accounts").count() == 1
    desk.query("accounts", "c", {"external_id": "id", "name": "name", "city": "city"})
    assert desk.outcomes(desk.run()) == {"read": 1, "updated": 1}
    assert MappingVersion.objects.filter(entity__entity="accounts").count() == 2
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    assert desk.outcomes(desk.run()) == {"read": 1, "unchanged": 1}
    assert MappingVersion.objects.filter(entity__entity="accounts").count() == 2


@pytest.mark.req("E32", "O7")
@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"source_timezone": "Asia/Tokyo"}, "due_at", "2023-12-31T15:00:00+00:00"),
        ({"number_prefix": "FS-"}, "ticket_number", "FS-7"),
    ],
)
def test_a_setting_that_changes_values_makes_a_new_version(
    desk: Desk, change: dict[str, str], field: str, value: str
) -> None:
    desk.execute("CREATE TABLE t (id int PRIMARY KEY, title text, due timestamp, no text)")
    desk.execute("INSERT INTO t VALUES (1, 'x', '2024-01-01', '7')")
    desk.query(
        "tickets", "t", {"external_id": "id", "title": "title", "description": "title", "due_at": "due", "ticket_number": "no"}
    )  # fmt: skip
    desk.run()
    for name, text in change.items():
        setattr(desk.profile, name, text)
    desk.profile.save()
    assert desk.outcomes(desk.run()) == {"read": 1, "updated": 1}
    found = getattr(Ticket.objects.get(), field)
    assert (found.isoformat() if field == "due_at" else found) == value


@pytest.mark.req("Q17")
def test_every_worker_of_a_job_plans_the_same(whole: Desk) -> None:
    job = ImportJob.objects.create(profile=whole.profile, mode="upsert", status="completed")
    found = []
    for _ in range(2):
        with gateway.open_source(whole.profile, purpose="test") as session:
            found.append([(plan.key, plan.compiled.sql_hash, plan.load) for plan in plan_job(job, session)])
    assert found[0] == found[1]


def test_planning_does_not_touch_the_profile(whole: Desk, session: SourceSession) -> None:
    before = list(whole.profile.queries.values())
    specs_of(whole.profile)
    planning.read_schema(session, whole.profile)
    plans(whole)
    assert list(whole.profile.queries.values()) == before
