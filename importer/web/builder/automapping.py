"""Auto Map: fields that are still empty get the proposals that are sure enough (M8)."""

from __future__ import annotations

import copy
from dataclasses import replace

from django.http import QueryDict

from importer import operations
from importer.mapping.auto import AutoMap
from importer.web.builder.body import Body, runnable
from importer.web.builder.workbench import Change, Workbench
from servicevault.wording import say


def map_automatically(bench: Workbench, post: QueryDict) -> Body:
    """Fill the fields that have no mapping yet with the proposals that are sure enough; what is mapped stays."""
    if bench.target is None:
        raise operations.InvalidFields({"target_type": [say("Say first what the rows become.")]})
    found = _proposed(bench, bench.target.name)
    sure = [proposal for proposal in found.mappings if proposal.preselected]
    if not sure:
        raise operations.InvalidFields({"fields": [say("No other column looks like a field that is still empty.")]})
    body = copy.deepcopy(bench.body)
    body["fields"] += [
        {
            "source": proposal.source,
            "target": proposal.target,
            "transformation": [{"name": name, "params": dict(params)} for name, params in proposal.transformation],
            "write_rule": "overwrite",
        }
        for proposal in sure
    ]
    return body


def _proposed(bench: Workbench, target_type: str) -> AutoMap:
    """What the tables offer for the fields; of SQL, its columns by their names."""
    if not bench.is_sql:
        return operations.auto_map(bench.profile, target_type, body=runnable(bench.body), by=bench.user)
    texts = {option.name: option.text for option in bench.options}
    taken = [str(item.get("target") or "") for item in bench.body["fields"]]
    found = operations.auto_map(bench.profile, target_type, columns=list(texts), taken=taken, by=bench.user)
    named = tuple(replace(proposal, source=texts.get(proposal.source, proposal.source)) for proposal in found.mappings)
    return replace(found, mappings=named)


CHANGES: dict[str, Change] = {"fields.auto": map_automatically}
