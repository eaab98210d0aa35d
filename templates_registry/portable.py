"""From a profile's queries to a template's definition (T10): what another installation may see of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from importer.models import ImportProfile, ImportQuery
from importer.query import nodes
from importer.query.dumping import dump_spec
from importer.query.parsing import parse_spec
from importer.query.spec import Condition, FilterGroup
from servicevault import catalog

_DROPPED = ("key", "version", "enabled", "entity", "parameters")


def definition_of(
    profile: ImportProfile, *, name: str, platform: str, description: str, version: str, keep_filter_values: bool
) -> dict[str, Any]:
    """A definition of the profile's queries, views and order; nothing of its connection.

    Filters that hold a value are left out unless they are to be kept: people type names and numbers into them.
    """
    queries = {query.key: _query(query, keep_filter_values) for query in profile.queries.all()}
    configuration: dict[str, Any] = {
        "queries": queries,
        "priority_order": [key for key in profile.priority_order if key in queries],
    }
    if profile.views:
        configuration["views"] = [
            {name: view[name] for name in ("name", "sql", "key", "key_source", "comment") if view.get(name)}
            for view in profile.views
        ]
    return {
        "name": name,
        "platform": platform,
        "database_type": "postgresql",
        "version": version,
        "description": description,
        "source_timezone": str(profile.source_timezone),
        "account_strategy": str(profile.account_strategy),
        "configuration": configuration,
    }


def _query(query: ImportQuery, keep_filter_values: bool) -> dict[str, Any]:
    spec = parse_spec(query.spec, target_types=catalog.names())
    if not keep_filter_values:
        spec = replace(spec, filters=_without_values(spec.filters), having=_without_values(spec.having))
        spec = replace(spec, params=tuple((name, None) for name, _ in spec.params))
    data = {name: value for name, value in _plain(dump_spec(spec)).items() if name not in _DROPPED}
    data["name"] = query.name
    data["entity"] = query.entity
    maps = {name: dict(entries) for name, entries in query.value_maps.items() if isinstance(entries, Mapping)}
    return data | ({"value_maps": maps} if maps else {})


def _without_values(group: FilterGroup) -> FilterGroup:
    """The group without conditions that hold a value, and without groups that are empty then."""
    kept: list[FilterGroup | Condition] = []
    for item in group.items:
        if isinstance(item, Condition):
            if not item.values and not item.unit and not _has_literal(item.field):
                kept.append(item)
        elif (inner := _without_values(item)).items:
            kept.append(inner)
    # A group that loses a part of OR or NOT means something else.
    if group.op != "and" and len(kept) < len(group.items):
        return FilterGroup()
    return FilterGroup(group.op, tuple(kept))


def _has_literal(node: nodes.Node) -> bool:
    return any(isinstance(found, nodes.Text | nodes.Number | nodes.TypedText) for found in nodes.walk(node))


def _plain(value: Any) -> Any:
    """Without the stored trees, which the texts give back, and without members that say nothing."""
    if isinstance(value, dict):
        found = {key: _plain(item) for key, item in value.items() if not key.endswith("_tree")}
        return {key: item for key, item in found.items() if item not in (None, "", [], {}) or key == "source"}
    return [_plain(item) for item in value] if isinstance(value, list) else value
