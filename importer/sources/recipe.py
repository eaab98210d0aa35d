"""What every session sets before it asks anything, and how it is checked that the server did it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import LiteralString

from importer.errors import HostNotAllowed, SourceError
from importer.sources.params import SourceLimits
from servicevault.wording import say

OLDEST_VERSION = 100000
MILLISECONDS = {"": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
# Tells one database of one running server from every other, whatever name it was reached by.
IDENTITY: LiteralString = "pg_catalog.concat_ws('/', extract(epoch FROM pg_catalog.pg_postmaster_start_time()), pg_catalog.current_database())"
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SNAPSHOT_PATTERN = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{8}-[0-9]{1,10}|-[0-9]{1,10})")


def settings(version: int, limits: SourceLimits, *, statement_timeout_seconds: float) -> dict[str, str]:
    """Return the settings of a session in the order they are set; times in milliseconds."""
    wanted = {
        "search_path": "pg_catalog, pg_temp",
        "standard_conforming_strings": "on",
        "client_encoding": "UTF8",
        "TimeZone": "UTC",
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "iso_8601",
        "extra_float_digits": "1" if version >= 120000 else "3",  # before 12 only 3 gives every digit
        "bytea_output": "hex",
        "statement_timeout": milliseconds(statement_timeout_seconds),
        "lock_timeout": milliseconds(limits.lock_timeout_seconds),
        "idle_in_transaction_session_timeout": milliseconds(limits.idle_timeout_seconds),
        "default_transaction_read_only": "on",
    }
    if version >= 110000:
        wanted["jit"] = "off"
    if version >= 120000:
        wanted["plan_cache_mode"] = "force_custom_plan"
    if version >= 170000:
        wanted["transaction_timeout"] = milliseconds(2 * limits.stream_timeout_seconds)
    return wanted


def search_path(schemas: Sequence[str]) -> str:
    """pg_catalog first, so that nothing in the source can take the place of a built-in function."""
    quoted = ['"' + schema.replace('"', '""') + '"' for schema in schemas]
    return ", ".join(["pg_catalog", *quoted, "pg_temp"])


def check(wanted: dict[str, str], found: Sequence[object]) -> None:
    """Raise SourceError when a setting is not what was asked for; `found` is in the order of `wanted`."""
    # A server that answers less than it was asked has set nothing for certain.
    answers = [*found, *[""] * len(wanted)]
    for (name, value), answer in zip(wanted.items(), answers, strict=False):
        if _comparable(value) != _comparable(str(answer)):
            raise SourceError(
                say("The source did not accept the setting {name}.", name=name),
                hint=say("Connect to PostgreSQL directly, or through a pooler in session mode."),
                code="settings_refused",
            )


def refuse_own(limits: SourceLimits, identity: object) -> None:
    """Raise HostNotAllowed for the database that keeps our own data, by whatever name it was reached."""
    if limits.own_database and identity == limits.own_database:
        raise HostNotAllowed(
            say("This is the database in which Service Vault keeps its own data."),
            hint=say("Give the address of the help desk's database."),
            where="database",
        )


def milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _comparable(value: str) -> str:
    """ "5min" and "300000" as the same text, names in one case."""
    match = re.fullmatch(r"(\d+)(ms|s|min|h|d)?", value)
    return str(int(match[1]) * MILLISECONDS[match[2] or ""]) if match else value.lower()
