"""Agents decided one by one: created, matched with somebody here, or replaced by a stand-in (U25, E39)."""

from __future__ import annotations

from typing import Any

import pytest

from importer import operations
from importer.models import AgentChoice, ExternalRef, ImportRecord
from importer.operations import InvalidFields
from importer.operations.agent_choices import Said, accept_suggestions, choose_agents, forget_choices, person_called
from importer.operations.agents import Agent, list_agents
from servicevault.models import Ticket, User
from tests.importer.desk import Desk

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def staff(desk: Desk) -> Desk:
    """Five agents of the source with tickets; two are here by address, one by name."""
    desk.execute("CREATE TABLE p (id int PRIMARY KEY, name text, mail text)")
    desk.execute(
        "INSERT INTO p VALUES (1, 'Ada', 'ada@x.de'), (2, 'Bob', 'BOB@x.de'), (3, 'Cy', NULL), (4, 'Dora', 'dora@old.de'), "
        "(5, 'Eve', 'eve@x.de')"
    )
    desk.execute("CREATE TABLE t (id int PRIMARY KEY, subject text, body text, agent int)")
    desk.execute("INSERT INTO t SELECT i, 'T' || i, 'x', 1 + i % 5 FROM generate_series(1, 10) i")
    desk.query("agents", "p", {"external_id": "id", "name": "name", "email": "mail"})
    desk.query(
        "tickets", "t", {"external_id": "id", "title": "subject", "description": "body", "agent_external_id": "agent"}
    )
    for name, email in (("Ada Ng", "ada@x.de"), ("Robert", "bob@x.de"), ("Dora", "dora@desk.example")):
        User.objects.create(name=name, email=email, user_type="agent")
    return desk


def called(name: str) -> User:
    return User.objects.get(name=name)


def by_id(staff: Desk) -> dict[str, Agent]:
    return {agent.external_id: agent for agent in list_agents(staff.profile, by=None).agents}


def say(staff: Desk, *said: tuple[str, str, Any]) -> int:
    given = [Said(key, action, person.pk if person else None) for key, action, person in said]
    return choose_agents(staff.profile, given, by=None)


@pytest.mark.req("U25", "E39")
def test_it_lists_what_would_become_of_each_and_who_fits(staff: Desk) -> None:
    agents = by_id(staff)
    assert [(key, agent.state, agent.tickets) for key, agent in agents.items()] == [
        ("1", "matched", 2), ("2", "trouble", 2), ("3", "new", 2), ("4", "new", 2), ("5", "new", 2),
    ]  # fmt: skip
    assert (agents["1"].target, agents["1"].fate.confidence) == (called("Ada Ng"), 100)
    # Letter for letter "BOB@x.de" is another address; here two that differ in case are one.
    assert "Robert here has the address of Bob (id 2). Match the two" in agents["2"].problem
    assert (agents["2"].is_suggested, agents["2"].fate.match.reason) == (True, "same address")
    assert (agents["4"].is_suggested, agents["4"].fate.match.confidence) == (False, 60)
    assert agents["4"].fate.match.reason == "the only one with this name"
    assert not User.objects.filter(name__in=["Cy", "Eve"]).exists()
    assert not ExternalRef.objects.exists()


@pytest.mark.req("U25", "K3", "E26")
def test_a_run_does_what_was_chosen(staff: Desk) -> None:
    stand_in = User.objects.create(name="Former agents", user_type="agent", is_visible=False)
    bob, dora = called("Robert"), called("Dora")
    assert (
        say(
            staff, ("2", "match", bob), ("3", "placeholder", None), ("4", "match", dora), ("5", "placeholder", stand_in)
        )
        == 4
    )
    rehearsal = staff.run(dry_run=True)
    assert staff.outcomes(rehearsal, "agents") == {"read": 5, "updated": 3, "skipped": 2}
    query = staff.profile.queries.get(key="agents")
    sampled = operations.sample_query(staff.profile, operations.body_of(query), by=None, reveal=True).sample
    assert [str(row.outcome) for row in sampled.rows] == ["updated", "updated", "skipped", "updated", "skipped"]

    job = staff.run()
    assert staff.outcomes(job, "agents") == {"read": 5, "updated": 3, "skipped": 2}
    system = User.objects.get(username="service-vault-import")
    wanted = {"1": called("Ada").pk, "2": bob.pk, "3": system.pk, "4": dora.pk, "5": stand_in.pk}
    assert {key: staff.target_of("agents", key) for key in wanted} == wanted
    assert {ticket.agent_id for ticket in Ticket.objects.all()} == set(wanted.values())
    bob.refresh_from_db()
    assert (bob.name, bob.email) == ("Bob", "bob@x.de")
    record = staff.record(job, "4", "agents")
    assert (record.confidence, record.matching) == (100, {"by": "choice"})
    assert not User.objects.filter(name__in=["Cy", "Eve"]).exists()

    # A second run finds the same, and never writes a row into its stand-in.
    again = staff.run()
    assert staff.outcomes(again, "agents") == {"read": 5, "unchanged": 3, "skipped": 2}
    stand_in.refresh_from_db()
    system.refresh_from_db()
    assert (stand_in.name, system.name) == ("Former agents", "Service Vault Import")


