"""What a job can be told (X22): each option with the check of its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from importer.errors import ImporterError
from importer.modes import mode_of, strategy_of
from servicevault.wording import say

Check = Callable[[Any], bool]
MANY_UPDATES = 10_000  # from here on an import is risky (J23)


class InvalidOption(ImporterError):
    """An option nobody knows, or a value it does not take."""

    code = "validation_error"


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they are stored. Raises InvalidOption naming the first that cannot be right."""
    _check_members(options, OPTIONS, "options")
    return dict(options)


def _check_members(given: Mapping[str, Any], known: Mapping[str, tuple[Check, str]], where: str) -> None:
    for name, value in given.items():
        if name not in known:
            raise InvalidOption(
                say("“{name}” is not an option.", name=name),
                hint=say("Options: {known}.", known=", ".join(sorted(known))),
                where=where,
            )
        check, wanted = known[name]
        if value is not None and not check(value):
            raise InvalidOption(
                say("{where}.{name} must be {wanted}.", where=where, name=name, wanted=wanted), where=f"{where}.{name}"
            )


def _number(low: float, high: float) -> Check:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _accepted(convert: Callable[[str], Any]) -> Check:
    def check(value: Any) -> bool:
        try:
            convert(str(value))
        except ValueError:
            return False
        return isinstance(value, str)

    return check


def _moment(value: Any) -> bool:
    return isinstance(value, date | datetime) or _accepted(datetime.fromisoformat)(value)


def _members(known: Mapping[str, tuple[Check, str]]) -> Check:
    def check(value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            name in known and (item is None or known[name][0](item)) for name, item in value.items()
        )

    return check


_POLICY: dict[str, tuple[Check, str]] = {
    "on_error": (lambda value: value in {"continue", "stop"}, say("continue or stop")),
    "max_errors": (_whole(0, 10**9), say("a whole number")),
    "max_error_percent": (_number(0, 100), say("0 to 100")),
}
_FILTERS: dict[str, tuple[Check, str]] = {
    "date_from": (_moment, say("a date")),
    "date_to": (_moment, say("a date")),
    "limit": (_whole(1, 10**9), say("a whole number from 1")),
    "ids": (_texts, say("a list of ids")),
}
_MATCHING: dict[str, tuple[Check, str]] = {
    "enabled": (_flag, say("true or false")),
    "strategy": (_accepted(strategy_of), say("exact or case_insensitive")),
    "matching_strategy": (_accepted(strategy_of), say("exact or case_insensitive")),
    "primary_fields": (_texts, say("a list of fields")),
    "secondary_fields": (_texts, say("a list of fields")),
    "confidence_threshold": (_number(0, 100), say("0 to 100")),
    "review_floor": (_number(0, 100), say("0 to 100")),
    "case_sensitive": (_flag, say("true or false")),
}
OPTIONS: dict[str, tuple[Check, str]] = {
    "batch_size": (lambda value: value == "auto" or _whole(1, 50_000)(value), say("auto or 1 to 50,000 rows")),
    "read_ahead": (lambda value: value == "auto" or _whole(1, 10_000)(value), say("auto or 1 to 10,000 rows")),
    "timeout": (_whole(60, 86_400), say("60 to 86,400 seconds")),
    "concurrent_jobs": (_whole(1, 20), say("1 to 20")),
    "mode": (_accepted(mode_of), say("create, update or upsert")),
    "matching": (_members(_MATCHING), say("an object of {matching}", matching=", ".join(_MATCHING))),
    "import_filters": (_members(_FILTERS), say("an object of {filters}", filters=", ".join(_FILTERS))),
    "selected_types": (_texts, say("a list of target types")),
    "selected_queries": (_texts, say("a list of query keys")),
    "error_policy": (_members(_POLICY), say("an object of {policy}", policy=", ".join(_POLICY))),
    "record_unchanged": (_flag, say("true or false")),
    "recreate_deleted": (_flag, say("true or false")),
    "plan_id": (_accepted(UUID), say("the id of a rehearsal")),
    "strict": (_flag, say("true or false")),
    "requires_approval": (_flag, say("true or false")),
}
