"""Every request body of guide A is accepted as it stands there and answered in the shape shown."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from importer import planning
from importer.models import ImportJob, ImportProfile
from servicevault.jobs.models import JobStatus
from tests.api.conftest import Program
from tests.importer.desk import READER

pytestmark = pytest.mark.django_db

GUIDE_QUERY = {
    "base_table": "customers",
    "joins": [
        {
            "type": "LEFT",
            "table": "emails",
            "on": "emails.customer_id = customers.id",
            "condition": "emails.type = 'work'",
        }
    ],
    "fields": [
        {"source": "customers.id", "target": "external_id", "transformation": None},
        {
            "source": "CONCAT(customers.first_name, ' ', customers.last_name)",
            "target": "name",
            "transformation": "custom",
        },
    ],
    "filters": [{"field": "customers.created_at", "operator": ">=", "value": "2024-01-01"}],
    "target_type": "customer_users",
}
GUIDE_TABLES = f"""
CREATE TABLE IF NOT EXISTS customers (id integer PRIMARY KEY, first_name text, last_name text, created_at timestamp);
CREATE TABLE IF NOT EXISTS emails (id integer PRIMARY KEY, customer_id integer, email text, type text);
INSERT INTO customers VALUES (1, 'John', 'Doe', '2024-05-01'), (2, 'Old', 'Customer', '2020-01-01') ON CONFLICT DO NOTHING;
INSERT INTO emails VALUES (1, 1, 'john@acme.example', 'work') ON CONFLICT DO NOTHING;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER};
"""


@pytest.fixture
def guide_shop(shop: ImportProfile, shop_url: str) -> ImportProfile:
    """The shop with the tables of the guide's example."""
    with psycopg.connect(shop_url, autocommit=True) as source:
        source.execute(GUIDE_TABLES)
    return shop


@pytest.mark.req("P1", "P10", "P15")
def test_a_connection_is_tested_and_a_profile_created(api: Program, connection_values: dict[str, Any]) -> None:
    body = connection_values | {"database_type": "postgresql", "ssl_mode": "prefer", "notes": "Production import"}
    tested = api.post("/profiles/test-connection", {name: value for name, value in body.items() if name != "name"})
    assert tested.status_code == 200
    assert tested.json()["connection_test"]["success"] is True
    assert [check["name"] for check in tested.json()["connection_test"]["checks"]][:3] == ["host_policy", "dns", "tcp"]
    created = api.post("/profiles", body)
    assert created.status_code == 201, created.json()
    profile = created.json()["profile"]
    assert profile["has_password"] is True
    assert connection_values["password"] not in created.content.decode()
    listed = api.get("/profiles").json()
    assert listed["meta"] == {"current_page": 1, "per_page": 15, "total": 1}
    assert listed["data"][0]["configuration_type"] == "none"
    one = api.get(f"/profiles/{profile['id']}").json()
    assert set(one) == {"profile", "queries", "jobs", "mappings"}


@pytest.mark.req("Q21", "Q3", "Q6", "Q20", "M3", "M12")
def test_the_guides_query_is_stored_and_read_back(api: Program, guide_shop: ImportProfile) -> None:
    place = f"/profiles/{guide_shop.pk}"
    saved = api.post(f"{place}/queries", GUIDE_QUERY)
    assert saved.status_code == 201, saved.json()
    assert 'LEFT JOIN "public"."emails"' in saved.json()["generated_sql"]
    query = saved.json()["query"]
    assert query["key"] == "customer_users"
    again = api.put(f"{place}/queries/customer_users", query)
    assert again.status_code == 200, again.json()
    assert again.json()["query"]["joins"] == query["joins"]
    assert api.get(f"{place}/queries").json()["meta"]["total"] == 1
    assert api.get(f"{place}").json()["profile"]["has_custom_queries"] is True
    mapping = api.get(f"{place}/mappings").json()["data"][1]
    assert (mapping["source_table"], mapping["target"]) == ("customers", "name")
    assert api.post(f"{place}/mappings").status_code == 405
    assert api.delete(f"{place}/queries/customer_users").status_code == 200
    assert api.get(f"{place}/queries/customer_users").status_code == 404


