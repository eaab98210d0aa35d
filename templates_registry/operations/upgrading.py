"""A newer template beside what a profile made of the old one (T17): three ways, and a person decides conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.db import transaction

from importer import gateway
from importer.errors import ImporterError
from importer.models import ImportProfile, ImportQuery
from importer.query.dumping import dump_spec
from importer.query.parsing import parse_spec
from importer.sources.introspection import introspect
from permissions import audit
from servicevault import catalog
from servicevault.wording import say, say_count
from templates_registry import detection
from templates_registry.apply import Keep, keep_in_profile, stored
from templates_registry.definition import parse_definition
from templates_registry.models import Application, Template

Decision = Literal["mine", "theirs"]


@dataclass(frozen=True)
class Change:
    """One place that the pack changed since it was applied. `mine` differs from `old` where a person edited it."""

    query: str
    member: str  # "fields.status", "filters", "value_maps.status.5"; "" for the whole query
    old: Any
    new: Any
    mine: Any

    @property
    def path(self) -> str:
        return f"{self.query}.{self.member}" if self.member else self.query

    @property
    def is_conflict(self) -> bool:
        return self.mine not in (self.old, self.new)


@dataclass(frozen=True)
class Upgrade:
    """What a newer version of its template would change in a profile."""

    profile: ImportProfile
    template: Template
    from_version: str
    to_version: str
    changes: tuple[Change, ...]
    keep: Keep
    snapshot: Mapping[str, Any]  # the new version's queries on this source

    @property
    def conflicts(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.is_conflict)

    @property
    def is_needed(self) -> bool:
        return self.from_version != self.to_version or bool(self.changes)


class Undecided(ImporterError):
    """Places that the pack and a person changed, and nobody said which counts; `conflicts` are they."""

    code = "conflict"

    def __init__(self, conflicts: tuple[Change, ...]) -> None:
        self.conflicts = conflicts
        super().__init__(
            say_count(
                "The template and you changed {count} place: {places}.",
                "The template and you changed {count} places: {places}.",
                len(conflicts),
                places=", ".join(item.path for item in conflicts[:5]),
            ),
            hint=say("Decide each: mine or theirs."),
        )


def upgrade(profile: ImportProfile) -> Upgrade:
    """The difference between the version the profile was made of and the template's now; writes nothing.

    Raises ImporterError when the profile has no template or it was deleted.
    """
    before = Application.objects.filter(profile=profile).select_related("template").first()
    if before is None or before.template is None:
        raise ImporterError(
            say("“{profile}” has no template to upgrade from.", profile=profile.name),
            hint=say("Apply one first."),
            code="conflict",
        )
    template = before.template
    definition = parse_definition(template.definition)
    with gateway.open_source(profile, purpose="upgrade") as session:
        schema = introspect(session)
        report = detection.fit(definition, schema, session, parameters=profile.parameters, variants=before.variants)
    new = {query.key: stored(query) for query in report.queries}
    mine = {query.key: _as_stored(query) for query in profile.queries.all()}
    changes = tuple(_changes(before.queries, new, mine))
    return Upgrade(
        profile,
        template,
        before.version,
        template.version,
        changes,
        Keep(definition, schema.with_views(report.views)),
        new,
    )


def accept_upgrade(profile: ImportProfile, decisions: Mapping[str, Decision] | None = None) -> Upgrade:
    """Take over what the newer version changed and keep a person's edits; `decisions` settles conflicts by path.

    Raises Undecided, naming the conflicts that nobody decided.
    """
    found = upgrade(profile)
    decided = decisions or {}
    open_ones = tuple(item for item in found.conflicts if decided.get(item.path) not in ("mine", "theirs"))
    if open_ones:
        raise Undecided(open_ones)
    with transaction.atomic():
        for key in dict.fromkeys(change.query for change in found.changes):
            taken = [item for item in found.changes if item.query == key and decided.get(item.path) != "mine"]
            _write(profile, key, taken, found.snapshot.get(key))
        keep_in_profile(profile, found.template, found.keep, merge=True)
        Application.objects.filter(profile=profile).update(version=found.template.version, queries=dict(found.snapshot))
        details = {"template": found.template.name, "version": found.template.version, "strategy": "upgrade"}
        audit.record("template_applied", profile_id=profile.pk, obj=found.template, details=details)
    return found


# -- comparing ---------------------------------------------------------------------------------------------------


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], mine: Mapping[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys([*old, *new]):
        if key not in new or key not in old or key not in mine:
            before, after, here = (None if key not in found else _flat(found[key]) for found in (old, new, mine))
            if before != after:
                yield Change(key, "", before, after, here)
            continue
        before, after, here = _flat(old[key]), _flat(new[key]), _flat(mine[key])
        for member in dict.fromkeys([*before, *after]):
            values = [found.get(member) for found in (before, after, here)]
            if values[0] != values[1] and values[2] != values[1]:
                yield Change(key, member, *values)


def _flat(query: Mapping[str, Any]) -> dict[str, Any]:
    """The query's members by path, fields by target and value maps by code."""
    spec = query["spec"]
    found: dict[str, Any] = {
        name: value for name, value in spec.items() if name not in ("fields", "value_maps", "key", "name", "entity")
    }
    found |= {f"fields.{field['target']}": field for field in spec.get("fields", ())}
    for field, entries in query["value_maps"].items():
        found |= {f"value_maps.{field}.{code}": value for code, value in entries.items()}
    return found


def _as_stored(query: ImportQuery) -> dict[str, Any]:
    """The profile's query in the form its template's snapshot has."""
    spec = dump_spec(parse_spec(query.spec, target_types=catalog.names()))
    return {"spec": {**spec, "value_maps": {}}, "value_maps": query.value_maps}


# -- writing -----------------------------------------------------------------------------------------------------


def _write(profile: ImportProfile, key: str, changes: list[Change], new: Mapping[str, Any] | None) -> None:
    query = profile.queries.filter(key=key).first()
    if any(not change.member for change in changes):
        if new is None:
            profile.queries.filter(key=key).delete()
        elif query is None:
            entity = new["spec"].get("entity") or key
            ImportQuery.objects.create(profile=profile, key=key, entity=entity, position=profile.queries.count(), **new)
        return
    if query is None or new is None:
        return
    spec, maps = dict(query.spec), {name: dict(entries) for name, entries in query.value_maps.items()}
    fields = {field["target"]: field for field in spec.get("fields", ())}
    for change in changes:
        kind, _, name = change.member.partition(".")
        if kind == "fields" and name:
            _set(fields, name, change.new)
        elif kind == "value_maps":
            field, _, code = name.partition(".")
            _set(maps.setdefault(field, {}), code, change.new)
        else:
            _set(spec, change.member, change.new)
    query.spec, query.value_maps = {**spec, "fields": list(fields.values())}, maps
    query.variant, query.version = new["variant"], query.version + 1
    query.save(update_fields=["spec", "value_maps", "variant", "version"])


def _set(found: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        found.pop(name, None)
    else:
        found[name] = value
