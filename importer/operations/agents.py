"""The agents of a source one by one, and what would become of each (U25, E39)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from importer import chosen_agents, codes
from importer.chosen_agents import named
from importer.errors import ImporterError, QueryError, SourceError
from importer.mapping.people import Fate, PersonMatch, fates
from importer.mapping.value_maps import frequencies
from importer.models import AgentChoice, ImportProfile, ImportQuery
from importer.modes import AgentAction
from importer.operations import masking
from importer.operations.previews import check_sql, profile_queries
from importer.operations.profiles import check_active
from importer.operations.schema import kept, looking, source_map
from importer.planning import plan_draft, stored_spec
from importer.runner import connect_target
from importer.sources.session import SourceSession
from permissions import policy
from servicevault import catalog
from servicevault.wording import say

AGENTS, TICKETS = "agents", "tickets"
MOST_PEOPLE = 5_000
State = Literal["matched", "new", "stand_in", "left_out", "trouble"]


@dataclass(frozen=True)
class Agent:
    """One agent of the source."""

    entity: str
    fate: Fate
    target: Any  # the person here whom they become, or who stands in
    choice: AgentChoice | None
    tickets: int | None  # None where nobody counted
    threshold: float  # from which on a resemblance is a suggestion
    claimed_by: str = ""  # another agent of the source who is said to be the one that fits

    @property
    def external_id(self) -> str:
        return self.fate.person.external_id

    @property
    def name(self) -> str:
        return self.fate.person.name

    @property
    def email(self) -> str:
        return self.fate.person.email

    @property
    def likeness(self) -> PersonMatch | None:
        """Whom address or name find here, unless another agent is that one, or it is known who they are."""
        match = self.fate.match
        return match if match.target_id and not self.claimed_by and not self.was_imported else None

    @property
    def is_suggested(self) -> bool:
        return self.choice is None and self.likeness is not None and self.likeness.confidence >= self.threshold

    @property
    def was_imported(self) -> bool:
        return self.fate.by == "source_identity"

    @property
    def problem(self) -> str:
        """What stands in the way, with the next step; empty when nothing does."""
        if self.choice is not None and (broken := chosen_agents.problem_of(self.choice)):
            return broken
        who, fate = named(self.name, self.external_id), self.fate
        if fate.action == "defer":
            return say("{who} has the address of another agent of the source. Say who each of them is.", who=who)
        if self.claimed_by and self.choice is None and fate.match.confidence >= 100:
            return say(
                "{who} fits {target_name}, and so does {claimed_by}. Say who each of them is.",
                who=who,
                target_name=fate.match.target_name,
                claimed_by=self.claimed_by,
            )
        if fate.code == "unique_conflict":
            here = fate.match.target_name or "somebody"
            return say(
                "{here} here has the address of {who}. Match the two, or let a placeholder stand in.",
                here=here,
                who=who,
            )
        if fate.action in ("failed", "review") and fate.code != "unmatched_agent":
            return f"{who}: {fate.message or codes.words(fate.code)}"
        return ""

    @property
    def state(self) -> State:
        if self.problem:
            return "trouble"
        if self.fate.code == "placeholder_agent":
            return "stand_in"
        if self.fate.action == "created":
            return "new"
        return "matched" if self.fate.action == "existing" else "left_out"


@dataclass(frozen=True)
class Listed:
    """The agents of all queries that feed them."""

    agents: tuple[Agent, ...] = ()
    is_cut: bool = False  # the source has more than are looked at
    troubles: tuple[str, ...] = ()  # a sentence for each query that cannot be asked

    @cached_property
    def counts(self) -> Mapping[str, int]:
        found = dict.fromkeys(("matched", "new", "stand_in", "left_out", "trouble", "chosen", "suggested"), 0)
        for agent in self.agents:
            found[agent.state] += 1
            found["chosen"] += agent.choice is not None
            found["suggested"] += agent.is_suggested
        return found

    def matching(self, text: str = "", state: str = "") -> list[Agent]:
        """Those whose name, address or id holds the text, in that state; troubles first."""
        wanted = text.strip().casefold()
        found = [
            agent
            for agent in self.agents
            if (not wanted or any(wanted in part.casefold() for part in (agent.name, agent.email, agent.external_id)))
            and (not state or _is_in(agent, state))
        ]
        return sorted(found, key=lambda agent: (agent.state != "trouble", agent.name.casefold(), agent.external_id))


def has_agents(profile: ImportProfile) -> bool:
    return any(query.enabled and query.target_type == AGENTS for query in profile.queries.all())


def list_agents(profile: ImportProfile, *, by: Any) -> Listed:
    """Every agent of the source, at most 5,000 a query, with what a run would make of them now; nothing is written.

    Names and addresses are shown as they are, for they are what is decided about, and the look is on record (X17).
    Raises SourceError when the source cannot be asked; what is wrong with a single query is in `troubles`.
    """
    check_active(profile)
    queries = [query for query in profile_queries(profile) if query.enabled and query.target_type == AGENTS]
    if not queries:
        return Listed()
    found: list[Agent] = []
    troubles, is_cut = [], False
    with looking(profile, by) as session:
        for query in queries:
            try:
                agents, more = _agents_of(session, profile, query, by)
            except SourceError:
                raise
            except ImporterError as error:
                troubles.append(f"{query.name}: {error}")
                continue
            found += agents
            is_cut = is_cut or more
    if found:
        masking.record_shown(profile, by, "agents", rows=len(found), revealed=True)
    return Listed(tuple(found), is_cut, tuple(troubles))


def people_here(by: Any, text: str = "") -> QuerySet[Any]:
    """Agents of ours whom the person may see, by name; those whose name or address holds the text."""
    found = policy.restrict(get_user_model().objects.filter(user_type="agent", is_visible=True), by).order_by(
        "name", "id"
    )
    wanted = text.strip()
    return found.filter(Q(name__icontains=wanted) | Q(email__icontains=wanted)) if wanted else found


def shown(person: Any) -> str:
    """A person of ours as a text that `person_called` understands."""
    return f"{person.name} <{person.email}>" if person.email else str(person.name)


# -- parts ---------------------------------------------------------------------------------------------------------


def _is_in(agent: Agent, state: str) -> bool:
    if state == "chosen":
        return agent.choice is not None
    return agent.is_suggested if state == "suggested" else agent.state == state


def _agents_of(session: SourceSession, profile: ImportProfile, query: ImportQuery, by: Any) -> tuple[list[Agent], bool]:
    spec = stored_spec(query)
    check_sql(profile, spec, by)
    plan = plan_draft(profile, spec, session, source_map(profile).schema)
    found, is_cut = fates(session, plan, connect=connect_target, most=MOST_PEOPLE)
    entity = spec.entity or spec.key
    choices = {row.external_id: row for row in profile.agent_choices.filter(entity=entity).select_related("person")}
    tickets = _tickets(session, profile)
    people = get_user_model().objects.in_bulk([fate.target_id for fate in found if fate.target_id])
    claims = _claims(found, choices.values())
    agents = [
        Agent(
            entity,
            fate,
            people.get(fate.target_id),
            choices.get(fate.person.external_id),
            tickets.get(fate.person.external_id, 0) if tickets is not None else None,
            plan.load.matching.threshold,
            _other(claims.get(fate.match.target_id, []), fate.person.external_id),
        )
        for fate in found
    ]
    return agents, is_cut


def _claims(found: Iterable[Fate], choices: Iterable[AgentChoice]) -> dict[Any, list[tuple[str, str]]]:
    """Per person of ours the agents of the source who are that one: said so, else found by address."""
    claims: dict[Any, list[tuple[str, str]]] = {}
    said = {row.external_id: row for row in choices}
    for row in said.values():
        if row.action == AgentAction.MATCH and row.person_id:
            claims.setdefault(row.person_id, []).append((row.external_id, named(row.name, row.external_id)))
    for fate in found:
        person = fate.person
        if fate.match.confidence >= 100 and person.external_id not in said:
            claims.setdefault(fate.match.target_id, []).append(
                (person.external_id, named(person.name, person.external_id))
            )
    return claims


def _other(claims: Sequence[tuple[str, str]], external_id: str) -> str:
    return next((name for key, name in claims if key != external_id), "")


def _tickets(session: SourceSession, profile: ImportProfile) -> dict[str, int] | None:
    """Tickets of each agent among the first 100,000; None where no query says whose they are, or it takes too long."""
    target = catalog.get(TICKETS)
    fields = [field for field in target.fields if field.reference and field.reference.types == (AGENTS,)]
    for query in profile_queries(profile):
        if query.target_type != TICKETS or not query.enabled or not fields:
            continue
        try:
            spec, schema = stored_spec(query), source_map(profile).schema
            named_as = next(
                (each.target for each in spec.fields if target.field(each.target) in fields), fields[0].name
            )

            def look(spec: Any = spec, schema: Any = schema, named_as: str = named_as) -> dict[str, int]:
                rows = frequencies(session, spec, schema, named_as, most=MOST_PEOPLE)
                return {str(value): int(count) for value, count, *_ in rows if value is not None}

            return kept("tickets-of-agents", profile, look, str(query.pk), json.dumps(query.spec))
        except SourceError:
            if not session.is_open:
                raise
            return None
        except QueryError:
            return None
    return None
