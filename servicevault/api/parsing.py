"""Reading bodies: what neither JSON nor PostgreSQL can hold is refused before anything looks at it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from servicevault.wording import say

MAX_LEVELS = 60


class StrictJSONParser(JSONParser):
    """JSON without NUL characters, lone surrogates, NaN, infinity or endless nesting."""

    strict = True

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(say("The JSON is nested too deeply.")) from None
        check_texts(data)
        return data


def check_texts(data: Any) -> None:
    """Raise ParseError for a text or number PostgreSQL cannot store, and for nesting nobody means."""
    pending: list[tuple[Any, int]] = [(data, 1)]
    while pending:
        value, level = pending.pop()
        if level > MAX_LEVELS:
            raise ParseError(say("The JSON is nested too deeply."))
        if isinstance(value, Mapping):
            pending += [(item, level + 1) for item in (*value.keys(), *value.values())]
        elif isinstance(value, list):
            pending += [(item, level + 1) for item in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise ParseError(say("A number is too large."))
        elif isinstance(value, str) and ("\x00" in value or (not value.isascii() and _has_surrogate(value))):
            raise ParseError(say("A text holds a NUL character or half of a surrogate pair."))


def _has_surrogate(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)
