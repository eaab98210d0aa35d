"""People: who is the same person, whose address it is, and what an import never touches (E2-E5, K2-K10)."""

from __future__ import annotations

import pytest

from importer.models import ExternalRef
from permissions.models import Role
from servicevault.models import Account, User
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")

PERSON = {"external_id": "id", "name": "name", "email": "mail"}


@pytest.fixture
def people(desk: Desk) -> Desk:
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text)")
    desk.execute(
        "INSERT INTO p VALUES (1, 'Ann', 'Ann@X.de'), (2, 'Bob', 'bob@x.de'), (3, 'Cy', NULL), (4, 'Di', NULL)"
    )
    return desk


@pytest.mark.req("E2", "E3", "E38")
def test_imported_people_cannot_log_in_and_have_no_rights(people: Desk) -> None:
    people.query("customer_users", "p", PERSON)
    people.run()
    ann = User.objects.get(name="Ann")
    assert (ann.email, ann.user_type, ann.username, ann.role, ann.is_superuser) == (
        "ann@x.de",
        "account_user",
        None,
        None,
        False,
    )
    assert not ann.has_usable_password()
    assert User.objects.filter(user_type="account_user", email=None).count() == 2


@pytest.mark.req("E38", "E16")
def test_imported_agents_get_the_agent_role_and_keep_the_old_one_as_a_note(people: Desk) -> None:
    people.query("agents", "p", {**PERSON, "role": {"source": "'admin'"}})
    people.run()
    bob = User.objects.get(name="Bob")
    assert bob.role == Role.objects.get(name="Agent")
    assert bob.custom_fields == {"role": "admin"}


@pytest.mark.req("E3", "E4")
def test_the_same_address_is_an_agent_and_a_customer(people: Desk) -> None:
    root = User.objects.create_superuser("root", "pw-root", name="Root", email="bob@x.de")
    people.query("customer_users", "p", PERSON)
    job = people.run()
    root.refresh_from_db()
    assert people.outcomes(job)["created"] == 4
    assert (root.name, root.is_superuser, root.check_password("pw-root")) == ("Root", True, True)
    assert User.objects.filter(email="bob@x.de").count() == 2


@pytest.mark.req("E24")
def test_ids_of_different_entities_do_not_meet(people: Desk) -> None:
    people.execute("CREATE TABLE staff (id int PRIMARY KEY, name text, mail text)")
    people.execute("INSERT INTO staff VALUES (1, 'Zoe', 'zoe@x.de')")
    people.query("customer_users", "p", PERSON)
    people.query("agents", "staff", PERSON)
    people.run()
    assert User.objects.get(pk=people.target_of("agents", "1")).name == "Zoe"
    assert User.objects.get(pk=people.target_of("customer_users", "1")).name == "Ann"


@pytest.mark.req("K2", "K3", "O3")
def test_an_address_that_is_here_already_is_the_same_person(people: Desk) -> None:
    here = User.objects.create(name="Robert", email="bob@x.de", phone="123")
    people.query("customer_users", "p", PERSON)
    job = people.run()
    here.refresh_from_db()
    assert people.outcomes(job) == {"read": 4, "created": 3, "updated": 1}
    assert (here.name, here.phone) == ("Bob", "123")
    record = people.record(job, "2")
    assert record.confidence == 100
    assert record.matching["by"] == "exact"
    assert people.target_of("customer_users", "2") == here.pk


@pytest.mark.req("K6", "K9", "DEC-19")
@pytest.mark.parametrize("second", ["ANN@x.de", "ann@x.de"])
@pytest.mark.parametrize("batch_size", [10, 2])
def test_addresses_that_differ_in_case_are_a_question_for_a_person(people: Desk, second: str, batch_size: int) -> None:
    people.execute("INSERT INTO p VALUES (5, 'Ann Two', %s)", [second])
    people.query("customer_users", "p", PERSON)
    job = people.run(options={"batch_size": batch_size})
    record = people.record(job, "5")
    assert people.outcomes(job) == {"read": 5, "created": 4, "review": 1}
    assert record.code == "unique_conflict"
    assert record.matching["candidates"] == [{"id": str(people.target_of("customer_users", "1"))}]
    assert not ExternalRef.objects.filter(external_id="5").exists()


@pytest.mark.req("K4", "K7")
def test_case_insensitive_matching_takes_them_for_one(people: Desk) -> None:
    people.execute("INSERT INTO p VALUES (5, 'Ann Two', 'ANN@x.de')")
    people.profile.matching = {"strategy": "case_insensitive_match"}
    people.profile.save()
    people.query("customer_users", "p", PERSON)
    job = people.run()
    assert people.outcomes(job) == {"read": 5, "created": 4, "updated": 1}
    assert people.target_of("customer_users", "5") == people.target_of("customer_users", "1")


@pytest.mark.req("K1", "K5", "K8")
def test_secondary_fields_weigh_a_fifth(people: Desk) -> None:
    User.objects.create(name="ANN", email="ann@x.de")
    User.objects.create(name="Someone else", email="bob@x.de")
    people.profile.matching = {
        "strategy": "case_insensitive", "primary_fields": ["email"], "secondary_fields": ["name"], "review_floor": 70,
    }  # fmt: skip
    people.profile.save()
    people.query("customer_users", "p", PERSON)
    job = people.run()
    assert people.record(job, "1").confidence == 100
    bob = people.record(job, "2")
    assert (bob.action, bob.confidence) == ("review", 80)


@pytest.mark.req("K10")
def test_two_equal_candidates_are_never_guessed(desk: Desk) -> None:
    Account.objects.create(name="Acme")
    Account.objects.create(name="ACME ")
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text)")
    desk.execute("INSERT INTO c VALUES (1, 'acme')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    job = desk.run()
    record = desk.record(job, "1")
    assert (record.action, record.code) == ("review", "ambiguous_match")
    assert len(record.matching["candidates"]) == 2


@pytest.mark.req("E39")
def test_agents_may_be_matched_only_or_stand_in_for(people: Desk) -> None:
    stand_in = User.objects.create(name="Former agent", user_type="agent")
    User.objects.create(name="Bob here", email="bob@x.de", user_type="agent")
    people.query("agents", "p", PERSON)
    people.profile.agent_strategy = "match_only"
    people.profile.save()
    job = people.run()
    assert people.outcomes(job) == {"read": 4, "updated": 1, "failed": 3}
    assert people.record(job, "1").code == "unmatched_agent"

    people.profile.agent_strategy, people.profile.placeholder_agent = "placeholder", stand_in
    people.profile.save()
    job = people.run()
    assert people.outcomes(job) == {"read": 4, "unchanged": 1, "skipped": 3}
    assert people.target_of("agents", "1") == stand_in.pk


@pytest.mark.req("E22")
def test_what_a_form_would_refuse_fails(people: Desk) -> None:
    people.execute("UPDATE p SET mail = 'not an address' WHERE id = 2")
    people.query("customer_users", "p", PERSON)
    job = people.run()
    assert people.record(job, "2").code == "bad_email"
    assert people.outcomes(job)["created"] == 3


def test_two_rows_with_one_address_in_one_slice_become_one_person(people: Desk) -> None:
    people.execute("INSERT INTO p VALUES (5, 'Bob B.', 'bob@x.de'), (6, 'Bobby', 'bob@x.de')")
    people.query("customer_users", "p", PERSON)
    job = people.run()
    assert people.outcomes(job) == {"read": 6, "created": 4, "updated": 2}
    assert User.objects.get(email="bob@x.de").name == "Bobby"
