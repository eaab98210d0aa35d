"""How often a person may ask: counters in the cache, shared by all processes; per process while it is away (G30, G31)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from rest_framework.exceptions import Throttled
from rest_framework.throttling import BaseThrottle

from permissions import audit
from servicevault.wording import say

LIMITS: dict[str, tuple[int, int]] = {  # name → requests, seconds
    "profiles": (60, 60),
    "connection_test": (10, 60),
    "builder": (30, 60),
    "templates": (20, 60),
    "monitoring": (120, 60),
    "table_read": (120, 60),
    "upload": (60, 3600),
    "upload_part": (6_000, 3600),
    "parse_validate": (600, 3600),
    "import_start": (60, 3600),
    "export_create": (60, 3600),
    "download": (600, 3600),
    "records_bulk": (30, 60),
    "login": (10, 60),
}


def refuse_unknown() -> None:
    """Raise ImproperlyConfigured when RATE_LIMITS names a limit that does not exist."""
    for name in settings.RATE_LIMITS:
        if name not in LIMITS:
            raise ImproperlyConfigured(
                say("RATE_LIMITS names {name!r}; allowed are {limits}.", name=name, limits=", ".join(LIMITS))
            )


@dataclass(frozen=True)
class Allowance:
    """What is left of a limit after this request."""

    limit: int
    remaining: int
    reset: int  # seconds until the counter starts anew
    allowed: bool
    is_first_refusal: bool = False

    def headers(self) -> dict[str, str]:
        found = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }
        return found if self.allowed else {**found, "Retry-After": str(self.reset)}


def spend(name: str, who: str) -> Allowance:
    """Count one request of `who` against the limit of this name."""
    limit, seconds = {**LIMITS, **settings.RATE_LIMITS}[name]
    now = int(time.time())
    window = now // seconds
    used = _count(f"limit:{name}:{who}:{window}", seconds)
    return Allowance(limit, max(0, limit - used), (window + 1) * seconds - now, used <= limit, used == limit + 1)


def asked(name: str, user: Any) -> Allowance:
    """Count one request of the person; the first one that is refused is on record."""
    allowance = spend(name, str(user.pk))
    if allowance.is_first_refusal:  # one entry a window: a flood must not fill the log too
        audit.record("rate_limited", user=user, result="denied", details={"limit": name})
    return allowance


def _count(key: str, seconds: int) -> int:
    try:
        cache.add(key, 0, seconds + 1)
        return int(cache.incr(key))
    except ValueError:  # the cache forgot the key, or went away, between the two calls
        cache.set(key, 1, seconds + 1)
        return 1


class RateLimit(BaseThrottle):
    """The limit a view names in `rate`; the answer carries its headers (see `ApiView.finalize_response`)."""

    def allow_request(self, request: Any, view: Any) -> bool:
        name = getattr(view, "rate", "")
        if not name or not request.user.is_authenticated:
            return True
        allowance = view.allowance = asked(name, request.user)
        if not allowance.allowed:
            raise Throttled(wait=allowance.reset)
        return True
