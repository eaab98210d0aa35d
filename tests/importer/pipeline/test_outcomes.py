"""Every row read ends in exactly one outcome, by mode (O1-O8)."""

from __future__ import annotations

import pytest

from importer.models import ImportRecord
from servicevault.models import Account
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def companies(desk: Desk) -> Desk:
    desk.execute("CREATE TABLE companies (id int PRIMARY KEY, name text, city text)")
    desk.execute("INSERT INTO companies VALUES (1, 'Acme', 'Bonn'), (2, 'Beta', 'Ulm'), (3, 'Cargo', NULL)")
    desk.query("accounts", "companies", {"external_id": "id", "name": "name", "city": "city"})
    return desk


@pytest.mark.req("O3", "DEC-02", "J18", "E17")
def test_it_creates_updates_and_leaves_alone(companies: Desk) -> None:
    first = companies.run()
    companies.execute(
        "UPDATE companies SET city = 'Köln' WHERE id = 1; INSERT INTO companies VALUES (4, 'Delta', 'Jena')"
    )
    second = companies.run()

    assert first.status == second.status == "completed"
    assert companies.outcomes(first) == {"read": 3, "created": 3}
    assert companies.outcomes(second) == {"read": 4, "created": 1, "updated": 1, "unchanged": 2}
    assert set(Account.objects.values_list("name", "city")) == {
        ("Acme", "Köln"), ("Beta", "Ulm"), ("Cargo", None), ("Delta", "Jena"),
    }  # fmt: skip


@pytest.mark.req("O1")
def test_create_mode_skips_what_exists(companies: Desk) -> None:
    companies.run()
    companies.execute(
        "UPDATE companies SET city = 'Köln' WHERE id = 1; INSERT INTO companies VALUES (4, 'Delta', 'Jena')"
    )
    job = companies.run(mode="create_only")

    assert companies.outcomes(job) == {"read": 4, "created": 1, "skipped": 3}
    assert companies.record(job, "1").code == "exists"
    assert Account.objects.get(name="Acme").city == "Bonn"


@pytest.mark.req("O2")
def test_update_mode_skips_what_is_new(companies: Desk) -> None:
    companies.run()
    companies.execute(
        "UPDATE companies SET city = 'Köln' WHERE id = 1; INSERT INTO companies VALUES (4, 'Delta', 'Jena')"
    )
    job = companies.run(mode="update")

    assert companies.outcomes(job) == {"read": 4, "updated": 1, "unchanged": 2, "skipped": 1}
    assert companies.record(job, "4").code == "not_found"
    assert not Account.objects.filter(name="Delta").exists()


@pytest.mark.req("O7")
def test_a_target_that_a_person_deleted_stays_deleted(companies: Desk) -> None:
    companies.run()
    Account.objects.get(name="Beta").delete()
    job = companies.run()

    assert companies.outcomes(job) == {"read": 3, "unchanged": 2, "skipped": 1}
    assert companies.record(job, "2").code == "target_deleted"

    again = companies.run(options={"recreate_deleted": True})
    assert companies.outcomes(again) == {"read": 3, "unchanged": 2, "created": 1}
    assert companies.target_of("accounts", "2") == Account.objects.get(name="Beta").pk


@pytest.mark.req("K11")
def test_repeats_of_an_identifier_are_skipped_and_named(desk: Desk) -> None:
    desk.execute("CREATE TABLE companies (id int PRIMARY KEY, name text)")
    desk.execute("CREATE TABLE mails (company int, mail text)")
    desk.execute("INSERT INTO companies VALUES (1, 'Acme'), (2, 'Beta')")
    desk.execute("INSERT INTO mails VALUES (1, 'a@x.de'), (1, 'b@x.de'), (1, 'c@x.de'), (2, 'd@x.de')")
    desk.query(
        "accounts",
        "companies",
        {"external_id": "id", "name": "name", "email": {"source": "mails.mail"}},
        joins=[{"type": "LEFT", "table": "mails", "on": "mails.company = companies.id"}],
    )
    first, second = desk.run(), desk.run()

    assert desk.outcomes(first) == {"read": 4, "created": 2, "skipped": 2}
    codes = ImportRecord.objects.filter(run__job=first, source_identifier="1").order_by("ordinal")
    assert [record.code for record in codes] == [None, "duplicate_in_source", "duplicate_in_source"]
    assert desk.outcomes(second)["skipped"] == 2
    assert "updated" not in desk.outcomes(second)


@pytest.mark.req("R1", "R2")
def test_records_keep_the_row_its_hash_and_both_images(companies: Desk, target) -> None:
    first = companies.run()
    companies.execute("UPDATE companies SET city = 'Köln' WHERE id = 1")
    second = companies.run()

    created, updated = companies.record(first, "1"), companies.record(second, "1")
    assert created.source_data == {"external_id": 1, "name": "Acme", "city": "Bonn"}
    assert created.before_image is None
    assert created.after_image["city"] == "Bonn"
    assert (updated.before_image, updated.after_image, updated.changed_fields) == (
        {"city": "Bonn"},
        {"city": "Köln"},
        ["city"],
    )
    wrong = target.execute(
        "SELECT count(*) FROM importer_importrecord WHERE source_hash <> sha256(convert_to(source_data::text, 'UTF8'))"
    ).fetchone()
    assert wrong == (0,)


@pytest.mark.req("O8")
def test_without_matching_only_identity_counts(companies: Desk) -> None:
    Account.objects.create(name="ACME")
    companies.profile.matching = {"enabled": False}
    companies.profile.save()
    assert companies.outcomes(companies.run()) == {"read": 3, "created": 3}


def test_unchanged_rows_are_recorded_when_asked(companies: Desk) -> None:
    companies.run()
    job = companies.run(options={"record_unchanged": True})
    assert companies.outcomes(job) == {"read": 3, "unchanged": 3}
    assert ImportRecord.objects.filter(run__job=job, action="unchanged").count() == 3


def test_a_changed_mapping_is_applied_to_rows_the_source_did_not_change(companies: Desk) -> None:
    companies.run()
    companies.query(
        "accounts", "companies", {"external_id": "id", "name": "name", "city": {"source": "UPPER(companies.city)"}}
    )
    assert companies.outcomes(companies.run()) == {"read": 3, "updated": 2, "unchanged": 1}
    assert Account.objects.get(name="Acme").city == "BONN"
