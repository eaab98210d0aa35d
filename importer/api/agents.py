"""`/api/import/profiles/<id>/agents`: the source's agents one by one, and what becomes of each (U25, E39)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer.api.profiles import ImportApi
from importer.modes import AgentAction, AgentStrategy
from importer.operations import agent_choices
from importer.operations.agent_choices import AS_STRATEGY, Said
from importer.operations.agents import Agent, list_agents
from servicevault.api.documents import envelope, page_of
from servicevault.api.views import PageParameters, listed
from servicevault.wording import say, say_count

MOST_SAID = 5_000
STATES = ("trouble", "suggested", "chosen", "matched", "new", "stand_in", "left_out")


class AgentParameters(PageParameters):
    search = serializers.CharField(required=False, max_length=255, help_text="Part of a name, an address or an id.")
    state = serializers.ChoiceField(STATES, required=False)


class Here(serializers.Serializer[Any]):
    """A person of ours."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class Suggested(Here):
    confidence = serializers.FloatField()
    reason = serializers.CharField()


class Chosen(serializers.Serializer[Any]):
    action = serializers.ChoiceField(AgentAction.choices)
    user = Here(allow_null=True)


class AgentShape(serializers.Serializer[Any]):
    """An agent of the source, what a run would make of them now, and what was chosen instead of the strategy."""

    entity = serializers.CharField()
    external_id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    email = serializers.CharField(allow_blank=True)
    tickets = serializers.IntegerField(allow_null=True, help_text="Of the first 100,000; null when nobody counted.")
    state = serializers.ChoiceField(("trouble", "matched", "new", "stand_in", "left_out"))
    user = Here(allow_null=True, help_text="Whom they become, or who stands in; null for a new one.")
    confidence = serializers.FloatField(allow_null=True)
    problem = serializers.CharField(allow_blank=True)
    suggestion = Suggested(allow_null=True)
    choice = Chosen(allow_null=True)


class SaidBody(serializers.Serializer[Any]):
    external_id = serializers.CharField(max_length=255)
    entity = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    action = serializers.ChoiceField([*AgentAction.choices, (AS_STRATEGY, say("As the strategy says"))])
    user_id = serializers.UUIDField(required=False, allow_null=True, default=None)


class AgentsBody(serializers.Serializer[Any]):
    """Agents that are not named stay as they are."""

    choices = SaidBody(many=True, required=False, max_length=MOST_SAID)
    accept_suggestions = serializers.BooleanField(required=False, default=False)
    agent_strategy = serializers.ChoiceField(AgentStrategy.choices, required=False)
    stand_in_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="Who stands in where none is named; null: the system user."
    )
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)


class Agents(ImportApi):
    rate = "builder"
    reads_source = True

    @extend_schema(
        operation_id="list_agents",
        parameters=[AgentParameters],
        responses=page_of("AgentPage", AgentShape),
        tags=["profiles"],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """The agents of the source, those first who need a decision. `meta.counts` tells how many are in each state."""
        profile = self.profile(pk, "change")
        given = self.query(AgentParameters)
        found = list_agents(profile, by=request.user)
        more = {"counts": dict(found.counts), "agent_strategy": profile.agent_strategy, "is_cut": found.is_cut}
        rows = found.matching(given.get("search", ""), given.get("state", ""))
        return listed(rows, given, _shape, more={**more, "troubles": list(found.troubles)})

    @extend_schema(
        operation_id="choose_agents",
        request=AgentsBody,
        responses={200: envelope("AgentsChosen", message=serializers.CharField(), changed=serializers.IntegerField())},
        tags=["profiles"],
    )
    def put(self, request: Request, pk: UUID) -> Response:
        """Say what becomes of agents: create, match with a person of ours, let a placeholder stand in, or nothing any more.

        All or nothing: what is wrong names the agent and the next step.
        """
        profile = self.profile(pk, "change")
        given = self.body(AgentsBody)
        said = [
            Said(item["external_id"], item["action"], item["user_id"], item["entity"], f"choices.{number}")
            for number, item in enumerate(given.get("choices", ()))
        ]
        with transaction.atomic():
            changed = agent_choices.choose_agents(profile, said, by=request.user, version=given.get("version"))
            if "agent_strategy" in given or "stand_in_id" in given:
                stand_in = profile.placeholder_agent
                if "stand_in_id" in given:
                    stand_in = agent_choices.person_with(request.user, given["stand_in_id"])
                strategy = given.get("agent_strategy", profile.agent_strategy)
                agent_choices.set_strategy(profile, strategy, by=request.user, stand_in=stand_in)
            if given["accept_suggestions"]:
                changed += agent_choices.accept_suggestions(profile, by=request.user)
        return Response(
            {"message": say_count("{count} choice changed.", "{count} choices changed.", changed), "changed": changed}
        )


def _shape(agent: Agent) -> dict[str, Any]:
    fate, likeness, choice = agent.fate, agent.likeness, agent.choice
    return {
        "entity": agent.entity,
        "external_id": agent.external_id,
        "name": agent.name,
        "email": agent.email,
        "tickets": agent.tickets,
        "state": agent.state,
        "user": _person(agent.target),
        "confidence": fate.confidence,
        "problem": agent.problem,
        "suggestion": {
            "id": str(likeness.target_id),
            "name": likeness.target_name,
            "confidence": likeness.confidence,
            "reason": likeness.reason,
        }
        if likeness is not None
        else None,
        "choice": {"action": choice.action, "user": _person(choice.person)} if choice is not None else None,
    }


def _person(person: Any) -> dict[str, str] | None:
    return {"id": str(person.pk), "name": person.name} if person is not None else None
