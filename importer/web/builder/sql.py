"""A query written as SQL: its text and parameters, and the way there from the blocks (Q24, Q25)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from importer import operations
from importer.errors import ImporterError
from importer.query.parsing import parse_spec
from importer.query.plain_sql import frozen_dates
from importer.query.problems import QueryProblems
from importer.query.raw import read_raw
from importer.web.builder.body import Body, runnable, unfinished
from importer.web.builder.workbench import Change, Workbench, workbench
from permissions.policy import Denied
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say


@dataclass(frozen=True)
class Parameter:
    """A `:name` of the text with its value as it is typed; `is_null` for one that has none."""

    name: str
    value: str
    is_null: bool = False


def parameters_of(bench: Workbench) -> list[Parameter]:
    """The parameters the text names, in its order."""
    known = bench.body.get("params") or {}
    return [
        Parameter(name, "" if known.get(name) is None else str(known[name]), name in known and known[name] is None)
        for name in bench.raw.parameters
    ]


def set_sql(bench: Workbench, post: QueryDict) -> Body:
    """The text with the values of its parameters; a name that is new in the text begins empty."""
    if not bench.may_write_sql:
        raise Denied(operations.RAW_SQL)
    if not bench.is_sql:
        raise operations.InvalidFields({"sql": [say("This query is made of blocks. Say “Edit as SQL” first.")]})
    text = post.get("sql", "").replace("\r\n", "\n")
    known = bench.body.get("params") or {}
    params: dict[str, Any] = {}
    for name in read_raw(text, {}).parameters:
        old, typed = known.get(name, ""), post.get(f"param-{name}")
        is_kept = typed is None or typed == ("" if old is None else str(old))
        params[name] = old if is_kept else typed
    return copy.deepcopy(bench.body) | {"sql": text, "params": params}


CHANGES: dict[str, Change] = {"sql.set": set_sql}


def frozen_in(bench: Workbench) -> list[str]:
    """The relative dates of the blocks, which become fixed days; [] while the blocks cannot be read."""
    try:
        return frozen_dates(parse_spec(runnable(bench.body)))
    except QueryProblems:
        return []


@members_only
@require_POST
def to_sql(request: PageRequest, pk: Any, key: str) -> HttpResponse:
    """Save the blocks, and go on with the SQL they stand for (Q25)."""
    bench = workbench(request, pk, key)
    if not bench.may_write_sql:
        raise Denied(operations.RAW_SQL)
    page = reverse("builder_query", args=[pk, key])
    try:
        if left := unfinished(bench.body):
            raise QueryProblems(left)
        saved = operations.draft_to_sql(bench.draft, by=request.user)
    except ImporterError as error:
        messages.error(request, say("It stays in blocks: {error}", error=error))
        return redirect(f"{page}?show=1")
    messages.success(
        request,
        say(
            "“{query}” goes on as SQL. Its blocks are version {version} of the history.",
            query=saved.query.name,
            version=saved.query.version - 1,
        ),
    )
    return redirect(f"{reverse('builder_query', args=[pk, saved.query.key])}?show=1#b-sql-edit")
