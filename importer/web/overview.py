"""`/import/profiles/<id>`: the whole way of a profile at a glance, its queries, and what its source is (U19)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST, require_safe

from importer import operations
from importer.crypto import SecretUnreadable
from importer.errors import SourceError
from importer.models import ImportProfile
from importer.operations.progress import listed
from importer.web.profiles import why_not_start
from importer.web.way import address_of, go, profile_of, way_of
from permissions import policy
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

JOBS = 5


@dataclass(frozen=True)
class SourceFacts:
    """What the source is, in numbers."""

    server_version: str
    schemas: int
    tables: int
    rows: int
    relations: int
    read_at: Any


@members_only
@require_safe
def profile_page(request: PageRequest, pk: Any) -> HttpResponse:
    """The steps with their state, the queries, the last jobs; the source is asked by a part of its own."""
    profile = profile_of(request, pk)
    context = way_of(request, profile, "")
    state = context["state"]
    jobs = operations.visible_jobs(request.user).filter(profile=profile)[:JOBS]
    context |= {
        "jobs": listed(jobs),
        "next_url": address_of(profile, state.next.key),
        "may_delete": policy.can(request.user, "delete", profile),
        "may_save_template": policy.has(request.user, "system.configure"),
        "why_not": why_not_start(request.user, profile, queries=state.enabled, active=state.active),
    }
    return render_page(request, "importer/profile.html", "importer/_profile_entities.html", context)


@members_only
@require_safe
def source_part(request: PageRequest, pk: Any) -> HttpResponse:
    """Facts of the source, asked now or within the last ten minutes."""
    profile = profile_of(request, pk, "change")
    context: dict[str, Any] = way_of(request, profile, "")
    try:
        found = operations.source_map(profile, refresh="refresh" in request.GET)
    except (SourceError, SecretUnreadable) as error:
        context |= {"error": error, "is_locked": isinstance(error, SecretUnreadable), "retry": request.path}
    else:
        tables = found.schema.tables
        context["facts"] = SourceFacts(
            server_version=found.server_version,
            schemas=len({table.schema for table in tables}),
            tables=len(tables),
            rows=sum(max(table.row_estimate or 0, 0) for table in tables),
            relations=sum(len(table.foreign_keys) for table in tables),
            read_at=found.read_at,
        )
    return render_page(request, "importer/source.html", "importer/_source_facts.html", context)


@members_only
@require_POST
def switch(request: PageRequest, pk: Any) -> HttpResponse:
    """Switch one query on or off."""
    profile: ImportProfile = profile_of(request, pk, "change")
    query = get_object_or_404(profile.queries.all(), key=request.POST.get("query", ""))
    query = operations.switch_query(query, on=request.POST.get("enabled") == "on", by=request.user)
    said = say("“{query}” is switched on.") if query.enabled else say("“{query}” is switched off.")
    messages.success(request, said.format(query=query.name))
    return go(request, "profile", profile.pk)
