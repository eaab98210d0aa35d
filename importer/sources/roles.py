"""What a column is likely to hold, by its name and type; for suggestions only."""

from __future__ import annotations

import re

TEXT = r"text|character|citext|name"
NUMBER = r"smallint|integer|bigint|numeric|real|double"
TIME = r"timestamp|date\b"

# In the order they are tried: role, pattern of the name, pattern of the type.
RULES: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (role, re.compile(name), re.compile(type_name))
    for role, name, type_name in (
        ("email", r"(^|_)e?mails?(_?addr(ess)?(es)?)?$|^e_mail", TEXT),
        ("phone", r"(^|_)(tele)?phones?(_?(no|number))?$|(^|_)(mobile|fax|cell)(_?(no|number|phone))?$", TEXT),
        ("deleted", r"(^|_)(deleted|archived|removed|trashed)(_(at|on|date|time|ts))?$|^is_deleted$", f"{TIME}|boolean|{NUMBER}"),
        ("created", r"^(created|inserted|added|entered|registered|opened)(_?(at|on|date|time|ts|when))?$", f"{TIME}|{NUMBER}"),
        ("created", r"^(creation|create|crtd)_?(date|time|ts|at)?$|^date_(created|added|entered)$", f"{TIME}|{NUMBER}"),
        ("updated", r"^(updated|modified|changed|edited)(_?(at|on|date|time|ts|when))?$", f"{TIME}|{NUMBER}"),
        ("updated", r"^(last_?)(updated?|modified|changed?)(_?(at|on|date|time|ts))?$|^change_(time|date)$", f"{TIME}|{NUMBER}"),
        ("updated", r"^date_(updated|modified|changed)$", f"{TIME}|{NUMBER}"),
        ("time_start", r"^(start|started|begin|began|from|clock_in)(_?(at|on|time|date|ts))?$", TIME),
        ("time_end", r"^(end|ended|stop|stopped|finish|finished|until|clock_out)(_?(at|on|time|date|ts))?$", TIME),
        ("amount_of_time", r"(^|_)(time_?(spent|taken|worked|unit|units)|duration|hours|minutes|seconds|mins|secs)($|_)", ""),
        ("amount_of_time", r"^(time_?units?|worked|effort|billable_time|elapsed)(_|$)", f"{NUMBER}|interval"),
        ("money", r"(^|_)(price|cost|rate|amount|total|fee|salary|budget|balance|revenue)s?($|_)", f"{NUMBER}|money"),
        ("body", r"^(body|content|message|text|description|comments?|notes?|article|html|answer)(_(html|text|plain))?$", TEXT),
        ("status_code", r"(^|_)(status|state|priority|stage|severity)(_?(id|code))?$", ""),
        ("name", r"^(name|title|subject|company|organi[sz]ation|login|username)$", TEXT),
        ("name", r"(^|_)((first|last|full|display|user|given|family|sur|real|nick|company)_?name|subject)$", TEXT),
    )
)  # fmt: skip
WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def column_role(name: str, type_name: str) -> str | None:
    """Return the role of a column, or None: email, phone, name, created, updated, deleted, status_code, ..."""
    plain = WORD_BOUNDARY.sub("_", name).lower()
    for role, name_pattern, type_pattern in RULES:
        if name_pattern.search(plain) and type_pattern.match(type_name):
            return role
    return None
