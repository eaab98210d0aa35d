"""`/import/profiles/<id>/value-maps`: what each code of the source means here (U25)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from importer import operations
from importer.errors import ImporterError, SourceError
from importer.mapping.value_maps import Observed, Suggestion
from importer.models import ImportProfile, ImportQuery
from importer.modes import AgentStrategy
from importer.operations import agent_choices
from importer.operations.agents import has_agents, shown
from importer.operations.mapping import CodedField
from importer.operations.previews import profile_queries
from importer.operations.readiness import remember_open_values
from importer.web.way import go, source_page, way_of
from servicevault.web.listing import plain_text
from servicevault.web.pages import PageRequest, render_page
from servicevault.wording import say, say_count

EMPTY = "__empty__"  # the choice "leave it empty"


@dataclass(frozen=True)
class ValueRow:
    """One value of the source and what it becomes."""

    observed: Observed
    chosen: str  # a value of ours, EMPTY, or "" for none
    suggestion: Suggestion | None
    is_open: bool
    is_own_word: bool  # the field itself knows it, no entry is needed
    name: str  # of the control

    @property
    def confidence(self) -> int:
        return round(self.suggestion.confidence * 100) if self.suggestion else 0


@dataclass(frozen=True)
class FieldMap:
    """A coded field with its values, the open ones first."""

    query: ImportQuery
    coded: CodedField
    rows: tuple[ValueRow, ...]

    @property
    def open(self) -> int:
        return sum(row.is_open for row in self.rows)

    @property
    def anchor(self) -> str:
        return f"{self.query.key}-{self.coded.field.name}"

    @property
    def suggested(self) -> int:
        return sum(row.is_open and row.suggestion is not None for row in self.rows)


@require_http_methods(["GET", "HEAD", "POST"])
@source_page("values", say("Value maps"))
def value_maps_page(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """Every coded field of every enabled query, the ones with open values first."""
    problem = ""
    if request.method == "POST":
        try:
            return _saved(request, profile)
        except SourceError:
            raise
        except ImporterError as error:
            problem = str(error)
    fields, troubles = _fields(profile, request.user, refresh="refresh" in request.GET)
    context = way_of(request, profile, "values") | {
        "fields": fields,
        "troubles": troubles,
        "open": sum(item.open for item in fields),
        "suggested": sum(item.suggested for item in fields),
        "empty": EMPTY,
        "problem": problem,
        "agent_strategies": AgentStrategy.choices,
        "has_agents": has_agents(profile),
    }
    if context["has_agents"]:
        context["stand_in"] = shown(profile.placeholder_agent) if profile.placeholder_agent else ""
    status = 422 if problem else 200
    return render_page(request, "importer/value_maps.html", "importer/_value_maps.html", context, status=status)


def _fields(profile: ImportProfile, user: Any, *, refresh: bool = False) -> tuple[list[FieldMap], list[str]]:
    """The coded fields, and a sentence for each query whose values cannot be read."""
    found, troubles = [], []
    for query in profile_queries(profile):
        if not query.enabled:
            continue
        try:
            coded = operations.coded_fields(profile, query, by=user, refresh=refresh)
        except SourceError:
            raise
        except ImporterError as error:
            troubles.append(f"{query.name}: {error}")
            continue
        remember_open_values(query, sum(len(item.unmapped) for item in coded))
        found += [_field_map(query, item) for item in coded if item.values]
    return sorted(found, key=lambda item: not item.open), troubles


def _field_map(query: ImportQuery, coded: CodedField) -> FieldMap:
    unmapped = {item.value for item in coded.unmapped}
    guesses = {guess.value: guess for guess in coded.suggestions}
    entries = {str(source).strip().lower(): wanted for source, wanted in coded.entries.items()}
    rows = []
    for number, seen in enumerate(coded.values):
        if seen.value is None:
            continue
        has_entry = seen.value.lower() in entries
        wanted = entries.get(seen.value.lower())
        chosen = (EMPTY if wanted is None else wanted) if has_entry else ""
        rows.append(
            ValueRow(
                observed=seen,
                chosen=chosen if isinstance(chosen, str) else "",
                suggestion=guesses.get(seen.value),
                is_open=seen.value in unmapped,
                is_own_word=not has_entry and seen.value.lower() in coded.field.choices,
                name=f"{query.key}|{coded.field.name}|{number}",
            )
        )
    return FieldMap(query, coded, tuple(sorted(rows, key=lambda row: not row.is_open)))


def _saved(request: PageRequest, profile: ImportProfile) -> HttpResponse:
    """Store what was chosen, or every suggestion for what is still open."""
    action = request.POST.get("action", "")
    if action == "agents":
        who = plain_text(request.POST.get("stand_in"))
        stand_in = _stand_in(request.user, who, profile) if who else None
        agent_choices.set_strategy(profile, request.POST.get("agent_strategy", ""), by=request.user, stand_in=stand_in)
        messages.success(request, say("Saved what happens to agents."))
    elif action == "accept":
        fields, _ = _fields(profile, request.user)
        accepted = sum(_accept(item, request.user) for item in fields)
        messages.success(
            request,
            say_count("{count} suggestion taken over.", "{count} suggestions taken over.", accepted),
        )
    else:
        changed = _store_choices(request, profile)
        messages.success(request, say_count("Saved {count} value map.", "Saved {count} value maps.", changed))
    return go(request, "profile_value_maps", profile.pk)


def _stand_in(user: Any, text: str, profile: ImportProfile) -> Any:
    """Whom the text means; the one who is stored already stays."""
    stored = profile.placeholder_agent
    return stored if stored is not None and text == shown(stored) else agent_choices.person_called(user, text)


def _accept(item: FieldMap, user: Any) -> int:
    taken = {row.observed.value: row.suggestion.target for row in item.rows if row.is_open and row.suggestion}
    if taken:
        query = ImportQuery.objects.get(pk=item.query.pk)  # another field of it may have been changed just now
        entries = {**item.coded.entries, **{str(value): target for value, target in taken.items()}}
        operations.set_value_map(query, item.coded.field.name, entries, by=user)
    return len(taken)


def _store_choices(request: PageRequest, profile: ImportProfile) -> int:
    """`value-<query>|<field>|<n>` holds a source value, `map-…` of the same name what it becomes."""
    chosen: dict[tuple[str, str], dict[str, str]] = {}
    for name in request.POST:
        value = str(request.POST[name])
        if name.startswith("value-") and name.count("|") == 2:
            key, field, _ = name.removeprefix("value-").split("|")
            wanted = request.POST.get(f"map-{name.removeprefix('value-')}", "")
            chosen.setdefault((key, field), {})[value] = wanted
    changed = 0
    with transaction.atomic():
        for (key, field), values in chosen.items():
            query = get_object_or_404(profile.queries.all(), key=key)
            before = dict(query.value_maps.get(field, {}))
            known = {str(source).strip().lower(): source for source in before}
            entries = dict(before)
            for value, wanted in values.items():
                source = known.get(value.lower(), value)
                if wanted:
                    entries[source] = None if wanted == EMPTY else wanted
                else:
                    entries.pop(source, None)
            if entries != before:
                operations.set_value_map(query, field, entries, by=request.user)
                changed += 1
    return changed
