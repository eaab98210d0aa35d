"""Queries of a profile: save, order, switch, copy, delete, and the forms they had before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import Max

from importer.errors import QueryError
from importer.mapping import memory
from importer.models import ImportProfile, ImportQuery, QueryVersion
from importer.operations.failures import Conflict, InvalidFields, VersionConflict
from importer.operations.previews import RAW_SQL, Judged, judge
from importer.operations.schema import looking, source_map
from importer.query.dumping import dump_spec
from importer.query.plain_sql import as_sql
from importer.query.problems import QueryProblems
from importer.query.spec import QuerySpec
from permissions import audit, policy
from servicevault.wording import say

KEPT_VERSIONS = 50  # Q26


@dataclass(frozen=True)
class SavedQuery:
    query: ImportQuery
    judged: Judged
    is_new: bool


def save_query(
    profile: ImportProfile, body: Mapping[str, Any], *, by: Any, key: str = "", version: int | None = None
) -> SavedQuery:
    """Store a query that has no error; one with the same key is replaced (Q20, Q35).

    `key` names the query that is changed, whatever key the body has: a different one renames it, and its entity
    stays. With `version`, a query saved by somebody else since is not overwritten. Raises QueryProblems with every
    fault and its member, VersionConflict, Denied for raw SQL without the permission, SourceError when the source
    cannot be asked.
    """
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        judged = judge(session, profile, body, schema, by=by)
    spec, _ = judged.accepted()
    if spec.kind == "sql" and by is not None:
        policy.require(by, RAW_SQL)
    query, is_new = store_query(profile, spec, by=by, key=key, version=version)
    memory.remember_query(profile.source_key, spec, user=by)
    return SavedQuery(query, judged, is_new)


@transaction.atomic
def store_query(
    profile: ImportProfile, spec: QuerySpec, *, by: Any, key: str = "", version: int | None = None
) -> tuple[ImportQuery, bool]:
    """Store a judged query as the profile's own, with a version of it; returns it and whether it is new."""
    ImportProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
    query = ImportQuery.objects.filter(profile=profile, key=key or spec.key).first()
    is_new = query is None
    if query is None:
        last = profile.queries.aggregate(last=Max("position"))["last"]
        query = ImportQuery(
            profile=profile, entity=spec.entity or spec.key, position=0 if last is None else last + 1, version=0
        )
    else:
        _check_version(query, version)
    if not is_new and spec.target_type != query.target_type:
        query.entity = spec.entity or spec.key  # another kind of thing: its ids are not those of the old one (E23a)
    if (
        spec.key != query.key
        and ImportQuery.objects.filter(profile=profile, key=spec.key).exclude(pk=query.pk).exists()
    ):
        raise InvalidFields({"key": [say("There is a query “{key}” already.", key=spec.key)]})
    query.key, query.name = spec.key, spec.name or spec.key.replace("_", " ").capitalize()
    query.target_type = spec.target_type
    query.spec = dump_spec(replace(spec, name=query.name, entity=query.entity, value_maps={}))
    query.value_maps = {name: dict(entries) for name, entries in spec.value_maps.items()}
    query.enabled, query.disabled_reason = spec.enabled, ""
    query.changed_by = by
    query.version += 1
    query.save()
    keep_version(query, by)
    _touched(profile)
    _record("query_saved", query, by, version=query.version, kind=spec.kind)
    return query, is_new


def convert_to_sql(
    profile: ImportProfile, body: Mapping[str, Any], *, by: Any, key: str = "", version: int | None = None
) -> SavedQuery:
    """Save a built query as the SQL it stands for, from then on to be edited as text (Q25).

    What the blocks say is saved before it, unless it is what is stored, so that the history gives it back.
    Raises what `save_query` raises, Conflict for a query that is SQL already, and QueryProblems when the text would
    not pass as SQL of a person: a view of a pack may use what people may not.
    """
    if by is not None:
        policy.require(by, RAW_SQL)
    schema = source_map(profile).schema
    with looking(profile, by) as session:
        built, compiled = judge(session, profile, body, schema, by=by).accepted()
        if built.kind == "sql":
            raise Conflict(
                say("“{built}” is written in SQL already.", built=built.name or built.key), hint=say("Edit its text.")
            )
        judged = judge(session, profile, dump_spec(as_sql(built, compiled)), schema, by=by)
    if judged.errors:
        reason = judged.errors[0]
        raise QueryProblems(
            [
                replace(
                    reason,
                    path="sql",
                    message=say("It cannot go on as SQL of its own: {reason}", reason=reason.message),
                    position=None,
                )
            ]
        )
    written, _ = judged.accepted()
    with transaction.atomic():
        query = ImportQuery.objects.filter(profile=profile, key=key or built.key).first()
        if query is None or not _is_stored(query, built):
            query, _ = store_query(profile, built, by=by, key=key, version=version)
        elif not query.versions.filter(number=query.version).exists():
            keep_version(query, query.changed_by)  # a pack stored it: nobody saved it before
        else:
            _check_version(query, version)
        query, is_new = store_query(profile, written, by=by, key=query.key)
    return SavedQuery(query, judged, is_new)


