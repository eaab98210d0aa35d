"""What people said about single agents of a source, as a run takes it, and why a choice can no longer be kept (U25)."""

from __future__ import annotations

from typing import Any

from importer.models import AgentChoice, ImportProfile
from importer.modes import AgentAction
from importer.pipeline.plan import Choice
from servicevault.catalog import Target
from servicevault.wording import say


def of_entity(profile: ImportProfile, entity: str, target: Target) -> tuple[Choice, ...]:
    """The choices about one entity's rows; none where the target knows no stand-ins. One query."""
    if not target.stand_in:
        return ()
    stored = profile.agent_choices.filter(entity=entity).select_related("person")
    return tuple(
        Choice(choice.external_id, AgentAction(choice.action), choice.person_id, problem_of(choice))
        for choice in stored
    )


def problem_of(choice: AgentChoice) -> str:
    """Why the choice cannot be done now, naming who is meant and what to do; empty when it can."""
    who = named(choice.name, choice.external_id)
    whom = choice.person_name or "somebody"
    again = say("Choose again for {who} on the page Value maps.", who=who)
    if choice.person is None and (choice.action == AgentAction.MATCH or choice.person_name):
        is_match = choice.action == AgentAction.MATCH
        wanted = (
            say("was to be matched with “{whom}”", whom=whom)
            if is_match
            else say("was to be replaced by “{whom}”", whom=whom)
        )
        return say("{who} {wanted}, who is gone. {again}", who=who, wanted=wanted, again=again)
    if choice.person is not None and not is_agent(choice.person):
        return say("{who} was to be matched with “{whom}”, who is no agent. {again}", who=who, whom=whom, again=again)
    return ""


def named(name: str, external_id: str) -> str:
    """How messages call an agent of the source."""
    return (
        say("{name} (id {external_id})", name=name, external_id=external_id)
        if name
        else say("The agent with the id {external_id}", external_id=external_id)
    )


def is_agent(person: Any) -> bool:
    return bool(person.user_type == "agent")


def bound(profile: ImportProfile) -> list[tuple[str, ...]]:
    """The choices as an approval is bound to them."""
    rows = profile.agent_choices.values_list("entity", "external_id", "action", "person_id")
    return [tuple(map(str, row)) for row in rows.order_by("entity", "external_id")]