@pytest.mark.req("Q11", "Q13", "Q16", "Q17", "Q18")
def test_the_guides_query_is_validated_and_previewed(api: Program, guide_shop: ImportProfile) -> None:
    place = f"/profiles/{guide_shop.pk}"
    validated = api.post(f"{place}/builder/validate", GUIDE_QUERY).json()
    assert (validated["valid"], validated["estimated_records"], validated["estimate_exact"]) == (True, 1, True)
    assert validated["complexity"] == "simple"
    previewed = api.post(f"{place}/preview-query", GUIDE_QUERY | {"limit": 5, "steps": True})
    assert previewed.status_code == 200, previewed.json()
    shown = previewed.json()
    assert shown["sql_hash"] == validated["sql_hash"]
    assert shown["sample_data"] == [{"external_id": 1, "name": "J••• D•••"}]
    assert shown["counts"] == [2, 2, 1]
    joins = api.post(f"{place}/builder/analyze-joins", GUIDE_QUERY).json()["joins"]
    assert (joins[0]["table"], joins[0]["matched_records"], joins[0]["unmatched_records"]) == ("emails", 1, 1)
    wrong = GUIDE_QUERY | {"filters": [{"field": "customers.creatd_at", "operator": ">=", "value": "2024-01-01"}]}
    answer = api.post(f"{place}/builder/validate", wrong)
    assert answer.status_code == 200
    assert answer.json()["valid"] is False
    assert "created_at" in answer.json()["errors"][0]["hint"]
    refused = api.post(f"{place}/queries", wrong)
    assert (refused.status_code, refused.json()["code"]) == (422, "query_invalid")


@pytest.mark.req("Q28")
def test_an_expression_outside_the_language_is_refused_with_its_place(api: Program, guide_shop: ImportProfile) -> None:
    fields = [{"source": "pg_sleep(10)", "target": "external_id"}]
    answer = api.post(f"/profiles/{guide_shop.pk}/queries", GUIDE_QUERY | {"fields": fields})
    assert answer.status_code == 422
    told = answer.json()
    assert told["code"] == "expression_rejected"
    assert told["position"] == 0
    assert "fields[0].source" in told["errors"]


@pytest.mark.req("I1", "I5", "I6", "I7", "Q15", "Q8")
def test_the_source_is_described(api: Program, guide_shop: ImportProfile) -> None:
    place = f"/profiles/{guide_shop.pk}"
    schema = api.get(f"{place}/schema?refresh=1").json()
    tables = {table["name"]: table for table in schema["schema"]["tables"]}
    assert tables["people"]["primary_key"] == ["id"]
    assert tables["people"]["columns"][0] == {
        "name": "id", "type": "integer", "nullable": False, "default": None, "primary_key": True, "foreign_key": None,
        "comment": None, "role": None,
    }  # fmt: skip
    assert api.get(f"{place}/schema?search=subject").json()["schema"]["tables"][0]["name"] == "cases"
    looked = api.get(f"{place}/introspect?tables=people,orgs").json()["tables"]
    assert [len(table["sample_data"]) for table in looked] == [3, 3]
    assert "shop.example" not in str(looked)
    assert api.get(f"{place}/introspect?tables=nope").json()["code"] == "not_found"
    emails = api.get(f"{place}/introspect-emails").json()["columns"]
    assert ("people", "email") in {(found["table"], found["column"]) for found in emails}
    assert api.get(f"{place}/introspect-time-tracking").json()["columns"] == []
    listed = api.get(f"{place}/builder/tables?per_page=2").json()
    assert (len(listed["data"]), listed["meta"]["total"]) == (2, 5)
    rows = api.post(f"{place}/preview-table", {"table_name": "orgs", "limit": 2}).json()
    assert len(rows["sample_data"]) == 2
    joins = api.post(f"{place}/builder/suggest-joins", {"base_table": "people"}).json()["suggestions"]
    orgs = next(join for join in joins if join["table"] == "orgs")
    assert orgs["conditions"] == [{"left": "people.org_id", "operator": "=", "right": "orgs.id"}]
    assert orgs["evidence"]
    assert orgs["multiplicity"] == "n:1"
    filters = api.post(
        f"{place}/builder/suggest-filters", {"base_table": "people", "target_type": "customer_users"}
    ).json()["suggestions"]
    assert any(found["records"] == 6 for found in filters)