def _is_stored(query: ImportQuery, spec: QuerySpec) -> bool:
    """Whether the query is stored as this, name and entity aside."""
    as_named = replace(spec, name=query.name, entity=query.entity, value_maps={})
    maps = {name: dict(entries) for name, entries in spec.value_maps.items()}
    return (dump_spec(as_named), maps) == (query.spec, query.value_maps)


def _check_version(query: ImportQuery, version: int | None) -> None:
    if version is not None and version != query.version:
        raise VersionConflict(query.name, changed_by=query.changed_by, changed_at=query.updated_at)


def _record(operation: str, query: ImportQuery, by: Any, **details: Any) -> None:
    audit.record(operation, user=by, profile_id=query.profile_id, obj=query, details={"key": query.key, **details})


def keep_version(query: ImportQuery, by: Any) -> None:
    """Keep the form the query was just saved in; the fifty newest stay (Q26)."""
    query.versions.create(number=query.version, spec=query.spec, value_maps=query.value_maps, saved_by=by)
    query.versions.filter(number__lte=query.version - KEPT_VERSIONS).delete()


def _touched(profile: ImportProfile) -> None:
    """The profile's queries are a person's own from now on (Q4)."""
    profile.has_custom_queries = True
    profile.save(update_fields=["has_custom_queries", "updated_at"])


def restore_version(query: ImportQuery, number: int, *, by: Any) -> SavedQuery:
    """Save an earlier form again, as the newest (Q26). Raises QueryError when it is no longer kept."""
    version = QueryVersion.objects.filter(query=query, number=number).first()
    if version is None:
        raise QueryError(
            say("Version {number} of “{query}” is not kept.", number=number, query=query.name),
            hint=say("Choose one of the versions that are listed."),
            code="not_found",
        )
    body = {**version.spec, "key": query.key, "entity": query.entity, "value_maps": version.value_maps}
    return save_query(query.profile, body, by=by, key=query.key)


@transaction.atomic
def reorder_queries(profile: ImportProfile, keys: Sequence[str]) -> list[str]:
    """Set the order in which queries run; those not named follow in the order they had. Returns all keys.

    Raises InvalidFields for a key that is no query of the profile, or twice there.
    """
    ImportProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
    known = list(profile.queries.order_by("position", "key").values_list("key", flat=True))
    unknown = [key for key in keys if key not in known]
    if unknown or len(set(keys)) != len(keys):
        raise InvalidFields(
            {
                "keys": [
                    say("“{unknown}” is not a query.", unknown=unknown[0]) if unknown else say("A key is named twice.")
                ]
            }
        )
    order = [*keys, *(key for key in known if key not in keys)]
    profile.priority_order = order
    profile.save(update_fields=["priority_order", "updated_at"])
    for position, key in enumerate(order):
        profile.queries.filter(key=key).update(position=position)
    audit.record("profile_updated", profile_id=profile.pk, obj=profile, details={"fields": ["priority_order"]})
    return order


@transaction.atomic
def switch_query(query: ImportQuery, *, on: bool, by: Any) -> ImportQuery:
    """Let the query run with the profile, or not."""
    query.enabled, query.disabled_reason = on, ""
    query.spec = {**query.spec, "enabled": on}
    query.changed_by = by
    query.version += 1
    query.save()
    keep_version(query, by)
    _touched(query.profile)
    _record("query_saved", query, by, enabled=on)
    return query


@transaction.atomic
def rename_query(query: ImportQuery, name: str, *, by: Any) -> ImportQuery:
    """Give the query another name for people; its key and entity stay."""
    name = name.strip()
    if not name or len(name) > 255:
        raise InvalidFields({"name": [say("A name has 1 to 255 characters.")]})
    query.name, query.changed_by = name, by
    query.spec = {**query.spec, "name": name}
    query.version += 1
    query.save()
    keep_version(query, by)
    _record("query_saved", query, by, name=name)
    return query


@transaction.atomic
def duplicate_query(query: ImportQuery, *, by: Any) -> ImportQuery:
    """A copy beside the query, switched off, with an entity of its own: two queries must not share external ids."""
    taken = set(query.profile.queries.values_list("key", flat=True))
    key = next(name for n in range(2, 1000) if (name := f"{query.key[:58]}_{n}") not in taken)
    last = query.profile.queries.aggregate(last=Max("position"))["last"] or 0
    copy = ImportQuery.objects.create(
        profile=query.profile,
        key=key,
        name=f"Copy of {query.name}"[:255],
        entity=key,
        target_type=query.target_type,
        spec={**query.spec, "key": key, "entity": key, "name": f"Copy of {query.name}"[:255], "enabled": False},
        value_maps=query.value_maps,
        variant=query.variant,
        position=last + 1,
        enabled=False,
        changed_by=by,
    )
    keep_version(copy, by)
    _touched(query.profile)
    _record("query_saved", copy, by, copy_of=query.key)
    return copy


@transaction.atomic
def delete_query(query: ImportQuery) -> None:
    """Take the query out of the profile; what it imported stays."""
    profile, key = query.profile, query.key
    _record("query_deleted", query, None)
    query.delete()
    profile.priority_order = [name for name in profile.priority_order if name != key]
    profile.has_custom_queries = True
    profile.save(update_fields=["priority_order", "has_custom_queries", "updated_at"])
    profile.drafts.filter(key=key).delete()
