"""The entities of a source: the spaces in which external ids are unique, whoever fills them (E23 to E24)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from importer.derived_accounts import is_derived
from importer.errors import ImporterError
from importer.mapping.fields import DEFAULT_ENTITY
from importer.models import SourceEntity
from servicevault.wording import say


class EntityTaken(ImporterError):
    """One entity would feed two target types (E23a)."""

    code = "query_failed"


def known(source_key: str) -> dict[str, SourceEntity]:
    """The source's entities by name, whichever profile or file made them."""
    return {entity.entity: entity for entity in SourceEntity.objects.filter(source_key=source_key)}


def claimed(source_key: str, wanted: Iterable[tuple[str, str]]) -> dict[str, SourceEntity]:
    """The same once these (entity, target type) and the one of the default account are there. Raises EntityTaken."""
    for name, target_type in [*wanted, (DEFAULT_ENTITY, "accounts")]:
        entity, _ = SourceEntity.objects.get_or_create(
            source_key=source_key, entity=name, defaults={"target_type": target_type}
        )
        if entity.target_type != target_type:
            raise EntityTaken(
                say(
                    "The entity “{name}” feeds {target_type}; something else wants to feed {other_type} with it.",
                    name=name,
                    target_type=entity.target_type,
                    other_type=target_type,
                ),
                hint=say("Give one of the two another entity."),
            )
    return known(source_key)


def feeding(source_key: str, target_type: str) -> str:
    """The entity that rows of a file are counted to: that of the source which feeds the type already, if it is one."""
    names = [
        entity.entity
        for entity in known(source_key).values()
        if entity.target_type == target_type and entity.entity != DEFAULT_ENTITY and not is_derived(entity.entity)
    ]
    return names[0] if len(names) == 1 else target_type


def searched(entities: Mapping[str, SourceEntity]) -> dict[str, tuple[int, ...]]:
    """Target type → entities in which an external id of such a row may appear."""
    found: dict[str, tuple[int, ...]] = {}
    for entity in entities.values():
        if entity.entity != DEFAULT_ENTITY:
            found[entity.target_type] = (*found.get(entity.target_type, ()), entity.pk)
    return found
