"""`/import/profiles/<id>/value-maps/agents`: the source's agents one by one, and what becomes of each (U25)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from importer.errors import ImporterError, SourceError
from importer.models import AgentChoice, ImportProfile
from importer.modes import AgentAction
from importer.operations import InvalidFields, agent_choices
from importer.operations.agent_choices import AS_STRATEGY, Said
from importer.operations.agents import Agent, Listed, list_agents, people_here, shown
from importer.web.way import profile_of, source_page, way_of
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say, say_count

PER_PAGE = 50
MOST_OFFERED = 50  # of our people, to choose from
STATES = {
    "": say("All"),
    "trouble": say("Need you"),
    "suggested": say("With a suggestion"),
    "chosen": say("Decided here"),
    "matched": say("Are here already"),
    "new": say("Are created"),
    "stand_in": say("Have a stand-in"),
    "left_out": say("Are left out"),
}
LOOKS = {
    "matched": ("users", "blue"),
    "new": ("plus", "green"),
    "stand_in": ("user", "grey"),
    "left_out": ("x", "yellow"),
    "trouble": ("alert-triangle", "amber"),
}


@dataclass(frozen=True)
class Typed:
    """What somebody chose for an agent, as the form had it."""

    action: str
    who: str


@dataclass(frozen=True)
class AgentRow:
    """An agent as the table shows it."""

    agent: Agent
    number: int
    typed: Typed
    error: str

    @property
    def icon(self) -> str:
        return LOOKS[self.agent.state][0]

    @property
    def colour(self) -> str:
        return LOOKS[self.agent.state][1]


@require_http_methods(["GET", "HEAD", "POST"])
@source_page("values", say("Agents one by one"))
def agents_page(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """Fifty agents a page, those who need a decision first; what is said is stored with the profile."""
    typed: dict[tuple[str, str], Typed] = {}
    errors: Mapping[str, list[str]] = {}
    if request.method == "POST":
        try:
            return _saved(request, profile)
        except InvalidFields as error:
            typed, errors = _typed(request), error.errors
        except SourceError:
            raise
        except ImporterError as error:
            errors = {"": [str(error)]}
    context = way_of(request, profile, "values") | agents_of(request, profile, typed=typed, errors=errors)
    status = 422 if errors else 200
    return render_page(request, "importer/agents.html", "importer/_agents.html", context, status=status)


@members_only
@require_http_methods(["GET", "HEAD"])
def people_offered(request: PageRequest, pk: Any) -> HttpResponse:
    """Our agents who fit what is typed, to choose from."""
    profile_of(request, pk, "change")
    text = next((str(request.GET[name]) for name in request.GET if name.startswith("who-")), "")
    found = people_here(request.user, plain_text(text))[:MOST_OFFERED]
    return render(request, "importer/_agent_people.html", {"people": [shown(person) for person in found]})


def agents_of(
    request: PageRequest,
    profile: ImportProfile,
    *,
    typed: Mapping[tuple[str, str], Typed] | None = None,
    errors: Mapping[str, list[str]] | None = None,
) -> dict[str, Any]:
    """What the list of agents needs; a profile that cannot be asked has its reason in it."""
    given = request.POST if request.method == "POST" else request.GET
    text, state = plain_text(given.get("q")), given.get("state", "")
    state = state if state in STATES else ""
    trouble = ""
    try:
        listed = list_agents(profile, by=request.user)
    except SourceError:
        raise
    except ImporterError as error:
        listed, trouble = Listed(), str(error)
    page = Paginator(listed.matching(text, state), PER_PAGE).get_page(given.get("page"))
    said = dict(errors or {})
    rows = [_row(agent, number, typed or {}, said) for number, agent in enumerate(page.object_list)]
    counts = listed.counts
    return {
        "listed": listed,
        "rows": rows,
        "page": page,
        "text": text,
        "chosen_state": state,
        "states": [(key, words, counts.get(key)) for key, words in STATES.items()],
        "actions": AgentAction.choices,
        "offered": [shown(person) for person in people_here(request.user)[:MOST_OFFERED]],
        "agent_troubles": [*([trouble] if trouble else []), *listed.troubles],
        "agent_errors": [said_of for texts in said.values() for said_of in texts],
    }


def _row(
    agent: Agent, number: int, typed: Mapping[tuple[str, str], Typed], errors: Mapping[str, list[str]]
) -> AgentRow:
    found = typed.get((agent.entity, agent.external_id), _stored(agent))
    texts = errors.get(f"{agent.entity}|{agent.external_id}", [])
    return AgentRow(agent, number, found, texts[0] if texts else "")


def _stored(agent: Agent) -> Typed:
    return Typed("", "") if agent.choice is None else _typed_as(agent.choice)


def _typed_as(choice: AgentChoice) -> Typed:
    """A stored choice as the form shows it."""
    return Typed(str(choice.action), shown(choice.person) if choice.person else "")


def _typed(request: PageRequest) -> dict[tuple[str, str], Typed]:
    """`agent-<n>` holds "entity|id", `choice-<n>` and `who-<n>` what was chosen for that one."""
    found = {}
    for name in request.POST:
        if not name.startswith("agent-"):
            continue
        number = name.removeprefix("agent-")
        entity, _, external_id = str(request.POST[name]).partition("|")
        who = plain_text(request.POST.get(f"who-{number}"))
        found[entity, external_id] = Typed(request.POST.get(f"choice-{number}", ""), who)
    return found


def _saved(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """Store what was chosen, or every suggestion, or nothing any more. Raises InvalidFields by "entity|id"."""
    action = request.POST.get("action", "")
    if action == "accept":
        count = agent_choices.accept_suggestions(profile, by=request.user)
        said = say_count("{count} suggestion taken over.", "{count} suggestions taken over.", count)
    elif action == "forget":
        count = agent_choices.forget_choices(profile, by=request.user)
        said = say_count("{count} agent goes as the strategy says.", "{count} agents go as the strategy says.", count)
    else:
        count = agent_choices.choose_agents(profile, _said(request, profile), by=request.user)
        said = (
            say_count("Saved what becomes of {count} agent.", "Saved what becomes of {count} agents.", count)
            if count
            else say("Nothing was changed.")
        )
    messages.success(request, said)
    kept = {name: request.POST[name] for name in ("q", "state", "page") if request.POST.get(name)}
    address = reverse("profile_agents", args=[profile.pk]) + (f"?{urlencode(kept)}" if kept else "")
    return HttpResponseClientRedirect(address) if request.htmx else HttpResponseRedirect(address)


def _said(request: PageRequest, profile: ImportProfile) -> list[Said]:
    """The choices of the form; whom a text means is asked here, all that is wrong is said at once."""
    said, errors = [], dict[str, list[str]]()
    stored = {(row.entity, row.external_id): row for row in profile.agent_choices.select_related("person")}
    for (entity, external_id), typed in _typed(request).items():
        field, person = f"{entity}|{external_id}", None
        before = stored.get((entity, external_id))
        if before is not None and typed == _typed_as(before):
            continue
        if not typed.action:
            if before is not None:
                said.append(Said(external_id, AS_STRATEGY, entity=entity, field=field))
            continue
        is_about_somebody = typed.action in (AgentAction.MATCH, AgentAction.PLACEHOLDER)
        if is_about_somebody and typed.who:
            try:
                person = _person(request.user, typed.who, before)
            except InvalidFields as error:
                errors[field] = [text for texts in error.errors.values() for text in texts]
                continue
        said.append(Said(external_id, typed.action, person, entity, field))
    if errors:
        raise InvalidFields(errors)
    return said


def _person(user: Any, text: str, before: Any) -> UUID:
    """Whom the text means; the one who is stored already stays, even if another one has the name now."""
    if before is not None and before.person is not None and text == shown(before.person):
        return UUID(str(before.person.pk))
    return UUID(str(agent_choices.person_called(user, text).pk))
