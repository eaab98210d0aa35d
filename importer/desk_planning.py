"""How a file's rows go into a target type of the help desk: as those of a database do, by the file's own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from importer import derived_accounts, source_entities
from importer.errors import QueryError
from importer.file_mapping import mapped_field
from importer.file_options import FileOptions
from importer.file_parts import Part
from importer.file_targets import Destination, recognised_by
from importer.mapping.fields import DEFAULT_ENTITY
from importer.models import MappingVersion, SourceEntity
from importer.modes import Mode, Strategy
from importer.options import InvalidOption
from importer.pipeline.binding import Bind
from importer.pipeline.columns import Cells
from importer.pipeline.decide import decide
from importer.pipeline.keyed import EXTERNAL_ID, KeyedPlan
from importer.pipeline.plan import LoadPlan, Mapped, Matching, digest
from importer.pipeline.said_accounts import SAID_BY, SaidAccounts
from importer.source_entities import EntityTaken
from servicevault import catalog
from servicevault.catalog import Target
from servicevault.wording import say

ACCOUNT = "account_external_id"


def plan_rows(
    goal: Destination,
    part: Part,
    options: FileOptions,
    *,
    cells: Cells,
    rules: Sequence[Mapping[str, Any]],
    types: Sequence[str],
    stores: bool,
) -> KeyedPlan:
    """The plan of a part's rows; `types` are the target types of all parts of the file, whose rows may be named.

    Raises InvalidOption for what cannot be right.
    """
    target = _permitted(catalog.get(part.target_type), goal)
    for rule in options.rules:
        if rule["rule"] == "unique":
            raise InvalidOption(
                say("The rule “unique” is for tables; rows of target types are told apart by their external ids."),
                where="import_options.validation_rules",
            )
    mapped = [mapped_field(goal.target, mapping, cells, rules) for mapping in part.mappings]
    mapped += _spare(mapped, goal)
    said = _said_accounts(part, mapped, goal, options)
    own = derived_accounts.key_of(source_entities.feeding(options.source_key, part.target_type))
    derived = [(own, "accounts")] if said else []
    entities = _entities(options.source_key, {*types, part.target_type}, derived, stores=stores)
    if said:
        target = replace(target, derived={**target.derived, ACCOUNT: said[0]})
        by = next(item for item in mapped if item.field.name in SAID_BY)
        field = goal.target.field(ACCOUNT)
        assert field is not None
        mapped.append(Mapped(field=field, column=by.column, entity=own))
    for item in mapped:
        if item.entity and item.entity not in entities:
            raise InvalidOption(
                say(
                    "“{field}” is looked for in the entity “{entity}”, which nothing feeds.",
                    field=item.field.name,
                    entity=item.entity,
                ),
                hint=say("Entities: {set}.", set=", ".join(sorted(set(entities) - {DEFAULT_ENTITY}))),
                where="field_mappings",
            )
    filled = {item.field.name for item in mapped}
    chosen = _chosen(goal, options, filled)
    entity = entities[source_entities.feeding(options.source_key, part.target_type)]
    load = LoadPlan(
        target=target,
        mapped=tuple(mapped),
        entity_id=entity.pk,
        version_id=_version(entity, part, options).pk if stores else 0,
        searched=source_entities.searched(entities),
        entity_ids={name: found.pk for name, found in entities.items()},
        mode=Mode.UPSERT if options.on_duplicate == "update" else Mode.CREATE,
        matching=Matching(primary=chosen or target.match_fields, strategy=Strategy(target.match_strategy)),
        timezone=options.read.timezone,
        default_account_name=say("Imported from {source_key}", source_key=options.source_key),
        makes_default_account=goal.makes_account,
        record_unchanged=options.record_unchanged,
        cells=cells,
        of_file=True,
        refuses_existing=options.on_duplicate == "error",
    )
    try:
        decide(load, Bind())
    except QueryError as error:
        raise InvalidOption(error.message, hint=error.hint, where="field_mappings") from None
    key = (EXTERNAL_ID,) if EXTERNAL_ID in filled else recognised_by(target, chosen)
    accounts = _accounts_plan(part, load, entities[own], said, stores=stores) if said else None
    return KeyedPlan(load, key, last_counts=options.on_duplicate == "update", accounts=accounts)


def _said_accounts(
    part: Part, mapped: Sequence[Mapped], goal: Destination, options: FileOptions
) -> tuple[str, str] | None:
    """What says the account of a customer whose account is not mapped, where it may be filled (E34)."""
    filled = {item.field.name for item in mapped}
    if part.target_type != "customer_users" or ACCOUNT in filled or goal.target.field(ACCOUNT) is None:
        return None
    return derived_accounts.said_by(options.account_strategy, filled)


def _accounts_plan(
    part: Part, customers: LoadPlan, entity: SourceEntity, said: tuple[str, str], *, stores: bool
) -> SaidAccounts:
    """The plan of the accounts: recognised by their names, left as they are where they are here."""
    target = catalog.get("accounts")
    named = [field for name in (EXTERNAL_ID, "name") if (field := target.field(name))]
    mapping = {"said": list(said)}
    load = replace(
        customers,
        target=target,
        mapped=tuple(Mapped(field=field, column=field.name) for field in named),
        entity_id=entity.pk,
        version_id=_noted(entity, mapping).pk if stores else 0,
        mode=Mode.CREATE,
        matching=Matching(primary=target.match_fields, strategy=Strategy.CASE_INSENSITIVE),
        record_unchanged=False,
        refuses_existing=False,
    )
    return SaidAccounts(derived_accounts.key_of(part.key), load, *said)


def entity_of(part: Part, options: FileOptions) -> SourceEntity:
    """The entity that the part's rows are counted to; it is made when there is none."""
    name = source_entities.feeding(options.source_key, part.target_type)
    return _claimed(options.source_key, [(name, part.target_type)])[name]