@pytest.mark.req("X10", "X8", "X11", "C9", "J7")
def test_a_query_is_run_once_and_not_saved(
    api: Program, guide_shop: ImportProfile, django_capture_on_commit_callbacks: Any
) -> None:
    path = f"/profiles/{guide_shop.pk}/execute-query"
    missing = api.post(path, {"query_config": GUIDE_QUERY})
    assert (missing.status_code, list(missing.json()["errors"])) == (422, ["queries.customer_users"])
    assert api.post(path, {"query_config": {"base_table": 7}}).json()["code"] == "query_invalid"
    query = GUIDE_QUERY | {"fields": [*GUIDE_QUERY["fields"], {"source": "emails.email", "target": "email"}]}
    body = {"query_config": query, "import_options": {"batch_size": 50}}
    assert api.post(path, body | {"import_options": {"batchsize": 50}}).status_code == 422
    with django_capture_on_commit_callbacks() as told:
        started = api.post(path, body, **{"Idempotency-Key": "once"})
    assert (started.status_code, len(told)) == (201, 2)  # a worker, and whoever watches
    job = ImportJob.objects.get(pk=started.json()["job"]["id"])
    assert (job.status, job.options["batch_size"], job.mode) == ("pending", 50, "upsert")
    assert [spec.target_type for spec in planning.specs_of_job(job)][-1] == "customer_users"
    assert api.post(path, body, **{"Idempotency-Key": "once"}).json() == started.json()
    assert api.post(path, body).json()["code"] == "profile_busy"
    assert not guide_shop.queries.exists()


