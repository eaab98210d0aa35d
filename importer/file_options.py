"""What an import of a file can be told (F-065, F-054, F-075), checked: what cannot be right is refused by name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from importer.file_part_options import OF_THE_FILE, PARTS, merged
from importer.modes import AccountStrategy
from importer.options import InvalidOption
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.options import ReadOptions
from servicevault.wording import say

STRATEGIES = ("skip", "update", "error")
ALIASES = {"uppercase": "upper", "lowercase": "lower"}
OWN = (
    "on_duplicate", "duplicate_key", "validate_only", "batch_size", "read_ahead", "error_policy", "validation_rules",
    "timeout", "record_unchanged", "tables", "source_key", "account_strategy",
    "parts",
)  # fmt: skip
RULES = (
    "not_empty", "pattern", "min", "max", "min_length", "max_length", "one_of", "email", "url", "date", "unique",
)  # fmt: skip
MOST_RULES = 500
MESSAGE_CHARACTERS = 500
MOST_VALUES = 500  # of one value map
MOST_PARTS = 100  # of one document
SOURCE_KEY = "files"  # the source that files belong to which name none


@dataclass(frozen=True)
class FileOptions:
    """The options of one file import."""

    read: ReadOptions
    on_duplicate: str = "skip"
    duplicate_key: tuple[str, ...] = ()
    validate_only: bool = False
    batch_size: int | None = None  # rows of one transaction; None: as the installation says
    read_ahead: int | None = None  # staged rows a worker asks for at a time; None: the same
    error_policy: Mapping[str, Any] | None = None
    rules: tuple[Mapping[str, Any], ...] = ()
    record_unchanged: bool = False
    source_key: str = SOURCE_KEY
    account_strategy: AccountStrategy = AccountStrategy.COMPANY  # of customers whose account is not mapped (E34)
    tables: Mapping[str, str] = field(default_factory=dict)  # part of a document → target type or table


@dataclass(frozen=True)
class FieldMapping:
    """One column of the file into one of the table, or into one field of a target type."""

    source: str
    target: str
    transforms: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    skip_empty: bool = False
    default: Any = None
    reference: Mapping[str, str] = field(default_factory=dict)  # by, entity, unresolved: how the row is found (E25)
    value_map: Mapping[str, str | None] = field(default_factory=dict)  # what the file's values mean (E32)

    def as_json(self) -> dict[str, Any]:
        """The mapping in its stored form."""
        steps: Any = [{"name": name, "params": dict(params)} for name, params in self.transforms]
        if len(self.transforms) == 1 and not self.transforms[0][1]:
            steps = self.transforms[0][0]
        return {
            "source_column": self.source,
            "target_column": self.target,
            "transform": steps or None,
            "skip_empty": self.skip_empty,
            "default": self.default,
            **({"reference": dict(self.reference)} if self.reference else {}),
            **({"value_map": dict(self.value_map)} if self.value_map else {}),
        }


def file_options(given: Mapping[str, Any]) -> FileOptions:
    """The options as they count. Raises InvalidOption naming the one that cannot be right."""
    if not isinstance(given, Mapping):
        raise InvalidOption(
            say("import_options is an object."), hint=say("Send {} for the usual ones."), where="import_options"
        )
    try:
        read = ReadOptions.parse({name: value for name, value in given.items() if value is not None}, others=OWN)
    except OptionRefused as error:
        raise InvalidOption(str(error), where=f"import_options.{error.option}") from None
    strategy = given.get("on_duplicate") or "skip"
    if strategy not in STRATEGIES:
        raise _refused("on_duplicate", say("is one of {strategies}", strategies=", ".join(STRATEGIES)))
    key = given.get("duplicate_key") or ()
    key = [key] if isinstance(key, str) else key
    if not isinstance(key, list | tuple) or not all(isinstance(column, str) for column in key):
        raise _refused("duplicate_key", say("is a list of columns"))
    timeout = given.get("timeout")
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int) or not 60 <= timeout <= 86_400
    ):
        raise _refused("timeout", say("is a number of seconds from 60 to 86,400"))
    _check_parts(given)
    for name in ("validate_only", "record_unchanged"):
        if not isinstance(given.get(name, False), bool):
            raise _refused(name, say("is true or false"))
    return FileOptions(
        read=read,
        on_duplicate=strategy,
        duplicate_key=tuple(key),
        validate_only=given.get("validate_only", False),
        batch_size=_size(given, "batch_size", 10, 50_000),
        read_ahead=_size(given, "read_ahead", 1, 10_000),
        error_policy=_policy(given.get("error_policy")),
        rules=_rules(given.get("validation_rules") or ()),
        record_unchanged=given.get("record_unchanged", False),
        source_key=_source_key(given.get("source_key")),
        account_strategy=_account_strategy(given.get("account_strategy")),
        tables=_tables(given.get("tables")),
    )


def field_mappings(given: Any) -> tuple[FieldMapping, ...]:
    """The mappings as they count; a `{source: target}` object is taken too. Raises InvalidOption."""
    if isinstance(given, Mapping):
        given = [{"source_column": source, "target_column": target} for source, target in given.items()]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidOption(
            say("field_mappings is a list of mappings."),
            hint=say("Each has source_column and target_column."),
            where="field_mappings",
        )
    found = [_mapping(item, place) for place, item in enumerate(given)]
    seen: set[str] = set()
    for place, mapping in enumerate(found):
        if mapping.target in seen:
            raise InvalidOption(
                say("“{target}” is filled twice.", target=mapping.target),
                hint=say("Map each column once."),
                where=f"field_mappings[{place}]",
            )
        seen.add(mapping.target)
    return tuple(found)


def digest(*parts: Any) -> str:
    """A fingerprint of what a validation or a staging holds for."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _mapping(item: Any, place: int) -> FieldMapping:
    where = f"field_mappings[{place}]"
    names = {
        "source_column": "source", "sourceColumn": "source", "target_column": "target", "targetColumn": "target",
        "transform": "transform", "skip_empty": "skip_empty", "skipEmpty": "skip_empty", "default": "default",
        "reference": "reference", "value_map": "value_map", "valueMap": "value_map",
        "confidence": "", "reason": "", "level": "", "preselected": "",
    }  # fmt: skip
    if not isinstance(item, Mapping):
        raise InvalidOption(say("A mapping is an object with source_column and target_column."), where=where)
    if unknown := [name for name in item if name not in names]:
        raise InvalidOption(
            say("A mapping has no “{unknown}”.", unknown=unknown[0]),
            hint=say("Known: source_column, target_column, transform, skip_empty, default, reference, value_map."),
            where=f"{where}.{unknown[0]}",
        )
    values = {names[name]: value for name, value in item.items()}
    for name in ("source", "target"):
        if not isinstance(values.get(name), str) or not values[name]:
            raise InvalidOption(
                say("A mapping needs its {name} column.", name=name),
                hint=say("Add it, or leave the mapping out."),
                where=f"{where}.{name}_column",
            )
    if not isinstance(values.get("skip_empty") or False, bool):
        raise InvalidOption(say("skip_empty is true or false."), where=f"{where}.skip_empty")
    if isinstance(values.get("default"), list | dict):
        raise InvalidOption(say("default is a single value."), where=f"{where}.default")
    return FieldMapping(
        source=values["source"],
        target=values["target"],
        transforms=_steps(values.get("transform"), where),
        skip_empty=bool(values.get("skip_empty")),
        default=values.get("default"),
        reference=_reference(values.get("reference"), where),
        value_map=_value_map(values.get("value_map"), where),
    )