def _permitted(target: Target, goal: Destination) -> Target:
    """The target without what would be made for fields that may not be written: a name of its two halves (F-025)."""
    return replace(
        target,
        derived={name: text for name, text in target.derived.items() if goal.target.field(name)},
        derived_needs={name: needs for name, needs in target.derived_needs.items() if goal.target.field(name)},
    )


def _claimed(source_key: str, wanted: list[tuple[str, str]]) -> dict[str, SourceEntity]:
    try:
        return source_entities.claimed(source_key, wanted)
    except EntityTaken as error:
        hint = say("Name another source with source_key.")
        raise InvalidOption(error.message, hint=hint, where="import_options.source_key") from None


def _entities(
    source_key: str, types: set[str], derived: list[tuple[str, str]], *, stores: bool
) -> dict[str, SourceEntity]:
    wanted = [(source_entities.feeding(source_key, kind), kind) for kind in sorted(types)] + derived
    if stores:
        return _claimed(source_key, wanted)
    found = source_entities.known(source_key)
    # Ids that no row has: of an entity that was never imported nothing is known, and nothing is found.
    missing = [pair for pair in [*wanted, (DEFAULT_ENTITY, "accounts")] if pair[0] not in found]
    for number, (name, kind) in enumerate(missing, start=1):
        found[name] = SourceEntity(pk=-number, source_key=source_key, entity=name, target_type=kind)
    return found


def _spare(mapped: Sequence[Mapped], goal: Destination) -> list[Mapped]:
    """References that the file names by another field's value: a customer by the address, where it brings no id."""
    by_name = {item.field.name: item for item in mapped}
    found = []
    for field in goal.target.fields:
        if field.reference is None or field.reference.spare is None or field.name in by_name:
            continue
        named_by, key = field.reference.spare
        if said := by_name.get(named_by):
            plain = replace(said, checks=(), value_map={}, write_rule="overwrite")
            found.append(replace(plain, field=field, resolve_by=key, unresolved="null"))
    return found


def _chosen(goal: Destination, options: FileOptions, filled: set[str]) -> tuple[str, ...]:
    """The match fields of the options, held against what is there (K2). Raises InvalidOption."""
    where = "import_options.duplicate_key"
    chosen = tuple(name for name in options.duplicate_key if name != EXTERNAL_ID)
    for name in chosen:
        field = goal.target.field(name)
        if field is None:
            raise InvalidOption(
                say("“{name}” is not a field of {target}.", name=name, target=goal.target.label),
                hint=say("Use one of its fields."),
                where=where,
            )
        if field.name not in filled:
            raise InvalidOption(say("“{name}” recognises no row: it is not mapped.", name=name), where=where)
        if field.reference or not field.storage or field.type not in {"text", "email"}:
            raise InvalidOption(
                say("“{name}” cannot be matched on.", name=name),
                hint=say("Use a field that holds a text."),
                where=where,
            )
    return chosen


def _version(entity: SourceEntity, part: Part, options: FileOptions) -> MappingVersion:
    read = options.read
    mapping = {
        "fields": part.field_mappings,
        "values": [read.date_format, read.timezone, read.decimal_separator, read.thousands_separator],
        "match": options.duplicate_key,
    }
    return _noted(entity, mapping)


def _noted(entity: SourceEntity, mapping: dict[str, Any]) -> MappingVersion:
    version, _ = MappingVersion.objects.get_or_create(
        entity=entity, digest=digest(mapping), defaults={"mapping": mapping}
    )
    return version
