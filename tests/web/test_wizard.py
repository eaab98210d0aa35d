"""The way of a profile, page by page, against a small FreeScout: connect, what is it, value maps, matching, preview."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from importer.models import ImportJob, ImportProfile, JobKind
from templates_registry import operations as packs
from templates_registry.models import Template

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def browser(logged_in: Callable[[Any], Any], alice: Any) -> Any:
    return logged_in(alice)


@pytest.fixture
def ready(desk_profile: ImportProfile) -> ImportProfile:
    """The small FreeScout with the template applied."""
    packs.apply(desk_profile, Template.objects.get(platform="freescout", is_system=True))
    desk_profile.refresh_from_db()
    return desk_profile


def page(browser: Any, name: str, profile: Any, query: str = "") -> str:
    answer = browser.get(reverse(name, args=[profile.pk]) + query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def post(browser: Any, name: str, profile: Any, /, **form: Any) -> Any:
    return browser.post(reverse(name, args=[profile.pk]), form, follow=True)


# -- connect ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("U16", "P18")
def test_it_fills_the_fields_from_an_address_and_keeps_its_password_out_of_the_page(browser: Any) -> None:
    url = "postgresql://ann:s3cr3t-pw@db.example:6543/desk?sslmode=require&application_name=x"
    text = browser.post(reverse("profile_new"), {"action": "parse", "url": url}).content.decode()
    for value in ('value="db.example"', 'value="6543"', 'value="desk"', 'value="ann"', "Not used: application_name"):
        assert value in text
    assert "s3cr3t-pw" not in text
    assert "type it below" in text


def test_it_says_what_is_wrong_with_an_address(browser: Any) -> None:
    answer = browser.post(reverse("profile_new"), {"action": "parse", "url": "mysql://x"})
    assert (answer.status_code, "not a PostgreSQL address" in answer.content.decode()) == (422, True)


@pytest.mark.req("U17", "P16")
def test_it_tests_stage_by_stage_and_stores_nothing(browser: Any, source_form: dict[str, Any]) -> None:
    text = browser.post(reverse("profile_new"), source_form | {"action": "test"}).content.decode()
    for words in ("The connection works", "Logged in as", "Rights of the login", "CREATE ROLE"):
        assert words in text
    assert source_form["password"] not in text
    assert not ImportProfile.objects.exists()


@pytest.mark.req("U17", "P2")
def test_it_offers_to_save_untested_only_after_a_failed_test(browser: Any, source_form: dict[str, Any]) -> None:
    wrong = source_form | {"password": "wrong"}
    answer = browser.post(reverse("profile_new"), wrong)
    assert answer.status_code == 422
    assert "Save untested" in answer.content.decode()
    assert not ImportProfile.objects.exists()
    browser.post(reverse("profile_new"), wrong | {"action": "save_untested"})
    assert ImportProfile.objects.get().last_tested_at is None


def test_it_leads_from_the_saved_connection_to_what_it_is(browser: Any, source_form: dict[str, Any]) -> None:
    answer = browser.post(reverse("profile_new"), source_form, headers={"hx-request": "true"})
    profile = ImportProfile.objects.get()
    assert profile.last_test_result is not None
    assert answer["HX-Redirect"] == reverse("profile_template", args=[profile.pk])


def test_it_ties_a_missing_field_to_its_message(browser: Any, source_form: dict[str, Any]) -> None:
    answer = browser.post(reverse("profile_new"), source_form | {"host": ""})
    text = answer.content.decode()
    assert answer.status_code == 422
    assert 'href="#id_host"' in text
    assert 'aria-describedby="id_host_error"' in text
    assert 'id="id_host_error"' in text


@pytest.mark.req("U16", "P8")
def test_it_never_shows_the_stored_password_and_keeps_it_when_none_is_typed(
    browser: Any, desk_profile: ImportProfile, source_form: dict[str, Any]
) -> None:
    before = bytes(desk_profile.secret or b"")
    text = page(browser, "profile_edit", desk_profile)
    assert re.search(r"Set on [\w ]+ by Alice Ng\. Type a new one to replace it", text)
    assert source_form["password"] not in text
    ImportProfile.objects.update(changed_by=None, created_by=None)  # as of one that a command made
    assert re.search(r"Set on [\w ]+\. Type a new one", page(browser, "profile_edit", desk_profile))
    post(browser, "profile_edit", desk_profile, **source_form | {"password": "", "name": "Blue desk", "version": "1"})
    desk_profile.refresh_from_db()
    assert (desk_profile.name, bytes(desk_profile.secret or b"")) == ("Blue desk", before)


@pytest.mark.req("U2", "C10")
def test_it_asks_before_it_overwrites_somebody_elses_change(
    browser: Any, desk_profile: ImportProfile, source_form: dict[str, Any]
) -> None:
    stale = source_form | {"password": "", "name": "Mine", "version": "1"}
    ImportProfile.objects.update(version=2)
    answer = browser.post(reverse("profile_edit", args=[desk_profile.pk]), stale)
    assert answer.status_code == 422
    assert "Overwrite with mine" in answer.content.decode()
    post(browser, "profile_edit", desk_profile, **stale | {"action": "overwrite"})
    assert ImportProfile.objects.get().name == "Mine"


# -- what is it? -----------------------------------------------------------------------------------------------------


@pytest.mark.req("U18", "T20", "T21")
def test_it_says_what_the_source_is_and_applies_it_by_a_click(browser: Any, desk_profile: ImportProfile) -> None:
    text = page(browser, "profile_template", desk_profile)
    assert "Detected FreeScout Platform" in text
    assert "best match" in text
    assert not desk_profile.queries.exists()
    template = Template.objects.get(platform="freescout", is_system=True)
    text = post(
        browser, "profile_template", desk_profile, template=template.pk, timezone="Europe/Berlin"
    ).content.decode()
    assert "is applied" in text
    desk_profile.refresh_from_db()
    assert desk_profile.source_timezone == "Europe/Berlin"
    assert desk_profile.queries.count() == 6


@pytest.mark.req("U18", "T3")
def test_it_asks_replace_or_merge_when_there_are_queries(browser: Any, ready: ImportProfile) -> None:
    template = Template.objects.get(platform="freescout", is_system=True)
    ready.queries.filter(key="tickets").update(name="Cases of mine")
    answer = browser.post(reverse("profile_template", args=[ready.pk]), {"template": template.pk})
    assert answer.status_code == 422
    assert "Replace them, or merge" in answer.content.decode()
    assert ready.queries.get(key="tickets").name == "Cases of mine"
    post(browser, "profile_template", ready, template=template.pk, strategy="replace")
    assert ready.queries.get(key="tickets").name == "Tickets"


def test_it_shows_how_another_template_would_not_fit(browser: Any, desk_profile: ImportProfile) -> None:
    zammad = Template.objects.get(platform="zammad", is_system=True)
    text = page(browser, "profile_template", desk_profile, f"?template={zammad.pk}")
    assert "Chosen Zammad" in text
    assert "stays off" in text
    assert "pgloader" in text  # the way for help desks that are elsewhere


def test_it_parts_from_the_template_and_keeps_the_queries(browser: Any, ready: ImportProfile) -> None:
    post(browser, "profile_template_remove", ready)
    ready.refresh_from_db()
    assert (ready.template, ready.queries.count()) == (None, 6)


# -- overview --------------------------------------------------------------------------------------------------------


@pytest.mark.req("U19")
def test_it_names_the_next_sensible_step(browser: Any, desk_profile: ImportProfile, ready: ImportProfile) -> None:
    ready.last_test_result = {"success": True, "server": "18"}
    ready.save()
    assert "Next: Value maps" in page(browser, "profile", ready)
    page(browser, "profile_value_maps", ready)  # looks, and remembers what is open
    text = page(browser, "profile", ready)
    assert "1 value without a meaning." in text
    assert "1 open" in text
    facts = page(browser, "profile_source", ready)
    assert "PostgreSQL" in facts
    assert "tables" in facts


def test_it_switches_a_query_off_and_on(browser: Any, ready: ImportProfile) -> None:
    post(browser, "profile_switch", ready, query="comments")
    assert not ready.queries.get(key="comments").enabled
    post(browser, "profile_switch", ready, query="comments", enabled="on")
    assert ready.queries.get(key="comments").enabled


@pytest.mark.req("U7")
def test_it_says_why_the_source_cannot_be_asked_and_what_to_do(browser: Any, ready: ImportProfile) -> None:
    ImportProfile.objects.filter(pk=ready.pk).update(port=9)
    for name in ("profile_template", "profile_value_maps", "profile_matching", "profile_preview", "profile_source"):
        text = page(browser, name, ready)
        assert "The source cannot be asked" in text
        assert "Try again" in text
    ImportProfile.objects.filter(pk=ready.pk).update(secret=b"written with a key that is gone")
    text = page(browser, "profile_preview", ready)
    assert "The stored password cannot be read" in text
    assert "Replace the password" in text


# -- value maps, matching, preview -------------------------------------------------------------------------------------


@pytest.mark.req("U25", "E33")
def test_it_lists_open_values_first_and_stores_what_they_become(browser: Any, ready: ImportProfile) -> None:
    text = page(browser, "profile_value_maps", ready)
    assert "1 value without a meaning." in text
    assert text.index("map-tickets-status") < text.index("map-tickets-channel")
    post(browser, "profile_value_maps", ready, **{"value-tickets|status|0": "9", "map-tickets|status|0": "resolved"})
    assert ready.queries.get(key="tickets").value_maps["status"]["9"] == "resolved"
    assert ready.queries.get(key="tickets").value_maps["status"]["1"] == "open"
    assert "Every value has a meaning." in page(browser, "profile_value_maps", ready)


def test_it_refuses_a_meaning_the_field_does_not_have(browser: Any, ready: ImportProfile) -> None:
    form = {"value-tickets|status|0": "9", "map-tickets|status|0": "exploded"}
    answer = browser.post(reverse("profile_value_maps", args=[ready.pk]), form)
    assert (answer.status_code, "is no value of status" in answer.content.decode()) == (422, True)


@pytest.mark.req("U25")
def test_it_accepts_all_suggestions_in_one_step(browser: Any, ready: ImportProfile) -> None:
    query = ready.queries.get(key="tickets")
    query.value_maps = {**query.value_maps, "channel": {}}
    query.save()
    before = page(browser, "profile_value_maps", ready)
    text = post(browser, "profile_value_maps", ready, action="accept").content.decode()
    assert "without a meaning" in before
    assert "taken over" in text


def test_it_keeps_what_happens_to_agents(browser: Any, ready: ImportProfile) -> None:
    post(browser, "profile_value_maps", ready, action="agents", agent_strategy="match_only")
    ready.refresh_from_db()
    assert (ready.agent_strategy, ready.placeholder_agent) == ("match_only", None)
    post(browser, "profile_value_maps", ready, action="agents", agent_strategy="placeholder", stand_in="alice ng")
    ready.refresh_from_db()
    assert (ready.agent_strategy, ready.placeholder_agent.username) == ("placeholder", "alice")
    unknown = {"action": "agents", "agent_strategy": "create", "stand_in": "nobody of ours"}
    answer = browser.post(reverse("profile_value_maps", args=[ready.pk]), unknown)
    assert (answer.status_code, "No agent here is called" in answer.content.decode()) == (422, True)


@pytest.mark.req("U24", "O6", "O5")
def test_it_measures_fields_estimates_modes_and_stores_the_choice(browser: Any, ready: ImportProfile) -> None:
    text = page(browser, "profile_matching", ready)
    assert "created" in text
    assert "Customer users: 100.0 % unique" in text
    assert "Fuzzy comparison is not available yet." in text
    form = {"import_mode": "create", "enabled": "on", "strategy": "exact", "primary_fields": ["email"]}
    post(browser, "profile_matching", ready, **form, confidence_threshold="90", review_floor="70")
    ready.refresh_from_db()
    assert ready.import_mode == "create"
    assert ready.matching == {
        "enabled": True,
        "strategy": "exact",
        "primary_fields": ["email"],
        "confidence_threshold": 90,
        "review_floor": 70,
    }
    assert "then by email, letter for letter." in page(browser, "profile_matching", ready)


@pytest.mark.req("U24", "O6")
def test_it_draws_how_alike_sampled_rows_are_with_the_limits(
    browser: Any, ready: ImportProfile, here: Callable[..., Any]
) -> None:
    assert "There is nothing to draw" in page(browser, "profile_matching", ready)
    here("Cora Customer", "cora@acme.example")
    here("Somebody else", "dan@acme.example")
    ready.matching = {
        "primary_fields": ["email"], "secondary_fields": ["name"], "strategy": "exact", "review_floor": 70,
    }  # fmt: skip
    ready.save()
    text = page(browser, "profile_matching", ready)
    assert 'data-confidences="80 100"' in text
    for words in ("84 %</th>", "100 %</th>", 'data-limit="threshold" x1="85.0"', 'data-limit="floor" x1="70.0"'):
        assert words in " ".join(text.split())
    assert re.findall(r'data-count="(\w+)">(\d+)', text) == [("same", "1"), ("asked", "1"), ("new", "0")]
    form = {"import_mode": "upsert", "confidence_threshold": "75", "review_floor": "90"}
    refused = browser.post(reverse("profile_matching", args=[ready.pk]), form).content.decode()
    assert re.findall(r'data-count="(\w+)">(\d+)', refused) == [("same", "2"), ("asked", "0"), ("new", "0")]


def test_it_refuses_a_floor_above_the_threshold(browser: Any, ready: ImportProfile) -> None:
    form = {"import_mode": "upsert", "confidence_threshold": "80", "review_floor": "90"}
    answer = browser.post(reverse("profile_matching", args=[ready.pk]), form)
    assert (answer.status_code, "nothing could ever wait" in answer.content.decode()) == (422, True)


@pytest.mark.req("U27", "X3", "X5", "X17")
def test_it_shows_rows_as_they_would_be_stored_and_masks_people(browser: Any, ready: ImportProfile, root: Any, logged_in: Any) -> None:  # fmt: skip
    text = page(browser, "profile_preview", ready, "?query=customers")
    assert "estimated from" in text
    assert "cora@acme.example" not in text
    assert "Execute Import (" in text
    assert "SELECT" in text
    address = reverse("profile_preview", args=[ready.pk])
    assert browser.post(address, {"query": "customers", "purpose": "checking"}).status_code == 403
    browser = logged_in(root)
    assert browser.post(address, {"query": "customers", "purpose": ""}).status_code == 422
    assert "cora@acme.example" in browser.post(address, {"query": "customers", "purpose": "checking"}).content.decode()


@pytest.mark.req("X1")
def test_it_has_nothing_to_preview_before_anything_is_configured(browser: Any, desk_profile: ImportProfile) -> None:
    assert "Nothing configured" in page(browser, "profile_preview", desk_profile)


@pytest.mark.req("X4")
def test_it_hands_the_chosen_options_to_the_job(browser: Any, ready: ImportProfile) -> None:
    form = {"mode": "create", "batch_size": "50", "strategy": "exact", "on_error": "stop", "rehearse": "true"}
    post(browser, "profile_start", ready, **form)
    job = ImportJob.objects.get()
    assert (job.kind, job.mode) == (JobKind.REHEARSAL, "create")
    assert job.options == {
        "batch_size": 50, "matching": {"strategy": "exact"}, "error_policy": {"on_error": "stop"},
    }  # fmt: skip
    assert f"Job {job.number} is not finished." in page(browser, "profile_preview", ready)


@pytest.mark.req("X6", "T21")
def test_it_says_how_the_template_fits_or_why_that_cannot_be_told(browser: Any, ready: ImportProfile) -> None:
    assert f"Template {ready.template.name} fits this source by 100 %." in page(browser, "profile_preview", ready)
    broken = Template.objects.get(pk=ready.template.pk)
    broken.pk, broken.definition, broken.is_system = None, {"queries": "none"}, False
    broken._state.adding = True
    broken.save()
    try:
        ImportProfile.objects.filter(pk=ready.pk).update(template=broken)
        told = browser.get(f"/api/import/profiles/{ready.pk}/preview?query=tickets").json()["template"]
        assert told["fit"] is None
        assert told["fit_reason"]
        assert "cannot be told" in page(browser, "profile_preview", ready)
    finally:  # templates stay when a test is swept up
        ImportProfile.objects.filter(pk=ready.pk).update(template=None)
        broken.delete()


@pytest.mark.req("X6", "X7", "X2", "Q17")
def test_it_answers_programs_with_the_same_preview(browser: Any, ready: ImportProfile) -> None:
    found = browser.get(f"/api/import/profiles/{ready.pk}/preview?query=tickets").json()
    assert found["type"] == "template"
    assert [query["key"] for query in found["queries"]] == ["tickets"]
    assert found["impact"]["basis"] == "sample"
    template = found["template"]
    assert (template["name"], template["version"]) == (ready.template.name, ready.template_version)
    assert {item["key"]: item["status"] for item in template["fit"]["queries"]}["tickets"].startswith("fits")
    assert template["fit_reason"] == ""
    assert found["queries"][0]["raw_rows"][0]["status"] == "1"  # as the source has it
    ticket = found["queries"][0]
    assert ticket["estimated_records"] == 3
    assert ticket["sample_data"][0]["target"]["status"] == "open"
    fields = {"id": "external_id", "first_name": "name", "emails.email": "email"}
    body = {
        "base_table": "customers",
        "joins": [{"type": "LEFT", "table": "emails", "on": "emails.customer_id = customers.id"}],
        "target_type": "customer_users",
        "fields": [
            {"source": source if "." in source else f"customers.{source}", "target": target}
            for source, target in fields.items()
        ],
    }
    simulated = browser.post(
        f"/api/import/profiles/{ready.pk}/simulate", {"configuration": body}, content_type="application/json"
    ).json()
    assert simulated["results"]["estimated_records"] == 2
    assert simulated["results"]["target_entities"] == ["customer_users"]
    assert ready.queries.count() == 6


# -- copies, sharing, the end ------------------------------------------------------------------------------------------


@pytest.mark.req("U36", "D1")
def test_it_copies_a_profile(browser: Any, ready: ImportProfile) -> None:
    assert "Copy of Green desk" in page(browser, "profile_duplicate", ready)
    post(browser, "profile_duplicate", ready, name="Second desk", source_key="same")
    assert ImportProfile.objects.get(name="Second desk").queries.count() == 6
    again = browser.post(reverse("profile_duplicate", args=[ready.pk]), {"name": "second DESK"})
    assert (again.status_code, "already" in again.content.decode()) == (422, True)


@pytest.mark.req("G9")
def test_it_shares_a_restricted_profile_with_people(browser: Any, desk_profile: Any, bob: Any, logged_in: Any) -> None:
    form = {"visibility": "restricted"}
    post(browser, "profile_access", desk_profile, **form)
    seen = reverse("profile", args=[desk_profile.pk])
    assert logged_in(bob).get(seen).status_code == 404
    text = post(browser, "profile_access", desk_profile, **form, **{f"right-{bob.pk}": ["view"]}).content.decode()
    assert "Bob Ruiz" in text
    assert logged_in(bob).get(seen).status_code == 200


@pytest.mark.req("P9", "U13")
def test_it_deletes_only_what_was_named(browser: Any, desk_profile: ImportProfile) -> None:
    assert browser.post(reverse("profile_delete", args=[desk_profile.pk]), {"name": "green"}).status_code == 422
    post(browser, "profile_delete", desk_profile, name="Green desk")
    desk_profile.refresh_from_db()
    assert desk_profile.deleted_at is not None
    assert desk_profile.secret is None