def _reference(given: Any, where: str) -> Mapping[str, str]:
    known = ("by", "entity", "unresolved")
    if given is None:
        return {}
    if not isinstance(given, Mapping) or set(given) - set(known) or not all(isinstance(v, str) for v in given.values()):
        raise InvalidOption(
            say("reference is an object of texts."),
            hint=say("Known: {known}.", known=", ".join(known)),
            where=f"{where}.reference",
        )
    return {name: given[name] for name in known if given.get(name)}


def _value_map(given: Any, where: str) -> Mapping[str, str | None]:
    if given is None:
        return {}
    if (
        not isinstance(given, Mapping)
        or len(given) > MOST_VALUES
        or not all(value is None or isinstance(value, str) for value in given.values())
    ):
        raise InvalidOption(
            say(
                "value_map is an object of at most {most_values} source values and what they mean.",
                most_values=MOST_VALUES,
            ),
            where=f"{where}.value_map",
        )
    return {str(source): wanted for source, wanted in given.items()}


def _steps(given: Any, where: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    if given in (None, "", "none"):
        return ()
    found = []
    listed: list[Any] = given if isinstance(given, list) else [given]
    for step in listed:
        name, params = (step.get("name"), step.get("params") or {}) if isinstance(step, Mapping) else (step, {})
        if not isinstance(name, str) or not isinstance(params, Mapping):
            raise InvalidOption(
                say("A transformation is a name, or {name, params}."),
                hint=say("For example trim."),
                where=f"{where}.transform",
            )
        found.append((ALIASES.get(name, name), params))
    return tuple(found)


def _source_key(given: Any) -> str:
    if given in (None, ""):
        return SOURCE_KEY
    if not isinstance(given, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", given):
        raise _refused("source_key", say("has 1 to 64 letters, digits, hyphens and underscores"))
    return given


def _account_strategy(given: Any) -> AccountStrategy:
    if given in (None, ""):
        return AccountStrategy.COMPANY
    if not isinstance(given, str) or given not in AccountStrategy.values:
        raise _refused("account_strategy", say("is one of {names}", names=", ".join(AccountStrategy.values)))
    return AccountStrategy(given)


def _tables(given: Any) -> Mapping[str, str]:
    if given is None:
        return {}
    if (
        not isinstance(given, Mapping)
        or len(given) > MOST_PARTS
        or not all(isinstance(name, str) and name for name in given.values())
    ):
        raise _refused(
            "tables",
            say(
                "is an object of at most {most_parts} parts and the target type or table of each", most_parts=MOST_PARTS
            ),
        )
    return dict(given)


def _check_parts(given: Mapping[str, Any]) -> None:
    """Raise InvalidOption for options of a part that is not there, or that only the whole document has."""
    said = given.get(PARTS)
    if said is None:
        return
    if not isinstance(said, Mapping) or not all(isinstance(each, Mapping) for each in said.values()):
        raise _refused(PARTS, say("is an object with the options of each part that has its own"))
    known = given.get("tables") if isinstance(given.get("tables"), Mapping) else {}
    for place, own in said.items():
        if place not in (known or {}):
            raise _refused(f"{PARTS}.{place[:80]}", say("is no part that import_options.tables names"))
        if misplaced := next((name for name in own if name in OF_THE_FILE), ""):
            raise _refused(f"{PARTS}.{place[:80]}.{misplaced}", say("is an option of the whole document"))
        try:
            file_options(merged(given, own))
        except InvalidOption as error:
            where = error.where.replace("import_options.", f"import_options.{PARTS}.{place[:80]}.", 1)
            raise InvalidOption(error.message, hint=error.hint, where=where) from None


def _size(options: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    given = options.get(name)
    if given in (None, "auto"):
        return None
    if not isinstance(given, int) or isinstance(given, bool) or not low <= given <= high:
        raise _refused(name, say("is auto or a number from {low:,} to {high:,}", low=low, high=high))
    return given


def _policy(given: Any) -> Mapping[str, Any] | None:
    if given is None:
        return None
    known = {"on_error", "max_errors", "max_error_percent"}
    if (
        not isinstance(given, Mapping)
        or set(given) - known
        or given.get("on_error", "continue") not in ("continue", "stop")
    ):
        raise _refused("error_policy", say("has on_error (continue or stop), max_errors and max_error_percent"))
    for name in ("max_errors", "max_error_percent"):
        value = given.get(name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool) or value < 0):
            raise _refused("error_policy", say("has a number from 0 as {name}", name=name))
    return given


def _rules(given: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(given, list | tuple):
        raise _refused("validation_rules", say("is a list of rules"))
    if len(given) > MOST_RULES:
        raise _refused("validation_rules", say("has at most {most_rules} rules", most_rules=MOST_RULES))
    known = {"column", "rule", "value", "severity", "message"}
    for place, rule in enumerate(given):
        where = f"validation_rules[{place}]"
        if not isinstance(rule, Mapping) or set(rule) - known:
            raise _refused(where, say("has column, rule, value, severity and message"))
        if rule.get("rule") not in RULES:
            raise _refused(f"{where}.rule", say("is one of {rules}", rules=", ".join(RULES)))
        message = rule.get("message")
        if message is not None and (not isinstance(message, str) or len(message) > MESSAGE_CHARACTERS):
            raise _refused(
                f"{where}.message",
                say("is a text of at most {message_characters} characters", message_characters=MESSAGE_CHARACTERS),
            )
        if rule.get("severity", "error") not in ("error", "warning"):
            raise _refused(f"{where}.severity", say("is error or warning"))
        if not isinstance(rule.get("column"), str):
            raise _refused(f"{where}.column", say("names a column"))
    return tuple(given)


def _refused(name: str, wanted: str) -> InvalidOption:
    return InvalidOption(f"import_options.{name} {wanted}.", where=f"import_options.{name}")