@pytest.mark.req("U25", "E39")
def test_what_was_said_is_taken_back(staff: Desk) -> None:
    dora, robert = called("Dora"), called("Robert")
    say(staff, ("3", "placeholder", None), ("5", "placeholder", dora))
    staff.run()
    assert staff.target_of("agents", "5") == dora.pk
    assert forget_choices(staff.profile, by=None) == 2
    job = staff.run()
    assert staff.outcomes(job, "agents") == {"read": 5, "created": 2, "unchanged": 2, "review": 1}
    assert staff.target_of("agents", "5") == called("Eve").pk
    assert staff.outcomes(staff.run(), "agents") == {"read": 5, "unchanged": 4, "review": 1}
    # Who was imported is somebody else after all: what comes from now on is theirs.
    say(staff, ("3", "match", robert))
    moved = staff.run()
    assert staff.outcomes(moved, "agents") == {"read": 5, "updated": 1, "unchanged": 3, "review": 1}
    assert staff.target_of("agents", "3") == robert.pk


@pytest.mark.req("E39")
def test_the_strategy_for_all_never_renames_its_stand_in(staff: Desk) -> None:
    stand_in = User.objects.create(name="Former agents", user_type="agent")
    staff.profile.agent_strategy, staff.profile.placeholder_agent = "placeholder", stand_in
    staff.profile.save()
    for _ in range(2):
        staff.run()
        stand_in.refresh_from_db()
        assert (stand_in.name, stand_in.email) == ("Former agents", None)
    assert say(staff, ("3", "create", None)) == 1
    assert staff.outcomes(staff.run(), "agents")["created"] == 1
    assert called("Cy").pk == staff.target_of("agents", "3")
    staff.profile.agent_strategy, staff.profile.placeholder_agent = "placeholder", None
    staff.profile.save()
    staff.run()
    assert staff.target_of("agents", "5") == User.objects.get(username="service-vault-import").pk


@pytest.mark.req("U25")
def test_all_suggestions_are_accepted_in_one_step(staff: Desk) -> None:
    assert list_agents(staff.profile, by=None).counts["suggested"] == 2
    assert accept_suggestions(staff.profile, by=None) == 2
    chosen = AgentChoice.objects.values_list("external_id", "action", "person__name")
    assert list(chosen) == [("1", "match", "Ada Ng"), ("2", "match", "Robert")]
    assert by_id(staff)["2"].state == "matched"
    assert staff.outcomes(staff.run(), "agents") == {"read": 5, "created": 3, "updated": 2}


@pytest.mark.req("U25", "C10")
def test_errors_name_the_person_and_the_next_step(staff: Desk) -> None:
    customer = User.objects.create(name="Cora", email="cora@acme.example")
    bob = called("Robert")
    wrong = [
        (("3", "match", None), "Cy (id 3): say whom they are here"),
        (("3", "match", customer), "Cora is a customer here, no agent"),
        (("3", "match", User.objects.get(username="service-vault-import")), "only stands in"),
        (("99", "create", None), "no agent with the id 99"),
        (("3", "explode", None), "is no choice"),
    ]
    for said, words in wrong:
        with pytest.raises(InvalidFields) as caught:
            say(staff, said)
        assert words in str(caught.value)
    with pytest.raises(InvalidFields) as caught:
        say(staff, ("2", "match", bob), ("3", "match", bob))
    assert "Bob (id 2) and Cy (id 3) cannot both be Robert. Choose the placeholder for one" in str(caught.value)
    assert not AgentChoice.objects.exists()

    # Whom one agent is said to be, another one with that address is not: it waits for a person.
    say(staff, ("3", "match", called("Ada Ng")), ("4", "match", bob))
    assert "Ada (id 1) fits Ada Ng, and so does Cy (id 3)" in by_id(staff)["1"].problem
    bob.delete()
    assert "Dora (id 4) was to be matched with “Robert”, who is gone. Choose again" in by_id(staff)["4"].problem
    job = staff.run()
    failed = staff.record(job, "4", "agents")
    assert (failed.action, failed.code) == ("failed", "agent_choice")
    assert "who is gone" in failed.problems[0]["message"]
    assert ImportRecord.objects.get(run__job=job, source_identifier="1", run__key="agents").code == "unique_conflict"
    assert staff.target_of("agents", "3") == User.objects.get(name="Cy").pk


def test_our_people_are_found_by_what_somebody_types(staff: Desk, alice: Any) -> None:
    assert person_called(alice, "BOB@x.de").name == "Robert"
    assert person_called(alice, "Robert <bob@x.de>").name == "Robert"
    assert person_called(alice, "obert").name == "Robert"
    with pytest.raises(InvalidFields, match=r"Several agents here fit “a”: .*Write the address"):
        person_called(alice, "a")
    with pytest.raises(InvalidFields, match="No agent here is called “nobody”"):
        person_called(alice, "nobody")


@pytest.mark.req("D1", "J23")
def test_a_copy_has_the_choices_and_an_approval_is_bound_to_them(staff: Desk) -> None:
    from importer.operations import consent

    job = staff.start()
    before = consent.digest(job.pk)
    say(staff, ("3", "create", None))
    assert consent.digest(job.pk) != before
    copy = operations.duplicate_profile(staff.profile, "Second", by=None)
    assert list(copy.agent_choices.values_list("external_id", "action")) == [("3", "create")]
