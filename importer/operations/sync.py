"""When a profile shall be imported by the clock (S1): checked, stored and told; nothing starts imports by it yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import available_timezones

from django.db import transaction
from django.utils import timezone

from importer.models import ImportProfile
from importer.operations.failures import InvalidFields
from permissions import audit
from servicevault.jobs import timing
from servicevault.wording import say

FREQUENCIES = ("hourly", "daily", "weekly", "monthly", "custom")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DEFAULTS: dict[str, Any] = {
    "sync_enabled": False, "sync_frequency": "daily", "sync_time": "02:00", "sync_timezone": "UTC",
    "sync_weekday": "monday", "sync_day_of_month": 1, "cron_expression": None,
}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "update_existing": True, "skip_existing": False, "batch_size": "auto", "timeout_minutes": 30,
    "max_records_per_run": None, "error_threshold": 10, "notification_on_failure": True, "missed_run": "run_once",
    "incremental": True, "propagate_deletes": "never",
}  # fmt: skip
NOT_STARTED = say("Imports are not started by the clock yet: next_runs says when they would be.")


@dataclass(frozen=True)
class Sync:
    """The settings with their defaults, and when they would be due."""

    settings: dict[str, Any]
    next_runs: list[datetime]


def sync_of(profile: ImportProfile) -> Sync:
    """The stored settings; due times only while they are switched on and the profile is active (S2)."""
    stored = profile.sync or {}
    settings = {**DEFAULTS, **stored, "sync_options": {**OPTIONS, **(stored.get("sync_options") or {})}}
    is_on = settings["sync_enabled"] and profile.is_active
    return Sync(settings, _timing(settings).next_few(timezone.now()) if is_on else [])


def set_sync(profile: ImportProfile, values: Mapping[str, Any], *, by: Any) -> Sync:
    """Store the members that are sent; the others stay. Raises InvalidFields for what cannot be kept (S7)."""
    with transaction.atomic():
        profile = ImportProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
        stored = {**(profile.sync or {}), **{name: values[name] for name in DEFAULTS if name in values}}
        stored["sync_options"] = {**(stored.get("sync_options") or {}), **(values.get("sync_options") or {})}
        profile.sync = _canonical(stored)
        _check({**DEFAULTS, **profile.sync})
        profile.changed_by = by
        profile.version += 1
        profile.save(update_fields=["sync", "changed_by", "version", "updated_at"])
        audit.record(
            "sync_config_changed", user=by, profile_id=profile.pk, obj=profile, details={"fields": sorted(values)}
        )
    return sync_of(profile)


def _canonical(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Weekdays by name, whichever way they were written."""
    weekday = str(settings.get("sync_weekday", "")).strip().lower()
    if weekday in ("1", "2", "3", "4", "5", "6", "7"):
        weekday = WEEKDAYS[int(weekday) - 1]
    return {**settings, **({"sync_weekday": weekday} if weekday else {})}


def _check(settings: Mapping[str, Any]) -> None:
    errors: dict[str, list[str]] = {}
    if settings["sync_frequency"] not in FREQUENCIES:
        errors["sync_frequency"] = [say("Use {frequencies}.", frequencies=", ".join(FREQUENCIES))]
    if settings["sync_timezone"] not in available_timezones():
        errors["sync_timezone"] = [say("This is not a time zone, such as Europe/Berlin.")]
    if settings["sync_weekday"] not in WEEKDAYS:
        errors["sync_weekday"] = [say("Use monday to sunday, or 1 to 7 with Monday as 1.")]
    day = settings["sync_day_of_month"]
    if day != "last" and not (isinstance(day, int) and 1 <= day <= 28):
        errors["sync_day_of_month"] = [say("Use 1 to 28, or last.")]
    try:
        time.fromisoformat(str(settings["sync_time"]))
    except ValueError:
        errors["sync_time"] = ["Use HH:MM, such as 02:00."]
    if settings["sync_frequency"] == "custom" and not settings["cron_expression"]:
        errors["cron_expression"] = [say("A custom frequency needs a cron expression.")]
    if not errors:
        try:
            _timing(settings)
        except timing.TimingRefused as refused:
            errors["cron_expression"] = [str(refused)]
    if errors:
        raise InvalidFields(errors)


def _timing(settings: Mapping[str, Any]) -> timing.Timing:
    at, zone = time.fromisoformat(str(settings["sync_time"])), str(settings["sync_timezone"])
    match settings["sync_frequency"]:
        case "hourly":
            return timing.every_hour(at.minute, zone)
        case "weekly":
            return timing.every_week(at, [WEEKDAYS.index(settings["sync_weekday"])], zone)
        case "monthly":
            day = settings["sync_day_of_month"]
            return timing.every_month(at, timing.LAST if day == "last" else int(day), zone)
        case "custom":
            return timing.from_cron(str(settings["cron_expression"]), zone)
    return timing.every_day(at, zone)
