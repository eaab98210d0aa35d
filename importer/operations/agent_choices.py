"""What people say about single agents of a source: stored with the profile, and taken back (U25)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction

from importer.chosen_agents import is_agent, named
from importer.models import AgentChoice, ImportProfile
from importer.modes import AgentAction, AgentStrategy
from importer.operations.agents import Agent, Listed, list_agents, people_here, shown
from importer.operations.failures import InvalidFields, VersionConflict
from permissions import audit, policy
from servicevault.wording import say

AS_STRATEGY = "strategy"


@dataclass(frozen=True)
class Said:
    """What is said about one agent; `person` is whom they are, or who stands in.

    Matched with nobody named they are the one who is suggested; a placeholder without a name is the profile's.
    """

    external_id: str
    action: str  # create, match, placeholder, or strategy: nothing is said
    person: UUID | None = None
    entity: str = ""  # needed where several queries feed agents
    field: str = ""  # where a message about it belongs


def choose_agents(
    profile: ImportProfile,
    said: Sequence[Said],
    *,
    by: Any,
    version: int | None = None,
) -> int:
    """Store what is said about agents, all or nothing, and how many choices changed; what is not named stays.

    Raises InvalidFields naming the agent and the next step: for one the source does not have, a person who is gone,
    hidden or no agent, and a person whom two agents claim. VersionConflict.
    """
    listed = list_agents(profile, by=by) if any(item.action != AS_STRATEGY for item in said) else Listed()
    return _store(profile, said, listed, by=by, version=version)


def accept_suggestions(profile: ImportProfile, *, by: Any) -> int:
    """Match every agent for whom somebody here is suggested; how many that were."""
    listed = list_agents(profile, by=by)
    said = [
        Said(agent.external_id, AgentAction.MATCH, agent.likeness.target_id, agent.entity)
        for agent in listed.agents
        if agent.is_suggested and agent.likeness
    ]
    return _store(profile, said, listed, by=by)


@transaction.atomic
def set_strategy(profile: ImportProfile, strategy: str, *, by: Any, stand_in: Any = None) -> None:
    """What becomes of agents nobody said anything about, and who stands in; nobody named: the system user (E39).

    Raises InvalidFields for an unknown strategy and a stand-in who is no agent.
    """
    if strategy not in AgentStrategy.values:
        raise InvalidFields(
            {"agent_strategy": [say("Use one of {strategies}.", strategies=", ".join(AgentStrategy.values))]}
        )
    if stand_in is not None and not is_agent(stand_in):
        raise InvalidFields(
            {"stand_in": [say("{stand_in} is a customer here, no agent. Choose an agent.", stand_in=stand_in.name)]}
        )
    profile = ImportProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
    before = profile.agent_strategy, profile.placeholder_agent_id
    profile.agent_strategy, profile.placeholder_agent = strategy, stand_in
    if before != (strategy, profile.placeholder_agent_id):
        _note(profile, by, ["agent_strategy", "placeholder_agent"])


def forget_choices(profile: ImportProfile, *, by: Any) -> int:
    """Take back everything that was said: each agent goes as the strategy says."""
    said = [Said(row.external_id, AS_STRATEGY, entity=row.entity) for row in profile.agent_choices.all()]
    return _store(profile, said, Listed(), by=by)


def person_with(by: Any, pk: UUID | None) -> Any:
    """The person with this id, whom the other may see; None for none. Raises InvalidFields."""
    if pk is None:
        return None
    found = policy.restrict(get_user_model().objects.all(), by).filter(pk=pk).first()
    if found is None:
        raise InvalidFields({"stand_in": [say("There is nobody here with the id {pk}. Choose another agent.", pk=pk)]})
    return found


def person_called(by: Any, text: str) -> Any:
    """The one of our agents whom a text means: by address, "Name <address>", whole name, or a part only one has.

    Raises InvalidFields with those who fit.
    """
    wanted = text.replace("\x00", "").strip()
    address = wanted.rsplit("<", 1)[-1].rstrip("> ") if "<" in wanted else wanted
    here = people_here(by)
    for found in (here.filter(email__iexact=address), here.filter(name__iexact=wanted), people_here(by, wanted)[:6]):
        people = list(found[:6])
        if len(people) == 1:
            return people[0]
        if people:
            several = "; ".join(shown(person) for person in people[:5])
            raise InvalidFields(
                {
                    "person": [
                        say(
                            "Several agents here fit “{wanted}”: {several}. Write the address.",
                            wanted=wanted,
                            several=several,
                        )
                    ]
                }
            )
    raise InvalidFields(
        {
            "person": [
                say("No agent here is called “{wanted}”. Search by another part of name or address.", wanted=wanted)
            ]
        }
    )


# -- parts ---------------------------------------------------------------------------------------------------------


@transaction.atomic
def _store(
    profile: ImportProfile,
    said: Sequence[Said],
    listed: Listed,
    *,
    by: Any,
    version: int | None = None,
) -> int:
    profile = ImportProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
    if version is not None and version != profile.version:
        raise VersionConflict(profile.name, changed_by=profile.changed_by, changed_at=profile.updated_at)
    stored = {(row.entity, row.external_id): row for row in profile.agent_choices.select_related("person")}
    wanted = dict(stored)
    errors: dict[str, list[str]] = {}
    places: dict[tuple[str, str], str] = {}
    known = {(agent.entity, agent.external_id): agent for agent in listed.agents}
    entities = {agent.entity for agent in listed.agents} | {entity for entity, _ in stored}
    for number, item in enumerate(said):
        field = item.field or f"choices.{number}"
        key = (item.entity or (next(iter(entities)) if len(entities) == 1 else ""), item.external_id)
        if item.action == AS_STRATEGY:
            wanted.pop(key, None)
            continue
        agent = known.get(key)
        if agent is None:
            text = say(
                "The source has no agent with the id {external_id}. Take one of the list.", external_id=item.external_id
            )
            errors.setdefault(field, []).append(text)
            continue
        places[key] = field
        try:
            wanted[key] = _choice(profile, agent, item, by)
        except InvalidFields as error:
            errors.setdefault(field, []).extend(text for texts in error.errors.values() for text in texts)
    for choice, other in _double(wanted.values()):
        field = places.get(_key(choice)) or places.get(_key(other)) or "choices"
        errors.setdefault(field, []).append(
            say(
                "{one} and {other} cannot both be "
                "{person_name}. Choose the placeholder for one of them, with {person_name} standing in.",
                one=named(other.name, other.external_id),
                other=named(choice.name, choice.external_id),
                person_name=choice.person_name,
            )
        )
    if errors:
        raise InvalidFields(errors)
    return _written(profile, stored, wanted, by=by)


def _choice(profile: ImportProfile, agent: Agent, said: Said, by: Any) -> AgentChoice:
    """What is to be stored. Raises InvalidFields naming the agent."""
    who = named(agent.name, agent.external_id)
    if said.action not in AgentAction.values:
        known = ", ".join((*AgentAction.values, AS_STRATEGY))
        raise InvalidFields(
            {
                "action": [
                    say("{who}: “{action}” is no choice. Use one of {known}.", who=who, action=said.action, known=known)
                ]
            }
        )
    action, person = AgentAction(said.action), None
    wanted = said.person
    if wanted is None and action is AgentAction.MATCH and agent.likeness is not None:
        wanted = agent.likeness.target_id
    if wanted is not None and action is not AgentAction.CREATE:
        visible = (
            policy.restrict(get_user_model().objects.all(), by) if by is not None else get_user_model().objects.all()
        )
        person = visible.filter(pk=wanted).first()
        if person is None:
            raise InvalidFields(
                {
                    "person": [
                        say("{who}: there is nobody here with the id {wanted}. Choose again.", who=who, wanted=wanted)
                    ]
                }
            )
        if not is_agent(person):
            text = say(
                "{who}: {person} is a customer here, no agent. Choose an agent, or “create”.",
                who=who,
                person=person.name,
            )
            raise InvalidFields({"person": [text]})
        if action is AgentAction.MATCH and not person.is_visible:
            raise InvalidFields(
                {
                    "person": [
                        say(
                            "{who}: {person} only stands in for others. Choose “placeholder”.",
                            who=who,
                            person=person.name,
                        )
                    ]
                }
            )
    if action is AgentAction.MATCH and person is None:
        raise InvalidFields(
            {"person": [say("{who}: say whom they are here, or choose “create” or “placeholder”.", who=who)]}
        )
    return AgentChoice(
        profile=profile,
        entity=agent.entity,
        external_id=agent.external_id,
        name=agent.name[:255],
        action=action,
        person=person,
        person_name=person.name if person else "",
        changed_by=by,
    )


def _double(choices: Iterable[AgentChoice]) -> list[tuple[AgentChoice, AgentChoice]]:
    """Choices that claim somebody who is claimed already, each with the one before it."""
    first: dict[Any, AgentChoice] = {}
    found = []
    for choice in choices:
        if choice.action == AgentAction.MATCH and choice.person_id:
            before = first.setdefault(choice.person_id, choice)
            if before is not choice:
                found.append((choice, before))
    return found


def _written(
    profile: ImportProfile,
    stored: Mapping[tuple[str, str], AgentChoice],
    wanted: Mapping[tuple[str, str], AgentChoice],
    *,
    by: Any,
) -> int:
    """Make the stored choices the wanted ones; how many differ."""
    changed = [key for key in {*stored, *wanted} if _means(stored.get(key)) != _means(wanted.get(key))]
    AgentChoice.objects.filter(pk__in=[stored[key].pk for key in changed if key in stored]).delete()
    AgentChoice.objects.bulk_create(
        AgentChoice(**{name: getattr(wanted[key], name) for name in _MEMBERS}) for key in changed if key in wanted
    )
    if changed:
        _note(profile, by, ["agent_choices"], agents=len(changed))
    return len(changed)


def _note(profile: ImportProfile, by: Any, fields: list[str], **details: Any) -> None:
    """Save the profile as changed, with what was changed on record."""
    profile.changed_by = by
    profile.version += 1
    profile.save(update_fields=["agent_strategy", "placeholder_agent", "changed_by", "version", "updated_at"])
    details |= {"fields": fields}
    audit.record("profile_updated", user=by, profile_id=profile.pk, obj=profile, details=details)


def _key(choice: AgentChoice) -> tuple[str, str]:
    return choice.entity, choice.external_id


_MEMBERS = ("profile", "entity", "external_id", "name", "action", "person", "person_name", "changed_by")


def _means(choice: AgentChoice | None) -> tuple[str, Any] | None:
    return None if choice is None else (str(choice.action), choice.person_id)
