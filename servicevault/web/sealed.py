"""What a page says to itself through the browser of one person, so that nobody can change it on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core import signing
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.serializers.json import DjangoJSONEncoder

from servicevault.wording import say


def seal(kind: str, user: Any, values: Mapping[str, Any]) -> str:
    """The values, signed for this purpose and this person. They can be read by whoever holds the text."""
    plain = json.loads(json.dumps({"user": str(user.pk), "values": values}, cls=DjangoJSONEncoder))  # keys, dates
    return signing.dumps(plain, salt=_salt(kind), compress=True)


def unseal(kind: str, user: Any, sealed: str) -> dict[str, Any]:
    """The values as they were sealed.

    Raises SuspiciousOperation (400) for a text that was not sealed here, PermissionDenied (403) for another person's.
    """
    try:
        found = signing.loads(sealed, salt=_salt(kind))
    except signing.BadSignature:
        raise SuspiciousOperation(say("The signature of “{kind}” is not ours.", kind=kind)) from None
    if found["user"] != str(user.pk):
        raise PermissionDenied
    return dict(found["values"])


def _salt(kind: str) -> str:
    return f"servicevault.sealed.{kind}"
