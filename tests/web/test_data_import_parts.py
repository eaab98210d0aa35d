"""The pages of a document: its parts changed one by one, kept as a template; and the rehearsal of a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from importer import runner
from importer.file_parts import parts_of
from importer.models import DOCUMENT, ImportJob, ImportTemplate
from permissions.models import ImportPermission
from tests.conftest import person
from tests.importer.conftest import target
from tests.web.test_data_import import PAGE, form_of, people, text_of

__all__ = ["people", "target"]
pytestmark = pytest.mark.usefixtures("committed_db")
DESK = {
    "accounts": [{"external_id": "a", "name": "Acme"}],
    "customers": [
        {"external_id": 7, "name": "Cora", "email": "cora@acme.example", "company": "Acme", "born": "03.04.2024"}
    ],
}


@pytest.fixture
def dora(target: psycopg.Connection) -> Any:
    dora = person("dora", role="Import Operator")
    dora.grants.create(permission="pages.settings.data_import")
    for table in ("users", "accounts"):
        ImportPermission.objects.create(user=dora, table_name=table)
    return dora


def sent(browser: Any, content: dict[str, Any], table: str = DOCUMENT, **fields: str) -> Any:
    file = SimpleUploadedFile("desk.json", json.dumps(content).encode())
    return browser.post(f"{PAGE}/upload", {"table": table, "file": file} | fields)


@pytest.mark.req("F-067", "F-069", "E34")
def test_a_part_is_changed_by_itself_and_the_document_kept_as_a_template(
    dora: Any, logged_in: Callable[[Any], Any]
) -> None:
    browser = logged_in(dora)
    way = sent(browser, DESK)["Location"].removesuffix("/read")
    mapping = browser.get(f"{way}/map?part=customers")
    assert "Account of a customer" in text_of(mapping)
    assert "Account of a customer" not in text_of(browser.get(f"{way}/map?part=accounts"))
    form = form_of(mapping, part="customers", account_strategy="domain", on_duplicate="update")
    assert browser.post(f"{way}/map", form).status_code == 200
    browser.post(f"{way}/read", {"part": "customers", "date_format": "DD.MM.YYYY", "source_key": "old"})
    job = ImportJob.objects.get()
    assert job.file.import_options["parts"]["customers"] == {
        "account_strategy": "domain",
        "on_duplicate": "update",
        "date_format": "DD.MM.YYYY",
    }
    assert job.file.import_options["source_key"] == "old"
    again = browser.get(f"{way}/map?part=customers").content.decode()
    assert '<option value="domain" selected>' in " ".join(again.split())
    assert 'value="DD.MM.YYYY" selected' in browser.get(f"{way}/read?part=customers").content.decode()
    assert 'value="DD.MM.YYYY" selected' not in browser.get(f"{way}/read?part=accounts").content.decode()

    browser.post(f"{way}/template", {"name": "Old desk"})
    template = ImportTemplate.objects.get()
    assert f'<option value="{template.pk}">Old desk' in browser.get(f"{PAGE}?table={DOCUMENT}").content.decode()
    other = {"customers": [{"external_id": 8, "name": "Dan", "extra": 1}], "accounts": DESK["accounts"], "agents": []}
    read = browser.get(sent(browser, other, template=str(template.pk))["Location"])
    told = text_of(read)
    assert "customers: The template maps columns that the file does not have: email, company" in told
    assert "customers: The file has columns that the template does not know: extra" in told
    job = ImportJob.objects.order_by("-number").first()
    assert job is not None
    assert job.file.import_options["parts"]["customers"]["account_strategy"] == "domain"

    told = browser.post(
        reverse("api_file_template", args=[job.pk]), {"template_id": str(template.pk)}, content_type="application/json"
    ).json()
    assert [(each["part"], each["new_columns"]) for each in told["differences"]] == [("customers", ["extra"])]
    body = {"part": "customers", "import_options": {"skip_rows": 0}, "field_mappings": {"name": "name"}}
    changed = browser.put(reverse("api_file_job", args=[job.pk]), body, content_type="application/json")
    assert changed.status_code == 200, changed.content
    job.refresh_from_db()
    assert {part.place: len(part.field_mappings) for part in parts_of(job.file)} == {"accounts": 2, "customers": 1}
    listed = browser.get(reverse("api_import_templates")).json()["templates"]
    assert set(listed[0]["field_mappings"]) == {"accounts", "customers"}


@pytest.mark.req("F-042", "X18", "X19", "U29")
def test_the_check_page_rehearses_and_leads_to_the_plan_and_back(
    people: Any,
    logged_in: Callable[[Any], Any],
) -> None:
    bella = person("bella")
    bella.grants.create(permission="pages.settings.data_import")
    ImportPermission.objects.create(user=bella, table_name="people")
    browser = logged_in(bella)
    people.execute("INSERT INTO people (name, email, department) VALUES ('Ada', 'ada@example.com', 'old')")
    file = SimpleUploadedFile("p.csv", b"name,email,department\nAda,ada@example.com,new\nBo,bo@example.com,x\n")
    way = browser.post(f"{PAGE}/upload", {"table": "people", "file": file})["Location"].removesuffix("/read")
    browser.post(f"{way}/check", {"on_duplicate": "update", "duplicate_key": "email"})
    assert "Rehearse the import" in text_of(browser.get(f"{way}/check"))
    assert browser.post(f"{way}/rehearsal")["Location"] == f"{way}/check#rehearsal"
    busy = browser.get(f"{way}/check")
    assert "Waiting for a worker" in text_of(busy)
    assert 'hx-trigger="live, every 2s"' in busy.content.decode()
    refused = browser.post(f"{way}/start")
    assert refused.status_code == 422
    assert "rehearses the file" in text_of(refused)
    assert browser.post(f"{way}/rehearsal", {"cancel": "1"}).status_code == 302
    assert "Cancelled" in text_of(browser.get(f"{way}/check"))
    browser.post(f"{way}/rehearsal")
    rehearsal = ImportJob.objects.filter(kind="rehearsal").latest("number")
    runner.work(rehearsal.pk)
    part = browser.get(f"{way}/rehearsal", headers={"HX-Request": "true"})
    assert "1 created, 1 updated; nothing was written" in text_of(part)
    assert "hx-trigger" not in part.content.decode()
    plan = browser.get(reverse("job_plan", args=[rehearsal.pk]), {"action": "updated"})
    assert plan.status_code == 200
    assert "<ins>new</ins>" in plan.content.decode()
    assert f"{way}/check" in plan.content.decode()
    assert "Import 2 rows" in text_of(plan)
    assert browser.get(f"{PAGE}/{rehearsal.pk}")["Location"] == reverse(
        "job_plan", args=[rehearsal.pk]
    )  # from the bell
    downloaded = browser.get(reverse("job_plan_download", args=[rehearsal.pk, "csv"]))
    assert b"department" in b"".join(downloaded.streaming_content)
    started = browser.post(reverse("job_plan_run", args=[rehearsal.pk]))
    assert started["Location"] == way
    assert "The file was started since" in text_of(browser.get(reverse("job_plan", args=[rehearsal.pk])))
    assert "People" not in text_of(logged_in(person("carl")).get(reverse("job_plan", args=[rehearsal.pk])))
    root = logged_in(person("root", is_superuser=True))
    for name in ("job", "job_progress", "job_records", "job_plan"):  # a rehearsal without a profile has all its pages
        assert root.get(reverse(name, args=[rehearsal.pk])).status_code == 200
    for name in ("import_jobs", "import_monitor", "notifications"):
        assert root.get(reverse(name)).status_code == 200
    assert root.get(reverse("api_job_plan", args=[rehearsal.pk])).json()["summary"]["updated"] == 1
