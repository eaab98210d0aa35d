"""Settings a super admin changes while the site runs (F-147). What the environment sets explicitly wins and is locked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction

from permissions import audit
from permissions.models import Preference
from servicevault.wording import say

REASON_CHARACTERS = 500


class Refused(ValueError):
    """Values that cannot be stored: `errors` has the sentence of each setting."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__(next(iter(errors.values())))


@dataclass(frozen=True)
class Setting:
    """One setting: how it is called, what it takes, what it is for."""

    name: str
    label: str
    help: str
    low: int = 0  # of numbers; high 0: not a number
    high: int = 0
    choices: tuple[str, ...] = ()

    def fault(self, value: Any) -> str:
        """What is wrong with a value; "" when nothing."""
        if self.high:
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return (
                ""
                if is_number and self.low <= value <= self.high
                else say("Use {low:,} to {high:,}.", low=self.low, high=self.high)
            )
        if self.choices:
            is_list = isinstance(value, list) and value and all(each in self.choices for each in value)
            return "" if is_list else say("Choose one or more of {choices}.", choices=", ".join(self.choices))
        return "" if isinstance(value, bool) else say("Use true or false.")


SETTINGS = {
    each.name: each
    for each in (
        Setting(
            "IMPORT_MAX_FILE_SIZE", say("Largest file in MB"), say("A permission to a table may allow less."), 1, 1000
        ),
        Setting(
            "IMPORT_ALLOWED_EXTENSIONS",
            say("File formats"),
            say("What may be uploaded; a permission to a table may allow less."),
            choices=("csv", "json", "jsonl", "xlsx", "xls", "xml", "yaml"),
        ),
        Setting(
            "IMPORT_BATCH_SIZE", say("Rows in one transaction"), say("Where a job does not say otherwise."), 10, 10_000
        ),
        Setting(
            "IMPORT_JOB_TIMEOUT", say("Seconds a job may take"), say("Then it fails and can be resumed."), 60, 86_400
        ),
        Setting("IMPORT_MAX_CONCURRENT_JOBS", say("Jobs at the same time"), say("Others wait for their turn."), 1, 20),
        Setting(
            "IMPORT_REQUIRE_APPROVAL", say("Every import needs an approval"), say("By somebody who did not start it.")
        ),
        Setting(
            "AUDIT_RETENTION_DAYS",
            say("Days the audit log is kept"),
            say("Older entries are removed once a day."),
            1,
            36_500,
        ),
    )
}


def values() -> dict[str, Any]:
    """Every setting as it counts now; one query."""
    stored = dict(Preference.objects.values_list("name", "value"))
    return {
        name: stored[name] if name in stored and not is_locked(name) else getattr(settings, name) for name in SETTINGS
    }


def value(name: str) -> Any:
    """One setting as it counts now; one query unless the environment says it."""
    if is_locked(name):
        return getattr(settings, name)
    stored = Preference.objects.filter(name=name).values_list("value", flat=True).first()
    return getattr(settings, name) if stored is None else stored


def is_locked(name: str) -> bool:
    """Whether the environment says it."""
    return bool(os.environ.get(name, "").strip())


@transaction.atomic
def change(given: Mapping[str, Any], *, by: Any, reason: str = "") -> list[str]:
    """Set what `given` names and return the names that differ now; old, new, person and reason are on record (F-148).

    Raises PermissionDenied for others than super admins, Refused naming every fault.
    """
    if not by.is_superuser:
        raise PermissionDenied
    errors = {name: say("There is no such setting.") for name in given if name not in SETTINGS}
    errors |= {name: SETTINGS[name].fault(new) for name, new in given.items() if name in SETTINGS}
    errors |= {name: say("The environment sets it.") for name in given if is_locked(name)}
    if faults := {name: text for name, text in errors.items() if text}:
        raise Refused(faults)
    before = values()
    changed = [name for name, new in given.items() if before[name] != new]
    for name in changed:
        Preference.objects.update_or_create(name=name, defaults={"value": given[name], "changed_by": by})
        details = {"setting": name, "old": before[name], "new": given[name], "reason": reason[:REASON_CHARACTERS]}
        audit.record("settings_changed", user=by, details=details)
    return changed
