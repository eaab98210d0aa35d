"""`/import/profiles/<id>/builder`: the page, and the forms that change, save and drop a draft."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from importer import operations
from importer.errors import ImporterError
from importer.models import QueryDraft
from importer.query.problems import QueryProblems
from importer.web.builder import (
    automapping,
    facts,
    fields,
    filters,
    grouping,
    joins,
    ordering,
    queries,
    result,
    sql,
    tables,
    transformations,
)
from importer.web.builder.blocks import blocks_of
from importer.web.builder.body import plain, unfinished
from importer.web.builder.sentence import sentence
from importer.web.builder.workbench import Ask, Change, Workbench, profile_for, source_of, workbench
from permissions import policy
from permissions.policy import Denied
from servicevault.web.pace import renewed
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say

CHANGES: dict[str, Change] = {
    **tables.CHANGES, **joins.CHANGES, **fields.CHANGES, **filters.CHANGES, **grouping.CHANGES, **ordering.CHANGES,
    **automapping.CHANGES,
    **sql.CHANGES,
}  # fmt: skip
VERSIONS_SHOWN = 20


@members_only
def builder(request: PageRequest, pk: Any) -> HttpResponse:
    """The profile's first query; where there is none, the question what to import. A POST begins a query."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    profile = profile_for(request, pk)
    if request.method == "POST":
        try:
            return redirect("builder_query", profile.pk, queries.begin(request, profile).key)
        except ImporterError as error:
            messages.error(request, str(error))
            return _empty(request, profile, status=422)
    found = queries.listed(profile, request.user)
    return redirect("builder_query", profile.pk, found[0].key) if found else _empty(request, profile)


def _empty(request: PageRequest, profile: Any, *, status: int = 200) -> HttpResponse:
    source, trouble = source_of(profile)
    context = {
        "profile": profile, "queries": queries.listed(profile, request.user), "source": source, "trouble": trouble,
        "target_choices": operations.target_choices(request.user),
        "may_write_sql": policy.has(request.user, operations.RAW_SQL),
    }  # fmt: skip
    return render(request, "importer/builder/empty.html", context, status=status)