@pytest.mark.req("M9", "X8", "X9", "X11", "J3", "J4", "J5", "C9", "X18")
def test_an_import_is_started_watched_and_cancelled(
    api: Program, guide_shop: ImportProfile, django_capture_on_commit_callbacks: Any
) -> None:
    api.post(f"/profiles/{guide_shop.pk}/queries", GUIDE_QUERY)
    body = {"profile_id": str(guide_shop.pk)}
    missing = api.post("/jobs", body)  # the guide's example maps no address, which customers must have
    assert (missing.status_code, list(missing.json()["errors"])) == (422, ["queries.customer_users"])
    with_address = [*GUIDE_QUERY["fields"], {"source": "emails.email", "target": "email"}]
    api.post(f"/profiles/{guide_shop.pk}/queries", GUIDE_QUERY | {"fields": with_address})
    body = {"profile_id": str(guide_shop.pk), "options": {"batch_size": 100, "timeout": 3600}}
    started = api.post("/jobs", body, **{"Idempotency-Key": "one"})
    assert started.status_code == 201, started.json()
    job = started.json()["job"]
    assert (job["status"], job["records_total"], job["mode"]) == ("pending", None, "upsert")
    assert api.post("/jobs", body, **{"Idempotency-Key": "one"}).json() == started.json()
    other = api.post("/jobs", body | {"options": {}}, **{"Idempotency-Key": "one"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    busy = api.post("/jobs", body)
    assert (busy.status_code, busy.json()["running_jobs"]) == (409, [job["number"]])
    status = api.get(f"/jobs/{job['id']}/status").json()
    assert (status["job_id"], status["status"], status["records_processed"]) == (job["id"], "pending", 0)
    assert api.post(f"/jobs/{job['id']}/cancel").json()["job"]["status"] == "cancelled"
    assert api.post(f"/jobs/{job['id']}/cancel").status_code == 409
    assert ImportJob.objects.count() == 1
    rehearsal = api.post(f"/profiles/{guide_shop.pk}/rehearse")
    assert (rehearsal.status_code, rehearsal.json()["job"]["kind"]) == (202, "rehearsal")
    ImportJob.objects.update(status=JobStatus.COMPLETED)
    assert api.get("/jobs?status=completed,failed").json()["meta"]["total"] == 2
    assert api.get("/jobs?status=ended").status_code == 422
    unknown = api.post("/jobs", body | {"options": {"batchsize": 3}})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "validation_error")
    assert "batchsize" in unknown.json()["message"]


@pytest.mark.req("Q30", "M10", "M6", "M2")
def test_the_languages_are_described(api: Program) -> None:
    functions = api.get("/expressions").json()["functions"]
    assert {"CONCAT", "COALESCE"} <= {function["name"] for function in functions}
    targets = {target["name"]: target for target in api.get("/target-types").json()["target_types"]}
    assert {"accounts", "customer_users", "agents", "tickets", "ticket_comments", "time_entries"} <= set(targets)
    assert any(field["must_map"] for field in targets["tickets"]["fields"])
    assert "trim" in {item["name"] for item in api.get("/transformations").json()["transformations"]}


@pytest.mark.req("R3", "R4", "R5", "R6", "R12", "R13", "J7", "J8")
def test_the_guides_bulk_calls_on_records(api: Program, alice: Any, finished_job: Any) -> None:
    alice.grants.create(permission="import.records.manage")
    records = {
        record["import_action"]: record for record in api.get(f"/records?job_id={finished_job.pk}").json()["data"]
    }
    failed, waiting = records["failed"], records["review"]
    shown = api.get(f"/records/{failed['id']}").json()
    assert shown["problems"][0]["field"] == "created_at"
    assert {"source_data", "before_image", "after_image", "source_hash", "source_bytes"} <= set(shown)
    errors = api.get(f"/jobs/{finished_job.pk}/errors").json()
    assert errors["groups"] == [{"query": "tickets", "code": "not_a_date", "count": 1}]
    body = {"record_ids": [waiting["id"]], "criteria": {"job_id": str(finished_job.pk), "import_action": "skipped"}}
    approved = api.post("/records/bulk/approve", body)
    assert (approved.status_code, approved.json()["job"], approved.json()["not_found"]) == (200, None, 1)
    assert approved.json()["results"][0]["result"] == "not_found"
    retried = api.post(
        "/records/bulk/retry",
        {"record_ids": [failed["id"], waiting["id"]], "retry_options": {"mode": "create", "skip_duplicates": True}},
    )
    assert retried.status_code == 202, retried.json()
    assert (retried.json()["selected"], retried.json()["not_applicable"]) == (2, 1)
    assert (retried.json()["job"]["mode"], retried.json()["job"]["trigger"]) == ("create", "retry")
    told = {item["record_id"]: item["result"] for item in retried.json()["results"]}
    assert told == {failed["id"]: "queued", waiting["id"]: "not_applicable"}
    assert api.get(f"/records/{failed['id']}").json()["decision"]["decision"] == "retry"
    assert api.post("/records/bulk/retry", {}).status_code == 422
    body = {"record_ids": [failed["id"]], "rollback_target": True}
    nothing = api.call("delete", "/records/bulk", body)
    assert (nothing.status_code, nothing.json()["not_applicable"]) == (200, 1)
    hidden = api.call("delete", "/records/bulk", {**body, "rollback_target": False}).json()
    assert (hidden["succeeded"], hidden["results"][0]["result"]) == (1, "hidden")
    assert api.get(f"/records/{failed['id']}").status_code == 404
    assert finished_job.runs.get().failed == 1
    assert api.post(f"/jobs/{finished_job.pk}/retry").json()["code"] == "profile_busy"
