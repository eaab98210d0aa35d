"""The OpenAPI document says what the API does, and the API does what the document says (C13)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase
from hypothesis import settings as generated
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from exporter.models import ExportJob, ExportTemplate
from importer import operations
from importer.models import FileImport, ImportJob
from permissions.models import ApiToken, ExportPermission, ImportPermission
from servicevault.jobs.models import JobStatus
from tests.thoroughness import rounds

DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


def routes(resolver: URLResolver, prefix: str = "") -> list[str]:
    found = []
    for pattern in resolver.url_patterns:
        place = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += routes(pattern, place)
        elif isinstance(pattern, URLPattern) and place.startswith("api/") and place not in ("api/schema", "api/docs"):
            found.append(place)
    return found


@pytest.mark.req("C13")
def test_every_route_is_documented_and_every_documented_one_exists() -> None:
    served = {
        "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route).replace("{pk}", "{id}") for route in routes(get_resolver())
    }
    assert served == set(DOCUMENT["paths"])


@pytest.mark.req("F-146", "C13")
def test_it_is_read_at_docs_without_the_internet(client: Client) -> None:
    page = client.get("/docs")
    text = page.content.decode()
    assert page.status_code == 200
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert (client.get("/api/docs").status_code, client.get("/api/docs")["Location"]) == (302, "/docs")
    script = client.get("/docs?script=")  # what the page loads, and where it finds the document
    assert "/api/schema" in text + script.content.decode()
    for address in re.findall(r"""(?:src|href)=["'](/[^"']+\.(?:js|css))""", text):
        assert client.get(address).status_code == 200, address
    told = client.get("/api/schema", headers={"Accept": "application/json"}).json()
    assert "/api/v1/data/import/upload" in told["paths"]
    assert "/api/import/profiles" in told["paths"]


@pytest.mark.req("C13")
def test_no_two_shapes_share_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    SchemaGenerator().get_schema(request=None, public=True)
    assert "Warning" not in capsys.readouterr().err


# Guide B numbers its jobs, live events count themselves; the source's own ids, and those of requests, are texts that others made.
NUMBERED = {"ExportJobShape", "FileStarted", "Progress", "Status", "UploadedJob", "WholeJob"}
THEIRS = {"external_id", "object_id", "request_id"}


@pytest.mark.req("C3")
def test_ids_are_uuids_but_for_the_numbers_of_guide_b() -> None:
    shapes = DOCUMENT["components"]["schemas"]
    fields = [
        (name, key, value) for name, shape in shapes.items() for key, value in shape.get("properties", {}).items()
    ]
    numbered = {
        name for name, key, value in fields if is_id(key) and value.get("format") != "uuid" and name != "LiveEvent"
    }
    assert numbered == NUMBERED
    assert all(shapes[name]["properties"]["id"]["type"] == "integer" for name in NUMBERED)
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    parameters = [each for operation in operations for each in operation.get("parameters", []) if is_id(each["name"])]
    assert {each["schema"].get("format") for each in parameters} == {"uuid"}


def is_id(name: str) -> bool:
    return (name == "id" or name.endswith("_id")) and name not in THEIRS


@pytest.mark.req("C13")
def test_every_operation_says_what_it_does_and_how_it_fails() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert {"401", "403", "429"} <= set(operation["responses"]), (path, method)
            assert operation["description"], (path, method)


# API_EXAMPLES=50 asks every operation so often; by default bodies that several operations share are made for one.
EXAMPLES = int(os.environ.get("API_EXAMPLES", "0"))
SHARED_BODIES = [
    "analyze_joins", "suggest_filters", "preview_query", "replace_query", "change_profile", "test_connection",
]  # fmt: skip
ONLY_GENERATED = {"phases": {"coverage": {"enabled": False}, "examples": {"enabled": False}}}
schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(ONLY_GENERATED))
schema.app = get_wsgi_application()
if not EXAMPLES:
    schema = schema.exclude(operation_id=SHARED_BODIES)


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests stay on the test's connection, in its transaction, as they do with Django's own test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def export_of(path: str, user: Any) -> Any:
    """An export, template or schedule of the person's, as the path wants one."""
    saved, _ = ExportTemplate.objects.get_or_create(
        name="Tickets", table_name="tickets", export_format="csv", created_by=user
    )
    if "/templates/" in path:
        return saved.pk
    if "/schedules/" in path:
        return saved.schedules.get_or_create(created_by=user)[0].pk
    return ExportJob.objects.get_or_create(table_name="tickets", export_format="csv", created_by=user)[0].pk


def file_of(user: Any) -> Any:
    """A file of the person's that waits for its start and whose content is gone."""
    job = ImportJob.objects.filter(file__isnull=False, created_by=user).first()
    if job is None:
        job = ImportJob.objects.create(kind="file", mode="create", created_by=user, awaits_start=True)
        FileImport.objects.create(
            job=job, table_name="tickets", original_filename="t.csv", file_size=1, sha256="0" * 64, file_format="csv",
            field_mappings=[],
        )  # fmt: skip
        job.runs.create(key="file", name="t.csv", target_type="table:tickets", source_table="t.csv", position=0)
    return job


@pytest.mark.alike
@pytest.mark.req("C13")
@pytest.mark.django_db
@pytest.mark.usefixtures("one_connection")
@schema.parametrize()
@generated(
    max_examples=EXAMPLES or rounds(3, 2),
    derandomize=True,  # the same requests every time: what is found once stays found
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_it_answers_generated_requests_as_documented(case: Any, alice: Any, shop: Any, people_query: Any) -> None:
    _, text = ApiToken.objects.make(alice, "generated")
    ExportPermission.objects.get_or_create(user=alice, table_name="tickets")
    ImportPermission.objects.get_or_create(user=alice, table_name="tickets")
    job = ImportJob.objects.filter(profile=shop).first()
    if job is None:
        operations.save_query(shop, people_query, by=alice)
        job = ImportJob.objects.create(profile=shop, mode="upsert", created_by=alice, status=JobStatus.COMPLETED)
    place = job.pk if "/jobs/" in case.path else shop.pk
    # Real objects, so that more than the 404 is seen; a place of our own, so that nothing waits for the network.
    known = {"id": str(place), "key": "people", "number": 1, "table_name": "tickets", "secret": "guessed"}
    if "/export/" in case.path:
        place = export_of(case.path, alice)
        known["id"] = str(place)
    if "/data/import/" in case.path:
        known["id"] = str(file_of(alice).pk)
    case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
    if isinstance(case.body, dict) and "table_name" in case.body:
        case.body["table_name"] = "tickets"
    if isinstance(case.body, dict) and "host" in case.body:
        case.body |= {"host": "127.0.0.1", "port": 9}
    case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {text}"})