@members_only
@require_safe
def query_page(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """The builder with one query. `?show=1` brings the preview along, for a browser without scripts."""
    bench = workbench(request, pk, key, refresh=request.GET.get("refresh") == "1")
    if request.GET.get("refresh") == "1":
        return redirect("builder_query", pk, key)
    return _page(request, bench)


def _page(request: PageRequest, bench: Workbench, *, status: int = 200, **more: Any) -> HttpResponse:
    found = result.result_of(bench) if request.GET.get("show") == "1" else None
    context = context_of(request, bench) | {"result": found} | more
    if found is not None:
        context |= facts.told(bench, found.facts)
    if bench.source is not None:
        used = {placed.full_name for placed in bench.tables}
        context |= tables.tree(used, bench.schema, request.GET)
        if request.GET.get("table"):
            table = tables.table_named(bench.schema, request.GET["table"], request.GET.get("schema", ""))
            context |= tables.described(table) | {"details": True}
        if request.GET.get("offers") == "1":
            context |= _offers(bench)
    response = render(request, "importer/builder/page.html", context, status=status)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def context_of(request: PageRequest, bench: Workbench) -> dict[str, Any]:
    """What the blocks, the list on top and the foot need."""
    known = facts.known_facts(bench)
    versions = list(bench.query.versions.select_related("saved_by")[:VERSIONS_SHOWN]) if bench.query else []
    return {
        "bench": bench,
        "profile": bench.profile,
        "key": bench.draft.key,
        "name": bench.body.get("name") or bench.draft.key,
        "source": bench.source,
        "trouble": bench.trouble,
        "queries": queries.listed(bench.profile, request.user),
        "versions": versions,
        "sentence": sentence(bench),
        "target_choices": operations.target_choices(bench.user),
        "transformation_choices": transformations.choices(),
        "write_rules": fields.WRITE_RULES.items(),
        "empty_values": fields.EMPTY_VALUES.items(),
        "group_words": filters.GROUP_WORDS.items(),
        "units": filters.UNITS,
        "frozen_dates": sql.frozen_in(bench),
        "may_write_sql": bench.may_write_sql,
        "may_save_template": policy.has(request.user, "system.configure"),
        "preview_url": reverse("profile_preview", args=[bench.profile.pk]),
        "may_undo": bench.draft.place > 0,
        "may_redo": bench.draft.place < len(bench.draft.steps) - 1,
        **blocks_of(bench, known),
    }


# -- changes -----------------------------------------------------------------------------------------------------


@members_only
@require_POST
def change(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """One change of the draft; answers with the changed blocks, or leads a browser without scripts back to them."""
    bench = workbench(request, pk, key)
    action = request.POST.get("action", "").partition(":")[0]
    before = bench.draft.pk, bench.draft.place, bench.digest
    try:
        bench = _changed(bench, action, request)
    except Ask as question:
        return _asked(request, bench, question)
    except ImporterError as error:
        return _refused(request, bench, error, block=action.partition(".")[0])
    if not request.htmx:
        return redirect(_at(bench, action.partition(".")[0]))
    if before == (bench.draft.pk, bench.draft.place, bench.digest):
        return HttpResponse(status=204)
    return _blocks(request, bench, is_new=True)


def _changed(bench: Workbench, action: str, request: PageRequest) -> Workbench:
    """The bench after a change. Reading and writing happen under one lock: no change of a second tab is lost."""
    if action in ("undo", "redo"):
        draft = operations.undo(bench.draft) if action == "undo" else operations.redo(bench.draft)
        return _with(bench, draft)
    apply = CHANGES.get(action)
    if apply is None:
        raise operations.InvalidFields({"action": [say("The builder does not know this change.")]})
    with transaction.atomic():
        bench = _with(bench, QueryDraft.objects.select_for_update().get(pk=bench.draft.pk))
        body = apply(bench, request.POST)
        if plain(body) != bench.body:
            bench = _with(bench, operations.change_draft(bench.draft, body))
    return bench


def _with(bench: Workbench, draft: QueryDraft) -> Workbench:
    return Workbench(bench.profile, bench.user, draft, bench.query, bench.source, bench.trouble)


def _at(bench: Workbench, block: str) -> str:
    page = reverse("builder_query", args=[bench.profile.pk, bench.draft.key])
    anchors = {"target": "fields", "sql": "base"}
    name = anchors.get(block, block)
    has_place = name in ("base", "joins", "fields", "filters", "one", "order")
    return f"{page}?show=1#b-{name}" if has_place else f"{page}?show=1"


def _blocks(request: PageRequest, bench: Workbench, *, is_new: bool = False, **more: Any) -> HttpResponse:
    """The blocks for a swap; the result asks for itself when there is something new to find out."""
    response = render(request, "importer/builder/_changed.html", context_of(request, bench) | more)
    return trigger_client_event(response, "draft-changed", after="settle") if is_new else response


def _asked(request: PageRequest, bench: Workbench, question: Ask) -> HttpResponse:
    again = [
        (name, value) for name, values in request.POST.lists() for value in values if name != "csrfmiddlewaretoken"
    ]
    more: dict[str, Any] = {"question": question, "again": again}
    return _blocks(request, bench, **more) if request.htmx else _page(request, bench, **more)


def _refused(request: PageRequest, bench: Workbench, error: Exception, *, block: str = "") -> HttpResponse:
    messages.error(request, str(error))
    if request.htmx:
        return _blocks(request, bench)
    return redirect(_at(bench, block))


@members_only
@require_POST
def save(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """Save what the person sees; somebody else's newer version is only replaced on request (U2)."""
    bench = workbench(request, pk, key)
    try:
        if left := unfinished(bench.body):
            raise QueryProblems(left)
        saved = operations.save_draft(bench.draft, by=request.user, overwrite=request.POST.get("overwrite") == "1")
    except operations.VersionConflict as conflict:
        stale: dict[str, Any] = {"conflict": conflict}
        return _blocks(request, bench, **stale) if request.htmx else _page(request, bench, status=409, **stale)
    except QueryProblems as error:
        more = len(error.problems) - 1
        said = say("Not saved: {error} See the problems.", error=error)
        if more:
            said = say("Not saved: {error} and {more} more See the problems.", error=error, more=more)
        messages.error(request, said)
        return _blocks(request, bench) if request.htmx else redirect(_at(bench, ""))
    except (ImporterError, Denied) as error:
        return _refused(request, bench, error)
    _keep_own(bench)
    bench = _with(bench, bench.draft)
    bench.query = saved.query
    if not request.htmx:
        messages.success(request, say("“{query}” is saved.", query=saved.query.name))
        return redirect("builder_query", pk, bench.draft.key)
    # What was saved is written in its normal form: the preview is asked again, so that its counts belong to it.
    return _blocks(request, bench, is_new=True, saved_at=timezone.now())


def _keep_own(bench: Workbench) -> None:
    """Columns to ignore and the order of the preview are no part of the query; the draft goes on knowing them."""
    if own := {name: bench.body[name] for name in ("ignored_columns", "preview") if bench.body.get(name)}:
        bench.draft.steps = [{**bench.draft.steps[0], **own}]
        bench.draft.save()


@members_only
@require_POST
def discard(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """Back to what is saved (Q38); what was never saved is gone."""
    bench = workbench(request, pk, key)
    operations.discard_draft(bench.draft)
    if bench.query is None:
        return redirect("builder", pk)
    messages.success(request, say("Your unsaved changes are gone; this is the saved query."))
    return redirect("builder_query", pk, key)


@members_only
@require_POST
def restore(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """Save an earlier version again, as the newest (Q26); the draft begins anew from it."""
    bench = workbench(request, pk, key)
    number = request.POST.get("number", "")
    if bench.query is None or not number.isdecimal():
        messages.error(request, say("Choose a version of a saved query."))
        return redirect("builder_query", pk, key)
    try:
        saved = operations.restore_version(bench.query, int(number), by=request.user)
    except (ImporterError, Denied) as error:
        messages.error(request, str(error))
    else:
        operations.discard_draft(bench.draft)
        messages.success(
            request,
            say("Version {number} is saved again as version {version}.", number=number, version=saved.query.version),
        )
    return redirect("builder_query", pk, key)


# -- suggested filters -------------------------------------------------------------------------------------------


@members_only
@require_safe
@renewed
def offers_part(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """Filters worth offering, each with the rows it would leave."""
    bench = workbench(request, pk, key)
    context = {"profile": bench.profile, "key": key, "bench": bench} | _offers(bench)
    return render(request, "importer/builder/_offers.html", context)


def _offers(bench: Workbench) -> dict[str, Any]:
    try:
        return {"offers": filters.offers_of(bench)}
    except ImporterError as error:
        return {"offers": [], "offers_trouble": error}
