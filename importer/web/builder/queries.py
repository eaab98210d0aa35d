"""The list of a profile's queries on top of the builder: add, duplicate, rename, order, switch, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from importer import operations
from importer.errors import ImporterError
from importer.models import ImportProfile, ImportQuery, QueryDraft
from importer.operations.drafts import is_changed
from importer.web.builder.workbench import free_key, profile_for
from permissions import policy
from permissions.policy import Denied
from servicevault import catalog
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say


@dataclass(frozen=True)
class Listed:
    """One query of the list, saved or only begun."""

    key: str
    name: str
    target: str
    enabled: bool
    is_saved: bool
    is_changed: bool


def listed(profile: ImportProfile, user: Any) -> list[Listed]:
    """The queries in run order, then what this person has begun and not saved yet."""
    drafts = {draft.key: draft for draft in profile.drafts.filter(user=user).order_by("created_at")}
    found = []
    for query in profile.queries.order_by("position", "key"):
        draft = drafts.pop(query.key, None)
        changed = draft is not None and is_changed(draft)
        found.append(Listed(query.key, query.name, _label(query.target_type), query.enabled, True, changed))
    for draft in drafts.values():
        body = draft.steps[draft.place]
        name = str(body.get("name") or draft.key)
        found.append(Listed(draft.key, name, _label(str(body.get("target_type") or "")), True, False, True))
    return found


def _label(target_type: str) -> str:
    try:
        return catalog.get(target_type).label
    except catalog.UnknownTarget:
        return target_type


def begin(request: PageRequest, profile: ImportProfile) -> QueryDraft:
    """A draft of a new query. Raises InvalidFields when nobody said what its rows become."""
    target_type = request.POST.get("target_type", "")
    operations.require_target(target_type, request.user)
    try:
        target = catalog.get(target_type)
    except catalog.UnknownTarget:
        raise operations.InvalidFields({"target_type": [say("Say what the rows become.")]}) from None
    name = request.POST.get("name", "").strip()[:255] or target.label
    key = free_key(profile, request.user, name if request.POST.get("name", "").strip() else target_type)
    start: dict[str, Any] = {"name": name, "target_type": target_type}
    if request.POST.get("kind") == "sql":
        policy.require(request.user, operations.RAW_SQL)
        start |= {"kind": "sql", "sql": "", "params": {}}
    return operations.open_draft(profile, request.user, key, start=start)


@members_only
@require_POST
def change_list(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """Rename, duplicate, move, switch or delete one query of the list."""
    profile = profile_for(request, pk)
    draft = QueryDraft.objects.filter(profile=profile, user=request.user, key=key).first()
    query = ImportQuery.objects.filter(profile=profile, key=key).first()
    if query is None:
        draft = get_object_or_404(QueryDraft, profile=profile, user=request.user, key=key)
    try:
        return _done(request, profile, query, draft)
    except (ImporterError, Denied) as error:
        messages.error(request, str(error))
        return redirect("builder_query", profile.pk, key)


def _done(
    request: PageRequest, profile: ImportProfile, query: ImportQuery | None, draft: QueryDraft | None
) -> HttpResponse:
    action, user = request.POST.get("action", ""), request.user
    key = query.key if query else draft.key if draft else ""
    if action == "delete":
        return _delete(request, profile, query, draft)
    if query is None:
        if action == "rename" and draft is not None:
            name = request.POST.get("name", "").strip()[:255]
            operations.change_draft(draft, {**draft.steps[draft.place], "name": name or key})
        else:
            messages.error(request, say("Save the query first."))
        return redirect("builder_query", profile.pk, key)
    match action:
        case "rename":
            _follow(draft, operations.rename_query(query, request.POST.get("name", ""), by=user))
        case "switch":
            _follow(draft, operations.switch_query(query, on=not query.enabled, by=user))
        case "duplicate":
            key = operations.duplicate_query(query, by=user).key
        case "earlier" | "later":
            operations.reorder_queries(profile, _moved(profile, key, -1 if action == "earlier" else 1))
        case _:
            messages.error(request, say("This cannot be done with a query."))
    return redirect("builder_query", profile.pk, key)


def _delete(
    request: PageRequest, profile: ImportProfile, query: ImportQuery | None, draft: QueryDraft | None
) -> HttpResponse:
    if query is not None:
        operations.delete_query(query)
        messages.success(request, say("“{query}” is deleted. What it imported stays.", query=query.name))
    elif draft is not None:
        operations.discard_draft(draft)
        messages.success(request, say("The query that was never saved is gone."))
    return redirect("builder", profile.pk)


def _moved(profile: ImportProfile, key: str, by: int) -> list[str]:
    keys = list(profile.queries.order_by("position", "key").values_list("key", flat=True))
    place = keys.index(key)
    other = max(0, min(len(keys) - 1, place + by))
    keys[place], keys[other] = keys[other], keys[place]
    return keys


def _follow(draft: QueryDraft | None, query: ImportQuery) -> None:
    """Let the person's own draft know the name and the switch that were just saved, so that it is not outdated."""
    if draft is None:
        return
    draft.steps = [{**body, "name": query.name, "enabled": query.enabled} for body in draft.steps]
    if draft.base_version == query.version - 1:
        draft.base_version = query.version
    draft.save()
